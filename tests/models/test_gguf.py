"""A GGUF file is read once into an ordinary checkpoint with the same logits; what cannot be read is said at its line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from smilerl.config.yaml_lines import RecipeError
from smilerl.models import dequantised, gguf, reference
from smilerl.models.policy import load_policy
from smilerl.runs import seals
from smilerl.training import models
from smilerl.training.recipe_check import load_recipe

IDS = torch.arange(3, 40)[None]
SAID = {"general.name": "Tiny", "general.license": "apache-2.0", "general.organization": "org"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny(tmp_path, write_gguf) -> Path:
    return write_gguf(tmp_path / "models" / "tiny.gguf", said=SAID)


@pytest.fixture
def unread(monkeypatch):
    """Reading a file is an error."""

    def read(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(dequantised, "_build", read)


def recipe_of(folder: Path, model: str, **more) -> Path:
    said = {
        "method": "rloo", "output_dir": str(folder / "run"), "policy": {"model_name_or_path": model}, "rewards": [{"name": "smile"}],
        "data": {"n": 16}, "training": {"max_steps": 1, "use_cpu": True, "bf16": False, "gradient_checkpointing": False},
    }  # fmt: skip
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(said | more, sort_keys=False))
    return file


@pytest.mark.parametrize("tied", [True, False])
def test_the_checkpoint_has_the_logits_tokens_and_template_of_the_file(tmp_path, write_gguf, tied):
    file = write_gguf(tmp_path / "tiny.gguf", tied=tied)
    folder = models.model_dir(file)
    there = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    tokens = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    policy = load_policy(folder)
    assert torch.equal(policy.model(IDS).logits, there(IDS).logits)
    assert policy.tokenizer.chat_template == tokens.chat_template is not None
    talk = [{"role": "user", "content": "the cat"}]
    assert policy.tokenizer.apply_chat_template(talk) == tokens.apply_chat_template(talk)
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config and config["dtype"] == "float32"
    assert config["tie_word_embeddings"] == tied
    assert (policy.model.lm_head.weight is policy.model.model.embed_tokens.weight) == tied
    assert {file.suffix for file in folder.iterdir()} == {".json", ".safetensors", ".jinja"}


def test_what_the_file_says_of_itself_is_kept_in_the_seal(tmp_path, write_gguf):
    from hashlib import sha256

    file = write_gguf(
        tmp_path / "tiny.gguf", said=SAID | {"general.source.repo_url": "https://huggingface.co/org/tiny"}
    )
    facts = seals.facts_of(seals.beside(models.model_dir(file)))
    assert facts == {
        "file": "tiny.gguf", "sha256": sha256(file.read_bytes()).hexdigest(), "quantisation": "Q8_0", "architecture": "llama",
        "name": "Tiny", "organisation": "org", "licence": "apache-2.0", "source": "org/tiny", "made_from": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "source", "made_from"),
    [
        ({}, None, []),
        ({"general.name": "org/tiny"}, None, []),  # a name is no id
        ({"general.source.huggingface.repository": "org/tiny"}, "org/tiny", []),
        ({"general.source.url": "https://example.org/org/tiny"}, None, []),
        ({"general.source.repo_url": "https://huggingface.co/org/tiny/tree/main"}, "org/tiny", []),
        ({"general.source.repo_url": "https://huggingface.co/datasets/org/tiny"}, None, []),
        ({"general.source.url": "org/tiny"}, None, []),
        ({"general.base_model.count": 2, "general.base_model.0.repo_url": "https://huggingface.co/org/whole",
          "general.base_model.1.name": "Other"}, None, ["org/whole"]),
    ],
)  # fmt: skip
def test_its_id_on_the_hub_is_not_guessed(tmp_path, write_gguf, said, source, made_from):
    facts = gguf.facts(write_gguf(tmp_path / "tiny.gguf", said=said))
    assert (facts["source"], facts["made_from"]) == (source, made_from)


def test_the_same_file_elsewhere_is_not_read_again_and_a_changed_one_is(tmp_path, tiny, write_gguf, monkeypatch):
    folder = models.model_dir(tiny)
    elsewhere = tmp_path / "other" / "name.gguf"
    elsewhere.parent.mkdir()
    shutil.copy(tiny, elsewhere)
    with monkeypatch.context() as patch:
        patch.setattr(dequantised, "_build", None)
        assert models.model_dir(elsewhere) == models.model_dir(elsewhere.parent) == models.model_dir(tiny) == folder
        assert dequantised.facts(elsewhere) == dequantised.facts(tiny) | {"file": "name.gguf"}
    write_gguf(elsewhere, seed=1)
    other = models.model_dir(elsewhere)
    assert other != folder
    assert not torch.equal(load_policy(other).model(IDS).logits, load_policy(folder).model(IDS).logits)


def test_a_damaged_checkpoint_is_made_again(tiny, capsys):
    folder = models.model_dir(tiny)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert models.model_dir(tiny) == folder
    assert weights.read_bytes() == whole
    assert "has other contents than were saved. It is built again." in capsys.readouterr().err


def test_a_cache_that_can_only_be_read_is_enough(tiny, monkeypatch):
    folder = models.model_dir(tiny)
    monkeypatch.setattr("smilerl.io.lock.in_cache", None)
    assert models.model_dir(tiny) == folder


def test_two_processes_read_it_once(tiny, cache):
    code = (
        "import sys; from smilerl.models import dequantised; build = dequantised._build\n"
        "def counted(*a): open(sys.argv[2], 'a').write('read\\n'); return build(*a)\n"
        "dequantised._build = counted; print(dequantised.checkpoint(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tiny), str(cache.parent / "log")]
    begun = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=120) for one in begun]
    assert all(one.returncode == 0 for one in begun), said
    assert said[0][0] == said[1][0] and (cache.parent / "log").read_text() == "read\n"
    assert {err for _, err in said} <= {"", f"{said[0][0].strip()}: another process builds it; waiting for it\n"}


def test_it_is_said_on_a_terminal_alone(tiny, write_gguf, capsys, monkeypatch):
    models.model_dir(tiny)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    models.model_dir(write_gguf(tiny, seed=2))
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "tiny.gguf: read on first use" in err


def test_a_base_model_has_no_chat_template(tmp_path, write_gguf):
    folder = models.model_dir(write_gguf(tmp_path / "base.gguf", chat=False))
    assert load_policy(folder).tokenizer.chat_template is None


def test_a_recipe_may_name_it_wherever_it_names_a_model(tmp_path, package_with):
    name = package_with("tiny.gguf")
    file = tmp_path / "site" / "weights_in_here" / "tiny.gguf"
    beside = shutil.copy(file, tmp_path / "tiny.gguf")
    recipe = load_recipe(recipe_of(tmp_path, name))
    folder = str(models.model_dir(file))
    assert models.with_models(recipe).policy.model_name_or_path == folder
    assert models.with_models(load_recipe(recipe_of(tmp_path, "tiny.gguf"))).policy.model_name_or_path == folder
    args = {"inner": [{"name": "sentiment", "args": {"model": "tiny.gguf"}}], "model": name, "other": name}
    inner = {"name": "sentiment", "args": {"model": folder}}
    assert models.resolved(args, str(tmp_path / "recipe.yaml")) == {"inner": [inner], "model": folder, "other": name}
    assert load_policy(models.model_dir(name)) and models.load(name).name == name
    assert Path(beside).is_file() and "weights_in_here" not in sys.modules


def broken(folder: Path, write_gguf, kind: str) -> str:
    """Makes a file that cannot be read, and gives the name that means it."""
    file = folder / "broken.gguf"
    if kind == "missing":
        write_gguf(file)
    elif kind == "cut short":
        whole = write_gguf(file).read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    elif kind == "cut in its head":
        file.write_bytes(write_gguf(file).read_bytes()[:200])
    elif kind == "of another kind":
        file.write_bytes(b"PK\x03\x04 and so on")
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "architecture":
        write_gguf(file, architecture="rwkv9")
    elif kind == "too large":
        write_gguf(file, layers=10**6)
    elif kind == "several":
        write_gguf(file)
        shutil.copy(file, folder / "another.gguf")
        return str(folder)
    elif kind == "no tokenizer":
        write_gguf(file, tokenizer=None, chat=False)
    return {"missing": str(folder / "brocken.gguf"), "package": "package:no_such_package/x.gguf"}.get(kind, str(file))


#: What is wrong with a file, how it is told, and what to write instead.
BROKEN = [
    ("missing", "there is no such file", "Did you mean '.*broken.gguf'"),
    ("package", "the package no_such_package is not installed", "Install it: pip install no_such_package"),
    ("of another kind", "it is no GGUF file, which begins with the letters GGUF", "Write the path of a GGUF file"),
    ("empty", "it is no GGUF file, which begins with the letters GGUF", "Write the path of a GGUF file"),
    ("cut short", "it is cut short or damaged", "Get the file again"),
    ("cut in its head", "it is cut short or damaged", "Get the file again"),
    ("architecture", "transformers cannot read it: .*rwkv9", "Name another model"),
    ("too large", "its num_hidden_layers is 1000000, but no model has more", "Name another model"),
    ("several", "it holds 2 GGUF files", r"Name one of them: another\.gguf, broken\.gguf"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "why", "fix"), BROKEN, ids=[row[0] for row in BROKEN])
def test_what_is_wrong_is_told_at_its_line_before_anything_is_built(tmp_path, write_gguf, unread, kind, why, fix):
    (tmp_path / "models").mkdir()
    name = broken(tmp_path / "models", write_gguf, kind)
    file = recipe_of(tmp_path, name)
    line = next(at for at, text in enumerate(file.read_text().splitlines(), 1) if "model_name_or_path" in text)
    told = rf"^{file}:{line}: policy\.model_name_or_path is '[^']+': {why}[^\n]*\n +{fix}"
    with pytest.raises(RecipeError, match=told):
        load_recipe(file)


@pytest.mark.parametrize(("kind", "why", "fix"), BROKEN, ids=[row[0] for row in BROKEN])
def test_elsewhere_it_is_told_without_a_line(tmp_path, write_gguf, kind, why, fix):
    name = broken(tmp_path, write_gguf, kind)
    with pytest.raises(gguf.GgufError, match=rf"^{name}: {why}[^\n]*\n +{fix}"):
        models.model_dir(name)


def test_a_rewards_model_is_checked_at_its_line(tmp_path, write_gguf, tiny):
    name = broken(tmp_path, write_gguf, "of another kind")
    file = recipe_of(tmp_path, str(tiny), rewards=[{"name": "sentiment", "args": {"model": name}}])
    line = next(at for at, text in enumerate(file.read_text().splitlines(), 1) if "broken.gguf" in text)
    with pytest.raises(RecipeError, match=rf"{file}:{line}: rewards\[0\]\.args\.model is '.*': it is no GGUF file"):
        load_recipe(file)


def test_without_the_package_gguf_it_is_said_how_to_get_it(tmp_path, tiny, monkeypatch):
    found = gguf.find_spec
    monkeypatch.setattr(gguf, "find_spec", lambda name: None if name == "gguf" else found(name))
    with pytest.raises(RecipeError, match=r"the package gguf is not installed\.\n +Install it: pip install gguf"):
        load_recipe(recipe_of(tmp_path, str(tiny)))


def test_a_tokenizer_that_cannot_be_read_is_told_with_its_cause_at_its_line(tmp_path, write_gguf, cache):
    recipe = load_recipe(recipe_of(tmp_path, broken(tmp_path, write_gguf, "no tokenizer")))
    named = [(("policy", "model_name_or_path"), recipe.policy.model_name_or_path)]
    with pytest.raises(RecipeError, match=r"recipe\.yaml:\d+: .* tokenizer cannot be read: \w+.*\n +Name another"):
        reference.fetch_all(recipe, named)
    assert not [one for one in (cache / "gguf").iterdir() if not one.name.endswith(".lock")]


def test_commands_say_what_is_wrong_with_it(tmp_path, write_gguf):
    from smilerl.chat_models import ChatModelError, build
    from smilerl.evaluation import subject

    name = broken(tmp_path, write_gguf, "of another kind")
    with pytest.raises(gguf.GgufError, match="it is no GGUF file"):
        subject.find(name)
    with pytest.raises(gguf.GgufError, match="the package no_such_package is not installed"):
        subject.find("package:no_such_package/x.gguf")
    with pytest.raises(ChatModelError, match="it is no GGUF file"):
        build({"name": "local", "args": {"model": name}}).check()


def test_it_is_evaluated_and_plays_people(tmp_path, package_with):
    from smilerl.chat_models import build
    from smilerl.evaluation import subject

    name = package_with("tiny.gguf")
    who = subject.find(name)
    assert who.model == name and who.folder == Path("runs", "evals", "tiny.gguf")
    assert who.policy().model.config.model_type == "llama"
    speaker = build({"name": "local", "args": {"model": name}})
    speaker.check()
    assert len(speaker([[{"role": "user", "content": "hi"}]], max_new_tokens=2)) == 1


def test_a_study_of_it_knows_its_base(tmp_path, tiny):
    from smilerl.config.recipe import PolicySpec
    from smilerl.runs.identity import content_hash
    from smilerl.studies import work

    stamp = work._stamp(str(tiny), PolicySpec())
    before = content_hash(load_recipe(recipe_of(tmp_path, str(tiny))))
    tiny.write_bytes(tiny.read_bytes() + b"\0")
    assert work._stamp(str(tiny), PolicySpec()) != stamp
    assert content_hash(load_recipe(recipe_of(tmp_path, str(tiny)))) != before


def test_a_recipe_from_elsewhere_may_name_one(tmp_path, package_with):
    from smilerl.config.recipe import read_recipe
    from smilerl.models.hub import trust

    recipe = read_recipe(recipe_of(tmp_path, package_with("tiny.gguf")))
    assert trust.admit(recipe, "org/name").strange == {}
