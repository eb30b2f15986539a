"""The share of completions that a reward could score, beside its mean in TRL's log.

TRL leaves None out of a reward's mean without a word, so a mean over the three people who could be understood would look like
one over all.
"""

from __future__ import annotations

from collections.abc import Callable

from smilerl.rewards._carried import carry, is_async


def reported(reward: Callable) -> Callable:
    """`reward`, which logs `rewards/<name>/scored`, in [0, 1], where the trainer takes metrics. Async ones are left as they are."""
    if is_async(reward):
        return reward

    def run(prompts, completions, **columns) -> list[float | None]:
        values = reward(prompts=prompts, completions=completions, **columns)
        if "log_metric" in columns and values:
            scored = sum(value is not None for value in values) / len(values)
            columns["log_metric"](f"rewards/{reward.__name__}/scored", scored)
        return values

    return carry(run, reward, name=reward.__name__)
