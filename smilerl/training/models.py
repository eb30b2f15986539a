"""`smilerl.models.reference` with recipes trained on first use: its functions with the builder given.

policy = load("recipes/smileworld/pretrain.yaml")
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from smilerl.config.recipe import PolicySpec, Recipe
from smilerl.models import reference
from smilerl.models.policy import Policy
from smilerl.training.run import build


def model_dir(name: str | Path, *, beside: str | Path | None = None, progress: bool = True) -> Path:
    """The directory of a model, see `reference.model_dir`."""
    return reference.model_dir(name, partial(build, progress=progress), beside)


def with_models(recipe: Recipe, *, progress: bool = True) -> Recipe:
    """The recipe with directories in place of the models that it names by recipe or Hub id."""
    return reference.with_models(recipe, partial(build, progress=progress))


def resolved(value: Any, source: str = "", *, progress: bool = True) -> Any:
    """A reward's arguments with directories in place of models, see `reference.resolved`."""
    return reference.resolved(value, partial(build, progress=progress), source)


def load(name: str, spoken: PolicySpec | None = None, *, device: str | None = None) -> Policy:
    """The policy that a name means, see `reference.load`."""
    return reference.load(name, build, spoken, device=device)
