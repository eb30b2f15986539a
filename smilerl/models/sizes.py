"""The largest sizes of a model that is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: The largest sizes of a model that is built, so that a configuration cannot take all memory.
_LARGEST = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "encoder_layers", "decoder_layers"), 2_000),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "intermediate_size", "num_attention_heads"), 2**20),
    **dict.fromkeys(("vocab_size", "max_position_embeddings", "n_positions"), 2**28),
}


def too_large(said: Any) -> str | None:
    """What of a configuration, or of a part of it, is larger than any model's, in a clause; None where nothing is."""
    for key, value in _sizes(said):
        if isinstance(value, int) and value > _LARGEST[key]:
            return f"{key} is {value}, but no model has more than {_LARGEST[key]}"
    return None


def _sizes(said: Any) -> Iterator[tuple[str, Any]]:
    """The sizes in a configuration and its parts."""
    if isinstance(said, dict):
        for name, value in said.items():
            if name in _LARGEST:
                yield name, value
            yield from _sizes(value)
