"""Push and pull with the real client over HTTP: what goes, what does not, and what a stranger gets."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import ModelCard

from smilerl.io import paths
from smilerl.runs import seals
from smilerl.statistics.rates import wilson
from tests.publish.server import Hub
from tests.studies.synthetic import BASE, write_evaluation

HELD_OUT = ("--suite", "held_out", "--n", "24")


def numbers(folder) -> dict:
    """Every estimate of a results.json, with its interval."""
    found = json.loads((folder / "results.json").read_text())["evaluations"]
    return {name: {key: value for key, value in one["estimates"].items()} for name, one in found.items()}


def evaluated(run):
    """Gives a run an invented evaluation."""
    import numpy as np

    write_evaluation(run.path, "sentiment", BASE, np.random.default_rng(0), own=True)
    return run


@pytest.mark.slow
def test_pushed_pulled_and_asked_again_it_answers_the_same(make_run, smilerl, hub, tmp_path):
    """On another machine, which has nothing but the id."""
    run = make_run("one")
    assert smilerl("eval", run.path, *HELD_OUT, "--out", tmp_path / "here").code == 0
    pushed = smilerl("push", run.path, "--to", "org/one")
    assert (pushed.code, pushed.out) == (0, f"{hub.url}/org/one\n"), pushed.err
    asked = smilerl("eval", "org/one", *HELD_OUT, "--out", tmp_path / "there", cache="fresh")
    assert asked.code == 0, asked.err
    assert numbers(tmp_path / "here") == numbers(tmp_path / "there")
    assert numbers(tmp_path / "here")["held_out"]["smile"]["of"] == 24
    pulled = smilerl("pull", "org/one@main", "--to", "copy", cache="fresh")
    assert (pulled.code, pulled.out) == (0, "copy\n"), pulled.err
    assert {
        file.relative_to(tmp_path / "copy").as_posix() for file in (tmp_path / "copy").rglob("*") if file.is_file()
    } >= set(hub.files("org/one"))
    assert smilerl("eval", "copy", *HELD_OUT, "--out", tmp_path / "copied", cache="fresh").code == 0
    assert numbers(tmp_path / "copied") == numbers(tmp_path / "here")
    assert smilerl("chat", "org/one", cache="fresh").code == 0
    # A reward that may not be built unasked can be done without.
    files = hub.files("org/one")
    hub.add("org/own", files | {"recipe.yaml": files["recipe.yaml"].replace(b"name: smile\n", b"name: my.reward\n")})
    assert smilerl("eval", "org/own", *HELD_OUT, "--out", tmp_path / "own", "--reward", "none", cache="fresh").code == 0


@pytest.mark.slow
def test_what_goes_and_what_never_goes(make_run, smilerl, hub, tmp_path):
    run = evaluated(make_run("one"))
    run.save_samples(0, [{"prompt": "hello", "completion": "hi"}])
    private = {"model/training_args.bin": b"hf_secret", "model/optimizer.pt": b"", "model/README.md": b"peft's", "checkpoints/checkpoint-2/optimizer.pt": b"",
               "uncommitted.diff": b"diff", "earlier/1/metrics.jsonl": b"", "model/notes.docx": b""}  # fmt: skip
    for name, data in private.items():
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_bytes(data)
    seals.seal_run(run.path)
    dry = smilerl("push", run.path, "--to", "org/one", "--dry-run", token=None)
    assert dry.code == 0 and "Nothing was sent." in dry.out and hub.repos == {}, dry.err
    assert not [request for request in hub.requests if "/org/one" in request]
    assert smilerl("push", run.path, "--to", "org/one").code == 0
    files = hub.files("org/one")
    assert set(files) == {
        "README.md", "figures/triangle.png", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "recipe.yaml",
        "manifest.json", "metrics.jsonl", "samples/step-000000.parquet", "evals/quick/results.json", "evals/quick/own_reward.json", "evals/quick/samples.parquet",
    }  # fmt: skip
    for name in files:
        assert f"  {name}\n" in dry.out, f"the dry run does not list {name}"
    for name in ("training_args.bin", "optimizer.pt", "notes.docx", "checkpoints", "uncommitted.diff", "earlier"):
        assert name in dry.out.split("stays here:")[1]
    assert (tmp_path / "runs" / "cards" / "one" / "README.md").read_bytes() == files["README.md"]
    everything = b"".join(data for name, data in files.items())
    assert str(tmp_path).encode() not in everything and b"/home/" not in everything
    assert len(hub.repos["models", "org/one"].commits) == 2  # the Hub's first, and one of ours


@pytest.mark.slow
def test_a_private_repository_is_private(make_run, smilerl, hub):
    assert smilerl("push", make_run("one").path, "--private").code == 0
    ((kind, name),) = hub.repos
    assert name == "me/smilerl-one" and hub.repos[kind, name].private
    assert "private" in smilerl("pull", name, token=None).err


@pytest.mark.slow
@pytest.mark.parametrize("where", ["model/model.safetensors", "evals/quick/samples.parquet"])
def test_a_token_in_any_file_stops_the_push(make_run, smilerl, hub, where):
    run, secret = evaluated(make_run("one")), "hf_" + "aB3" * 12
    if where.endswith(".parquet"):
        import pandas as pd

        table = pd.read_parquet(run.path / where)
        table.loc[2, "completion"] = f"take {secret}"
        table.to_parquet(run.path / where, compression="gzip", write_statistics=False)
    else:
        (run.path / where).write_bytes((run.path / where).read_bytes() + f'{{"note": "{secret}"}}\n'.encode())
    for dry in ([], ["--dry-run"]):
        said = smilerl("push", run.path, "--to", "org/one", *dry)
        assert said.code == 2 and where.removeprefix("model/") in said.err and "a Hugging Face token" in said.err, (
            said.err
        )
        assert secret not in said.err + said.out and "nothing was sent" in said.err
    assert hub.repos == {}


@pytest.mark.slow
def test_the_token_of_the_push_itself_is_found(make_run, smilerl, hub):
    run = make_run("one")
    (run.model / "config.json").write_text(
        json.dumps({**json.loads((run.model / "config.json").read_text()), "x": "not-like-a-token"})
    )
    said = smilerl("push", run.path, "--to", "org/one", MY_SERVICE_TOKEN="not-like-a-token")
    assert said.code == 2 and "config.json" in said.err and "the value of MY_SERVICE_TOKEN" in said.err


def test_without_a_token_it_says_what_to_do(make_run, smilerl, hub):
    said = smilerl("push", make_run("one").path, "--to", "org/one", token=None)
    assert said.code == 2 and "without a token" in said.err and "HF_TOKEN" in said.err and hub.repos == {}
    said = smilerl("push", make_run("two").path, "--to", "org/one", token="hf_of_somebody_else")
    assert said.code == 2 and "401" in said.err and hub.repos == {}


@pytest.mark.slow
def test_a_broken_push_shows_nothing_and_can_be_repeated(make_run, smilerl, hub):
    run = make_run("one")
    hub.broken["/commit/"] = 400
    said = smilerl("push", run.path, "--to", "org/one")
    assert said.code == 2 and "can be repeated" in said.err and hub.files("org/one") == {}
    hub.broken.clear()
    assert smilerl("push", run.path, "--to", "org/one").code == 0
    first = hub.files("org/one")
    evaluated(run)
    assert smilerl("push", run.path, "--to", "org/one").code == 0  # the same run, with more to say
    assert set(hub.files("org/one")) > set(first)


@pytest.mark.slow
def test_somebody_else_s_repository_is_not_overwritten(make_run, smilerl, hub):
    hub.add("org/one", {"model.safetensors": b"theirs"})
    run, other = make_run("one"), make_run("other", seed=3)
    said = smilerl("push", run.path, "--to", "org/one")
    assert (
        said.code == 2 and "holds other files" in said.err and hub.files("org/one") == {"model.safetensors": b"theirs"}
    )
    assert smilerl("push", run.path, "--to", "org/two").code == 0
    said = smilerl("push", other.path, "--to", "org/two")
    assert said.code == 2 and "another run" in said.err
    evaluated(run)
    assert smilerl("push", run.path, "--to", "org/two").code == 0
    assert smilerl("push", other.path, "--to", "org/two", "--overwrite").code == 0
    assert not [name for name in hub.files("org/two") if name.startswith("evals/")]  # nothing of the other run is left


def test_what_is_no_finished_run_is_told(make_run, smilerl, tmp_path):
    run = make_run("one")
    status = run.path / "status.json"
    status.write_text(status.read_text().replace("finished", "failed"))
    for what, said in (
        (run.path, "this run is failed"),
        (tmp_path, "neither a run directory nor"),
        ("nowhere", "there is nothing at"),
    ):
        told = smilerl("push", what, "--to", "org/one")
        assert told.code == 2 and said in told.err, told.err
    assert "no name for a repository" in smilerl("push", make_run("two").path, "--to", "a b").err


LORA = """\
method: rloo
output_dir: runs/lora
policy: {model_name_or_path: org/base@main, peft: {r: 2, target_modules: all-linear}}
data: {n: 8}
rewards: [{name: smile}]
training: {max_steps: 1, per_device_train_batch_size: 4, num_generations: 2, max_completion_length: 4, use_cpu: true, bf16: false, gradient_checkpointing: false}
held_out: {every: 0, n: 4}
"""


@pytest.mark.slow
def test_an_adapter_trained_on_a_base_of_the_hub_goes_back_there(make_run, smilerl, hub, tmp_path):
    """Really trained: what training leaves is what is pushed."""
    assert smilerl("push", make_run("base", method="sft").path, "--to", "org/base").code == 0
    commit = hub.repos["models", "org/base"].commits[-1][0]
    (tmp_path / "lora.yaml").write_text(LORA)
    trained = smilerl("train", "lora.yaml")
    assert trained.code == 0, trained.err
    named = json.loads((tmp_path / "runs/lora/model/adapter_config.json").read_text())
    assert (named["base_model_name_or_path"], named["revision"]) == ("org/base", commit)
    assert json.loads((tmp_path / "runs/lora/manifest.json").read_text())["hub"] == {"org/base": commit}
    hub.repos["models", "org/base"].commit({"README.md": b"the base has moved on, and lost its weights"})
    pushed = smilerl("push", "runs/lora", "--to", "org/lora", "--license", "mit")
    assert pushed.code == 0, pushed.err
    card = ModelCard(hub.files("org/lora")["README.md"].decode())
    assert (card.data.base_model, card.data.license) == ("org/base", "mit") and "lora" in card.data.tags
    assert str(tmp_path).encode() not in b"".join(hub.files("org/lora").values())
    code = "from smilerl.training.models import load\nprint(type(load('org/lora').model).__name__)"
    said = smilerl(code=code, cache="fresh")
    assert said.out == "PeftModelForCausalLM\n", said.err


@pytest.mark.slow
def test_an_adapter_brings_its_base(make_run, smilerl, hub, tmp_path):
    base = make_run("base", method="sft")
    run = make_run("adapter", peft=True, policy={"model_name_or_path": str(base.model), "peft": {"r": 2}})
    said = smilerl("push", run.path, "--to", "org/adapter")
    assert said.code == 2 and "Add --base ORG/NAME" in said.err and hub.repos == {}
    here = smilerl("eval", run.path, *HELD_OUT, "--out", tmp_path / "here")
    assert here.code == 0, here.err
    pushed = smilerl("push", run.path, "--to", "org/adapter", "--base", "org/base")
    assert pushed.code == 0, pushed.err
    files = hub.files("org/adapter")
    config = json.loads(files["adapter_config.json"])
    assert config["base_model_name_or_path"] == "org/base" and "model.safetensors" not in files
    card = ModelCard(files["README.md"].decode())
    assert (
        card.data.base_model == "org/base"
        and card.data.library_name == "peft"
        and card.data.to_dict()["base_model_relation"] == "adapter"
    )
    assert "None" not in files["README.md"].decode() and str(tmp_path).encode() not in b"".join(files.values())
    there = smilerl("eval", "org/adapter", *HELD_OUT, "--out", tmp_path / "there", cache="fresh")
    assert there.code == 0, there.err
    assert numbers(tmp_path / "here") == numbers(tmp_path / "there")
    # What the card says strangers may do works for them, too.
    code = "from peft import AutoPeftModelForCausalLM as A\nprint(A.from_pretrained('org/adapter').base_model.model.config.vocab_size)"
    assert smilerl(code=code, cache="stranger").out.strip().isdigit()
    commits = len(hub.repos["models", "org/base"].commits)
    assert smilerl("push", run.path, "--to", "org/again", "--base", "org/base").code == 0
    assert len(hub.repos["models", "org/base"].commits) == commits  # it is there already
    hub.add("org/other", {"model.safetensors": b"other weights", "config.json": b"{}"})
    said = smilerl("push", run.path, "--to", "org/third", "--base", "org/other")
    assert (
        said.code == 2
        and "is not the base that this run started from" in said.err
        and ("models", "org/third") not in hub.repos
    )


@pytest.mark.slow
def test_a_reward_model_has_a_card_of_its_own_and_rewards(make_run, smilerl, hub, tmp_path):
    tested = (
        {
            "eval_accuracy": 0.75,
            "eval_loss": 0.5,
            "eval_margin": 1.2,
            "eval_runtime": 2.0,
            "eval_samples_per_second": 50.0,
        },
    )
    run = make_run("judge", method="reward", data={"split": "pairs", "n": 512},
                   held_out={"every": 0, "n": 128}, metrics=tested)  # fmt: skip
    assert smilerl("push", run.path, "--to", "org/judge").code == 0
    card = ModelCard(hub.files("org/judge")["README.md"].decode())
    (found,) = card.data.eval_results
    low, high = wilson(75, 100)
    assert found.metric_type == "accuracy" and found.metric_value == 0.75
    assert found.metric_args == {"low": round(low, 4), "high": round(high, 4), "level": 0.95, "scored": 100, "of": 128}
    assert (
        card.data.pipeline_tag == "text-classification"
        and "75 of 100" in card.text
        and "100 of 128" in card.text
        and "`annotators`" in card.text
    )
    # A recipe that names it as its reward gets the model, and knows whose labels are in it.
    make_run("policy")
    code = (
        "from smilerl.training.models import with_models\nfrom smilerl.training.recipe_check import load_recipe\nfrom smilerl.rewards import build_rewards\n"
        "named = [{'name': 'preference', 'args': {'model': 'org/judge'}}]\n"
        "(reward,) = build_rewards(with_models(load_recipe('policy.yaml', {'rewards': named})).rewards, 0)\n"
        "print(len(reward(prompts=['person: i am sad.'], completions=['hello'])), reward.learnt_from)"
    )
    said = smilerl(code=code, cache="fresh")
    assert said.out == "1 ('annotators',)\n", said.err


@pytest.mark.slow
def test_the_data_set_is_read_by_load_dataset(smilerl, hub, tmp_path):
    said = smilerl("push", paths.share() / "data", "--to", "org/data")
    assert said.code == 0, said.err
    files = hub.files("org/data", "datasets")
    assert files["smileworld/pairs.jsonl"] == (paths.share() / "data/smileworld/pairs.jsonl").read_bytes()
    assert not [name for name in files if not name.endswith((".jsonl", "README.md"))]
    assert "](../" not in files["README.md"].decode()
    code = (
        "from datasets import load_dataset\nprint(load_dataset('org/data', 'people', split='train', cache_dir='c').num_rows, "
        "load_dataset('org/data', 'real_tamper', split='test', cache_dir='c').num_rows)"
    )
    said = smilerl(code=code, cache="fresh")
    assert said.out == "1024 240\n", said.err
    assert smilerl("pull", "datasets/org/data", "--to", "data").code == 0
    assert (tmp_path / "data" / "smileworld" / "pairs.jsonl").read_bytes() == files["smileworld/pairs.jsonl"]


CPU = "training: {use_cpu: true, bf16: false}\n"
MISSING = [
    ("gone/away", "there is no model 'gone/away' on the Hub"),
    ("shut/away", "is gated"),
    ("here/now@v9", "has no revision 'v9'"),
]


@pytest.mark.parametrize(("name", "says"), MISSING)
def test_a_model_inside_a_reward_is_looked_for_before_the_run_begins(smilerl, hub: Hub, tmp_path, name, says):
    hub.add("shut/away", {"config.json": b"{}"}, gated=True)
    hub.add("here/now", {"config.json": b"{}"})
    inside = f"{{name: preference, args: {{model: {name}}}}}"
    (tmp_path / "mine.yaml").write_text(
        f"method: rloo\noutput_dir: runs/mine\npolicy: {{config: {{model_type: llama, hidden_size: 32}}}}\nrewards:\n  - name: shuffled\n    args: {{reward: {inside}}}\n{CPU}"
    )
    said = smilerl("train", "mine.yaml")
    assert said.code == 2 and says in said.err and said.err.startswith("mine.yaml:6: "), said.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("name", "says"), MISSING)
def test_what_cannot_be_read_is_told_and_leaves_nothing(smilerl, hub: Hub, tmp_path, name, says):
    hub.add("shut/away", {"config.json": b"{}"}, gated=True)
    hub.add("here/now", {"config.json": b"{}"})
    (tmp_path / "mine.yaml").write_text(
        f"method: rloo\noutput_dir: runs/mine\npolicy:\n  model_name_or_path: {name}\nrewards: [{{name: smile}}]\n{CPU}"
    )
    for command in (
        ["pull", name, "--to", "copies/one"],
        ["eval", name, "--suite", "held_out"],
        ["chat", name],
        ["train", "mine.yaml"],
    ):
        said = smilerl(*command)
        assert said.code == 2 and says in said.err and len(said.err.splitlines()) <= 10, said.err
        assert command[0] != "train" or said.err.startswith("mine.yaml:4: ")
    assert not (tmp_path / "copies").exists() and not (tmp_path / "runs").exists()


def test_a_pull_that_breaks_leaves_nothing_and_one_on_top_of_something_is_refused(smilerl, hub, tmp_path):
    hub.add("org/one", {"config.json": b"{}", "a/b.txt": b"x"})
    hub.broken["/a/b.txt"] = 400
    said = smilerl("pull", "org/one", "--to", "copies/one")
    assert said.code == 2 and not (tmp_path / "copies").exists(), said.err
    hub.broken.clear()
    (tmp_path / "copies" / "one").mkdir(parents=True)
    assert smilerl("pull", "org/one", "--to", "copies/one").code == 0
    assert (
        sorted(path.name for path in (tmp_path / "copies").iterdir()) == ["one"]
        and (tmp_path / "copies/one/a/b.txt").read_bytes() == b"x"
    )
    assert not (tmp_path / "copies/one/.cache").exists()
    said = smilerl("pull", "org/one", "--to", "copies/one")
    assert said.code == 2 and "overwrites nothing" in said.err


@pytest.mark.slow
def test_without_a_network_the_cache_serves_what_was_fetched(make_run, smilerl, hub):
    assert smilerl("push", make_run("one").path, "--to", "org/one").code == 0
    code = (
        "from huggingface_hub import constants\nfrom smilerl.models.hub.fetch import fetch\nfrom smilerl.models.hub.ids import HubError\n"
        "constants.HF_HUB_OFFLINE = True\n"
        "try: fetch('org/one')\nexcept HubError as error: print(str(error).splitlines()[0])\n"
        "constants.HF_HUB_OFFLINE = False\nfetch('org/one')\n"
        "constants.HF_HUB_OFFLINE = True\nprint((fetch('org/one') / 'model.safetensors').is_file())"
    )
    said = smilerl(code=code)
    assert said.out.splitlines()[0].startswith("org/one is not in the cache") and said.out.endswith("\nTrue\n"), (
        said.err
    )


def test_an_earlier_revision_is_what_it_was(smilerl, hub, tmp_path):
    repo = hub.add("org/one", {"config.json": b"{}", "note.txt": b"first"})
    first = repo.commits[-1][0]
    repo.commit({"config.json": b"{}", "note.txt": b"second"})
    assert smilerl("pull", f"org/one@{first}", "--to", "old").code == 0
    assert smilerl("pull", "org/one", "--to", "new").code == 0
    assert [(tmp_path / where / "note.txt").read_bytes() for where in ("old", "new")] == [b"first", b"second"]


def test_a_recipe_from_the_hub_runs_no_code(make_run, smilerl, hub, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "evil.py").write_text(
        "open('evil', 'w').close()\ndef reward(prompts, completions, **columns): return [0.0] * len(completions)\n"
    )
    assert smilerl("push", make_run("one").path, "--to", "org/one").code == 0
    files = hub.files("org/one")
    hub.add(
        "org/evil",
        files | {"recipe.yaml": files["recipe.yaml"].replace(b"name: smile\n", b"name: code/evil.py:reward\n")},
    )
    said = smilerl("eval", "org/evil", *HELD_OUT)
    assert said.code == 2 and "not part of smilerl" in said.err and "--reward" in said.err, said.err
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("disguise", ["best of n", "a run of one's own"])
def test_nor_does_one_in_disguise(make_run, smilerl, hub, tmp_path, disguise):
    """A run that trains nothing builds its rewards as its policy, and a run directory of one's own is trusted."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "evil.py").write_text(
        "open('evil', 'w').close()\ndef reward(prompts, completions, **columns): return [0.0] * len(completions)\n"
    )
    run = make_run("one")
    assert smilerl("push", run.path, "--to", "org/one").code == 0
    files = hub.files("org/one")
    recipe = files["recipe.yaml"].replace(b"name: smile\n", b"name: code/evil.py:reward\n")
    if disguise == "best of n":
        recipe = recipe.replace(b"method: rloo\n", b"method: best_of_n\n")
        hub.add("org/evil", files | {"recipe.yaml": recipe})
        said = smilerl("eval", "org/evil", *HELD_OUT)
    else:
        hub.add("org/evil", files | {"recipe.yaml": recipe, "status.json": (run.path / "status.json").read_bytes()})
        assert smilerl("pull", "org/evil", "--to", "pulled").code == 0
        assert not (tmp_path / "pulled" / "status.json").exists()
        said = smilerl("eval", "pulled", *HELD_OUT)
    assert said.code == 2 and "not part of smilerl" in said.err, said.err
    assert not (tmp_path / "evil").exists()


def test_a_world_from_the_hub_calls_no_address(make_run, smilerl, hub):
    assert smilerl("push", make_run("one").path, "--to", "org/one").code == 0
    files = hub.files("org/one")
    world = b"world:\n  name: smileworld\n  args: {speaker: {name: endpoint, url: 'http://evil.example/v1'}}\n"
    hub.add(
        "org/evil",
        files | {"recipe.yaml": files["recipe.yaml"].replace(b"world:\n  name: smileworld\n  args: {}\n", world)},
    )
    said = smilerl("eval", "org/evil", *HELD_OUT)
    assert said.code == 2 and "http://evil.example" in said.err and "--world" in said.err, said.err
