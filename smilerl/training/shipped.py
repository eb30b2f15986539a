"""Models that travel with the package: everybody starts from the same bits, and nobody waits for their training.

`data/WORLD/NAME/` holds a model as it was saved, and `made_from.json` with the hash of what it was made from:
the recipe, and a sample of the conversations that it learnt. A recipe with that hash gets the model; any other recipe,
seed or world is trained, as ever. Code is no part of the hash: where a change of code makes another model, a test says
so, which trains the first steps again and compares the losses, or the whole model. `python data/base.py` makes it.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from smilerl import worlds
from smilerl.config.recipe import Recipe
from smilerl.io import paths
from smilerl.io.files import read_json, write_json
from smilerl.runs.directory import Run
from smilerl.runs.identity import shipped_hash
from smilerl.training import data, methods

#: The file beside the model's own.
MADE_FROM = "made_from.json"
#: What is kept of the manifest of the run that made the model.
_KEPT = ("channels", "learnt_from", "data_hash", "data", "packages", "git")
#: Rows of the training data that are hashed; all would take half a minute.
_ROWS = 1024
#: Losses are kept up to this step.
_STEPS = 60


def identity(recipe: Recipe) -> str:
    """16 hex digits over what the model of a recipe is made from."""
    world = worlds.build(recipe.world.name, **recipe.world.args)
    few = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, n=_ROWS))
    return shipped_hash(recipe, data.data_hash(methods.method(recipe.method).dataset(few, world)))


def adopt(recipe: Recipe) -> Run | None:
    """The finished run of a recipe whose model travels with the package, in its `output_dir`; None for any other.

    Raises:
        RunError: another process works there.
    """
    found = _folders(recipe)
    if not found:
        return None
    own = identity(recipe)
    for folder in found:
        made = read_json(folder / MADE_FROM)
        if made["hash"] == own:
            with Run.create(recipe) as run:
                if not run.finished:
                    shutil.copytree(folder, run.model, ignore=shutil.ignore_patterns(MADE_FROM), dirs_exist_ok=True)
                    run.note(shipped=own, **made["manifest"])
                    run.finish()
            return run
    return None


def keep(run: Run, recipe: Recipe, folder: Path) -> None:
    """Writes the model of a finished run into a folder that travels with the package."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run.model, folder)
    manifest: dict[str, Any] = {key: run.manifest[key] for key in _KEPT}
    losses = {str(row["step"]): row["loss"] for row in run.metrics() if "loss" in row and row["step"] <= _STEPS}
    write_json(folder / MADE_FROM, {"hash": identity(recipe), "losses": losses, "manifest": manifest})


def _folders(recipe: Recipe) -> list[Path]:
    """The folders that may hold the model of a recipe: one that trains a fresh model in the world of that name."""
    if recipe.policy.config is None:
        return []
    return sorted(found.parent for found in (paths.share() / "data" / recipe.world.name).glob(f"*/{MADE_FROM}"))
