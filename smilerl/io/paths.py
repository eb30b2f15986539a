"""Where the files that travel with the package are, and where built things are kept."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from smilerl.io import packages, places
from smilerl.io.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]
#: The folders that travel with it.
SHARED = ("recipes", "evals", "data")


def share() -> Path:
    """The folder that holds `recipes/`, `evals/` and `data/`: the checkout, or the copy inside an installed wheel."""
    checkout = PACKAGE.parent
    return checkout if (checkout / "recipes").is_dir() and (checkout / "evals").is_dir() else PACKAGE / "_share"


def cache_dir() -> Path:
    """The folder of models built on first use: `$SMILERL_CACHE`, else `~/.cache/smilerl`; it may not be there yet.

    Raises:
        UserError: SMILERL_CACHE means nothing, or is a file.
    """
    said = os.environ.get("SMILERL_CACHE") or ""
    folder = Path(places.expanded(said)) if said else Path.home() / ".cache" / "smilerl"
    wrong = places.no_path(said) if said else None
    if wrong is None and folder.exists() and not folder.is_dir():
        wrong = "is a file, and should be a folder"
    if wrong is not None:
        fix = "Name a folder, such as ~/.cache/smilerl."
        raise UserError(f"the environment variable SMILERL_CACHE is '{said}', which {wrong}.\n    {fix}")
    return folder


def find(name: str | Path, beside: str | Path | None = None) -> Path | None:
    """The existing file or folder meant by `name`: as given, beside the file that names it, or among the shared files.

    A name in a shared recipe means a shared file, where there is such a one, before a file in the current folder.

    Args:
        name: an absolute or relative path such as `recipes/smileworld/pretrain.yaml`, or `package:NAME/FILE.gguf`.
        beside: a file that mentions `name`; its folder is looked in second.

    Returns:
        The path, or None when nothing is there.
    """
    if packages.is_name(name):
        try:
            return packages.locate(str(name))
        except packages.PackageError:
            return None
    name = Path(places.expanded(name))
    folders = [Path(), *([Path(beside).parent] if beside else []), share()]
    found = next((folder / name for folder in folders if _is_there(folder / name)), None)
    if found is not None and beside and is_shared(beside):
        own = shared(str(name))
        return own if own is not None and not own.samefile(found) else found
    return found


def shared(name: str) -> Path | None:
    """The file that travels with the package under this relative name, `recipes/...`; None for others."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] not in SHARED:
        return None
    return share() / name if _is_there(share() / name) else None


def is_shared(path: str | Path) -> bool:
    """Whether a file is one that travels with the package."""
    place = Path(path).resolve()
    return any(place.is_relative_to((share() / part).resolve()) for part in SHARED)


def near(name: str | Path) -> Path | None:
    """The existing path that is most like a mistyped one; None where a part of it is like nothing that is there."""
    typed, place = Path(places.expanded(name)), Path()
    for part in typed.parts:
        if not _is_there(place / part):
            there = [entry.name for entry in place.iterdir()] if place.is_dir() else []
            alike = difflib.get_close_matches(part, there, 1)
            if not alike:
                return None
            part = alike[0]
        place /= part
    return None if place == typed else place


def a_run_of(study: Path) -> Path:
    """One of the runs of a study's folder, to name in an error."""
    return min((file.parent for file in study.glob("*/seed-*/status.json")), default=study / "reading" / "seed-0")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have, or a folder that may not be looked into
        return False
