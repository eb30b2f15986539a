"""What has been computed is kept under the hash of all that determined it, in memory and on disk.

So a killed evaluation goes on where it stopped, the base and the scripted controls are scored once for a whole study, and
changing a world's tables or the scoring code makes every number that depended on them stale.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from smilerl.io import disk, paths
from smilerl.io.files import RunError, write
from smilerl.io.terminal import printable
from smilerl.runs import sources
from smilerl.runs.identity import hash_path


@dataclass(frozen=True)
class Cache:
    """Tables and notes by content hash.

    Attributes:
        folder: where they are kept; None keeps them in memory only.
        code: files and folders of the package that decide what is kept here; None: all that an evaluation executes.
    """

    folder: Path | None
    code: tuple[str, ...] | None = None
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def table(
        self,
        key: Any,
        make: Callable[[], pd.DataFrame],
        on_disk: bool = True,
        keep: Callable[[pd.DataFrame], bool] = lambda table: True,
    ) -> pd.DataFrame:
        """The table of this key, made when it is not there yet.

        Args:
            on_disk: False for a table that depends on something without a hash: it is kept for this session only.
            keep: whether a table that was made is whole; one that is not is given back, and made anew when it is asked for again.
        """
        name = content_hash(key, self.code)
        if name not in self._tables:
            path = self.folder / f"{name}.table" if self.folder and on_disk else None
            kept = None if path is None else _kept(path)
            if kept is not None:
                self._tables[name] = pd.read_parquet(io.BytesIO(kept))
            else:
                made = make()
                if not keep(made):
                    return made
                self._tables[name] = made
                if path is not None:
                    _keep(path, made.to_parquet(index=False))
        return self._tables[name]

    def note(self, key: Any, make: Callable[[], Any]) -> Any:
        """The plain data of this key, made when it is not there yet."""
        if self.folder is None:
            return make()
        path = self.folder / f"{content_hash(key, self.code)}.note"
        kept = _kept(path)
        if kept is None:
            kept = json.dumps(make()).encode()
            _keep(path, kept)
        return json.loads(kept)


def content_hash(parts: Any, code: tuple[str, ...] | None = None) -> str:
    """16 hex digits of plain data, and of the files of the package that make numbers from it."""
    text = json.dumps([parts, _hash_code(code)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kept(path: Path) -> bytes | None:
    """What `_keep` has written; None where there is nothing, or something else, which is made again."""
    if not path.is_file():
        return None
    digest, data = (whole := path.read_bytes())[:32], whole[32:]
    if hashlib.sha256(data).digest() == digest:
        return data
    print(printable(f"{path} is damaged: it is made again"), file=sys.stderr, flush=True)
    return None


def _keep(path: Path, data: bytes) -> None:
    """Writes data behind its own SHA-256 into the cache. One that is read-only is left as it is: what it holds is of use without it."""
    if path.is_dir():
        raise RunError(f"{path} is a folder, and a file of the cache goes there.\n    Delete it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, hashlib.sha256(data).digest() + data, together=True)
    except OSError as error:
        if not disk.is_read_only(error):
            raise


@cache
def _hash_code(code: tuple[str, ...] | None) -> Any:
    return sources.of_evaluations() if code is None else [hash_path(paths.PACKAGE / part) for part in code]
