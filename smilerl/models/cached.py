"""Models that a seed reproduces: those built into the cache, and the initial model of a run that starts fresh."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import shutil
from collections.abc import Callable
from pathlib import Path

from accelerate import PartialState

from smilerl.config.recipe import Recipe
from smilerl.io import disk, lock, paths
from smilerl.io.terminal import say
from smilerl.models.policy import Policy
from smilerl.runs import seals
from smilerl.runs.directory import Run, RunError
from smilerl.runs.identity import content_hash, digest

_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers")


def built(
    recipe: Recipe, train: Callable[[Recipe], Run], adopt: Callable[[Recipe], Run | None], *, progress: bool = True
) -> Run:
    """The finished run of a recipe in the cache, built by only one process.

    Args:
        train: makes the finished run of a recipe in its `output_dir`.
        adopt: the same where nothing has to be trained for it; None where something has.

    Raises:
        RunError: it has to be built, and this is one process of several.
    """
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    name = f"{Path(recipe.source).stem}-{digest([content_hash(recipe), versions])[:16]}"
    folder = paths.cache_dir() / "models" / name
    recipe = dataclasses.replace(recipe, output_dir=str(folder))
    run = Run(folder)
    # First without the lock: a read-only cache cannot be locked.
    if damage(folder) is None and run.finished_as(recipe):
        return run
    with lock.in_cache(folder.with_name(f"{folder.name}.lock")):
        # Hashed again: another process may have built it meanwhile, or a file may have changed.
        run, wrong = Run(folder), damage(folder)
        if wrong is None and run.finished_as(recipe):
            return run
        if wrong is not None:
            disk.clear(folder, wrong)
        if (adopted := adopt(recipe)) is not None:
            return adopted
        if PartialState().num_processes > 1:
            raise RunError(
                f"{recipe.source} has to be built first, which several processes cannot do together.\n"
                f"Run: python -m smilerl.train --config {recipe.source} --output_dir {folder}"
            )
        if progress:
            said = f"{recipe.source}: trained on first use, and kept in {folder}"
            say(said)
        return train(recipe)


def damage(folder: Path) -> str | None:
    """What is wrong with a model in the cache; None if it is whole or its training has not ended."""
    if folder.exists() and not folder.is_dir():
        return "it is no folder"
    try:
        if not Run(folder).finished:
            return None
        if Run(folder).manifest.get("content_hash") is None:
            return "its manifest.json is missing"
    except RunError as error:
        return str(error).splitlines()[0].removesuffix(".")
    if not seals.has_seal(folder):
        return f"its {seals.RUN} is missing"
    return Run(folder).damage() or seals.damage_inside(folder, "manifest.json", "recipe.yaml", "initial")


def keep_initial(policy: Policy, run: Run, initial: Path) -> None:
    """Saves the initial model of a run; a resumed run saves a damaged one again, from the same seed.

    Raises:
        RunError: it differs from the model that the run began with.
    """
    wrong = None if run.goes_on_from is None else seals.damage_beside(initial)
    if run.goes_on_from is not None and wrong is None:
        return
    shutil.rmtree(initial, ignore_errors=True)
    policy.model.save_pretrained(initial)
    policy.tokenizer.save_pretrained(initial)
    if wrong is None:
        seals.seal_beside(initial)
    elif seals.damage_beside(initial) is not None:
        raise RunError(f"{run.path}: {wrong}.\n    {seals.REBUILT.format(run.path)}")
