"""Locks on files, by `filelock`: one that a process holds ends with the process, however that ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from smilerl.io import paths
from smilerl.io.errors import UserError
from smilerl.io.terminal import say


def take(path: Path) -> IO[str] | None:
    """The open file whose lock this process holds until the file is closed; None while another process holds it.

    Raises:
        OSError: the file cannot be opened for writing.
    """
    file = path.open("a+", encoding="utf-8")
    try:
        if _locked(file):
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file; also known of files that may only be read."""
    if not path.is_file():
        return False
    file: IO
    try:
        file = path.open("r+b")
    except OSError:
        file = path.open("rb")
    with file:
        try:
            return not _locked(file)
        except OSError:  # NFS locks only what may be written
            return False


@contextmanager
def in_cache(path: Path) -> Iterator[None]:
    """Holds the lock of a file of the cache, made with its folder; waits, and says so, while another process holds it.

    Raises:
        UserError: the cache cannot be written in.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if (file := take(path)) is None:
            say(f"{path.with_suffix('')}: another process builds it; waiting for it")
        while file is None:
            time.sleep(0.1)
            file = take(path)
    except OSError as error:
        raise UserError(
            f"the cache {paths.cache_dir()} cannot be written in: {error.strerror or error}.\n"
            "    Set the environment variable SMILERL_CACHE to a folder that can."
        ) from error
    with file:
        yield


def _locked(file: IO) -> bool:
    """Locks an open file; asks again before it gives up, since `is_held` holds a lock for a moment."""
    from filelock import lock_descriptor  # imports asyncio, which takes 50 ms

    for pause in (0.01, 0.01, 0):
        if lock_descriptor(file.fileno(), blocking=False):
            return True
        time.sleep(pause)
    return False
