"""Scores texts that begin alike by reading their common beginning once: the completions of a group share its prompt.

Only where it gives what reading each text whole gives: decoders whose cache holds keys and values alone, in float32,
once a batch of real texts has come out the same both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch

from smilerl.models import packed
from smilerl.models.decoding import TAKES, arguments, has_virtual_tokens, rows_can_be_chosen

#: Texts belong together where they have at least this share of their tokens in common with their neighbour.
_ALIKE = 0.5
#: How far the two ways may be apart, in steps of single precision at the size of the logits.
_ROUNDING = 256

#: Token ids of texts to logits [B, labels].
Whole = Callable[[list[Sequence[int]]], torch.Tensor]


def can_share(model: Any) -> bool:
    """Whether the model may be able to; the first batch decides."""
    takes = arguments(model) >= TAKES and not has_virtual_tokens(model)
    return model.dtype == torch.float32 and takes and not packed.by_length(model)


def batches(texts: Sequence[Sequence[int]], pad: int | None, size: int, tokens: int) -> Iterator[list[list[int]]]:
    """Row numbers of texts that begin alike, groups of two and more, in batches within both limits; the rest in none.

    Args:
        pad: the token that models take for no part of a text.
        size: texts in a batch, at most.
        tokens: keys that a batch may hold, at most.
    """
    groups = [group for group in _groups(texts) if len(group) > 1 and _beginning(texts, group, pad)]
    batch: list[list[int]] = []
    rows = longest = 0
    for group in sorted(groups, key=lambda group: -max(len(texts[row]) for row in group)):
        for start in range(0, len(group), size):
            part = group[start : start + size]
            longest = max(longest, *(len(texts[row]) for row in part))
            if batch and (rows + len(part) > size or (rows + len(part)) * longest > tokens):
                yield batch
                batch, rows, longest = [], 0, max(len(texts[row]) for row in part)
            batch.append(part)
            rows += len(part)
    if batch:
        yield batch


def logits(
    model: Any, texts: Sequence[Sequence[int]], groups: Sequence[Sequence[int]], pad: int
) -> torch.Tensor | None:
    """Logits [B, labels] of the rows of the groups, one after the other; None where the model's cache is another."""
    starts = [_beginning(texts, group, pad) for group in groups]
    inputs, mask = packed.padded(
        [texts[group[0]][:start] for group, start in zip(groups, starts, strict=True)], pad, "left"
    )
    ends = [texts[row][start:] for group, start in zip(groups, starts, strict=True) for row in group]
    further, there = packed.padded(ends, pad, "right")
    owner = torch.tensor([number for number, group in enumerate(groups) for _ in group])
    inputs, mask, further, there, owner = (one.to(model.device) for one in (inputs, mask, further, there, owner))
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    read = model(input_ids=inputs, attention_mask=mask, position_ids=positions, use_cache=True)
    cache: Any = getattr(read, "past_key_values", None)
    if not rows_can_be_chosen(cache):
        return None
    cache.batch_select_indices(owner)
    places = mask.sum(1)[owner, None] + torch.arange(further.shape[1], device=further.device)
    seen = torch.cat([mask[owner], there], 1)
    return model(
        input_ids=further, attention_mask=seen, position_ids=places, past_key_values=cache, use_cache=True
    ).logits.float()


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two ways of computing logits differ by rounding alone."""
    size = max(1.0, float(other.abs().max()))
    return float((one - other).abs().max()) <= _ROUNDING * torch.finfo(torch.float32).eps * size


def _groups(texts: Sequence[Sequence[int]]) -> list[list[int]]:
    order = sorted(range(len(texts)), key=lambda row: list(texts[row]))
    groups: list[list[int]] = [order[:1]] if order else []
    for before, row in pairwise(order):
        if _common(texts[before], texts[row]) >= _ALIKE * max(len(texts[before]), len(texts[row])):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _beginning(texts: Sequence[Sequence[int]], group: Sequence[int], pad: int | None) -> int:
    """How many tokens a group has in common, but for the last of each text that is no padding, which is its score's."""
    common = _common(texts[group[0]], texts[group[-1]])  # groups are in order, so these differ first
    return min(common, *(_last(texts[row], pad) for row in group))


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)


def _last(text: Sequence[int], pad: int | None) -> int:
    return next((place for place in reversed(range(len(text))) if text[place] != pad), 0)
