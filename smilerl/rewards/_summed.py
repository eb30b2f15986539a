"""Several rewards as the one number that training maximises: their weighted sum, of the rows that all of them score."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from smilerl import worlds
from smilerl.rewards._asking import ask
from smilerl.rewards._carried import carry
from smilerl.rewards._clock import Clock


def summed(
    rewards: Sequence[Callable],
    weights: Sequence[float],
    most_missing: Sequence[float] | None = None,
    clock: Clock | None = None,
) -> Callable[..., list[float | None]]:
    """The weighted sum of rewards, in TRL's protocol.

    The sum is None where a reward of any weight but 0 is None; one of weight 0 is not asked. See `unscored`. Calls that
    take longer
    than their limit are counted, and stop the work, as in training: it raises what `Clock.look` does.

    Args:
        rewards: R, as `build_rewards` gives them.
        weights: one for each.
        most_missing: one for each, see `RewardSpec.most_missing`.
        clock: of all these rewards, where others count with it; a new one when None.
    """
    counted = [place for place, weight in enumerate(weights) if weight]
    clock = Clock(rewards, most_missing) if clock is None else clock

    def total(prompts, completions, **columns) -> list[float | None]:
        given = {
            "completion_ids": [None] * len(completions),
            "trainer_state": None,
            "log_extra": lambda column, values: None,
            "log_metric": lambda name, value: None,
            **worlds.columns_of(columns.get("person") or []),  # in training `Together` adds them
            **columns,
        }
        clock.check()
        found = ask([rewards[place] for place in counted], prompts=prompts, completions=completions, **given)
        clock.look(len(completions), counted)
        sums: list[float | None] = [0.0] * len(completions)
        for place, values in zip(counted, found, strict=True):
            for row, value in enumerate(values):
                before = sums[row]
                sums[row] = None if before is None or value is None else before + weights[place] * value
        return sums

    return carry(total, *rewards)


def summed_as(
    specs: Sequence[Any], rewards: Sequence[Callable], clock: Clock | None = None
) -> Callable[..., list[float | None]]:
    """`summed` with the weights and limits that a recipe's `RewardSpec`s say."""
    return summed(rewards, [one.weight for one in specs], [one.most_missing for one in specs], clock)


def unscored(found: Sequence[Sequence[float | None]], weights: Sequence[float]) -> list[bool]:
    """For each of N rows, whether a reward of any weight but 0 has no score for it, so that the row as a whole has
    none.

    A sum over the others would compare rows that were asked different things: a judge who fails would pay, or cost, its
    mean.

    Args:
        found: R lists of N values.
        weights: R.
    """
    counted = [values for values, weight in zip(found, weights, strict=True) if weight]
    return [any(value is None for value in row) for row in zip(*counted, strict=True)]


@contextmanager
def unnoticed(rewards: Sequence[Callable]) -> Iterator[None]:
    """Afterwards the rewards are as they were: one that counts, schedules or draws noise does not notice that it was
    asked.
    """
    before = copy.deepcopy([reward.state_dict() for reward in rewards])
    try:
        yield
    finally:
        for reward, state in zip(rewards, before, strict=True):
            reward.load_state_dict(state)
