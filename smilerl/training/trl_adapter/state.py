"""Reads and puts back what decides how training goes on, or is logged, and is in no checkpoint of the trainers.

After a save in the middle of a generation buffer, or in the second epoch (TRL's sampler starts over), the trainer's own
checkpoint goes on with other numbers. `tests/training/test_resume.py` compares the final weights bit by bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from transformers import Trainer
from trl.trainer.utils import RepeatSampler

#: Attributes as they are; a trainer has some of them.
_CARRIED = (
    "_step",  # passes so far: which slice of the buffer is next, and when to generate
    "_buffered_inputs",  # completions that have been sampled and scored, and not trained on yet
    "_entropy_window_stats",
    "_total_train_tokens",
    "_total_loss_scalar",
    "_globalstep_last_logged",
    "draws",  # see `shared_prompt`: found out on the first batch, and by rounding another batch could tell otherwise
)


def state_of(trainer: Trainer) -> dict[str, Any]:
    """What is missing in the trainer's checkpoint: plain data, and no object that training goes on to change."""
    saved = {name: getattr(trainer, name) for name in _CARRIED if hasattr(trainer, name)}
    logs = getattr(trainer, "_logs", {}) if getattr(trainer.args, "log_completions", False) else {}
    loss = trainer._tr_loss
    return {
        "carried": {name: _plain(value) for name, value in saved.items()},
        "loss": loss.detach().clone() if isinstance(loss, torch.Tensor) else loss,
        "metrics": _plain(getattr(trainer, "_metrics", {})),
        "logs": {name: _plain(own) for name, own in logs.items()},
    }


def put_back(trainer: Trainer, saved: Mapping[str, Any]) -> None:
    """Gives a trainer what `state_of` gave of it, after its own checkpoint has been loaded and before the next step."""
    for name, value in saved["carried"].items():
        setattr(trainer, name, value)
    trainer._tr_loss.copy_(saved["loss"])
    for mode, own in saved["metrics"].items():
        trainer._metrics[mode].clear()
        trainer._metrics[mode].update({name: list(values) for name, values in own.items()})
    for name, own in saved["logs"].items():
        _refill(trainer._logs[name], own)


def mean_loss(trainer: Trainer) -> float:
    """The mean loss of the whole run: after a resume the trainer divides by the steps of its own process alone."""
    return trainer._total_loss_scalar / trainer.state.global_step


def save_checkpoint(trainer: Trainer) -> None:
    """Lets the trainer write its own checkpoint now."""
    trainer._save_checkpoint(trainer.model_wrapped, None)


def start_epochs(dataloader: Any, number: int) -> None:
    """Leaves TRL's sampler as that many epochs leave it: each begins with a draw from the sampler's own generator."""
    sampler = getattr(dataloader, "batch_sampler", None)
    while (inner := getattr(sampler, "batch_sampler", None) or getattr(sampler, "sampler", None)) is not None:
        sampler = inner
    if isinstance(sampler, RepeatSampler):
        for _ in range(number):
            next(iter(sampler), None)


def _plain(value: Any) -> Any:
    """Dicts, lists and deques of whatever kind as plain dicts and lists; TRL's default factories cannot be saved."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | deque):
        return [_plain(item) for item in value]
    return value


def _refill(log: Any, own: Any) -> None:
    """Puts these contents alone into a deque of TRL's log, or into each of a dict of them."""
    if isinstance(own, dict):
        for column, values in own.items():
            _refill(log[column], values)
    else:
        log.clear()
        log.extend(own)
