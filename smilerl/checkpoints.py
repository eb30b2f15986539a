"""Checkpoints on disk: which are whole, and which of those is the newest.

A file that is missing, cut short or has one flipped bit is loaded by the libraries without a word, or with an error that
nothing answers. So a checkpoint counts once its manifest is there: written last, after all else has reached the disk, with the
size and SHA-256 of each file. What has no manifest, or another content than it says, is passed over for the one before.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MANIFEST = "checkpoint.json"
_NAME = re.compile(r"checkpoint-(\d+)$")


def seal(checkpoint: Path, **facts: Any) -> None:
    """Makes a checkpoint count: everything in it reaches the disk, and then its manifest does. For one process alone.

    Args:
        checkpoint: the folder, with all its files.
        facts: plain data to keep in the manifest, such as `step` and `processes`; see `facts_of`.
    """
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != MANIFEST]
    with ThreadPoolExecutor(8) as pool:  # hashing and writing both let other threads run
        described = dict(zip(_names(files, checkpoint), pool.map(_described, files), strict=True))
    for folder in {checkpoint, *(path.parent for path in files)}:
        _sync(folder)
    said = {"facts": facts, "files": described}
    unfinished = checkpoint / f"{MANIFEST}.writing"
    unfinished.write_text(json.dumps({**said, "sha256": _digest(said)}, indent=1), encoding="utf-8")
    _sync(unfinished)
    unfinished.replace(checkpoint / MANIFEST)
    _sync(checkpoint)
    _sync(checkpoint.parent)


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in one line; None for a whole one."""
    try:
        said = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        wrong = said.pop("sha256") != _digest(said)
        files = {checkpoint / name: told for name, told in said["files"].items()}
    except FileNotFoundError:
        return "it was not written to its end"
    except (ValueError, KeyError, TypeError, AttributeError):
        wrong = True
    if wrong:
        return f"its {MANIFEST} is damaged"
    for path, told in files.items():
        name = path.relative_to(checkpoint)
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != told["size"]:
            return f"{name} has {path.stat().st_size} bytes, and was saved with {told['size']}"
    with ThreadPoolExecutor(8) as pool:
        for path, found in zip(files, pool.map(_sha256, files), strict=True):
            if found != files[path]["sha256"]:
                return f"{path.relative_to(checkpoint)} has other contents than were saved"
    return None


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
    return json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))["facts"]


def keep_last(folder: Path, number: int, *also: str | None) -> None:
    """Deletes all but the last so many checkpoints, and those whose paths are in `also`."""
    ordered = in_order(folder)
    for checkpoint in ordered[: max(0, len(ordered) - number)]:
        if str(checkpoint) not in also:
            # Without its manifest it counts no more, even if the deletion is cut short.
            (checkpoint / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(checkpoint)


def _names(files: list[Path], checkpoint: Path) -> list[str]:
    return [path.relative_to(checkpoint).as_posix() for path in files]


def _described(path: Path) -> dict[str, Any]:
    _sync(path)
    return {"size": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    """Waits until a file, or the list of files in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
