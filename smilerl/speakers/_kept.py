"""Replies on disk under the hash of the request, one file each: the same request has the same reply in any process.

Files, and not a database: they can be shared over a network by many nodes, looked into, and deleted one by one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smilerl.speakers._answers import Reply


@dataclass(frozen=True)
class Kept:
    """The replies in a folder; None keeps nothing."""

    folder: Path | None

    def get(self, request: Mapping[str, Any]) -> Reply | None:
        """The reply to this request, if there is one."""
        file = self._file(request)
        if file is None or not file.is_file():
            return None
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            # Without a hash: from before replies had one.
            return Reply(**kept["reply"]) if kept.get("sha256") in (None, _digest(kept["reply"])) else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None  # spoilt, by a full disk or another program: asked again, and written anew

    def put(self, request: Mapping[str, Any], reply: Reply) -> None:
        """Keeps a reply. Written aside and renamed: another process finds the whole file or none."""
        file = self._file(request)
        if file is None:
            return
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, unfinished = tempfile.mkstemp(dir=file.parent, suffix=".writing")
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                return  # a read-only cache is of use for what it has
            raise
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as writing:
                json.dump({"request": request, "reply": reply._asdict(), "sha256": _digest(reply._asdict())}, writing)
            os.replace(unfinished, file)
        finally:
            Path(unfinished).unlink(missing_ok=True)

    def _file(self, request: Mapping[str, Any]) -> Path | None:
        if self.folder is None:
            return None
        name = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.json"


def _digest(reply: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(reply, sort_keys=True).encode()).hexdigest()
