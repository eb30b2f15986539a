"""Recipes: what is written, what is overridden, what is equal. Mistakes are in test_bad_input.py, those that ship in recipes/."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from smilerl.config.recipe import RecipeError, RewardSpec, parse_overrides, read_recipe
from smilerl.config.yaml_lines import dump, parse_value, read
from smilerl.runs.identity import content_hash
from smilerl.training.recipe_check import load_recipe

GOOD = """\
method: rloo
output_dir: runs/good/{seed}
policy:
  config: {model_type: llama, hidden_size: 32}
rewards:
  - {name: reading, weight: 2}
training:
  learning_rate: 1e-3
  max_steps: 5
  per_device_train_batch_size: 8
  num_generations: 4
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


def test_a_recipe_is_what_its_file_says(good: Path) -> None:
    recipe = load_recipe(good)
    assert (recipe.method, recipe.seed, recipe.output_dir) == ("rloo", 0, "runs/good/0")
    assert recipe.rewards == (RewardSpec("reading", 2.0),)
    assert recipe.training["learning_rate"] == 0.001
    assert (recipe.world.name, recipe.data.n, recipe.held_out.every) == ("smileworld", 4096, 10)


def test_overrides_reach_any_key_and_leave_the_others(good: Path) -> None:
    options = ["--seed", "3", "--training.learning_rate=1e-4", "--rewards.0.weight", "0.5", "--policy.peft.r", "4"]
    recipe = read_recipe(good, options)
    assert (recipe.seed, recipe.output_dir) == (3, "runs/good/3")
    assert recipe.training == {**read_recipe(good).training, "learning_rate": 1e-4}
    assert recipe.rewards[0] == RewardSpec("reading", 0.5)
    assert recipe.policy.peft == {"r": 4}
    assert (
        read_recipe(good, {"seed": 3, "training.learning_rate": 1e-4, "rewards.0.weight": 0.5, "policy.peft.r": 4})
        == recipe
    )


def test_negative_numbers_are_values_and_not_options() -> None:
    assert parse_overrides(["--training.max_steps", "-1", "--seed=2"]) == {"training.max_steps": -1, "seed": 2}


def test_what_is_written_is_read_back_as_the_same_recipe(good: Path, tmp_path: Path) -> None:
    recipe = read_recipe(good, ["--story.goal", "on", "--world.args={prior: {carer: 1e-5}}"])
    again = tmp_path / "again.yaml"
    again.write_text(dump(recipe.to_dict()))
    assert read_recipe(again).to_dict() == recipe.to_dict()
    assert content_hash(read_recipe(again)) == content_hash(recipe)
    assert yaml.safe_load(again.read_text())["story"]["goal"] == "on", "other YAML readers must not see a truth value"


@pytest.mark.parametrize("change", ["--output_dir=elsewhere", "--story.goal=better"])
def test_the_hash_ignores_where_it_goes_and_what_is_said(good: Path, change: str) -> None:
    assert content_hash(read_recipe(good, [change])) == content_hash(read_recipe(good))


@pytest.mark.parametrize(
    "change",
    [
        "--seed=1",
        "--training.beta=0.1",
        "--rewards.0.name=smile",
        "--world.args.spoofable=false",
        "--data.n=5",
        "--held_out.every=3",
    ],
)
def test_the_hash_sees_what_determines_the_result(good: Path, change: str) -> None:
    assert content_hash(read_recipe(good, [change])) != content_hash(read_recipe(good))


def test_the_hash_sees_into_the_files_that_a_recipe_names(good: Path, tmp_path: Path) -> None:
    """The recipe of the base model, its weights, and the user's own reward."""
    model, reward = tmp_path / "model", tmp_path / "mine.py"
    model.mkdir()
    base = tmp_path / "base.yaml"
    base.write_text(GOOD)
    (model / "weights").write_text("one")
    reward.write_text("one")
    starts = ["--policy.config=null", "--policy.model_name_or_path"]
    for name, file in ((str(base), base), (base.name, base), (str(model), model / "weights")):
        before = content_hash(read_recipe(good, [*starts, name]))
        file.write_text(file.read_text().replace("one", "the other").replace("max_steps: ", "max_steps: 1"))
        assert content_hash(read_recipe(good, [*starts, name])) != before, name
    mine = ["--rewards", f"[{{name: '{reward}:score'}}]"]
    before = content_hash(read_recipe(good, mine))
    reward.write_text("the other")
    assert content_hash(read_recipe(good, mine)) != before


def test_errors_that_others_find_name_the_line(good: Path) -> None:
    error = load_recipe(good).error("training.max_steps", "too few.", "Write more.")
    assert isinstance(error, RecipeError)
    assert str(error) == f"{good}:9: too few.\n    Write more."


def test_words_are_words_and_numbers_are_numbers() -> None:
    assert [parse_value(text) for text in ("on", "off", "yes", "no", "1:30", "2024-01-01")] == [
        "on",
        "off",
        "yes",
        "no",
        "1:30",
        "2024-01-01",
    ]
    assert [parse_value(text) for text in ("1e-3", "1.", ".5", "-2", "true", "null", "~", "''")] == [
        0.001,
        1.0,
        0.5,
        -2,
        True,
        None,
        None,
        "",
    ]


# Without control characters and Unicode's own line breaks, which PyYAML does not quote; nobody writes them in a recipe.
_TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])) | st.sampled_from(
    ["on", "1e-3", "0x1f", "1:30", "null", "~", "a: b"]
)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT
_DATA = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=8
)


@settings(deadline=None)  # a busy machine is no mistake
@given(_DATA)
def test_any_plain_data_survives_dump_and_read(tmp_path_factory: pytest.TempPathFactory, data: object) -> None:
    file = tmp_path_factory.mktemp("yaml") / "data.yaml"
    file.write_text(dump(data), encoding="utf-8", newline="")
    assert read(file)[0] == data


def test_what_the_chat_template_is_told_is_part_of_the_hash(good: Path) -> None:
    said = read_recipe(good, {"policy.chat_template_kwargs": {"enable_thinking": False}})
    assert content_hash(said) != content_hash(read_recipe(good))


def test_an_adapter_on_a_bfloat16_base_is_not_handed_to_vllm(good: Path) -> None:
    """TRL would merge it into the base and take it out again at each step, and the base would not be what it was."""
    said = {"policy.peft": {"r": 4}, "training.use_vllm": True, "policy.dtype": "bfloat16"}
    with pytest.raises(RecipeError, match=r"--training.use_vllm: .*wears the base away.\n    Write `dtype: float32`"):
        load_recipe(good, said)
    assert load_recipe(good, said | {"policy.dtype": "float32"})


def test_a_file_that_was_read_before_is_read_anew_when_it_changes_and_is_nobodys_to_change(tmp_path):
    """The value of a text is remembered, since a study reads the same questions once per run."""
    path = tmp_path / "some.yaml"
    path.write_text("rewards:\n  - {name: gold}\n")
    data, lines = read(path)
    data["rewards"][0]["name"] = "changed"
    lines.at.clear()
    again, there = read(path)
    assert again == {"rewards": [{"name": "gold"}]} and there.where(("rewards", 0)).endswith("some.yaml:2")
    path.write_text("seed: 1\n")
    assert read(path)[0] == {"seed": 1}
    (tmp_path / "other.yaml").write_text("seed: 1\n")
    assert read(tmp_path / "other.yaml")[1].where(("seed",)).endswith("other.yaml:1")
