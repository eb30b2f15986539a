"""Checkpoints on disk: which are whole, and which of those is the newest.

A file that is missing, cut short or has one flipped bit is loaded by the libraries without a word, or with an error that
nothing answers. So a checkpoint counts once its manifest is there: written last, after all else has reached the disk, with the
size and SHA-256 of each file. What has no manifest, or another content than it says, is passed over for the one before.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from smilerl.runs import seals

MANIFEST = "checkpoint.json"
_NAME = re.compile(r"checkpoint-(\d+)$")


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
    found = {path: _NAME.match(path.name) for path in folder.glob("checkpoint-*")}
    return sorted((path for path, match in found.items() if match), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was saved after."""
    return int(checkpoint.name.rpartition("-")[2])


def facts_of(checkpoint: Path) -> dict[str, Any]:
    """What `seal` was told of a whole checkpoint."""
    return seals.facts_of(checkpoint / MANIFEST)


def keep_last(folder: Path, number: int, *also: str | None) -> None:
    """Deletes all but the last so many checkpoints, and those whose paths are in `also`."""
    ordered = in_order(folder)
    for checkpoint in ordered[: max(0, len(ordered) - number)]:
        if str(checkpoint) not in also:
            if checkpoint.is_file():
                checkpoint.unlink()
                continue
            # Without its manifest it counts no more, even if the deletion is cut short.
            if (checkpoint / MANIFEST).is_file():
                (checkpoint / MANIFEST).unlink()
            shutil.rmtree(checkpoint)
