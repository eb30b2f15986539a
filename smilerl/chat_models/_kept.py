"""Replies on disk under the hash of the request, one file each: the same request has the same reply in any process.

Files, and not a database: they can be shared over a network by many nodes, looked into, and deleted one by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smilerl.chat_models._answers import Reply
from smilerl.io import bounded, disk
from smilerl.runs.identity import digest


@dataclass(frozen=True)
class Kept:
    """The replies in a folder; None keeps nothing."""

    folder: Path | None

    def get(self, request: Mapping[str, Any]) -> Reply | None:
        """The reply to this request, if there is one."""
        file = self._file(request)
        if file is None:
            return None
        try:
            kept = bounded.mapping(file)
            return Reply(**kept["reply"]) if kept["sha256"] == digest(kept["reply"]) else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None  # not there, or spoilt by a full disk or another program: asked again, and written anew

    def put(self, request: Mapping[str, Any], reply: Reply) -> None:
        """Keeps a reply. Written aside and renamed: another process finds the whole file or none."""
        file = self._file(request)
        if file is None:
            return
        kept = {"request": request, "reply": reply._asdict(), "sha256": digest(reply._asdict())}
        disk.keep_in_cache(file, json.dumps(kept))

    def _file(self, request: Mapping[str, Any]) -> Path | None:
        if self.folder is None:
            return None
        name = digest(request)[:32]
        return self.folder / name[:2] / f"{name}.json"
