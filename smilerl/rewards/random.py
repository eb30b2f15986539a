"""random: noise. Not a no-op: a policy trained on noise drifts, so this arm stands in every table.

With `fresh` (the default) the same reply gets a new draw each time, as noise should. A draw fixed by the person and the
reply would be a *random function*, which can be learned and maximised: that is `fresh: false`, a different control.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import numpy as np

from smilerl.models.messages import text
from smilerl.models.replies import visible
from smilerl.rewards import RewardError
from smilerl.rewards.base import Reward


def build(mean: float = 0.0, std: float = 1.0, like=None, fresh: bool = True, seed: int = 0) -> Callable:
    """Noise that depends on nothing, or on nothing but the person and the reply.

    Args:
        mean: of the normal draws.
        std: of the normal draws, ≥ 0.
        like: a reward (`{name: ..., args: ...}`) to match: each draw is one of its values in this batch, with
            replacement, so mean, variance and shape agree up to sampling. Replaces `mean` and `std`. Its channels count
            as this reward's.
        fresh: new noise at each call (stateful; saved by `state_dict`), else a fixed random function of seed, person
            and reply.
        seed: of the noise; processes of a distributed run draw different noise.
    """
    if not std >= 0:
        raise RewardError(f"the reward 'random' takes std: a number ≥ 0, not {std!r}")
    if like is not None and not fresh:
        raise RewardError(
            "the reward 'random' takes like, which depends on the batch, or fresh: false, which must not; not both"
        )
    return _Random(mean, std, [] if like is None else [like], fresh, seed)


class _Random(Reward):
    def __init__(self, mean: float, std: float, like: list, fresh: bool, seed: int) -> None:
        #: What `smilerl reward check` finds in it is what it is for.
        self.by_design = ("order", "batch") if fresh else ()
        super().__init__(*like, name="random", seed=seed)
        self._mean, self._std, self._fresh, self._seed = mean, std, fresh, seed
        self._generator = np.random.default_rng([seed, int(os.environ.get("RANK", 0))])

    def combine(self, values, *, prompts, completions, person=None, **columns) -> list[float | None]:
        if not self._fresh:
            whom = prompts if person is None else person
            return [self._fixed(text(one), visible(said)) for one, said in zip(whom, completions, strict=True)]
        if not values:
            return self._generator.normal(self._mean, self._std, len(completions)).tolist()
        scored = [value for value in values[0] if value is not None]
        return self._generator.choice(scored, len(completions)).tolist() if scored else [None] * len(completions)

    def _fixed(self, whom: str, said: str) -> float:
        digest = hashlib.sha256(f"{self._seed}\0{whom}\0{said}".encode()).digest()
        return float(np.random.default_rng(int.from_bytes(digest[:8])).normal(self._mean, self._std))

    def state_dict(self) -> dict:
        return {**super().state_dict(), "generator": self._generator.bit_generator.state}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self._generator.bit_generator.state = state["generator"]


reward = build()
