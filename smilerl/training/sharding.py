"""Detects sharded weights (FSDP, ZeRO-3) and lists the features they rule out.

Under FSDP and DeepSpeed ZeRO-3 a process holds a slice of every weight. TRL gathers them to generate and to compute
losses, all processes together. `observers.held_out` samples in the main process alone, which would wait for the others
forever, and a copy of a slice is no copy of the base. So held-out people are not sampled, and the run says so. DDP and
ZeRO-1 and 2 keep the weights whole and lose nothing. A reward model is whole in each process under all of them.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

from smilerl.config.recipe import Recipe
from smilerl.config.trl import settings
from smilerl.io import bounded
from smilerl.models.whole import loading_whole
from smilerl.rewards import Around
from smilerl.runs.launch import flag


def sharded(recipe: Recipe) -> str | None:
    """What splits the weights over processes, by the launcher's environment and the recipe; None: nothing does."""
    if flag("ACCELERATE_USE_FSDP") or recipe.training.get("fsdp"):
        return "FSDP"
    said = recipe.training.get("deepspeed")
    if said or flag("ACCELERATE_USE_DEEPSPEED"):
        file = said or os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE")
        stage = _zero(file).get("stage") if file else os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
        return "DeepSpeed ZeRO-3" if str(stage) == "3" else None
    return None


def why_unwatched(recipe: Recipe) -> str | None:
    """Why this run's held-out people cannot be sampled while it trains; None where they can, or where there are none.

    Raises:
        RecipeError: the run would end without a measured KL, or could not save what it trained.
    """
    by = sharded(recipe)
    if by is None:
        return None
    if by == "DeepSpeed ZeRO-3" and not _gathers_to_save(recipe):
        fix = "Write `zero3_save_16bit_model: true` in its deepspeed_config, as recipes/accelerate/zero3.yaml does."
        raise recipe.error("training", "the launcher's ZeRO-3 settings do not let the trained model be saved.", fix)
    said = settings(recipe)
    samples = "max_completion_length" in said
    if "beta" not in said:
        return None  # no base to compare with, so nobody is sampled anyway
    if samples and said["beta"] == 0:
        text = f"with beta 0 TRL measures no KL, and under {by} held-out people cannot be sampled:"
        fix = "Write a small `beta: 0.001`, or train on one GPU or under recipes/accelerate/ddp.yaml."
        raise recipe.error("training.beta", f"{text} nothing would tell how far the policy moves.", fix)
    if samples and not recipe.held_out.every:
        return None
    measured = "the KL is TRL's own, on training prompts" if samples else "no KL is measured"
    return (
        f"held-out people are not sampled under {by}, where no process has the whole model; {measured}. "
        "Evaluate the finished run: smilerl eval RUN"
    )


class WithWholeModels(Around):
    """A reward that loads its models whole even where the policy is sharded.

    A reward loads its model when it is first called. By then transformers knows that the run is sharded, and would load
    that one as slices too (ZeRO-3), or in the first process alone (FSDP with `fsdp_cpu_ram_efficient_loading`).
    """

    def around(self) -> AbstractContextManager[None]:
        return loading_whole()


def _gathers_to_save(recipe: Recipe) -> bool:
    file = recipe.training.get("deepspeed") or os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE")
    if file:
        return bool(_zero(file).get("stage3_gather_16bit_weights_on_model_save"))
    return flag("ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL")


def _zero(file: str | dict[str, Any]) -> dict[str, Any]:
    """The part on ZeRO of a DeepSpeed configuration: a mapping, or the JSON file that holds it."""
    return (file if isinstance(file, dict) else bounded.mapping(file)).get("zero_optimization", {})
