"""Several rewards as the one number that training maximises: their weighted sum, as TRL takes it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from smilerl import worlds
from smilerl.rewards._carried import carry, is_async


def summed(rewards: Sequence[Callable], weights: Sequence[float]) -> Callable[..., list[float | None]]:
    """The weighted sum of rewards, in TRL's protocol.

    As in TRL, a reward that is None drops out of the sum; the sum is None where all are.

    Args:
        rewards: as `build_rewards` gives them.
        weights: one for each.
    """

    def total(prompts, completions, **columns) -> list[float | None]:
        given = {
            "completion_ids": [None] * len(completions),
            "trainer_state": None,
            "log_extra": lambda column, values: None,
            "log_metric": lambda name, value: None,
            **worlds.columns_of(columns.get("person") or []),  # in training the data set holds them
            **columns,
        }
        sums: list[float | None] = [None] * len(completions)
        for reward, weight in zip(rewards, weights, strict=True):
            values = reward(prompts=prompts, completions=completions, **given)
            for row, value in enumerate(asyncio.run(values) if is_async(reward) else values):
                if value is not None:
                    sums[row] = (sums[row] or 0.0) + weight * value
        return sums

    return carry(total, *rewards)


@contextmanager
def unnoticed(rewards: Sequence[Callable]) -> Iterator[None]:
    """Afterwards the rewards are as they were: one that counts, schedules or draws noise does not notice that it was asked."""
    before = copy.deepcopy([reward.state_dict() for reward in rewards])
    try:
        yield
    finally:
        for reward, state in zip(rewards, before, strict=True):
            reward.load_state_dict(state)
