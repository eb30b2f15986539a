"""Signatures of a user's own runs: their recipes are signed with a key that only this user can read.

The signature stands in `status.json`, which no push sends and no pull takes. A run that was copied from somebody else
or unpacked has none that fits; its recipe is then read as one from the Hub is, see `smilerl.models.hub.trust`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from smilerl.io import paths
from smilerl.io.errors import UserError


def sign(text: str) -> str | None:
    """The signature of a recipe as written; None where no key can be kept here."""
    return _signed(text, make=True)


def is_ours(text: str, signature: object) -> bool:
    """Whether this user has signed this text."""
    known = _signed(text, make=False)
    return known is not None and isinstance(signature, str) and hmac.compare_digest(known, signature)


def _signed(text: str, make: bool) -> str | None:
    """The signature by this user's key, which is made on first use; none by a key that others could read or write."""
    try:
        file = paths.cache_dir() / f"key-{os.getuid()}"
        if make and not file.exists():
            _write(file)
        found = file.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077 or found.st_size != 32:
            return None
        return hmac.new(file.read_bytes(), text.encode(), hashlib.sha256).hexdigest()
    except (OSError, UserError):  # without a key, the runs made here are read as those of others
        return None


def _write(file: Path) -> None:
    """Makes a key of mode 0600. Several processes that begin at once end with one key."""
    file.parent.mkdir(parents=True, exist_ok=True)
    own = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(secrets.token_bytes(32))
        with suppress(FileExistsError):
            os.link(own, file)
    finally:
        own.unlink()
