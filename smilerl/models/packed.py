"""Which models can read several texts in one row, each seeing only what it should, and how they are asked to.

Full attention with rotary or learned positions: a mask says what each token sees, and positions where it stands.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel

#: Rotary embeddings whose frequencies depend on the length of what is read.
_BY_LENGTH = {"dynamic", "longrope"}


def why_not(model: Any) -> str | None:
    """Why the model cannot, in words; None where it can, as far as its config says."""
    inner = plain(model)
    config = inner.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    if inner.config.is_encoder_decoder or config is not inner.config:
        return "the model is not a plain decoder of text"
    if inner._is_stateful or kinds - {"full_attention", "sliding_attention"}:
        return "the model has layers that are not attention"
    if config._attn_implementation not in ("sdpa", "eager"):
        return f"attn_implementation is {config._attn_implementation}; sdpa and eager take a mask of two dimensions"
    if getattr(config, "alibi", False) or "position_ids" not in inspect.signature(inner.base_model.forward).parameters:
        return "the model takes no positions"
    if by_length(model):
        return "the model's positions depend on the length of a row"
    return None


def by_length(model: Any) -> bool:
    """Whether the model's positions depend on the length of a row."""
    rope = getattr(plain(model).config.get_text_config(), "rope_parameters", None) or {}
    return any(one.get("rope_type") in _BY_LENGTH for one in (rope, *rope.values()) if isinstance(one, dict))


def fits_window(model: Any, length: int) -> bool:
    """Whether a row of so many tokens is within the model's window, if it has one."""
    window = getattr(plain(model).config, "sliding_window", None)
    return window is None or length <= window


def plain(model: Any) -> Any:
    """The transformers model inside wrappers of accelerate and peft."""
    inner = extract_model_from_parallel(model)
    return inner.get_base_model() if hasattr(inner, "peft_config") else inner


def attention(allowed: torch.Tensor, model: Any) -> torch.Tensor:
    """What is allowed to see what, [B, 1, L, L]: for SDPA as it is; for eager attention 0 where it is, and next to
    minus infinity elsewhere."""
    inner = plain(model)
    if inner.config._attn_implementation == "sdpa":
        return allowed
    least = torch.finfo(inner.dtype).min
    return torch.zeros(allowed.shape, dtype=inner.dtype, device=allowed.device).masked_fill(~allowed, least)


def padded(rows: Sequence[Sequence[int]], pad: int, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [B, T] and attention mask [B, T], padded on one side, `left` or `right`."""
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row, dtype=torch.long) for row in rows], True, pad, side)
    there = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row), dtype=torch.long) for row in rows], True, 0, side)
    return ids, there


@contextmanager
def to_the_head(model: Any, choose: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Only what is chosen of the last hidden states [B, L, H] reaches the head: no logits of what is not scored."""

    def cut(module: Any, given: Any, output: Any) -> Any:
        output.last_hidden_state = choose(output.last_hidden_state)
        return output

    handle = plain(model).base_model.register_forward_hook(cut)
    try:
        yield
    finally:
        handle.remove()
