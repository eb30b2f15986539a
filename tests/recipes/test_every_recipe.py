"""Every recipe in the tree is right before anything is downloaded, on a machine without a GPU; and says what it is for."""

from __future__ import annotations

import dataclasses
import re
import socket
from pathlib import Path

import datasets
import pytest
from transformers import TrainingArguments

from smilerl.config.recipe import read_recipe
from smilerl.training import methods
from smilerl.training.recipe_check import load_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
#: Folders that hold no recipes of one run.
_OTHERS = {"studies", "accelerate", "slurm"}
#: Folders whose recipes need no GPU.
_SMALL = {"smileworld", "dialogue", "smollm2-135m"}
ALL = sorted(path for path in RECIPES.rglob("*.yaml") if not _OTHERS & set(path.parts))
REAL = [path for path in ALL if not _SMALL & set(path.parts)]
WITHOUT_GPU = {"bf16": False, "use_cpu": True}


def name(path: Path) -> str:
    return "/".join(path.parts[-2:])


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args, **kwargs):
        raise AssertionError("a recipe was to be checked, and something reached for the network")

    monkeypatch.setattr(datasets, "load_dataset", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)


def test_there_are_real_recipes_to_check() -> None:
    assert {path.parent.name for path in REAL} >= {"qwen3-0.6b", "smollm2-360m", "qwen3-8b"}


@pytest.mark.parametrize("path", ALL, ids=name)
def test_it_is_accepted_by_us_and_by_trl(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """TRL checks how settings go together (batches and groups, precision and device) when its config is made."""
    if read_recipe(path).method not in methods.names():
        pytest.skip("its method is not in this tree")
    if "package:" in path.read_text():
        request.getfixturevalue("real_gguf")  # skips, and says how to install it
    recipe = load_recipe(path)
    config = methods.method(recipe.method).CONFIG
    if not issubclass(config, TrainingArguments):
        return  # best_of_n trains nothing
    without_gpu = dataclasses.replace(recipe, training={**recipe.training, **WITHOUT_GPU})
    made = methods.arguments(config, without_gpu, tmp_path)
    assert {key: getattr(made, key) for key in ("learning_rate", "max_steps") if key in recipe.training} == {
        key: recipe.training[key] for key in ("learning_rate", "max_steps") if key in recipe.training
    }


@pytest.mark.parametrize("path", ALL, ids=name)
def test_it_tells_its_story(path: Path) -> None:
    story = read_recipe(path).story
    assert story.goal and story.rationale


@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_real_one_says_how_to_run_it_on_what_and_what_to_expect(path: Path) -> None:
    head = path.read_text().split("\n\n")[0]
    command = re.search(r"accelerate launch --config_file (\S+) -m smilerl.train --config (\S+)", head)
    assert command, "the head of the file gives no command"
    assert (RECIPES.parent / command[1]).is_file()
    assert (RECIPES.parent / command[2]) == path
    assert "# Hardware: " in head and "# Expect: " in head


@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_real_one_is_for_a_gpu_and_keeps_what_it_trains_in_float32(path: Path) -> None:
    """Steps of 1e-6 are below what bfloat16 weights can take; an adapter on a bfloat16 base is in float32 itself."""
    recipe = read_recipe(path)
    assert "use_cpu" not in recipe.training
    trains_all = recipe.policy.peft is None and recipe.method != "best_of_n"
    assert recipe.policy.dtype == ("float32" if trains_all else "bfloat16")
    assert recipe.training.get("bf16") is (None if recipe.method == "best_of_n" else True)
    if "Qwen3" in str(recipe.policy.model_name_or_path) and recipe.method != "reward":
        assert recipe.policy.chat_template_kwargs == {"enable_thinking": False}


@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_real_one_does_not_train_on_what_it_is_to_be_evaluated_with(path: Path) -> None:
    assert read_recipe(path).world.args["source_split"] == "train"


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in REAL} | {RECIPES / "smollm2-135m"}), ids=lambda folder: folder.name
)
def test_every_model_has_each_method_and_reward_and_a_readme_that_names_each_file(folder: Path) -> None:
    recipes = [read_recipe(path) for path in folder.glob("*.yaml")]
    made = {(recipe.method, *(reward.name for reward in recipe.rewards)) for recipe in recipes}
    rewarded = {(method, reward) for method in ("rloo", "grpo") for reward in ("sentiment", "preference", "gameable")}
    assert made >= rewarded and {method for method, *_ in made} >= {"sft", "dpo"}
    readme = (folder / "README.md").read_text()
    assert not [path.stem for path in folder.glob("*.yaml") if f"`{path.stem}`" not in readme]
    for word in ("Question", "Command", "Hardware", "Expected", "Memory", "Pitfalls"):
        assert f"## {word}" in readme


def test_the_overview_names_every_folder() -> None:
    overview = (RECIPES / "README.md").read_text()
    assert not [folder.name for folder in RECIPES.iterdir() if folder.is_dir() and f"`{folder.name}/`" not in overview]


@pytest.mark.parametrize("model", ["qwen3-0.6b", "smollm2-360m"])
def test_the_small_models_have_all_methods_full_and_lora(model: str) -> None:
    recipes = [read_recipe(path) for path in (RECIPES / model).glob("*.yaml")]
    assert {recipe.method for recipe in recipes} == {"sft", "reward", "rloo", "grpo", "dpo", "kto", "best_of_n"}
    for method in ("sft", "rloo", "grpo", "dpo"):
        assert {recipe.policy.peft is None for recipe in recipes if recipe.method == method} == {True, False}
