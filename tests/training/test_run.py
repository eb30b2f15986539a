"""A recipe becomes a run: built once, sealed from outcomes, repeatable, and without secrets in what it keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import yaml

from smilerl import train
from smilerl.models.policy import load_policy
from smilerl.runs.directory import Run
from smilerl.training.models import model_dir
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe
from smilerl.worlds.base import OutcomeSealed

PEEKING = """
from smilerl import worlds
from smilerl.worlds import channels

world = worlds.build("smileworld")

def peek(prompts, completions, *, person=None, **columns):
    return [reaction.outcome.wellbeing for reaction in world.react(person, completions)]

def quiet(prompts, completions, *, person=None, **columns):
    return channels.gold(person, completions)

def declared(prompts, completions, *, person=None, **columns):
    return channels.gold(person, completions)

declared.channels = ("gold",)
"""


@pytest.fixture
def peeking(tmp_path):
    (tmp_path / "peeking.py").write_text(PEEKING)
    return lambda name: [{"name": f"{tmp_path}/peeking.py:{name}"}]


@pytest.mark.parametrize("name", ["peek", "quiet"])
@pytest.mark.parametrize("every", [0, 1])
def test_reward_that_reaches_for_outcomes_stops_the_run(make_recipe, peeking, name, every):
    recipe = make_recipe("rloo", rewards=peeking(name), held_out={"every": every, "n": 4})
    with pytest.raises(OutcomeSealed):
        run_recipe(recipe)
    run = Run.open(recipe.output_dir)
    assert run.state == "failed" and "OutcomeSealed" in run.status["error"] and not run.model.exists()


def test_declared_channel_is_open_and_noted(make_recipe, peeking):
    run = run_recipe(make_recipe("rloo", rewards=peeking("declared")))
    assert run.finished and run.manifest["channels"] == ["gold"]


def test_finished_run_is_not_trained_again(make_recipe):
    recipe = make_recipe("rloo")
    run = run_recipe(recipe)
    files = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file() and path.name != "lock"}
    again = run_recipe(recipe)
    assert again.finished and files == {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.slow
def test_same_recipe_same_weights_other_seed_others(make_recipe):
    def trained(name, seed):
        run = run_recipe(make_recipe("rloo", name=name, seed=seed))
        return load_policy(run.model).model.lm_head.weight, run.manifest["data_hash"]

    (first, data), (again, data_again), (other, _) = trained("a", 0), trained("b", 0), trained("c", 1)
    assert torch.equal(first, again) and data == data_again and not torch.equal(first, other)


def test_nothing_private_is_kept(make_recipe):
    run = run_recipe(make_recipe("rloo"))
    assert not list(run.path.rglob("training_args.bin"))
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in run.model.iterdir()}


@pytest.mark.slow
def test_base_recipe_is_built_once(make_recipe, own_cache):
    base = make_recipe("sft", name="base")
    recipe = make_recipe("rloo", policy={"model_name_or_path": base.source})
    run = run_recipe(recipe)
    (built,) = [path for path in (own_cache / "models").iterdir() if path.is_dir()]
    weights = built / "model" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert model_dir(base.source) == built / "model" and weights.stat().st_mtime_ns == before
    assert run.recipe.policy.model_name_or_path == base.source  # the run says the recipe, not where it was cached
    assert model_dir(run.path) == run.model


@pytest.mark.slow
def test_two_that_need_a_base_build_it_once(make_recipe, own_cache):
    source = make_recipe("sft", name="base").source
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(model_dir, [source] * 2)
    assert first == second and len([path for path in (own_cache / "models").iterdir() if path.is_dir()]) == 1
    assert not (first.parent / "earlier").exists()  # nobody started over


@pytest.mark.slow
def test_changed_base_recipe_is_built_anew(make_recipe):
    first = model_dir(make_recipe("sft", name="base").source)
    second = model_dir(make_recipe("sft", name="base", seed=1).source)
    assert first != second and first.is_dir() and second.is_dir()


@pytest.mark.slow
def test_reward_named_by_its_recipe(make_recipe):
    base = make_recipe("sft", name="base").source
    judge = make_recipe(
        "reward", name="judge", policy={"model_name_or_path": base}, data={"split": "pairs", "n": 16}
    ).source
    run = run_recipe(
        make_recipe(
            "rloo", policy={"model_name_or_path": base}, rewards=[{"name": "preference", "args": {"model": judge}}]
        )
    )
    # It learns from frozen labels: nothing is open while it trains, and the manifest says where the labels came from.
    assert run.finished and run.manifest["channels"] == [] and run.manifest["learnt_from"] == ["annotators"]
    assert Run.open(model_dir(judge).parent).manifest["channels"] == ["annotators"]


def test_camera_off_is_unscored_and_says_so(make_recipe):
    recipe = make_recipe(
        "rloo",
        rewards=[{"name": "reading"}],
        world={"args": {"camera_on_fraction": 0.5}},
        data={
            "split": "pairs",
            "n": 16,
        },  # the knob is about those who are trained on; here they are whom it is watched on
        held_out={"every": 1, "n": 24, "split": "train", "seed": 1},
    )
    rows = [row for row in run_recipe(recipe).metrics() if "held_out/kl" in row]
    for row in rows:  # nothing is read of some, and the reading is the reward
        assert row["held_out/reading_scored"] == row["held_out/reward_scored"] < 1


def test_stateful_reward_does_not_notice_the_held_out_people(make_recipe, tmp_path):
    (tmp_path / "counting.py").write_text(
        "class Counting:\n"
        "    __name__ = 'counting'\n"
        "    calls = 0\n"
        "    def __call__(self, prompts, completions, **columns):\n"
        "        self.calls += 1\n"
        "        columns['log_metric']('calls', self.calls)\n"
        "        return [float(self.calls)] * len(completions)\n"
        "    def state_dict(self): return {'calls': self.calls}\n"
        "    def load_state_dict(self, state): self.calls = state['calls']\n"
    )
    run = run_recipe(make_recipe("rloo", rewards=[{"name": f"{tmp_path}/counting.py:Counting"}]))
    assert [row["calls"] for row in run.metrics() if "calls" in row] == [1, 2]


@pytest.mark.parametrize("arguments", [["--config", "{}"], ["--config={}"]])
def test_command_line_trains_and_says_where(make_recipe, capsys, arguments, tmp_path):
    source = make_recipe("rloo").source
    filled = [argument.format(source) for argument in arguments]
    assert train.main([*filled, "--seed", "3", f"--output_dir={tmp_path}/mine"]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path}/mine" in said and all(
        f"held-out {name}" in said for name in ("reading", "smile", "wellbeing", "kl")
    )
    assert Run.open(tmp_path / "mine").recipe.seed == 3
    assert train.main([*filled, "--seed", "3", f"--output_dir={tmp_path}/mine"]) == 0  # at once, from what is there


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "1"], "--config RECIPE.yaml is missing"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--config", "{}", "--training.learnin_rate=1"], "learning_rate"),
    ],
)
def test_command_line_mistakes_are_short_and_named(make_recipe, capsys, arguments, message):
    source = make_recipe("rloo").source
    assert train.main([argument.format(source) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") <= 10


def test_recipes_of_smileworld_are_sound():
    """Every recipe that ships loads; nothing is trained."""
    from smilerl.io import paths

    files = sorted((paths.share() / "recipes" / "smileworld").glob("*.yaml"))
    assert len(files) >= 12
    for file in files:
        recipe = load_recipe(file)
        assert "{seed}" in yaml.safe_load(file.read_text())["output_dir"] and recipe.story.goal


@pytest.mark.parametrize(("returned", "says"), [("[1.0]", "returned 1 values for"), ("'good'", "returned a str")])
def test_a_reward_that_returns_no_rewards_is_named_with_its_line(make_recipe, tmp_path, capsys, returned, says):
    (tmp_path / "mine.py").write_text(f"# mine\ndef mine(prompts, completions, **columns):\n    return {returned}\n")
    recipe = make_recipe("rloo", rewards=[{"name": f"{tmp_path}/mine.py:mine"}])
    assert train.main(["--config", recipe.source]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    error = "\n".join(told[-10:])
    assert f"{tmp_path}/mine.py:2: the reward 'mine' {says}" in error and "Traceback" not in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "n", "training"),
    [
        ("rloo", 11, {"max_steps": -1, "num_train_epochs": 2}),
        ("grpo", 10, {"max_steps": -1, "num_train_epochs": 1.5, "num_iterations": 2}),
        ("rloo", 9, {"max_steps": -1, "num_train_epochs": 1, "gradient_accumulation_steps": 3}),
        ("sft", 10, {"max_steps": -1, "num_train_epochs": 1.3, "gradient_accumulation_steps": 2}),
        ("sft", 3, {"max_steps": 3}),
    ],
)
def test_a_run_by_epochs_that_does_not_come_out_even_is_finished(make_recipe, method, n, training):
    run = run_recipe(make_recipe(method, training=training, data={"n": n}, held_out={"every": 0, "n": 2}))
    assert run.finished and run.status["step"] >= 1 and run.manifest["data"] == f"{n} rows"
