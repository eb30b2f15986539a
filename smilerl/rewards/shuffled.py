"""shuffled: the values of another reward, given to the wrong people. Same numbers, no connection: a control for their shape."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np

from smilerl.rewards import RewardError, build_reward, text, texts


def build(reward="sentiment", across: str = "people", seed: int = 0) -> Callable:
    """The same values in another order, the same at each call with the same batch: the order is drawn from seed and content.

    Args:
        reward: the reward whose values are shuffled, `{name: ..., args: ...}` or a name.
        across: `people`: each value goes to a reply to somebody else. `replies`: each goes to another reply to the same
            person, which keeps every group's mean and spread; a person with a single reply gets None.
        seed: of the order.
    """
    if across not in ("people", "replies"):
        raise RewardError(f"the reward 'shuffled' takes across: people or replies, not {across!r}")
    inner = build_reward(reward, seed)

    def shuffled(prompts, completions, *, person=None, **columns) -> list[float | None]:
        values = inner(prompts=prompts, completions=completions, person=person, **columns)
        whom = texts(prompts) if person is None else list(person)
        content = json.dumps([seed, whom, [text(said) for said in completions]])
        generator = np.random.default_rng(int.from_bytes(hashlib.sha256(content.encode()).digest()[:8]))
        sources = _other_people(whom, generator) if across == "people" else _other_replies(whom, generator)
        return [None if source is None else values[source] for source in sources]

    shuffled.channels = tuple(getattr(inner, "channels", ()))
    shuffled.by_design = ("batch", "order")  # of what `smilerl reward check` finds
    shuffled.needs_reaction = getattr(inner, "needs_reaction", False)
    return shuffled


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
