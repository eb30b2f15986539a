"""Disks that are full or read-only, what can still be written there, and damaged folders of the cache."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from smilerl.io.files import RunError, write
from smilerl.io.terminal import printable, say


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether an error came of a full disk, or of a quota that is used up, while something was written in a folder."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    # The libraries that write weights raise errors of their own, some without the reason.
    if "No space left on device" in printable(error):
        return True
    return isinstance(error, OSError | RuntimeError) and folder.is_dir() and shutil.disk_usage(folder).free < 2**14


def keep_in_cache(path: Path, content: str | bytes) -> None:
    """Writes a file of a cache, with its folder. A cache that is read-only stays as it is: what it holds is of use."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, content, together=True)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise


def clear(folder: Path, wrong: str) -> None:
    """Deletes a damaged model from the cache, and says why."""
    say(f"{folder}: {wrong}. It is built again.")
    shutil.rmtree(folder) if folder.is_dir() and not folder.is_symlink() else folder.unlink()


@contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """Raises RunError, with what to do, where something in this block failed because the disk of a folder is full."""
    try:
        yield
    except Exception as error:
        if not is_full(error, folder):
            raise
        raise RunError(
            f"{folder}: the disk is full, or a quota is used up.\n"
            "Free some space and give the same command again: it goes on from what was saved."
        ) from error


def overwrite(path: Path, data: Mapping[str, Any]) -> None:
    """Writes a status into the bytes that its file has already, its error cut to fit. A failure is no error."""
    with suppress(OSError), path.open("r+b") as file:
        room = os.fstat(file.fileno()).st_size
        for length in (200, 100, 50, 20, 0):
            text = json.dumps({**data, "error": str(data["error"] or "")[:length] or None}).encode()
            if len(text) <= room:
                file.write(text.ljust(room))
                return
