"""Decoding one batch: a prompt is read once however many rows it has, and rows that have ended leave the batch.

Replies end at very different lengths. `generate` carries every row along to the end of the longest; here the rest of
the batch goes on alone. The tokens are those that `generate` finds with the same choice of tokens (a test holds it),
and it is asked where a model keeps what it has read in another way, or an adapter has tokens of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

#: The batch is made smaller when fewer than this share of its rows go on: copying what has been read takes time, too.
_WORTH_COPYING = 0.75
#: What a model's `forward` takes if it can be decoded here.
_TAKES = {"position_ids", "attention_mask", "past_key_values"}

#: Caches that hold nothing but keys and values of each row. Others (recurrent states, convolutions) have a method of
#: the same name that leaves the rest where it was, or none.
_PLAIN = {"DynamicLayer", "DynamicSlidingWindowLayer"}

#: Logits [B, V] and the step to tokens [B], for the rows [B] of the batch.
Choose = Callable[[torch.Tensor, int, torch.Tensor], torch.Tensor]


def chooser(luck: torch.Tensor, temperature: float, top_p: float) -> Choose:
    """The token on which a row's number for this step falls in the cumulative distribution; the likeliest at
    temperature 0.

    Args:
        luck: numbers in [0, 1), [rows, steps].
    """
    nucleus = TopPLogitsWarper(top_p) if top_p < 1 else None

    def choose(logits: torch.Tensor, step: int, rows: torch.Tensor) -> torch.Tensor:
        if temperature == 0:
            return logits.argmax(-1)
        scores = logits.float() / temperature
        if nucleus is not None:
            scores = nucleus(None, scores)
        # Double precision, since a vocabulary of 150,000 sums to 1 only roughly in single.
        cumulative = scores.softmax(-1).double().cumsum(-1)
        drawn = luck[rows, step, None] * cumulative[:, -1:]
        # right: a token of probability zero is never drawn, not even by a number of exactly 0.
        token = torch.searchsorted(cumulative, drawn, right=True)
        return token[:, 0].clamp(max=scores.shape[-1] - 1)

    return choose


def decode(
    model: Any,
    prompts: torch.Tensor,
    mask: torch.Tensor,
    owner: torch.Tensor,
    choose: Choose,
    steps: int,
    ends: set[int],
    pad: int,
) -> list[list[int]]:
    """Continues each row's prompt until it ends, or for `steps` tokens.

    Args:
        prompts, mask: token ids and attention mask of the different prompts, [U, T], padded on the left.
        owner: which of them each of the B rows continues, [B].
        ends: the tokens that end a row.
        pad: any token id, for what has ended.

    Returns:
        B lists of token ids; the last of a row that ended is among `ends`.
    """
    takes = set(inspect.signature(_inner(model).forward).parameters)
    read = _read(model, prompts, mask, takes) if takes >= _TAKES and not _has_virtual_tokens(model) else None
    cache: Any = getattr(read, "past_key_values", None)
    if read is None or not rows_can_be_chosen(cache):
        return _generated(model, prompts[owner], mask[owner], choose, steps, ends, pad)
    cache.batch_select_indices(owner)
    logits, mask = read.logits[owner, -1], mask[owner]
    position, rows = mask.sum(1, keepdim=True), torch.arange(len(owner), device=owner.device)
    last = torch.tensor(sorted(ends), device=owner.device)
    tokens = torch.full((len(owner), steps), -1, device=owner.device)
    alive = torch.ones(len(owner), dtype=torch.bool, device=owner.device)
    for step in range(steps):
        chosen = choose(logits, step, rows)
        tokens[rows[alive], step] = chosen[alive]
        alive &= ~torch.isin(chosen, last)
        left = int(alive.sum())
        if left == 0 or step == steps - 1:
            break
        if left < _WORTH_COPYING * len(rows):
            keep = alive.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            rows, mask, position, chosen, alive = (one[keep] for one in (rows, mask, position, chosen, alive))
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        logits = model(
            input_ids=chosen[:, None], attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True
        ).logits[:, -1]
        position = position + 1
    return [[token for token in row if token >= 0] for row in tokens.tolist()]


def rows_can_be_chosen(cache: Any) -> bool:
    """Whether all that a cache holds follows when its rows are chosen anew."""
    layers: Any = getattr(cache, "layers", None)
    return bool(layers) and all(type(layer).__name__ in _PLAIN for layer in layers)


def _has_virtual_tokens(model: Any) -> bool:
    """Whether an adapter puts tokens of its own before the prompt, which each call would do again."""
    return bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))


def _read(model: Any, prompts: torch.Tensor, mask: torch.Tensor, takes: set[str]) -> Any:
    keep = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return model(input_ids=prompts, attention_mask=mask, position_ids=positions, use_cache=True, **keep)


def _inner(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class _Chosen(LogitsProcessor):
    """Leaves one token possible in each row: the chosen one."""

    def __init__(self, choose: Choose, prompt_length: int):
        self.choose, self.prompt_length = choose, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(len(scores), device=scores.device)
        token = self.choose(scores, input_ids.shape[1] - self.prompt_length, rows)
        return torch.full_like(scores, -torch.inf).scatter_(1, token[:, None], 0.0)


def _generated(
    model: Any, prompts: torch.Tensor, mask: torch.Tensor, choose: Choose, steps: int, ends: set[int], pad: int
) -> list[list[int]]:
    """The same by `generate`."""
    settings = GenerationConfig(
        max_new_tokens=steps,
        do_sample=False,
        eos_token_id=sorted(ends),
        pad_token_id=pad,
        use_cache=True,
        # Neutral values, said aloud: what is left unsaid is taken from the settings that the model was published with.
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
    )
    out = model.generate(
        input_ids=prompts,
        attention_mask=mask,
        generation_config=settings,
        logits_processor=LogitsProcessorList([_Chosen(choose, prompts.shape[1])]),
    )
    rows = out[:, prompts.shape[1] :].tolist()
    return [row[: 1 + next((at for at, token in enumerate(row) if token in ends), len(row))] for row in rows]
