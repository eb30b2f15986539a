"""How a user knows the runs that they made: their recipes are signed with a key that only this user can read.

The signature stands in `status.json`, which no push sends and no pull takes. A run that was copied from somebody else, unpacked, or
made before there were signatures has none that fits; its recipe is then read as one from the Hub is, see `smilerl.models.hub.trust`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from smilerl.io import paths
from smilerl.io.errors import UserError


def sign(text: str) -> str | None:
    """The signature of a recipe as written; None where no key can be kept here."""
    key = _key(make=True)
    return None if key is None else _of(text, key)


def is_ours(text: str, signature: object) -> bool:
    """Whether this user has signed this text."""
    key = _key(make=False)
    return key is not None and isinstance(signature, str) and hmac.compare_digest(_of(text, key), signature)


def _of(text: str, key: bytes) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(make: bool) -> bytes | None:
    """The key of this user: made on first use, mode 0600. A key that others could have written or read is none."""
    try:
        file = paths.cache_dir() / f"key-{os.getuid()}"
        if make and not file.exists():
            _write(file)
        found = file.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077 or found.st_size != 32:
            return None
        return file.read_bytes()
    except (
        OSError,
        UserError,
    ):  # a cache that cannot be written holds no key, and runs made with it are as those of others
        return None


def _write(file: Path) -> None:
    """Several processes that begin at once end with one key."""
    file.parent.mkdir(parents=True, exist_ok=True)
    own = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(secrets.token_bytes(32))
        os.link(own, file)
    except FileExistsError:
        pass
    finally:
        own.unlink()
