"""Completions with the tag in front by which the chat template opened the policy's thoughts, which TRL leaves in the
prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smilerl.models.replies import opened
from smilerl.rewards._carried import carry, is_async, name_of


def with_opening(reward: Callable, tag: str) -> Callable:
    """`reward`, asked about completions that begin with the tag where prompts are messages. Without a tag: the reward
    itself.
    """
    if not tag:
        return reward

    def whole(prompts: Sequence, completions: Sequence) -> Sequence:
        talks = not len(prompts) or not isinstance(prompts[0], str)
        return [opened(completion, tag) for completion in completions] if talks else completions

    def run(prompts, completions, **columns) -> list[float | None]:
        return reward(prompts=prompts, completions=whole(prompts, completions), **columns)

    async def run_async(prompts, completions, **columns) -> list[float | None]:
        return await reward(prompts=prompts, completions=whole(prompts, completions), **columns)

    return carry(run_async if is_async(reward) else run, reward, name=name_of(reward))
