"""The policy as it was when training began, to measure the KL from; and whether its weights are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from accelerate.utils import is_peft_model
from transformers import PreTrainedModel, Trainer
from trl.trainer.utils import use_adapter


def frozen_base(
    trainer: Trainer, initial: PreTrainedModel | None
) -> Callable[[], AbstractContextManager[PreTrainedModel]]:
    """A context that yields the policy as it was when training began, to score with.

    Args:
        initial: a copy of the untrained policy, where the trainer keeps none (see `methods.keeps_base`).
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    if is_peft_model(model):
        return lambda: _without_adapter(model)
    if initial is not None:
        # As TRL does with its own reference: on the policy's GPU and in its precision, else the KL begins above 0.
        initial = trainer.accelerator.prepare_model(initial, evaluation_mode=True)
    return lambda: nullcontext(initial or trainer.accelerator.unwrap_model(trainer.ref_model))


def is_whole(model: torch.nn.Module) -> bool:
    """Whether a model's weights are all here, and not slices (FSDP2) or emptied in turn (ZeRO-3, FSDP1)."""
    from torch.distributed.tensor import DTensor

    return not any(
        isinstance(weight, DTensor) or hasattr(weight, "ds_id") or type(weight).__name__ == "FlatParameter"
        for weight in model.parameters()
    )


@contextmanager
def _without_adapter(model: PreTrainedModel) -> Iterator[PreTrainedModel]:
    # TRL keeps the starting point of an adapter that is trained further as the adapter "ref".
    with use_adapter(model, "ref" if "ref" in model.peft_config else None):
        yield model
