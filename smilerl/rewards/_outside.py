"""Asking a reward about replies that no trainer has sampled: it is given the same, in the same form, as in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from smilerl import worlds
from smilerl.models.messages import as_trained


def ask_outside(
    reward: Callable[..., list[float | None]],
    prompts: Sequence,
    people: Sequence[str],
    completions: Sequence,
    **more: Any,
) -> list[float | None]:
    """The values of N replies, None where there is no score.

    Args:
        reward: TRL's protocol, such as `summed` makes it.
        prompts: N, plain or messages; those of a Parquet file hold arrays of messages, and become lists.
        people: N person JSONs, which hold the columns of the data.
        completions: N texts, or messages.
        more: what else it is given.
    """
    asked = [prompt if isinstance(prompt, str) else [dict(message) for message in prompt] for prompt in prompts]
    given = {**worlds.columns_of(people), **more}
    return reward(prompts=asked, completions=as_trained(asked, completions), person=list(people), **given)
