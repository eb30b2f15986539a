"""A cache of what has been computed, under the hash of all that determines it (`identity.evaluation_hash`).

A killed evaluation goes on where it stopped, the base and the scripted controls are scored once for a whole study, and
changing a world's tables or the scoring code makes every number that depended on them stale.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from smilerl.io import disk
from smilerl.io.files import RunError
from smilerl.io.terminal import say
from smilerl.runs.identity import evaluation_hash


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
            on_disk: False for a table that depends on something without a hash: it is kept in memory only.
            keep: whether a table that was made is whole; one that is not is made anew the next time.
        """
        name = evaluation_hash(key, self.code)
        if name not in self._tables:
            path = self.folder / f"{name}.table" if self.folder and on_disk else None
            kept = None if path is None else _kept(path)
            table = make() if kept is None else pd.read_parquet(io.BytesIO(kept))
            if kept is None and not keep(table):
                return table
            self._tables[name] = table
            if kept is None and path is not None:
                _keep(path, table.to_parquet(index=False))
        return self._tables[name]

    def note(self, key: Any, make: Callable[[], Any]) -> Any:
        """The plain data of this key, made when it is not there yet."""
        if self.folder is None:
            return make()
        path = self.folder / f"{evaluation_hash(key, self.code)}.note"
        kept = _kept(path)
        if kept is None:
            kept = json.dumps(make()).encode()
            _keep(path, kept)
        return json.loads(kept)


def _kept(path: Path) -> bytes | None:
    """What `_keep` has written; None where there is nothing, or something else, which is made again."""
    if not path.is_file():
        return None
    digest, data = (whole := path.read_bytes())[:32], whole[32:]
    if hashlib.sha256(data).digest() == digest:
        return data
    say(f"{path} is damaged: it is made again")
    return None


def _keep(path: Path, data: bytes) -> None:
    """Writes data behind its own SHA-256 into the cache."""
    if path.is_dir():
        raise RunError(f"{path} is a folder, and a file of the cache goes there.\n    Delete it.")
    disk.keep_in_cache(path, hashlib.sha256(data).digest() + data)
