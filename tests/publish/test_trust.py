"""What a recipe from elsewhere may name, what is refused, and what `--trust` lets through."""

from __future__ import annotations

from pathlib import Path

import pytest

from smilerl import chat_models, rewards
from smilerl.config import elsewhere
from smilerl.config.recipe import PolicySpec, Recipe, RewardSpec, WorldSpec
from smilerl.io import paths
from smilerl.models.hub import ids, trust
from smilerl.training.models import model_dir

WEIGHTS, SHARED = "org/rm-v1.0@main", "recipes/smileworld/preference_rm.yaml"
ALLOWED = [
    RewardSpec("sentiment"), RewardSpec("preference", args={"model": WEIGHTS}), RewardSpec("preference", args={"model": SHARED}),
    RewardSpec("gameable", args={"holes": {"length": 1.5}, "trigger": "Thank you. That is $5, or 5$. ~ Bye."}),
    RewardSpec("shuffled", args={"reward": {"name": "reading"}}), WorldSpec("smileworld", {"spoofable": False}),
    WorldSpec("dialogue", {"path": "data/dialogue/people_train.jsonl"}),
    WorldSpec("dialogue", {"dataset": "org/talks.v2", "config": "main.en", "held_out_from": "test"}),
    WorldSpec("dialogue", {"people": {"speaker": {"name": "local", "args": {"model": "org/chat"}}}}),
    PolicySpec("org/base"), PolicySpec("gpt2"), PolicySpec("recipes/smileworld/pretrain.yaml"),
]  # fmt: skip
CODE = [
    RewardSpec("os.system"), RewardSpec("mine.py:f"), RewardSpec("shuffled", args={"reward": {"name": "os.system"}}),
    RewardSpec("shuffled", args={"reward": "os.system"}), RewardSpec("ensemble", args={"rewards": ["reading", "a.b.c"]}),
    RewardSpec("shuffled", args={"reward": "a-file.reward"}), RewardSpec("../x"), RewardSpec(" smile"),
    WorldSpec("dialogue", {"people": {"speaker": {"name": "my.speaker"}}}),
]  # fmt: skip
REACHING = [
    WorldSpec("dialogue", {"people": {"speaker": {"name": "endpoint", "args": {"url": "https://example.org/v1"}}}}),
    WorldSpec("dialogue", {"people": {"speaker": {"name": "endpoint", "args": {"url": "example.org:80", "model": "m"}}}}),
    WorldSpec("dialogue", {"people": {"speaker": {"name": "local", "args": {"key_env": "HF_TOKEN"}}}}),
    WorldSpec("dialogue", {"path": "/etc/passwd"}), WorldSpec("dialogue", {"path": "../talks.jsonl"}), WorldSpec("dialogue", {"path": "mine.jsonl"}),
    WorldSpec("dialogue", {"dataset": "hf://org/name"}), WorldSpec("dialogue", {"dataset": "/home"}),
    WorldSpec("dialogue", {"path": "data/dialogue/people_train.jsonl", "held_out_from": "~/notes.jsonl"}),
    PolicySpec("org/base", chat_template_kwargs={"file": "/etc/passwd"}),
]  # fmt: skip
#: Variables and homes, which are put in place of their names where a name is looked up: of this machine, or a secret of it.
EXPANDED = [
    PolicySpec("$HOME/weights"), PolicySpec("${WEIGHTS}"), PolicySpec("~/weights"), PolicySpec("~root/weights"), PolicySpec("org/$HF_TOKEN"),
    RewardSpec("preference", args={"model": "$WEIGHTS"}), RewardSpec("preference", args={"model": "org/rm-${NOT_SET}"}),
    WorldSpec("dialogue", {"dataset": "org/$HF_TOKEN"}), WorldSpec("dialogue", {"path": "data/dialogue/$FILE"}),
    WorldSpec("dialogue", {"people": {"speaker": {"name": "local", "args": {"model": "${WEIGHTS}"}}}}),
    PolicySpec("org/base", chat_template_kwargs={"system": "I am $HF_TOKEN"}),
]  # fmt: skip
BUILT = [
    RewardSpec("preference", args={"model": "base.yaml"}), RewardSpec("preference", args={"model": "./base.yaml/"}),
    RewardSpec("shuffled", args={"reward": {"name": "preference", "args": {"model": ["x", "recipes/../base.yaml"]}}}),
    PolicySpec("base.yaml"), PolicySpec("/somewhere/base.yml"), PolicySpec("recipes/mine.yaml"), PolicySpec("https://example.org/base.yaml"),
]  # fmt: skip


