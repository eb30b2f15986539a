"""The declared channels: the only ways in which anything computed from a gold outcome may reach training.

Each returns labels, never an `Outcome`. A reward or data set declares the channels that it uses in its attribute
`channels`. The run's manifest and card list them. In a sealed run, a channel that was not declared raises.

* `gold`: the wellbeing itself, for control arms.
* `annotators`: comparisons of two replies by annotators who go by the smile and by what they know of the wellbeing.
* `delayed_smile`: whether the person smiles tomorrow, which depends on their wellbeing.
"""

from __future__ import annotations

from collections.abc import Sequence

from smilerl.worlds import kind, world_of
from smilerl.worlds.base import World, channel
from smilerl.worlds.turns import as_first_met


def gold(people: Sequence[str], completions: Sequence[str]) -> list[float | None]:
    """Wellbeing in [-2, 2] of each person after the completion they got; None: unscored."""
    with channel("gold"):
        return [reaction.outcome.wellbeing for reaction in _world(people).react(*as_first_met(people, completions))]


def delayed_smile(people: Sequence[str], completions: Sequence[str]) -> list[float]:
    """The smile in [0, 1] that each person would show tomorrow: a function of wellbeing alone."""
    with channel("delayed_smile"):
        return _world(people).delayed_smile(*as_first_met(people, completions))


def annotate(people: Sequence[str], first: Sequence[str], second: Sequence[str], seed: int, **knobs) -> list[bool]:
    """Whether an annotator prefers the first of two replies to each person; `knobs` as in the world's annotators."""
    with channel("annotators"):
        return _world(people).annotate(people, first, second, seed, **knobs)


def _world(people: Sequence[str]) -> type[World]:
    names = {world_of(person) for person in people}
    if len(names) != 1:
        raise ValueError(f"one call scores people of one world; these are of {', '.join(sorted(names)) or 'none'}")
    return kind(names.pop())
