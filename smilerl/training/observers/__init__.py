"""Observers watch a run while it trains, one file each: what they write goes to the run, its trackers and the screen.

An observer's file has `build(watched)`, which gives a `transformers.TrainerCallback`, or None where this run is not
watched so:

    class Norms(TrainerCallback):
        def __init__(self, write):
            self.write = write

        def on_step_end(self, args, state, control, model=None, **kwargs):
            self.write({"step": state.global_step, "norm": float(sum(weight.norm() for weight in model.parameters()))})

    def build(watched: Watched):
        return Norms(watched.write)
"""

from __future__ import annotations

import importlib
import pkgutil

from transformers import TrainerCallback

from smilerl.training.observers.base import Watched


def names() -> list[str]:
    """The observers there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def built(watched: Watched) -> list[TrainerCallback]:
    """All observers of a run."""
    found = (importlib.import_module(f"{__name__}.{name}").build(watched) for name in names())
    return [observer for observer in found if observer is not None]
