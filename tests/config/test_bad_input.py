"""Bad input, one row each: the message names the file and line and says what to write, in at most ten lines.

Each case is a good recipe with one thing spoilt, the line where the mistake stands (0: the file as a whole has it), and
words that the message must hold: what is wrong, then the fix. No model is loaded: there is none here to load.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from smilerl.config.recipe import RecipeError
from smilerl.training.recipe_check import load_recipe

GOOD = """\
method: rloo
output_dir: runs/good
seed: 0
world:
  name: smileworld
  args: {conflict_fraction: 0.5}
policy:
  config: {model_type: llama, hidden_size: 32}
  peft: {r: 8}
data: {split: train, n: 64}
rewards:
  - {name: reading, weight: 1.0}
held_out: {every: 10}
training:
  learning_rate: 1e-3
  max_steps: 5
  per_device_train_batch_size: 8
  num_generations: 4
  bf16: false
"""


class Case(NamedTuple):
    """`find` in the good recipe is replaced by `put`; the message names `line` and holds each of `says`."""

    find: str
    put: str
    line: int
    says: tuple[str, ...]


MODEL = "config: {model_type: llama, hidden_size: 32}"
RECIPES = {
    # what is not a recipe at all
    "not YAML": Case("{r: 8}", "{r: 8", 10, ("not valid YAML",)),
    "a tab": Case("  max_steps", "\tmax_steps", 16, ("not valid YAML",)),
    "empty": Case(GOOD, "", 0, ("mapping", "method")),
    "a list": Case(GOOD, "- a\n- b\n", 1, ("mapping",)),
    "a key that is a number": Case("seed: 0", "1: 0", 3, ("not a word",)),
    "a duplicate key": Case("  bf16: false", "  max_steps: 9", 19, ("'training.max_steps' is written twice", "line 16")),
    "a duplicate section": Case("held_out: {every: 10}", "training: {}", 14, ("'training' is written twice", "line 13")),
    # keys
    "a misspelt key": Case("learning_rate", "learnin_rate", 15, ("unknown key 'learnin_rate' in training", "Did you mean 'learning_rate'?")),
    "a misspelt section": Case("held_out:", "heldout:", 13, ("unknown key 'heldout'", "'held_out'")),
    "a misspelt key in a section": Case("split:", "splitt:", 10, ("unknown key 'splitt' in data", "'split'")),
    "a misspelt key in a reward": Case("weight", "wieght", 12, ("unknown key 'wieght' in rewards[0]", "'weight'")),
    "a misspelt PEFT key": Case("{r: 8}", "{lora_alfa: 8}", 9, ("unknown key 'lora_alfa' in policy.peft", "'lora_alpha'")),
    "a key that TRL no longer has": Case("bf16: false", "warmup_ratio: 0.1", 19, ("unknown key 'warmup_ratio'", "'warmup_steps'")),
    "a key that is said elsewhere": Case("bf16: false", "output_dir: x", 19, ("does not go under training", "top of the recipe")),
    "an upload by the trainer": Case("bf16: false", "push_to_hub: true", 19, ("does not go under training", "smilerl push RUN")),
    "reward weights for TRL": Case("bf16: false", "reward_weights: [1.0]", 19, ("does not go under training", "weight: 0.5")),
    "no method": Case("method: rloo\n", "", 0, ("lacks 'method'", "method: rloo")),
    "no training method of that name": Case("method: rloo", "method: rlo", 1, ("no method 'rlo'", "Did you mean 'rloo'?")),
    "PPO, which TRL no longer has": Case("method: rloo", "method: ppo", 1, ("no method 'ppo'", "rloo")),
    # types
    "a list for a number": Case("1e-3", "[1]", 15, ("training.learning_rate is [1]", "a number", "learning_rate: 0.001")),
    "null for a number": Case("1e-3", "null", 15, ("training.learning_rate is null", "a number")),
    "text for a number": Case("1e-3", "fast", 15, ("training.learning_rate is 'fast'", "a number")),
    "not a number": Case("1e-3", ".nan", 15, ("training.learning_rate is nan",)),
    "half a step": Case("max_steps: 5", "max_steps: 12.5", 16, ("training.max_steps is 12.5", "whole number", "max_steps: 8")),
    "true for a count": Case("max_steps: 5", "max_steps: true", 16, ("training.max_steps is true", "whole number")),
    "a word for a truth value": Case("bf16: false", "bf16: no", 19, ("training.bf16 is 'no'", "true or false")),
    "not one of the choices": Case("bf16: false", "lr_scheduler_type: linera", 19, ("'linera'", "linear, cosine")),
    "a dtype that is none": Case(MODEL, f"{MODEL}\n  dtype: float8", 9, ("policy.dtype is 'float8'", "float32, bfloat16")),
    "text for a seed": Case("seed: 0", "seed: zero", 3, ("seed is 'zero'", "whole number")),
    "text for rewards": Case("rewards:\n  - {name: reading, weight: 1.0}", "rewards: reading", 11, ("rewards is 'reading'", "a list", "[{name: reading}]")),
    "a bare reward": Case("{name: reading, weight: 1.0}", "reading", 12, ("rewards[0] is 'reading'", "a mapping", "name, weight, args")),
    "a reward without a name": Case("{name: reading, weight: 1.0}", "{weight: 1.0}", 12, ("rewards[0] lacks 'name'", "name: reading")),
    "a list for a section": Case("held_out: {every: 10}", "held_out: [10]", 13, ("held_out is [10]", "a mapping", "every, at, n, split, seed")),
    "a PEFT type": Case("{r: 8}", "{r: eight}", 9, ("policy.peft.r is 'eight'", "whole number")),
    # ranges
    "a negative batch": Case("batch_size: 8", "batch_size: -8", 17, ("per_device_train_batch_size is -8", "at least 1")),
    "no learning": Case("1e-3", "0.0", 15, ("learning_rate is 0.0", "above 0")),
    "no steps": Case("max_steps: 5", "max_steps: 0", 16, ("max_steps is 0", "at least 1", "max_steps: 100")),
    "a negative beta": Case("bf16: false", "beta: -0.1", 19, ("training.beta is -0.1", "at least 0")),
    "one generation": Case("num_generations: 4", "num_generations: 1", 18, ("num_generations is 1", "at least 2")),
    "groups that do not fit": Case("num_generations: 4", "num_generations: 3", 18, ("num_generations is 3", "8 completions", "one of 2, 4, 8")),
    "a buffer set twice": Case("bf16: false", "generation_batch_size: 8\n  steps_per_generation: 1", 19, ("both set", "Keep one")),
    "nobody": Case("n: 64", "n: 0", 10, ("data.n is 0", "at least 1")),
    "a negative seed": Case("seed: 0", "seed: -1", 3, ("seed is -1", "at least 0")),
    "a negative interval": Case("every: 10", "every: -1", 13, ("held_out.every is -1", "at least 0")),
    "a schedule that is none": Case("every: 10", "at: logs", 13, ("held_out.at is 'logs'", "every, log")),
    "rank 0": Case("{r: 8}", "{r: 0}", 9, ("policy.peft.r is 0", "r: 8")),
    "a placeholder that is none": Case("runs/good", "runs/{sed}", 2, ("placeholder", "{seed}")),
    # what the recipe names
    "an unknown world": Case("smileworld", "smilewrld", 5, ("no world 'smilewrld'", "Did you mean 'smileworld'?")),
    "an unknown knob": Case("conflict_fraction", "conflict_fracton", 6, ("unknown key 'conflict_fracton' in world.args", "'conflict_fraction'")),
    "a knob of the wrong type": Case("0.5", "half", 6, ("world.args.conflict_fraction is 'half'", "a number")),
    "a knob out of range": Case("0.5", "1.5", 6, ("conflict_fraction is 1.5", "[0, 1]")),
    "an unknown reward": Case("name: reading", "name: readin", 12, ("no reward 'readin'", "reading, ", "Did you mean 'reading'?")),
    "a reward's unknown argument": Case("weight: 1.0", "args: {knob: 1}", 12, ("unknown key 'knob' in rewards[0].args",)),
    "a reward's argument of the wrong type": Case("reading, weight: 1.0", "constant, args: {value: high}", 12, ("rewards[0].args.value is 'high'", "a number")),
    "a reward in a module that is not there": Case("name: reading", "name: my.rewards.f", 12, ("no module 'my'", "my.rewards.f")),
    "rewards that weigh nothing": Case("weight: 1.0", "weight: 0", 12, ("weight 0", "weight: 1.0")),
    "no rewards": Case("rewards:\n  - {name: reading, weight: 1.0}\n", "", 0, ("no rewards", "rewards: [{name: reading}]")),
    "neither model nor config": Case(f"  {MODEL}\n", "", 7, ("neither a model nor a config", "model_name_or_path: recipes/")),
    "both model and config": Case(MODEL, f"{MODEL}\n  model_name_or_path: gpt2", 8, ("both a model and a config", "Keep one")),
    "a missing checkpoint": Case(MODEL, "model_name_or_path: runs/rloo/model", 8, ("'runs/rloo/model', and there is nothing there", "Hub id")),
    "a missing checkpoint in one folder": Case(MODEL, "model_name_or_path: ./base", 8, ("'./base', and there is nothing there",)),
    "a missing GGUF file": Case(MODEL, "model_name_or_path: models/base.gguf", 8, ("'models/base.gguf': there is no such file", "Write the path of a GGUF file")),
    "a package that is not installed": Case(MODEL, "model_name_or_path: package:no_such_package/base.gguf", 8, ("the package no_such_package is not installed", "pip install no_such_package")),
    "a path out of a package": Case(MODEL, "model_name_or_path: package:trl/../base.gguf", 8, ("it names no file of a package", "Write package:NAME/FILE.gguf")),
    "a missing recipe of the base": Case(MODEL, "model_name_or_path: recipes/pretran.yaml", 8, ("'recipes/pretran.yaml', and there is nothing there",)),
    "a folder without a model": Case(MODEL, "model_name_or_path: hollow", 8, ("neither config.json nor adapter_config.json", "Hub id")),
    "a file that is no recipe": Case(MODEL, "model_name_or_path: hollow/weights.bin", 8, ("is the file", "directory")),
    "a base recipe with a mistake": Case(MODEL, "model_name_or_path: hollow/base.yaml", 8, ("mistakes of its own", "base.yaml:2", "'method'")),
    "itself as its base": Case(MODEL, "model_name_or_path: recipe.yaml", 8, ("this recipe itself",)),
    "a reward model that is missing": Case("weight: 1.0", "args: {model: runs/rm/model}", 12, ("unknown key 'model'",)),
    "a classifier that is missing": Case("reading, weight: 1.0", "sentiment, args: {model: runs/c/model}", 12, ("'runs/c/model', and there is nothing there",)),
}  # fmt: skip


@pytest.mark.parametrize("case", RECIPES.values(), ids=RECIPES.keys())
def test_a_bad_recipe_is_told_where_what_and_how_to_mend_it(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_a_folder_with_hollow_things(tmp_path, monkeypatch)
    assert GOOD.count(case.find) >= 1, "the case spoils nothing"
    Path("recipe.yaml").write_text(GOOD.replace(case.find, case.put, 1))
    with pytest.raises(RecipeError) as error:
        load_recipe("recipe.yaml")
    _tells(str(error.value), f"recipe.yaml:{case.line}: " if case.line else "recipe.yaml", case.says)


def test_the_recipe_that_the_cases_spoil_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _in_a_folder_with_hollow_things(tmp_path, monkeypatch)
    Path("recipe.yaml").write_text(GOOD)
    assert load_recipe("recipe.yaml").training["max_steps"] == 5


OPTIONS = {
    "a misspelt key": (
        ["--training.learnin_rate=1"],
        "command line: --training.learnin_rate",
        ("Did you mean 'learning_rate'?",),
    ),
    "a wrong value": (["--training.learning_rate", "[1]"], "command line: --training.learning_rate", ("a number",)),
    "no value": (["--seed"], "command line: --seed", ("no value", "--seed=VALUE")),
    "another option for a value": (["--seed", "--data.n=1"], "command line: --seed", ("no value",)),
    "no option": (["seed=1"], "command line: 'seed'", ("--key=value",)),
    "no YAML": (["--seed={"], "command line: the value of --seed", ("not YAML",)),
    "a key in what has none": (["--seed.x=1"], "command line: --seed.x", ("'seed' is 0", "no 'x' in it")),
    "a reward that is not there": (
        ["--rewards.3.name=smile"],
        "command line: --rewards.3.name",
        ("no item 3", "has 1"),
    ),
}


@pytest.mark.parametrize(("options", "where", "says"), OPTIONS.values(), ids=OPTIONS.keys())
def test_a_bad_option_is_told_too(options: list[str], where: str, says: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD)
    with pytest.raises(RecipeError) as error:
        load_recipe(path, options)
    _tells(str(error.value), where, says)


def test_a_missing_file_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "rloo_sentiment.yaml").write_text(GOOD)
    with pytest.raises(RecipeError, match=r"no such file\. Did you mean '.*rloo_sentiment\.yaml'\?"):
        load_recipe(tmp_path / "rloo_sentimnt.yaml")


def test_many_mistakes_still_fit_in_ten_lines(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        GOOD.replace("training:\n", "training:\n" + "".join(f"  key_{i}: {'long ' * 200}\n" for i in range(20)))
    )
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    _tells(str(error.value), f"{path}:15: ", ("key_0", "16 more"))


def _in_a_folder_with_hollow_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hollow = tmp_path / "hollow"
    hollow.mkdir()
    (hollow / "weights.bin").write_bytes(b"")
    (hollow / "base.yaml").write_text("seed: 0\nmetod: sft\npolicy: {config: {model_type: llama}}\n")


def _tells(message: str, where: str, says: tuple[str, ...]) -> None:
    lines = message.splitlines()
    assert lines[0].startswith(where), message
    assert len(lines) <= 10
    assert max(map(len, lines)) < 600
    missing = [words for words in says if words not in message]
    assert not missing, f"{missing} not in:\n{message}"
