"""The base under a trainer's adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel
from trl.trainer.utils import use_adapter


@contextmanager
def without_adapter(model: PreTrainedModel) -> Iterator[PreTrainedModel]:
    """Yields a PEFT model as it was when training began.

    TRL keeps the starting point of an adapter that is trained further as the adapter "ref".
    """
    with use_adapter(model, "ref" if "ref" in model.peft_config else None):
        yield model
