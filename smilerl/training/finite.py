"""Weights that are no numbers any more are never saved: what is learned from there on is nothing, and no later step mends it."""

from __future__ import annotations

import torch
from transformers import Trainer

from smilerl.runs.directory import RunError


def refuse_broken(trainer: Trainer, *, optimizer: bool) -> None:
    """Raises RunError where a weight, or a part of the optimizer's state, is NaN or infinite, in any process.

    Args:
        optimizer: whether to look at the optimizer's state, too.
    """
    own = [weight.detach() for weight in trainer.model.parameters()]
    if optimizer and trainer.optimizer is not None:
        states = getattr(trainer.optimizer, "state", {})
        own += [value for state in states.values() for value in state.values() if isinstance(value, torch.Tensor)]
    own = [getattr(one, "_local_tensor", one) for one in own]  # of weights that are split: this process's part
    answers = [
        torch.isfinite(one).all().to(trainer.args.device) for one in own if one.is_floating_point() and one.numel()
    ]
    broken = torch.tensor(0, device=trainer.args.device) if not answers else (~torch.stack(answers)).any().int()
    if trainer.accelerator.num_processes > 1:
        broken = trainer.accelerator.reduce(broken, reduction="sum")
    if int(broken):
        raise RunError(
            f"after step {trainer.state.global_step} there are weights, or averages of the optimizer, that are NaN or infinite: nothing of it is "
            "saved.\nLower training.learning_rate, keep training.max_grad_norm, train in bf16 or float32 rather than fp16, and look at the size "
            "of the rewards. The checkpoint before it is whole."
        )
