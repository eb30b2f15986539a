"""Seals: lists of files with the size and SHA-256 of each, which show later whether they are what was written.

A file that is cut short or has one flipped bit is loaded by the libraries silently, or with an error that explains
nothing. So checkpoints, finished models, evaluations and what is kept in the cache are sealed when they are complete,
and verified when they are used.

Verifying reads every byte, which takes less time than loading the same files. Where something is only recognised, as a
study recognises its runs, files above `LARGE` bytes count as whole if their size and time of last change are those of
the seal; they are read when they are loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from smilerl.io import bounded
from smilerl.io.files import RunError, write
from smilerl.runs import ownership
from smilerl.runs.identity import digest

#: The seal of a run or an evaluation, among its files; behind the name of a folder, the seal beside it.
RUN = "sealed.json"
#: What changes after a run has finished, or has a seal of its own.
_NOT_OF_A_RUN = {"lock", "earlier", "status.json", "checkpoints", "evals", "model", RUN}
#: Bytes of a file that is read in any case.
LARGE = 2**26
#: What to do about a run that is damaged.
REBUILT = (
    "Delete {0} and run what made it again: the same recipe gives the same weights. (If you changed it on purpose,\n"
    "    delete {0}/*sealed.json: then it is not verified.)"
)
#: Seals that this process has verified, with the state of all their files then.
_verified: set[tuple[Any, ...]] = set()


def seal(folder: Path, manifest: Path, files: Iterable[Path] | None = None, **facts: Any) -> None:
    """Seals a folder: everything in it reaches the disk, and then the seal does. For one process alone.

    Args:
        folder: to whose files names in the seal are relative.
        manifest: the seal's file.
        files: those that count; None: all in the folder but the seal.
        facts: plain data to keep in the seal; see `facts_of`.
    """
    found = sorted(folder.rglob("*") if files is None else files)
    counted = [path for path in found if path.is_file() and path != manifest]
    with ThreadPoolExecutor(8) as pool:  # hashing and writing both let other threads run
        told = dict(zip((_name(path, folder) for path in counted), pool.map(_described, counted), strict=True))
    for place in {folder, *(path.parent for path in counted)}:
        sync(place)
    said = {"facts": facts, "files": told}
    write(manifest, json.dumps({**said, "sha256": digest(said)}, indent=1))
    sync(manifest.parent)
    sync(folder.parent)


def damage(folder: Path, manifest: Path, among: tuple[str, ...] = (), *, thoroughly: bool = True) -> str | None:
    """What is wrong with sealed files, in one line; None where all are as they were sealed.

    Args:
        among: names of files and folders that are looked at; all when there are none.
        thoroughly: read large files, too, whose size and time of last change are those of the seal.
    """
    try:
        said = bounded.mapping(manifest)
        whole = said.pop("sha256") == digest(said)
        files = {
            folder / name: (told["size"], told["sha256"], told["modified"]) for name, told in said["files"].items()
        }
    except FileNotFoundError:
        return "it was not written to its end"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        return f"its {manifest.name} is damaged"
    looked_at = {path: told for path, told in files.items() if not among or _name(path, folder).split("/")[0] in among}
    try:
        return _damage(folder, manifest, looked_at, thoroughly)
    except OSError as error:
        return f"{_name(Path(error.filename or folder), folder)} cannot be read: {error.strerror or error}"


def _damage(folder: Path, manifest: Path, files: dict[Path, tuple[int, str, int]], thoroughly: bool) -> str | None:
    states, read = [], []
    for path, (size, _, modified) in files.items():
        if not path.is_file():
            return f"{_name(path, folder)} is {'no file' if path.exists() else 'missing'}"
        state = path.stat()
        if state.st_size != size:
            return f"{_name(path, folder)} has {state.st_size} bytes, and was saved with {size}"
        states.append((path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino))
        if thoroughly or size <= LARGE or state.st_mtime_ns != modified:
            read.append(path)
    known = (manifest, manifest.stat().st_mtime_ns, *states)
    if known in _verified:
        return None
    with ThreadPoolExecutor(8) as pool:
        for path, found in zip(read, pool.map(_sha256, read), strict=True):
            if found != files[path][1]:
                return f"{_name(path, folder)} has other contents than were saved"
    if len(read) == len(files):
        _verified.add(known)
    return None


def facts_of(manifest: Path) -> dict[str, Any]:
    """The facts that a whole seal was made with."""
    return bounded.mapping(manifest)["facts"]


def beside(folder: Path) -> Path:
    """The place of the seal of a folder that holds what other programs read, such as a model: beside it."""
    return folder.with_name(f"{folder.name}.{RUN}")


def seal_beside(folder: Path) -> None:
    """Seals all files of a folder, with the seal beside it."""
    seal(folder.parent, beside(folder), folder.rglob("*"))


def damage_beside(folder: Path, *, thoroughly: bool = True) -> str | None:
    """What is wrong with a folder that may have a seal beside it; None for one that is whole or has no seal."""
    manifest = beside(folder)
    if not os.path.lexists(manifest):
        return None
    if wrong := damage(folder.parent, manifest, thoroughly=thoroughly):
        return wrong
    # A file that was added counts, too: libraries load any that they know the name of.
    known = {folder.parent / name for name in bounded.mapping(manifest)["files"]}
    more = sorted(path for path in folder.rglob("*") if not path.is_dir() and path not in known)
    return f"{_name(more[0], folder.parent)} was added after it was saved" if more else None


def seal_inside(folder: Path) -> None:
    """Seals all files of a folder, with the seal among them."""
    seal(folder, folder / RUN)


def check_evaluation(folder: Path) -> None:
    """Verifies the results of an evaluation, where they are sealed.

    Raises:
        RunError: a file of it is not what was saved.
    """
    if wrong := damage_inside(folder):
        raise RunError(f"{folder}: {wrong}.\n    Delete this folder, and evaluate the run again.")


def check_model(folder: str | Path) -> None:
    """Verifies a model's folder that was sealed here, before it is loaded; passes any other, and a bare name.

    Raises:
        RunError: a file of it is not what was saved.
    """
    folder = Path(folder)
    if wrong := damage_beside(folder) if folder.name else None:
        raise RunError(f"{folder.parent}: {wrong}.\n    {REBUILT.format(folder.parent)}")


def seal_run(path: Path) -> None:
    """Seals the model of a complete run, with the seal beside it; and in `RUN` that seal and what else the run made."""
    if (path / "model").is_dir():
        seal_beside(path / "model")
    made = (entry for entry in path.iterdir() if ownership.made_by_a_run(entry.name))
    counted = [entry for entry in made if entry.name not in _NOT_OF_A_RUN]
    seal(path, path / RUN, [file for entry in counted for file in ([entry] if entry.is_file() else entry.rglob("*"))])


def has_seal(path: Path) -> bool:
    """Whether the files of a run or an evaluation are sealed."""
    return os.path.lexists(path / RUN)


def damage_inside(path: Path, *parts: str) -> str | None:
    """What is wrong with a finished run besides its model, or with an evaluation; None: it is whole or has no seal.

    Args:
        parts: names of files and folders in it; all when there are none.
    """
    return damage(path, path / RUN, parts) if has_seal(path) else None


def damage_of_model(path: Path, *, thoroughly: bool = True) -> str | None:
    """What is wrong with the model of a finished run; None for one that is whole or has no seal."""
    model = path / "model"
    return damage_inside(path, beside(model).name) or damage_beside(model, thoroughly=thoroughly)


def sync(path: Path) -> None:
    """Waits until a file, or the list of files in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _described(path: Path) -> dict[str, Any]:
    sync(path)
    state = path.stat()
    return {"size": state.st_size, "sha256": _sha256(path), "modified": state.st_mtime_ns}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
