"""Whether a folder is a run's, a study's, or somebody else's: what smilerl has not made it does not move or delete."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Collection
from pathlib import Path

from smilerl.config.recipe import Recipe, RecipeError, read_recipe
from smilerl.config.yaml_lines import dump
from smilerl.io import bounded, places

#: Of these a run that has begun has all, and one whose start was cut short some.
_KNOWN_BY = ("recipe.yaml", "manifest.json", "status.json")
_OF_A_START = ("lock", *_KNOWN_BY, "uncommitted*.diff", "earlier")
#: What a run makes in its folder, as patterns; see `smilerl.runs.directory`. `smilerl.publish.contents` says what of it
#: is published.
OF_A_RUN = (
    *(*_OF_A_START, "metrics.jsonl", "traceback.txt", "*sealed.json", "samples", "checkpoints", "model", "evals"),
    *("initial", "pairs.jsonl", "pairs.jsonl.provenance.json"),
)
#: What a study makes besides the folders of its arms.
_OF_A_STUDY = (
    *("lock", "study.json", "logs", "base", "earlier", "tables", "figures"),
    *("report.html", "report.md", "report.inputs"),
)
_NEW = "Give a folder that is new or empty, or that of the run to go on with."


def made_by_a_run(name: str) -> bool:
    """Whether an entry of a run directory is one that runs make, half-written ones included."""
    return _matches(name, OF_A_RUN)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory: one that has begun, or one whose start was cut short."""
    there = places.entries(folder)
    if len(there.intersection(_KNOWN_BY)) > 1 and ("lock" in there or _says(folder / "status.json", "state")):
        return True
    if "lock" not in there or not all(_matches(name, _OF_A_START) for name in there):
        return False
    try:
        lock, recipe = folder / "lock", folder / "recipe.yaml"
        # A lock holds the number of a process, or nothing; a recipe is written as runs write theirs.
        return (
            lock.stat().st_size < 32
            and re.fullmatch(r"\d*", bounded.text(lock)) is not None
            and ("recipe.yaml" not in there or bounded.text(recipe) == dump(read_recipe(recipe).to_dict()))
        )
    except (OSError, ValueError):
        return False


def check_run_folder(recipe: Recipe) -> None:
    """Checks that a run can be made in the recipe's `output_dir`, without touching it.

    Raises:
        RecipeError: it cannot be written, holds something that is no run, or lies inside another run.
    """
    folder = Path(recipe.output_dir)
    wrong, fix, there = _wrong_with(folder), _NEW, places.entries(folder)
    if wrong is None and there and not is_run(folder):
        wrong = f"holds no run of smilerl, and is not empty ({places.shown(there)})"
        fix = f"{_NEW} For example --output_dir={folder / 'run'}"
    if wrong is not None:
        raise recipe.error("output_dir", f"output_dir: {folder}: {wrong}.", fix)


def why_no_study(folder: Path, arms: Collection[str]) -> str | None:
    """Why a study cannot be made in a folder; None where it is new, empty, or has held this study or runs of its arms.

    Args:
        arms: names, which are folders of the study.
    """
    wrong, there = _wrong_with(folder), places.entries(folder)
    if wrong is not None or not there or _says(folder / "study.json", "plan_hash"):
        return wrong
    strange = {name for name in there if name not in arms and not _matches(name, _OF_A_STUDY)}
    begun = "lock" in there or "study.json" in there or any(folder.glob("*/seed-*/status.json"))
    if strange or not begun:
        return f"holds no study of smilerl, and is not empty ({places.shown(strange or there)})"
    return None


def check_results(path: Path, key: str, *beside: str) -> None:
    """Checks that results may be written where `--out` says: nothing is there, or results of ours.

    Args:
        path: a JSON file.
        key: what results of ours have at their top.
        beside: names of files that are written along with it, and without it are somebody else's.

    Raises:
        RecipeError: something else is there, or the place cannot be written.
    """
    wrong = places.why_not(path.parent)
    if wrong is None and path.is_dir():
        wrong = f"{path} is a folder, and should be a file"
    strangers = [file for file in (path, *(path.with_name(name) for name in beside)) if os.path.lexists(file)]
    if wrong is None and strangers and not _says(path, key):
        wrong = f"{strangers[0]} is there already, and is no result of smilerl"
    if wrong is not None:
        raise RecipeError(f"command line: --out: {wrong}.\n    Nothing is overwritten: give another place.")


def _wrong_with(folder: Path) -> str | None:
    wrong = places.why_not(folder)
    if wrong is not None:
        return wrong
    above = (parent for way in (folder.absolute(), folder.resolve()) for parent in way.parents)
    around = next((parent for parent in above if (parent / "status.json").is_file() and is_run(parent)), None)
    return None if around is None else f"lies inside the run {around}"


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.removesuffix(".writing"), pattern) for pattern in patterns)


def _says(path: Path, key: str) -> bool:
    """Whether a file is a JSON object with this key."""
    try:
        return key in bounded.mapping(path)
    except (OSError, ValueError):
        return False
