"""Work on behalf of a recipe that came from elsewhere: within it nothing outside smilerl is imported, and no recipe but
smilerl's own is built.

`smilerl.models.hub.trust` reads such a recipe before anything is built and says what is wrong with it. This is the
second check behind it: every import of user code, and every build of a model from its recipe, calls this module.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from smilerl.io.errors import UserError


class NotFromElsewhere(UserError, ValueError):
    """A recipe from elsewhere reached for what it may not have. One line."""


_allowed: ContextVar[Collection[str] | None] = ContextVar("what a recipe from elsewhere may name", default=None)


@contextmanager
def from_elsewhere(allowed: Collection[str] = ()) -> Iterator[None]:
    """What is built in this block is built for a recipe from elsewhere.

    Args:
        allowed: names that the user has trusted by hand.
    """
    token = _allowed.set(frozenset(allowed))
    try:
        yield
    finally:
        _allowed.reset(token)


def refuse(name: str, doing: str) -> None:
    """To be called before code of this name is imported, or a recipe of this name built.

    Raises:
        NotFromElsewhere: that is on behalf of a recipe from elsewhere.
    """
    allowed = _allowed.get()
    if allowed is not None and name not in allowed:
        raise NotFromElsewhere(f"'{name[:200]}' is not {doing} for a recipe from elsewhere: it is not part of smilerl.")
