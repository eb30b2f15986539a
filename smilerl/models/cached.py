"""Models that can be made again from a seed: those built into the cache, and what a run with a fresh model begins with."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from smilerl.io.terminal import printable
from smilerl.models.policy import Policy
from smilerl.runs import seals
from smilerl.runs.directory import Run, RunError


def damage(folder: Path) -> str | None:
    """What is wrong with a model in the cache; None for a whole one, and for one whose training has not ended."""
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
    return Run(folder).damage() or seals.damage_of_run(folder, "manifest.json", "recipe.yaml", "initial")


def clear(folder: Path, wrong: str) -> None:
    """Takes away what is in the cache in place of a whole model, and says why."""
    print(printable(f"{folder}: {wrong}. It is built again."), file=sys.stderr, flush=True)
    shutil.rmtree(folder) if folder.is_dir() and not folder.is_symlink() else folder.unlink()


def keep_initial(policy: Policy, run: Run, initial: Path) -> None:
    """Saves what training begins with; again, where a run goes on and something has happened to it: the seed is the same.

    Raises:
        RunError: what was made again is not what the run began with.
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
