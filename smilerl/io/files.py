"""Our own files, written whole and read back: JSON, lines of JSON, tables. Damage is an error that says what to do."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smilerl.io import bounded
from smilerl.io.errors import UserError
from smilerl.io.terminal import first_line, one_line, say

_STUDY = {
    **dict.fromkeys(("title", "question", "source", "plan_hash", "suite", "command", "started", "git"), str),
    **dict.fromkeys(("seeds", "arms", "runs"), list),
    **{"prereg": dict | None, "base": dict, "versions": dict, "seconds": int | float},
}
#: What a file that is not as it was written makes its readers raise.
_DAMAGED = (OSError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError, MemoryError)


class RunError(UserError, RuntimeError):
    """A run directory cannot be used as asked. Says which, why, and what to do."""


@contextmanager
def reading(path: Path, fix: str = "") -> Iterator[None]:
    """Turns what goes wrong in this block into an error about a file that is read there.

    Args:
        path: the file.
        fix: what to do about it.

    Raises:
        RunError: the file cannot be read, or does not hold what was written.
    """
    try:
        yield
    except RunError:
        raise
    except _DAMAGED as error:
        raise RunError(f"{path} {_wrong(error, path)}." + (f"\n    {fix}" if fix else "")) from None


def _wrong(error: Exception, path: Path) -> str:
    match error:
        case bounded.Unreadable():
            why = str(error).removeprefix(str(path)).removesuffix(".")
            return "is damaged" + re.sub(r"^:(\d+)", r": line \1", why)
        case OSError():
            return f"cannot be read: {error.strerror or first_line(error, 160)}"
        case KeyError():
            return f"is damaged: there is no {one_line(error, 160)} in it"
        case TypeError() | AttributeError() | LookupError():
            return "is damaged: it does not have the form in which it was written"
    return f"is damaged: {one_line(error, 160) or type(error).__name__}"


def read_json(
    path: Path, fix: str = "", types: Mapping[str, Any] | None = None, needed: Sequence[str] = ()
) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        types: key → type, or union of types, where the key is there.
        needed: keys that must be there.

    Raises:
        RunError: the file cannot be read, or holds something else.
    """
    with reading(path, fix):
        if path.is_file() and not path.stat().st_size:
            raise ValueError("it is empty")
        found = bounded.json_value(path)
        if not isinstance(found, dict):
            raise TypeError
        for key in needed:
            found[key]
        for key, type_ in (types or {}).items():
            if key in found and not isinstance(found[key], type_):
                raise ValueError(f"'{key}' in it is {one_line(json.dumps(found[key]), 40)}")
        return found


def read_study(folder: Path) -> dict[str, Any]:
    """What a study's `study.json` says.

    Raises:
        RunError: it is damaged.
    """
    path, fix = folder / "study.json", "Delete it, and run the study again: it is made anew from the plan and the runs."
    said = read_json(path, fix, _STUDY, ("runs", "arms", "suite", "seeds"))
    with reading(path, fix):
        kinds = [(type(run["arm"]), type(run["seed"]), type(run["path"]), type(run["state"])) for run in said["runs"]]
        names = [(type(arm["name"]), type(arm["role"])) for arm in said["arms"]]
        if set(kinds) - {(str, int, str, str)} or set(names) - {(str, str)}:
            raise TypeError
    return said


def read_rows(path: Path, fix: str = "") -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl, one JSON object a line with `step`; says on standard error how many are damaged.

    Half a line at the end, which a killed process leaves, is not counted.

    Raises:
        RunError: the file cannot be read at all.
    """
    with reading(path, fix):
        if not path.is_file():
            raise bounded.Unreadable(f"{path}: it is no file.")
        text = path.read_bytes().decode("utf-8", errors="replace")
    lines = [line for line in text.split("\n") if line.strip()]
    rows, lost = [], 0
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not _is_row(row) or "\N{REPLACEMENT CHARACTER}" in line:
                raise ValueError
            rows.append(row)
        except (ValueError, RecursionError):
            lost += number < len(lines) or text.endswith("\n")
    if lost:
        say(f"{path}: {lost} of {len(lines)} lines could not be read, and are left out")
    return rows


def read_table(path: Path, fix: str = "") -> Any:
    """The table in a Parquet file, a pandas DataFrame.

    Raises:
        RunError: the file cannot be read.
    """
    import pandas as pd
    from pyarrow.lib import ArrowException

    with reading(path, fix):
        try:
            with path.open("rb") as file:  # by its path, a folder would be read as a table of many files
                return pd.read_parquet(file)
        except ArrowException as error:
            raise ValueError(one_line(error, 160) or type(error).__name__) from None


def write_json(path: Path, data: Any) -> None:
    """Writes JSON, whole; see `replacing`."""
    write(path, json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def by_line(data: Mapping[str, Any], deep: int = 2) -> str:
    """A mapping as JSON, one line for each key, and for each key of mappings inside down to `deep`.

    `json.dumps` with an indent runs in Python, and takes three times as long.
    """
    values = (
        by_line(value, deep - 1) if deep > 1 and isinstance(value, Mapping) else json.dumps(value)
        for value in data.values()
    )
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {value}" for key, value in zip(data, values, strict=True)) + "\n}"


def write(path: Path, content: str | bytes, *, together: bool = False) -> None:
    """Writes a text (UTF-8) or bytes, whole; see `replacing`."""
    with replacing(path, together=together) as unfinished:
        unfinished.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, *, together: bool = False) -> Iterator[Path]:
    """A file to write that takes the place of `path` at the end of this block, whole and on the disk; or never.

    Args:
        together: several processes or threads may write this file at once, as in a cache. Each has a name of its own to
            write to, and the disk is not waited for: such a file has to hold its own hash, or be easy to make again.
    """
    mark = f".{secrets.token_hex(4)}" if together else ""
    unfinished = path.with_name(f"{path.name}{mark}.writing")
    try:
        yield unfinished
        if not together:
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def plain(value: Any) -> Any:
    """The value for JSON: numpy and torch scalars as numbers, NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_row(row: Any) -> bool:
    """Whether this can be a row of metrics.jsonl: what is read of it later has the type that it was written with."""
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return False
    read = [value for key, value in row.items() if key.startswith(("held_out/", "best_of_n/"))]
    return all(value is None or isinstance(value, int | float) for value in read)
