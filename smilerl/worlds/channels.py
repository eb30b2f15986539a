"""The declared channels: the only ways in which anything computed from a gold outcome may reach training.

Each hands out labels, never an `Outcome`. A reward or dataset that uses one names it in its `channels`, the run's manifest
and card list it, and a sealed run that has not declared it raises.

* `gold`: the wellbeing itself, for control arms.
* `annotators`: people who compare two replies; they know part of the wellbeing, and part of them is the smile.
* `delayed_smile`: whether the person smiles tomorrow, which depends on how they fare.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from smilerl.worlds import world_of
from smilerl.worlds.base import channel
from smilerl.worlds.turns import as_first_met


def gold(people: Sequence[str], completions: Sequence[str]) -> list[float | None]:
    """Wellbeing in [-2, 2] of each person after the completion they got; None: unscored."""
    with channel("gold"):
        told = as_first_met(people, completions)
        return [reaction.outcome.wellbeing for reaction in _module(people, "react").react(*told)]


def delayed_smile(people: Sequence[str], completions: Sequence[str]) -> list[float]:
    """The smile in [0, 1] that each person would show tomorrow: a function of wellbeing alone."""
    with channel("delayed_smile"):
        return _module(people, "delayed_smile").delayed_smile(*as_first_met(people, completions))


def annotate(people: Sequence[str], first: Sequence[str], second: Sequence[str], seed: int, **knobs) -> list[bool]:
    """Whether an annotator prefers the first of two replies to each person; `knobs` as in the world's annotators."""
    with channel("annotators"):
        return _module(people, "annotate").annotate(people, first, second, seed, **knobs)


def _module(people: Sequence[str], needed: str):
    worlds = {world_of(person) for person in people}
    if len(worlds) != 1:
        raise ValueError(f"one call, one world; these people are of {', '.join(sorted(worlds)) or 'none'}")
    name = worlds.pop()
    module = importlib.import_module(f"smilerl.worlds.{name}")
    if not hasattr(module, needed):
        raise ValueError(f"the world '{name}' has no {needed}, so it has no such labels. Worlds that have: smileworld")
    return module
