"""Samples held-out people while a policy trains, and logs its KL from the base and how they fare.

A person's outcome is not seen here: `gold_log.scorer` makes the function that turns replies into numbers to log.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

from smilerl.config.schedule import log_steps
from smilerl.io.terminal import say
from smilerl.models.decoding import logprob
from smilerl.models.policy import Policy
from smilerl.models.randomness import unmoved_randomness
from smilerl.models.sampling import completion_logprobs, decoded, sample_measured
from smilerl.rewards._asking import StopAsked
from smilerl.runs.directory import RunError
from smilerl.training import methods
from smilerl.training.observers.base import Sampled, Watched, Write
from smilerl.training.trl_adapter.adapters import is_whole

#: Nats per completion in which two ways of computing the same log-probability may differ.
_ROUNDING = 1e-4


def build(watched: Watched) -> HeldOut | None:
    """Where held-out people are sampled, see `supply.meets_held_out`."""
    held_out = watched.recipe.held_out
    if watched.base is None:
        return None
    return HeldOut(
        watched.world.people(held_out.split, held_out.n, held_out.seed),
        every=held_out.every,
        at=held_out.at,
        tokenizer=watched.trainer.processing_class,
        max_new_tokens=methods.completion_length(watched.recipe),
        base=watched.base,
        score=watched.score,
        write=watched.write,
        seed=held_out.seed,
    )


class HeldOut(TrainerCallback):
    """Samples the same held-out people at step 0, on a schedule and at the end, and logs how they fare.

    Logged as `held_out/<name>`: `kl`, the mean of log π − log π_base over the completions sampled at temperature 1, in
    nats per completion (`kl_se` is its standard error); `length` in tokens; and whatever `score` returns. Moves no
    random state. Under a distributed launch the main process samples alone, so each process needs the whole model (not
    FSDP, not DeepSpeed ZeRO-3; see `smilerl.training.sharding`).
    """

    def __init__(
        self,
        people: Dataset,
        *,
        every: int,
        tokenizer,
        max_new_tokens: int,
        base: Callable[[], AbstractContextManager[PreTrainedModel]],
        score: Callable[[Sampled], dict[str, float]],
        write: Write,
        seed: int = 0,
        at: Literal["every", "log"] = "every",
    ):
        """
        Args:
            people: columns `prompt` and `person`.
            every: steps between samples; 0 samples only once, at the end, for the KL.
            base: a context in which the frozen base can be used, see `trl_adapter.adapters.frozen_base`.
            score: what to log of the sampled replies.
            seed: of the sampling, the same at each step, so that steps differ by the policy alone.
            at: `every`; or `log`, at the steps of `schedule.log_steps` instead. They depend on the run's number of
                steps alone, so that a resumed run has the same.
        """
        self.people, self.every, self.tokenizer, self.max_new_tokens = people, every, tokenizer, max_new_tokens
        self.base, self.score, self.write, self.seed = base, score, write, seed
        self.at = at
        self.last: int | None = None

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Measure the base before the first step; a resumed run has done so.

        Raises:
            RunError: this process has only slices of the weights; sampling would wait for the others forever.
        """
        if not is_whole(model):
            raise RunError(
                "held-out people cannot be sampled: the weights are split over the processes, by other means than the "
                "launcher's environment or the recipe's fsdp and deepspeed. Set held_out.every to 0 and beta above 0."
            )
        if self.every and state.global_step == 0:
            self._measure(model, args, state)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Measure at the steps of the schedule."""
        if self.every and self._is_due(state):
            self._measure(model, args, state)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        """Measure the last step."""
        if self.last != state.global_step:
            self._measure(model, args, state)

    def _is_due(self, state) -> bool:
        if self.at == "log":
            return state.global_step in log_steps(state.max_steps)
        return state.global_step % self.every == 0

    def _measure(self, model: PreTrainedModel, args: TrainingArguments, state) -> None:
        self.last = state.global_step
        if not state.is_world_process_zero:
            return
        started = time.perf_counter()
        with unmoved_randomness(), _evaluating(model):
            policy = Policy(model, self.tokenizer, "policy")
            prompts, people = list(self.people["prompt"]), list(self.people["person"])
            ids, kl = sample_measured(policy, prompts, logprob, max_new_tokens=self.max_new_tokens, seed=self.seed)
            if args.bf16 or args.fp16 or model.dtype != torch.float32:  # sampling rounds otherwise than a whole pass
                kl = completion_logprobs(policy, prompts, ids)
            with self.base() as base, _evaluating(base):
                kl -= completion_logprobs(Policy(base, self.tokenizer, "base"), prompts, ids)
            kl[np.abs(kl) <= _ROUNDING] = 0.0
            texts = decoded(self.tokenizer, prompts, ids)
            try:
                numbers = self.score(Sampled(state, people, prompts, texts, ids, kl))
            except StopAsked:
                if PartialState().num_processes == 1:
                    raise  # the resumed run measures this step again
                # The other processes wait for the end of this step, and a row without the reward would be wrong.
                say(f"the held-out people of step {state.global_step} are not scored: the run is asked to stop")
                return
        row: dict[str, float | None] = {
            "kl": float(kl.mean()),
            "kl_se": float(kl.std(ddof=1) / math.sqrt(len(kl))) if len(kl) > 1 else None,
            "length": float(np.mean([len(one) for one in ids])),
            **numbers,
            "seconds": time.perf_counter() - started,
        }
        self.write({"step": state.global_step, **{f"held_out/{name}": value for name, value in row.items()}})


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
