"""shuffled: the values of another reward, given to the wrong people: a control with their shape and no connection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np

from smilerl.models.messages import texts
from smilerl.rewards import RewardError
from smilerl.rewards.base import Reward


def build(reward="sentiment", across: str = "people", seed: int = 0) -> Callable:
    """The same values in another order, the same at each call with the same batch: the order is drawn from seed and
    content.

    Args:
        reward: the reward whose values are shuffled, `{name: ..., args: ...}` or a name.
        across: `people`: each value goes to a reply to somebody else. `replies`: each goes to another reply to the same
            person, which keeps every group's mean and spread; a person with a single reply gets None.
        seed: of the order.
    """
    if across not in ("people", "replies"):
        raise RewardError(f"the reward 'shuffled' takes across: people or replies, not {across!r}")
    return _Shuffled(reward, across, seed)


class _Shuffled(Reward):
    by_design = ("batch", "order")  # of what `smilerl reward check` finds

    def __init__(self, inner, across: str, seed: int) -> None:
        super().__init__(inner, name="shuffled", seed=seed)
        self._across, self._seed = across, seed

    def combine(self, values, *, prompts, completions, person=None, **columns) -> list[float | None]:
        whom = texts(prompts) if person is None else list(person)
        content = json.dumps([self._seed, whom, texts(completions)])
        generator = np.random.default_rng(int.from_bytes(hashlib.sha256(content.encode()).digest()[:8]))
        sources = _other_people(whom, generator) if self._across == "people" else _other_replies(whom, generator)
        return [None if source is None else values[0][source] for source in sources]


def _rows_of(whom: Sequence[str], generator: np.random.Generator) -> list[list[int]]:
    """The rows of each person, people and rows in random order."""
    rows: dict[str, list[int]] = {}
    for row, one in enumerate(whom):
        rows.setdefault(one, []).append(row)
    groups = [list(generator.permutation(group)) for group in rows.values()]
    return [groups[i] for i in generator.permutation(len(groups))]


def _other_people(whom: Sequence[str], generator: np.random.Generator) -> list[int]:
    """For each row a row of another person, each used once.

    With a person's rows side by side, stepping round the circle by s lands on somebody else whenever the largest group
    is at most s and at most n - s.
    """
    groups = _rows_of(whom, generator)
    n, largest = len(whom), max(map(len, groups), default=0)
    if n < 2 * largest:
        raise RewardError(
            f"the reward 'shuffled' got {n} replies, {largest} of them to one person: too few others to swap with. "
            "Raise per_device_train_batch_size to two prompts or more (2 × num_generations), or set across: replies"
        )
    circle = [row for group in groups for row in group]
    step = int(generator.integers(largest, n - largest + 1)) if n else 0
    return [source for _, source in sorted(zip(circle, circle[step:] + circle[:step], strict=True))]


def _other_replies(whom: Sequence[str], generator: np.random.Generator) -> list[int | None]:
    """For each row another row of the same person, each used once; None where there is no other."""
    sources: list[int | None] = [None] * len(whom)
    for group in _rows_of(whom, generator):
        if len(group) > 1:
            step = int(generator.integers(1, len(group)))
            for row, source in zip(group, group[step:] + group[:step], strict=True):
                sources[row] = source
    return sources


reward = build()
