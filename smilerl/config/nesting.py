"""Recipes that name recipes: a circle of them, or more than anybody needs, is told wherever one leads to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from smilerl.config.yaml_lines import RecipeError

#: Recipes that one recipe may lead to, those that these name included, and how deep.
MOST, DEEPEST = 200, 16
_SHOWN = 4


class _Open(NamedTuple):
    """The recipes being worked on, each named by the one before it, and how many there have been since the first."""

    paths: tuple[Path, ...]
    counted: list[int]


_NONE: dict[str, _Open] = {}
_open: ContextVar[dict[str, _Open]] = ContextVar("recipes that are being worked on", default=_NONE)


@contextmanager
def nested(source: str | Path, doing: str) -> Iterator[None]:
    """The work on one recipe, inside which other recipes that it names are worked on in the same way.

    Args:
        source: the recipe's file; empty for one that has none.
        doing: what is done (`check`, `hash`, `build`); one may happen within another.

    Raises:
        RecipeError: a circle, or too many.
    """
    path, before = Path(source).resolve(), _open.get()
    above = before.get(doing) or _Open((), [0])
    above.counted[0] += 1
    if source and path in above.paths:
        circle = [*above.paths[above.paths.index(path) :], path]
        shown = " → ".join(each.name for each in circle[:_SHOWN]) + (" → ..." if len(circle) > _SHOWN else "")
        raise RecipeError(f"{source}: recipes that name one another in a circle build nothing: {shown}.")
    if len(above.paths) >= DEEPEST or above.counted[0] > MOST:
        raise RecipeError(f"{source}: recipes that name recipes, more than {DEEPEST} deep or {MOST} in all.")
    token = _open.set({**before, doing: _Open((*above.paths, path), above.counted)})
    try:
        yield
    finally:
        _open.reset(token)
