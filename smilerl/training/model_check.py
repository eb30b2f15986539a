"""Checks the models that a recipe names: their place, their tokenizer, the config of a fresh one, the adapter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from smilerl.config.recipe import Recipe
from smilerl.config.validation import bad_arguments, key_named
from smilerl.config.yaml_lines import Key, Problem, RecipeError, did_you_mean, dotted
from smilerl.io import bounded, paths
from smilerl.models import dequantised, gguf
from smilerl.models.gguf import GgufError

#: Loads and checks the recipe that builds a model.
Load = Callable[[Path], Recipe]
RECIPE_FILE = (".yaml", ".yml")
_POLICY: Key = ("policy", "model_name_or_path")
#: Characters of an id on the Hub with its revision; a name there has at most 96.
_LONGEST_ID = 300


def problems(recipe: Recipe, load: Load) -> list[Problem]:
    """What is wrong with the policy of a recipe."""
    found = [*of_model(recipe.policy.model_name_or_path, recipe, _POLICY, load)]
    found = found or [*of_tokenizer(recipe), *_of_config(recipe)]
    return [*found, *_of_peft(recipe)]


def named_models(recipe: Recipe) -> list[tuple[Key, str]]:
    """Every model that a recipe names, with its key: of the policy, of rewards at any depth, of the people."""
    base = recipe.policy.model_name_or_path
    named: list[tuple[Key, str]] = [] if base is None else [(_POLICY, base)]
    for index, reward in enumerate(recipe.rewards):
        named += models_in(reward.args, ("rewards", index, "args"))
    speaker = (recipe.world.args.get("people") or {}).get("speaker")
    if isinstance(speaker, dict) and speaker.get("name") == "local":  # an endpoint's model is elsewhere
        named += models_in(speaker.get("args"), ("world", "args", "people", "speaker", "args"))
    return named


def models_in(value: Any, key: Key) -> Iterator[tuple[Key, str]]:
    """Every `model: ...` in a reward's arguments, those of rewards inside it included, and its key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        if name == "model" and isinstance(item, str):
            yield (*key, name), item
        else:
            yield from models_in(item, (*key, name))


def of_model(name: str | None, recipe: Recipe, key: Key, load: Load) -> Iterator[Problem]:
    """What is wrong with a model that is a directory, the recipe that builds it, a GGUF file, or an id on the Hub."""
    if name is None:
        return
    try:
        if dequantised.check(name, recipe.source):
            return
    except GgufError as error:
        yield Problem(key, f"{dotted(key)} is '{name[:200]}': {error.why}.", error.fix)
        return
    found = paths.find(name, recipe.source)
    if found is None:
        is_id = len(name) <= _LONGEST_ID and re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", name)
        if looks_local(name) or not is_id:
            yield Problem(key, f"{dotted(key)} is '{name[:200]}', and there is nothing there.", _models_there(name))
    elif found.is_file():
        yield from _of_nested(name, found, recipe, key, load)
    elif not any((found / file).exists() for file in ("config.json", "adapter_config.json", "model")):
        lacks = "a folder with neither config.json nor adapter_config.json nor a run's model/ in it"
        yield Problem(key, f"{dotted(key)} is '{name}', {lacks}.", _models_there(name))


def _of_nested(name: str, found: Path, recipe: Recipe, key: Key, load: Load) -> Iterator[Problem]:
    if not name.endswith(RECIPE_FILE):
        fix = "Write a model's directory, a GGUF file (.gguf), or the recipe (.yaml) that builds it."
        yield Problem(key, f"{dotted(key)} is the file '{name}'.", fix)
    elif Path(recipe.source).exists() and found.samefile(recipe.source):
        fix = "Write the recipe, directory or Hub id that it starts from."
        yield Problem(key, f"{dotted(key)} is this recipe itself.", fix)
    else:
        try:
            load(found)
        except RecipeError as error:
            yield Problem(key, f"{dotted(key)} is a recipe with mistakes of its own: {error}")


