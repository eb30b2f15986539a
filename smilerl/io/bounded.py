"""Reads text and JSON that others may have written: a regular file of bounded size and depth, or a one-line error.

Opening a fifo waits, /dev/zero never ends, and JSON that nests deeply enough ends the parser with an error of its own.
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

#: Bytes of a file of settings (recipes, questions, plans, configurations): the largest of ours has 10 kB.
MOST_SETTINGS = 256 * 1024
#: Bytes of a file of results (manifests, status, results.json).
MOST_RESULTS = 64 * 1024 * 1024
#: Lists and mappings inside one another.
MOST_DEEP = 32
#: Digits of a whole number: Python itself reads 4300, slowly.
MOST_DIGITS = 400

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


class Unreadable(ValueError):
    """A file that is not read. One line: which, and why."""


def text(path: str | Path, most: int = MOST_SETTINGS) -> str:
    """The text (UTF-8) of a regular file of at most `most` bytes.

    Raises:
        Unreadable: it is something else, or too large.
        FileNotFoundError: there is none.
    """
    path = Path(path)
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file (a pipe, a device or a socket)"
        raise Unreadable(f"{path}: not a text file: it is {kind}.")
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)  # some files of /proc have no size
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read: {error.strerror or type(error).__name__}.") from None
    if len(content) > most:
        size = max(found.st_size, len(content))
        raise Unreadable(f"{path}: {size} bytes, but such a file has at most {most}.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Unreadable(f"{path}:{line}: not a text file: {error.reason} (it should be UTF-8).") from None


def json_value(path: str | Path, most: int = MOST_RESULTS) -> Any:
    """The value of a JSON file; see `text`.

    Raises:
        Unreadable: also where it is not JSON, nests too deeply, or holds a number of more digits than anything needs.
        FileNotFoundError: there is none.
    """
    said = text(path, most)
    try:
        return json.loads(said, parse_int=_whole)
    except RecursionError:
        raise Unreadable(f"{path}: its lists and mappings nest too deeply.") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"{path}:{error.lineno}: not JSON: {error.msg}.") from None
    except ValueError as error:
        raise Unreadable(f"{path}: not JSON: {error}.") from None


def mapping(path: str | Path, most: int = MOST_RESULTS) -> dict[str, Any]:
    """The same, where it has to be a JSON object."""
    value = json_value(path, most)
    if not isinstance(value, dict):
        raise Unreadable(f"{path}: a JSON {type(value).__name__}, but should be an object.")
    return value


def control(said: str) -> re.Match[str] | None:
    """The first character that no file of settings holds: NUL, ESC and other controls, half of a surrogate pair."""
    return _CONTROL.search(said)


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)
