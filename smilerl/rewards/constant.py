"""constant: the same for everything. With beta > 0 the policy must not move."""

from __future__ import annotations

import math
from collections.abc import Callable

from smilerl.rewards import RewardError


def build(value: float = 0.0) -> Callable:
    """`value` for every completion."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RewardError(f"the reward 'constant' takes value: a finite number, not {value!r}")

    def constant(prompts, completions, **columns) -> list[float | None]:
        return [float(value)] * len(completions)

    constant.by_design = ("spread",)  # of what `smilerl reward check` finds
    return constant


reward = build()
