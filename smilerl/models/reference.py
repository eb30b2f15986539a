"""Resolves a model reference (a recipe, a run, a directory, a GGUF file, or a Hub id) to a model directory.

A recipe's model is trained on first use by the caller's builder; `smilerl.training.models` binds it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from smilerl.config import elsewhere
from smilerl.config.nesting import nested
from smilerl.config.recipe import PolicySpec, Recipe
from smilerl.config.yaml_lines import Key
from smilerl.io import paths
from smilerl.models import dequantised
from smilerl.models.chat_template import set_defaults
from smilerl.models.gguf import GgufError
from smilerl.models.hub import fetch, ids
from smilerl.models.policy import Policy, load_policy, load_tokenizer, told_of
from smilerl.runs.directory import Run, RunError
from smilerl.runs.manifest import without_home

#: Maps a recipe file to the directory of its model, trained on first use.
Build = Callable[[Path], Path]


def model_dir(name: str | Path, build: Build, beside: str | Path | None = None) -> Path:
    """The directory of a model.

    Args:
        name: `*.yaml`, a run directory, a model directory, a GGUF file (see `gguf`), which is read on first use, or
            `org/name`, `org/name@revision`, which is fetched.
        beside: the file that names it.

    Raises:
        GgufError: the GGUF file is not there or cannot be read.
        RunError: the run has not ended, or is damaged.
    """
    if (read := dequantised.checkpoint(name, beside)) is not None:
        return read
    found = paths.find(name, beside)
    if found is None:
        return fetch.fetch(str(name)) if ids.parse(str(name)) else Path(name)
    if found.suffix in (".yaml", ".yml"):
        if not paths.is_shared(found):
            elsewhere.refuse(str(name), "built")
        with nested(found, "build"):
            return build(found)
    if not (found / "status.json").is_file():
        return found
    run = Run(found)
    if not run.finished:
        wrong = f"{found}: this run is {run.state}, so it has no final model."
        raise RunError(f"{wrong}\n    Train it first, or name another.")
    run.check("manifest.json")
    return run.model


def with_models(recipe: Recipe, build: Build) -> Recipe:
    """The recipe with directories in place of models named by recipe, GGUF file or Hub id."""
    policy, base = recipe.policy, recipe.policy.model_name_or_path
    if base is not None:
        base = str(model_dir(base, build, recipe.source))
    rewards = tuple(
        dataclasses.replace(reward, args=resolved(reward.args, build, recipe.source)) for reward in recipe.rewards
    )
    return dataclasses.replace(recipe, policy=dataclasses.replace(policy, model_name_or_path=base), rewards=rewards)


def resolved(value: Any, build: Build, source: str = "") -> Any:
    """A reward's arguments with directories for recipes of models, and for Hub ids and GGUF files under `model`."""
    if isinstance(value, dict):
        return {
            key: _model(item, build, source) if key == "model" else resolved(item, build, source)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [resolved(item, build, source) for item in value]
    if isinstance(value, str) and value.endswith((".yaml", ".yml")) and paths.find(value, source):
        return str(model_dir(value, build, source))
    return value


def load(name: str, build: Build, spoken: PolicySpec | None = None, *, device: str | None = None) -> Policy:
    """The policy that a name means, with an adapter's base on the Hub in the revision that the adapter names.

    Args:
        spoken: a recipe's policy, for its precision and the arguments of its chat template.
    """
    from peft import PeftModel

    folder, spoken = model_dir(name, build), spoken or PolicySpec()
    base = fetch.base_on_hub(folder)
    with told_of(name):
        policy = load_policy(folder if base is None else fetch.fetch(base), dtype=spoken.dtype, device=device)
        model, tokenizer = policy.model, policy.tokenizer
        if base is not None:
            model = PeftModel.from_pretrained(model, folder).eval()
            tokenizer = load_tokenizer(str(folder)) if (folder / "tokenizer_config.json").is_file() else tokenizer
    set_defaults(tokenizer, spoken.chat_template_kwargs)
    return Policy(model, tokenizer, name)


def fetch_all(recipe: Recipe, named: Iterable[tuple[Key, str]]) -> None:
    """Fetches the Hub models of a recipe and reads its GGUF files, so that a missing or gated one is an error before
    anything is written.

    Args:
        named: the models, each with its key in the recipe.

    Raises:
        RecipeError: with the line that names it.
    """
    for key, name in named:
        try:
            if dequantised.checkpoint(name, recipe.source) is None and _on_hub(name, recipe.source):
                fetch.fetch(name)
        except (ids.HubError, GgufError) as error:
            text, _, fix = str(error).partition("\n")
            raise recipe.error(".".join(map(str, key)), text, fix.strip()) from None


def commits(named: Iterable[tuple[Key, str]]) -> dict[str, str]:
    """The commits of the models from the Hub, by id: a name alone may mean another model later."""
    found = [fetch.cached_id(name) for _, name in named]
    return {one.repo: str(one.revision) for one in found if one is not None}


def gguf_files(recipe: Recipe, named: Iterable[tuple[Key, str]]) -> dict[str, dict[str, Any]]:
    """What is known of the GGUF files among the models of a recipe, by the name that it uses; see `gguf.facts`."""
    found = {name: dequantised.facts(name, recipe.source) for _, name in named}
    return {without_home(name): facts for name, facts in found.items() if facts is not None}


def _model(item: Any, build: Build, source: str) -> Any:
    """What stands under `model` in a reward's arguments, a directory in place of a model that is not one yet."""
    if isinstance(item, str) and (dequantised.checkpoint(item, source) is not None or _on_hub(item, source)):
        return str(model_dir(item, build, source))
    return resolved(item, build, source)


def _on_hub(name: Any, source: str) -> bool:
    return isinstance(name, str) and ids.looks_like(name) and paths.find(name, source) is None
