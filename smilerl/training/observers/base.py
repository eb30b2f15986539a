"""What an observer gets of a run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, Trainer, TrainerState

from smilerl.config.recipe import Recipe
from smilerl.worlds.base import World

#: Takes one row of the log: `step` and the numbers.
Write = Callable[[dict[str, float | None]], None]


@dataclass(frozen=True)
class Sampled:
    """What a policy said to the held-out people at one step.

    Attributes:
        state: of the trainer; its `global_step` is 0 for the base.
        people: N person JSONs.
        prompts: N prompts, plain or messages.
        completions: N texts.
        completion_ids: the same as token ids, with EOS where the reply ended and was not cut off.
        kl: array [N], log π − log π_base of each completion, in nats.
    """

    state: TrainerState
    people: list[str]
    prompts: list
    completions: list[str]
    completion_ids: list[list[int]]
    kl: np.ndarray


@dataclass(frozen=True)
class Watched:
    """A run that is about to train.

    Attributes:
        recipe: with directories in place of models.
        trainer: TRL's, ready to train; its `processing_class` is the policy's tokenizer.
        write: logs a row, under the same names in metrics.jsonl, in the trackers of `report_to`, and on the screen.
        base: a context that yields the policy as it was when training began; None where no held-out people are sampled.
        score: the numbers to log of held-out people's replies; see `gold_log`.
    """

    recipe: Recipe
    world: World
    trainer: Trainer
    write: Write
    base: Callable[[], AbstractContextManager[PreTrainedModel]] | None
    score: Callable[[Sampled], dict[str, float]]
