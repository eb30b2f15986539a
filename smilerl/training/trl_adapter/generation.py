"""Sampling as GRPO's trainer does it itself, so that vLLM and sharded models work alike.

TRL has no public way: `tests/training/test_rollouts.py` holds that one turn is ordinary GRPO.
"""

from __future__ import annotations

from typing import Any


def tokenized(trainer: Any, prompts: list) -> tuple[list[list[int]], Any, dict]:
    """Prompts as the trainer tokenizes them: N lists of token ids, images or None, further fields of images."""
    return trainer._tokenize_prompts(prompts)


def replies(
    trainer: Any, ids: list[list[int]], images: Any = None, more: dict | None = None, group: int = 1
) -> tuple[list[list[int]], list[list[float]] | None]:
    """A completion to each of N tokenized prompts: token ids, and log-probabilities where the sampler gives them.

    Args:
        group: how often each prompt is repeated in a row.
    """
    return trainer._generate_single_turn(ids, images, more or {}, group)