def is_made_later(name: str, source: str) -> bool:
    """Whether there is no directory of a model yet: it is on the Hub, or its recipe or GGUF file makes it."""
    found = paths.find(name, source)
    return found is None or found.is_file() or gguf.file_of(name, source) is not None


def looks_local(name: str) -> bool:
    """Whether a name means a place on this disk, and not an id such as `org/name` on the Hub."""
    return (
        name.startswith((".", "/", "~"))
        or name.endswith(RECIPE_FILE)
        or name.partition("@")[0].count("/") > 1
        or Path(name).parts[0] in {"recipes", "runs", *(folder.name for folder in Path().iterdir() if folder.is_dir())}
    )


def _models_there(name: str) -> str:
    near = paths.near(name)
    if near is not None:
        return f"Did you mean '{near}'?"
    return "Write a directory that holds a model, the recipe that builds one, or a Hub id (org/name)."


def of_tokenizer(recipe: Recipe) -> Iterator[Problem]:
    """A tokenizer without an end-of-sequence token, so that replies do not end. Loaded where its files name none."""
    name = recipe.policy.model_name_or_path
    found = paths.find(name, recipe.source) if name else None
    folder = found / "model" if found is not None and (found / "model").is_dir() else found
    if folder is None or not (folder / "tokenizer_config.json").is_file() or _names_end(folder):
        return
    from smilerl.models.policy import load_tokenizer

    try:
        endless = load_tokenizer(str(folder)).eos_token_id is None
    except (OSError, ValueError, TypeError) as error:
        yield Problem(_POLICY, f"the tokenizer in {folder} cannot be loaded: {error}")
        return
    if endless:
        fix = 'Name the token in its tokenizer_config.json, such as "eos_token": "</s>".'
        yield Problem(_POLICY, f"the tokenizer in {folder} has no eos_token, so that replies have no end.", fix)


def _names_end(folder: Path) -> bool:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        try:
            if bounded.mapping(folder / name).get("eos_token"):
                return True
        except (OSError, ValueError):
            continue
    return False


def _of_config(recipe: Recipe) -> Iterator[Problem]:
    """The config of a fresh model: a type that exists, with settings of that type."""
    config, key = recipe.policy.config, ("policy", "config")
    if config is None:
        return
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    for name, value in config.items():
        if isinstance(value, int) and value < 0 and not name.endswith("_id"):
            yield Problem((*key, name), f"policy.config.{name} is {value}, but should be at least 0.")
            return
    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING_NAMES:
        said = "has no model_type" if kind is None else f"has the model_type '{kind}', which transformers does not know"
        near = did_you_mean(str(kind), CONFIG_MAPPING_NAMES) if kind else "Write for example `model_type: llama`."
        yield Problem((*key, "model_type"), f"policy.config {said}. {near}"[:300])
        return
    try:
        AutoConfig.for_model(**config)
    except Exception as error:  # noqa: BLE001 - each type checks its settings in its own way
        text = " ".join(str(error).split())
        yield Problem(key_named(text, config, key), f"policy.config is refused by transformers: {text}")


def _of_peft(recipe: Recipe) -> list[Problem]:
    peft, key = recipe.policy.peft, ("policy", "peft")
    if peft is None:
        return []
    if recipe.training.get("use_vllm") and recipe.policy.dtype != "float32":
        text = "at each step TRL merges the adapter into the base for vLLM and takes it out again; in "
        text += f"{recipe.policy.dtype} that wears the base away."
        fix = "Write `dtype: float32` under policy, train without `peft`, or without vLLM (huggingface/trl issue 6688)."
        return [Problem(("training", "use_vllm"), text, fix)]
    from peft import LoraConfig

    found = bad_arguments(LoraConfig, peft, key)
    if not found and peft.get("r", 8) < 1:
        found = [Problem((*key, "r"), f"policy.peft.r is {peft['r']}, but should be at least 1.", "Write `r: 8`.")]
    return found
