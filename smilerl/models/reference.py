"""Resolves a model reference: a recipe, a run, a directory, or an id on the Hub → a model directory.

A recipe's model is trained on first use, which this room cannot do: whoever calls gives the builder. Above training,
`smilerl.training.models` has the same functions with the builder already given.
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
from smilerl.models.chat_template import set_defaults
from smilerl.models.hub import fetch, ids
from smilerl.models.policy import Policy, load_policy, load_tokenizer, told_of
from smilerl.runs.directory import Run, RunError

#: A recipe file to the directory of its model, trained if it has to be.
Build = Callable[[Path], Path]


def model_dir(name: str | Path, build: Build, beside: str | Path | None = None) -> Path:
    """The directory of a model.

    Args:
        name: `*.yaml`, a run directory, a model directory, or `org/name`, `org/name@revision`, which is fetched.
        beside: the file that mentions it.

    Raises:
        RunError: the run that it names has not ended, or is damaged.
    """
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
        raise RunError(
            f"{found}: this run is {run.state}, so it has no final model.\n    Train it first, or name another."
        )
    run.check("manifest.json")
    return run.model


def with_models(recipe: Recipe, build: Build) -> Recipe:
    """The recipe with directories in place of the models that it names by recipe or Hub id."""
    policy, base = recipe.policy, recipe.policy.model_name_or_path
    if base is not None:
        base = str(model_dir(base, build, recipe.source))
    rewards = tuple(
        dataclasses.replace(reward, args=resolved(reward.args, build, recipe.source)) for reward in recipe.rewards
    )
    return dataclasses.replace(recipe, policy=dataclasses.replace(policy, model_name_or_path=base), rewards=rewards)


def resolved(value: Any, build: Build, source: str = "") -> Any:
    """A reward's arguments with directories in place of models: of their recipes, and of ids on the Hub under `model`.

    Args:
        source: the file that names them.
    """
    if isinstance(value, dict):
        return {
            key: str(fetch.fetch(item)) if key == "model" and _on_hub(item, source) else resolved(item, build, source)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [resolved(item, build, source) for item in value]
    if isinstance(value, str) and value.endswith((".yaml", ".yml")) and paths.find(value, source):
        return str(model_dir(value, build, source))
    return value


def load(name: str, build: Build, spoken: PolicySpec | None = None, *, device: str | None = None) -> Policy:
    """The policy that a name means, as `model_dir` finds it; reports call it by that name.

    An adapter's base on the Hub is fetched in the revision that the adapter names.

    Args:
        spoken: a recipe's policy: its precision, and the arguments of its chat template; float32 and none when None.
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
    """Fetches the models on the Hub that a recipe names, so that a missing or gated one is told before anything is written.

    Args:
        named: the models, each with the key in the recipe that names it.

    Raises:
        RecipeError: with the line that names it.
    """
    for key, name in named:
        if _on_hub(name, recipe.source):
            try:
                fetch.fetch(name)
            except ids.HubError as error:
                text, _, fix = str(error).partition("\n")
                raise recipe.error(".".join(map(str, key)), text, fix.strip()) from None


def commits(named: Iterable[tuple[Key, str]]) -> dict[str, str]:
    """The commits of the models that came from the Hub, by id: a name alone means another model tomorrow."""
    found = [fetch.cached_id(name) for _, name in named]
    return {one.repo: str(one.revision) for one in found if one is not None}


def _on_hub(name: Any, source: str) -> bool:
    return isinstance(name, str) and ids.looks_like(name) and paths.find(name, source) is None
