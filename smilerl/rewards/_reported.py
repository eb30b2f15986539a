"""The share of completions that a reward could score, beside its mean in TRL's log.

TRL leaves None out of a reward's mean without a word, so a mean over the three people who could be understood would
look like one over all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smilerl.rewards._carried import carry, is_async


def reported(reward: Callable) -> Callable:
    """`reward`, which logs `rewards/<name>/scored`, in [0, 1], where the trainer takes metrics."""

    def told(values: list[float | None], columns: dict[str, Any]) -> list[float | None]:
        if "log_metric" in columns and values:
            scored = sum(value is not None for value in values) / len(values)
            columns["log_metric"](f"rewards/{reward.__name__}/scored", scored)
        return values

    def run(prompts, completions, **columns) -> list[float | None]:
        return told(reward(prompts=prompts, completions=completions, **columns), columns)

    async def run_async(prompts, completions, **columns) -> list[float | None]:
        return told(await reward(prompts=prompts, completions=completions, **columns), columns)

    return carry(run_async if is_async(reward) else run, reward, name=reward.__name__)
