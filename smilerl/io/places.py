"""Paths as they were typed, whether a place can be written, and the names in a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from smilerl.io.errors import UserError

#: Bytes that a file's name may have, and a folder's path with room for what is written below it.
_LONGEST_NAME, _LONGEST_PATH = 255, 4096 - 200
#: C0 and C1 controls, with newline and tab.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*|\{[^}]*\})")
_HOME = re.compile(r"~[^/\s]*(/|$)")


def expanded(text: str | os.PathLike[str]) -> str:
    """A path with `~`, `~user` and `$NAME` replaced by what they mean. Those that mean nothing stay as they are."""
    return os.path.expanduser(os.path.expandvars(os.fspath(text)))


def is_expanded(text: str) -> bool:
    """Whether a text holds what `expanded` replaces: a variable, be it set or not, or a home at its beginning."""
    return _VARIABLE.search(text) is not None or _HOME.match(text) is not None


def no_path(text: str | os.PathLike[str]) -> str | None:
    """Why a text can be no path here, in a few words: a variable that is not set, a name too long, ...; else None."""
    text = os.fspath(text)
    if "\0" in text:
        return "holds a NUL character, which no path can have"
    if not text.strip():
        return "is empty"
    if odd := _CONTROL.search(text):
        shown = odd[0].encode("unicode_escape").decode()
        return f"holds the control character {shown}: use characters that can be seen"
    left = expanded(text)
    if variable := _VARIABLE.search(left):
        return f"names the variable {variable[0]}, which is not set"
    if left.startswith("~"):
        return f"names the home of '{left.split('/')[0]}', and there is no such user"
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in Path(left).parts):
        return f"is too long: the name of a folder has at most {_LONGEST_NAME} bytes"
    if len(os.fsencode(Path(left).absolute())) > _LONGEST_PATH:
        return f"is too long: a path has at most {_LONGEST_PATH} bytes"
    return None


def written(text: str) -> Path:
    """A path from the command line, expanded.

    Raises:
        UserError: a part of it means nothing.
    """
    if wrong := no_path(text):
        raise UserError(f"{text!r} {wrong}")
    return Path(expanded(text))


def why_not(folder: Path) -> str | None:
    """Why a folder cannot be made or written in, as far as can be known without trying; else None."""
    try:
        for place in (folder, *folder.absolute().parents):
            if place.is_symlink() and not place.exists():
                return f"{place} is a link to what is not there"
            if place.exists():
                if not place.is_dir():
                    return f"{place} is a file, and no folder"
                return None if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written in"
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return None


def entries(folder: Path) -> set[str]:
    """The names in a folder; none where there is no folder."""
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def shown(names: Iterable[str]) -> str:
    """A few names for an error: `.git, src, thesis.txt and 4 more`."""
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")
