"""The rows that a run is trained on: made, hashed, and the same in a resumed run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys

from accelerate import PartialState
from datasets import Dataset, DatasetDict

from smilerl.config.recipe import Recipe
from smilerl.config.trl import FORM_OF
from smilerl.data import pairs, preferences
from smilerl.rewards import Reward
from smilerl.runs.directory import Run, RunError
from smilerl.training.progress import say
from smilerl.worlds.base import World


def with_pairs(recipe: Recipe, run: Run, world: World, rewards: list[Reward], progress: bool) -> Recipe:
    """The recipe with a file of the pairs or labels that its rewards make, sampled into the run's directory.

    The main process of several samples alone; for a large model make the file before, with `smilerl pairs`.
    """
    if recipe.method not in FORM_OF or preferences.source(recipe) != "rewards":
        return recipe
    path = run.path / "pairs.jsonl"
    if PartialState().is_main_process and not path.is_file():
        made = pairs.make_for(recipe, world, rewards, path, progress=progress and sys.stderr.isatty())
        if progress:
            say(recipe, str(made))
    PartialState().wait_for_everyone()
    args = {"path": str(path), "max_completion_length": preferences.completion_length(recipe)}
    # `data.n` was the number of people, who may have given more rows or fewer: all are used.
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, args=args, n=pairs.count(path)))


def data_hash(dataset: Dataset | DatasetDict) -> str:
    """16 hex digits over the rows that are trained on."""
    digest = hashlib.sha256()
    for split in dataset.values() if isinstance(dataset, DatasetDict) else [dataset]:
        for row in split:
            digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def refuse_other(run: Run, now: str) -> None:
    """Raises RunError where a run would be resumed on data of another hash than it began with."""
    before = run.manifest.get("data_hash")
    if run.goes_on_from is not None and before not in (None, now):
        place = f"{run.path} would go on from {run.goes_on_from.name}"
        fix = "Put the data back, or give another --output_dir."
        raise RunError(f"{place} on other data than it began with ({before} → {now}).\n{fix}")
