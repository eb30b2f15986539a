"""Checkpoints on disk: which are whole, and which of those is the newest.

A file that is missing, cut short or has one flipped bit is loaded by the libraries silently, or with an error that
explains nothing. So a checkpoint counts once its manifest is there: written last, after all else has reached the disk,
with the size and SHA-256 of each file. One without a manifest, or with other contents, is passed over.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from smilerl.runs import seals

MANIFEST = "checkpoint.json"


def seal(checkpoint: Path, **facts: Any) -> None:
    """Makes a checkpoint count: everything in it reaches the disk, and then its manifest does. For one process alone.

    Args:
        checkpoint: the folder, with all its files.
        facts: plain data to keep in the manifest, such as `step` and `processes`; see `facts_of`.
    """
    seals.seal(checkpoint, checkpoint / MANIFEST, **facts)


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in one line; None for a whole one."""
    return seals.damage(checkpoint, checkpoint / MANIFEST) if checkpoint.is_dir() else "it is no folder"


def newest(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest whole checkpoint in a folder, and what is wrong with each that is newer."""
    passed_over: dict[Path, str] = {}
    for checkpoint in reversed(in_order(folder)):
        wrong = damage(checkpoint)
        if wrong is None:
            return checkpoint, passed_over
        passed_over[checkpoint] = wrong
    return None, passed_over


def in_order(folder: Path) -> list[Path]:
    """The checkpoints in a folder, whole or not, the oldest first."""
    found = (path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name))
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was saved after."""
    return int(checkpoint.name.rpartition("-")[2])


def facts_of(checkpoint: Path) -> dict[str, Any]:
    """The facts that a whole checkpoint was sealed with."""
    return seals.facts_of(checkpoint / MANIFEST)


def keep_last(folder: Path, number: int, *also: str | None) -> None:
    """Deletes all but the last so many checkpoints, and those whose paths are in `also`."""
    ordered = in_order(folder)
    for checkpoint in ordered[: max(0, len(ordered) - number)]:
        if str(checkpoint) in also:
            continue
        if checkpoint.is_file():
            checkpoint.unlink()
        else:  # without its manifest it counts no more, even if the deletion is cut short
            (checkpoint / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(checkpoint)
