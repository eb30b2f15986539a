"""Decodes a batch: reads each different prompt once, and drops rows that have ended from the batch.

`generate` reads a prompt once per row and carries each row to the end of the longest. Both give the same tokens for the
same choice of tokens (a test holds it); `benchmarks/decoding.py` measures what this saves. `generate` decodes models
whose cache holds more than keys and values, and adapters with virtual tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, TopPLogitsWarper
from transformers.cache_utils import DynamicLayer

#: Rows are dropped once fewer than this share of them go on, since copying the cache takes time, too.
_WORTH_COPYING = 0.75
#: Arguments that a model's `forward` needs to be decoded here.
TAKES = {"position_ids", "attention_mask", "past_key_values"}
#: Cache layers with only keys and values. Others, such as recurrent states, do not select all of their rows.
_PLAIN = {"DynamicLayer", "DynamicSlidingWindowLayer"}

#: Logits [B, V] and the step to tokens [B], for the rows [B] of the batch.
Choose = Callable[[torch.Tensor, int, torch.Tensor], torch.Tensor]
#: Scores [B, V], logits over the temperature, and the tokens chosen [B] to a number for each [B].
Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def logprob(scores: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Log-probability of the chosen token, in nats."""
    return scores.gather(1, chosen[:, None])[:, 0] - scores.logsumexp(1)


def entropy(scores: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Entropy of the choice, in nats, whatever was chosen."""
    return scores.logsumexp(1) - (scores.softmax(1) * scores).sum(1)


def measuring(choose: Choose, measure: Measure, temperature: float, found: torch.Tensor) -> Choose:
    """`choose`, which notes a number for each token.

    Args:
        temperature: above 0.
        found: [rows, steps], takes the numbers; those after the end of a row mean nothing.
    """

    def noted(logits: torch.Tensor, step: int, rows: torch.Tensor) -> torch.Tensor:
        chosen = choose(logits, step, rows)
        found[rows, step] = measure(logits.float() / temperature, chosen)
        return chosen

    return noted


def chooser(uniforms: torch.Tensor, temperature: float, top_p: float) -> Choose:
    """The token at which a row's uniform number falls in the cumulative distribution; the likeliest at temperature 0.

    Args:
        uniforms: numbers in [0, 1), [rows, steps].
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
        drawn = uniforms[rows, step, None] * cumulative[:, -1:]
        # right: a token of probability zero is never drawn, not even by a number of exactly 0.
        return torch.searchsorted(cumulative, drawn, right=True)[:, 0].clamp(max=scores.shape[-1] - 1)

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
        pad: any token id, for rows that have ended.

    Returns:
        B lists of token ids; the last of a row that ended is among `ends`.
    """
    read = _read(model, prompts, mask)
    if read is None:
        return generated(model, prompts, mask, owner, choose, steps, ends, pad)
    cache = read.past_key_values
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            cache.layers[number] = _Roomy(layer, owner, steps)
        else:
            layer.batch_select_indices(owner)
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


class _Roomy(DynamicLayer):
    """Keys and values [B, H, T, D] with room for those to come: transformers' own copies all of them at each token."""

    def __init__(self, read: DynamicLayer, owner: torch.Tensor, more: int) -> None:
        """
        Args:
            read: what was read of the prompts.
            owner: the row of `read` that each row goes on from, [B].
            more: tokens to come.
        """
        super().__init__()
        self.dtype, self.device, self.is_initialized = read.dtype, read.device, True
        self._rooms = [self._with_room(one, owner, more) for one in (read.keys, read.values)]
        self._show(read.keys.shape[-2])

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any):
        """Takes what was read since; there has to be room for it."""
        have = self.keys.shape[-2]
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, have : have + new.shape[-2]] = new
        self._show(have + key_states.shape[-2])
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Only keep these rows."""
        have = self.keys.shape[-2]
        self._rooms = [room[indices] for room in self._rooms]
        self._show(have)

    def _show(self, length: int) -> None:
        self.keys, self.values = (room[:, :, :length] for room in self._rooms)

    @staticmethod
    def _with_room(read: torch.Tensor, owner: torch.Tensor, more: int) -> torch.Tensor:
        _, heads, length, size = read.shape
        room = read.new_empty(len(owner), heads, length + more, size)
        room[:, :, :length] = read[owner]
        return room


def rows_can_be_chosen(cache: Any) -> bool:
    """Whether selecting rows of a cache selects all that it holds."""
    layers: Any = getattr(cache, "layers", None)
    return bool(layers) and all(type(layer).__name__ in _PLAIN for layer in layers)


def has_virtual_tokens(model: Any) -> bool:
    """Whether it is an adapter with virtual tokens, which it would put in front again at each call."""
    return getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False)


def arguments(model: Any) -> set[str]:
    """The names that a model's `forward` takes, inside an adapter too."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return set(inspect.signature(inner.forward).parameters)


def _read(model: Any, prompts: torch.Tensor, mask: torch.Tensor) -> Any:
    """The model's output for the prompts, with its cache; None where rows of the cache cannot be selected."""
    takes = arguments(model)
    if has_virtual_tokens(model) or not takes >= TAKES:
        return None
    keep = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    read = model(input_ids=prompts, attention_mask=mask, position_ids=positions, use_cache=True, **keep)
    return read if rows_can_be_chosen(getattr(read, "past_key_values", None)) else None


class _Chosen(LogitsProcessor):
    """Makes the chosen token of each row the only possible one."""

    def __init__(self, choose: Choose, prompt_length: int):
        self.choose, self.prompt_length = choose, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(len(scores), device=scores.device)
        token = self.choose(scores, input_ids.shape[1] - self.prompt_length, rows)
        return torch.full_like(scores, -torch.inf).scatter_(1, token[:, None], 0.0)


def generated(
    model: Any,
    prompts: torch.Tensor,
    mask: torch.Tensor,
    owner: torch.Tensor,
    choose: Choose,
    steps: int,
    ends: set[int],
    pad: int,
) -> list[list[int]]:
    """The result of `decode` by the model's `generate`, for any model."""
    settings = GenerationConfig(
        max_new_tokens=steps, do_sample=False, eos_token_id=sorted(ends), pad_token_id=pad, use_cache=True,
        # Neutral values; what is left out is taken from the settings that the model was published with.
        num_beams=1, repetition_penalty=1.0, no_repeat_ngram_size=0,
    )  # fmt: skip
    processors = LogitsProcessorList([_Chosen(choose, prompts.shape[1])])
    out = model.generate(
        input_ids=prompts[owner], attention_mask=mask[owner], generation_config=settings, logits_processor=processors
    )
    rows = out[:, prompts.shape[1] :].tolist()
    return [row[: 1 + next((at for at, token in enumerate(row) if token in ends), len(row))] for row in rows]