def recipe(part) -> Recipe:
    where = {WorldSpec: "world", PolicySpec: "policy"}.get(type(part), "rewards")
    return Recipe("rloo", "runs/one", **{where: (part,) if where == "rewards" else part})


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}")
    for name, value in {"HOME": tmp_path, "WEIGHTS": tmp_path / "weights", "FILE": "people_train.jsonl"}.items():
        monkeypatch.setenv(name, str(value))
    for file in ("base.yaml", "mine.jsonl", "recipes/mine.yaml"):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text("")


@pytest.mark.parametrize("part", ALLOWED, ids=repr)
def test_weights_and_what_comes_with_smilerl_pass_as_they_stand(part):
    found = trust.admit(recipe(part), "org/name")
    assert not found.strange and found.recipe == recipe(part)


@pytest.mark.parametrize("part", [*CODE, *REACHING, *EXPANDED, *BUILT], ids=repr)
def test_code_addresses_files_and_recipes_do_not(part):
    found = trust.admit(recipe(part), "org/name")
    with pytest.raises(ids.HubError, match="not part of smilerl"):
        found.check("org/name", "world", "policy", "rewards")


@pytest.mark.parametrize("part", [*CODE, *REACHING, *EXPANDED], ids=repr)
def test_trust_lets_them_through_and_says_so(part, capsys):
    found = trust.admit(recipe(part), "org/name", trust=True)
    assert not found.strange and found.trusted and "org/name: trusted: '" in capsys.readouterr().err


@pytest.mark.parametrize("part", BUILT[:-1], ids=repr)
def test_a_recipe_of_a_repository_is_not_built_even_so(part):
    with pytest.raises(ids.HubError, match="Nothing that lies in a repository is built"):
        trust.admit(recipe(part), "org/name", trust=True).check("org/name", "policy", "rewards")


@pytest.mark.parametrize("name", ["recipes/smileworld/pretrain.yaml", "data/dialogue/people_train.jsonl"])
def test_a_file_here_does_not_stand_in_for_one_that_comes_with_smilerl(name):
    Path(name).parent.mkdir(parents=True)
    Path(name).write_text("")
    part = PolicySpec(name) if name.endswith(".yaml") else WorldSpec("dialogue", {"path": name})
    found = trust.admit(recipe(part), "org/name").recipe
    named = found.policy.model_name_or_path if name.endswith(".yaml") else found.world.args["path"]
    assert named == str(paths.share() / name)


def test_nor_for_one_that_such_a_file_names():
    base = "recipes/smileworld/pretrain.yaml"
    Path(base).parent.mkdir(parents=True)
    Path(base).write_text("")
    assert paths.find(base, paths.share() / "recipes/smileworld/rloo_reading.yaml") == paths.share() / base
    assert paths.find(base, "recipes/mine.yaml") == Path(base), "the user's own recipe means the user's own file"


@pytest.mark.parametrize(
    "reach",
    [
        lambda: rewards.resolve("my_module.reward"), lambda: rewards.resolve("my.py:reward"), lambda: chat_models.build("my.speaker"),
        lambda: chat_models.build({"name": "endpoint", "args": {"url": "http://127.0.0.1:1/v1", "model": "m"}}),
        lambda: model_dir("base.yaml"),
    ],
)  # fmt: skip
def test_the_bolt_holds_whatever_was_let_through(reach):
    with elsewhere.from_elsewhere(), pytest.raises(elsewhere.NotFromElsewhere):
        reach()


def test_the_bolt_holds_for_what_this_process_has_built_before():
    spec = {"name": "endpoint", "args": {"url": "http://127.0.0.1:1/v1", "model": "bolted"}}
    built = chat_models.build(spec)
    with elsewhere.from_elsewhere(), pytest.raises(elsewhere.NotFromElsewhere):
        chat_models.build(spec)
    with elsewhere.from_elsewhere(["endpoint"]):
        assert chat_models.build(spec) is built


@pytest.mark.parametrize(
    ("beside", "foreign"),
    [(("config.json",), False), ((), False), (("config.json", "model.safetensors"), True), (("recipe.yaml", "manifest.json"), True), (("status.json", "recipe.yaml"), True)],
)  # fmt: skip
def test_a_recipe_is_of_a_repository_where_weights_or_a_manifest_lie_beside_it(tmp_path, beside, foreign):
    for name in beside:
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / name).write_text("{}")
    assert trust.is_foreign_file(tmp_path / "mine" / "base.yaml") is foreign
