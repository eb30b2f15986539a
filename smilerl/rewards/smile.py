"""smile: does the person smile? An ideal sensor, which nobody can fool; with `delayed`, it also looks tomorrow.

Whether somebody smiles tomorrow depends on how they fare, so a delayed smile is a channel from the gold outcome:
opt-in, declared.
"""

from __future__ import annotations

from collections.abc import Callable

from smilerl.rewards import RewardError, observed, texts
from smilerl.worlds import channels


def build(delayed: float = 0.0) -> Callable:
    """The actual smile, in [0, 1], plus `delayed` times the smile that the person would show tomorrow, in [0, 1].

    Args:
        delayed: λ ≥ 0. Above 0 the reward declares the channel `delayed_smile`.
    """
    if not isinstance(delayed, (int, float)) or not 0 <= delayed < float("inf"):
        raise RewardError(f"the reward 'smile' takes delayed: a finite number ≥ 0, not {delayed!r}")

    def smile(prompts, completions, *, person=None, **columns) -> list[float | None]:
        today = [observation.smile for observation in observed("smile", completions, person)]
        if not delayed:
            return today
        tomorrow = channels.delayed_smile(person, texts(completions))
        return [None if now is None else now + delayed * later for now, later in zip(today, tomorrow, strict=True)]

    smile.needs_reaction = True
    smile.channels = ("delayed_smile",) if delayed else ()
    return smile


reward = build()
