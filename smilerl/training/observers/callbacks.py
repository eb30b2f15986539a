"""What is watched while a policy trains: its log, its progress, and how it fares with held-out people.

Nothing here knows a person's outcome. `HeldOut` samples and measures the KL; what the replies did to the people is worked out
by a function that the entry point hands over, which gives back numbers to log.
"""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import datasets
import numpy as np
import torch
import transformers
from accelerate import PartialState
from accelerate.utils import is_peft_model
from datasets import Dataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerState
from trl.trainer.utils import use_adapter

from smilerl.io.terminal import printable
from smilerl.models.policy import Policy
from smilerl.models.randomness import unmoved_randomness
from smilerl.models.sampling import completion_logprobs, decoded, sample_ids
from smilerl.rewards._clock import StopAsked
from smilerl.runs.directory import RunError

#: Takes one line of the log: `step` and the numbers.
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


class Metrics(TrainerCallback):
    """Hands every log of the trainer on, with `kl` in nats per completion.

    `kl` estimates KL(π ‖ π_base) of whole completions on the training prompts, π_base being the policy that training began
    with. TRL logs a mean over *tokens*; here it is multiplied by the mean number of tokens in a completion (EOS included). For
    RLOO the token terms are log π − log π_base, so with `logging_steps: 1` the product is the batch mean of the log-ratio of
    whole completions, and may come out negative; for GRPO they are the non-negative estimator of Schulman. TRL's number stays
    as `kl_per_token`. With beta 0, and in methods that do not sample, TRL measures none: `HeldOut` does.
    """

    def __init__(self, write: Write, renamed: Mapping[str, str] | None = None):
        """
        Args:
            renamed: our names of what TRL logs under a name that means something else here.
        """
        self.write, self.renamed = write, renamed or {}

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Write one line: the step, and what was logged that is a number."""
        if not state.is_world_process_zero:
            return
        row = {"step": state.global_step}
        row |= {
            self.renamed.get(key, key): value for key, value in (logs or {}).items() if isinstance(value, int | float)
        }
        if "kl" in row and "completions/mean_length" in row:
            row["kl_per_token"] = row["kl"]
            row["kl"] = row["kl"] * row["completions/mean_length"]
        self.write(row)


class HeldOut(TrainerCallback):
    """Samples the same held-out people at step 0, every `every` steps and at the end, and logs how they fare.

    Logged as `held_out/<name>`: `kl`, the mean of log π − log π_base over the completions sampled at temperature 1, in nats per
    completion (`kl_se` is its standard error); `length` in tokens; and whatever `score` returns. Training goes on as if nothing had been sampled: no random state is moved. Under a distributed
    launch the main process samples alone, so the model must be whole in each process (not FSDP, not DeepSpeed ZeRO-3; see
    `smilerl.training.sharding`).
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
    ):
        """
        Args:
            people: columns `prompt` and `person`.
            every: steps between samples; 0 samples only once, at the end, for the KL.
            base: a context in which the frozen base can be used, see `frozen_base`.
            score: what to log of the sampled replies.
            seed: of the sampling; the same at each step, so that a difference between steps is not luck.
        """
        self.people, self.every, self.tokenizer, self.max_new_tokens = people, every, tokenizer, max_new_tokens
        self.base, self.score, self.write, self.seed = base, score, write, seed
        self.last: int | None = None

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Measure the base, before the first step; a run that goes on has done so.

        Raises:
            RunError: this process has slices of the weights alone; sampling would wait for the others for ever.
        """
        if not is_whole(model):
            raise RunError(
                "held-out people cannot be sampled: the weights are split over the processes, by other means than the launcher's "
                "environment or the recipe's fsdp and deepspeed, which are looked at. Set held_out.every to 0 and beta above 0."
            )
        if self.every and state.global_step == 0:
            self._measure(model, state)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Measure, if it is time."""
        if self.every and state.global_step % self.every == 0:
            self._measure(model, state)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        """Measure what has become of it."""
        if self.last != state.global_step:
            self._measure(model, state)

    def _measure(self, model: PreTrainedModel, state) -> None:
        self.last = state.global_step
        if not state.is_world_process_zero:
            return
        started = time.perf_counter()
        with unmoved_randomness(), _evaluating(model):
            policy = Policy(model, self.tokenizer, "policy")
            prompts, people = list(self.people["prompt"]), list(self.people["person"])
            ids = sample_ids(policy, prompts, max_new_tokens=self.max_new_tokens, seed=self.seed)
            kl = completion_logprobs(policy, prompts, ids)
            with self.base() as base, _evaluating(base):
                kl -= completion_logprobs(Policy(base, self.tokenizer, "base"), prompts, ids)
            texts = decoded(self.tokenizer, prompts, ids)
            try:
                numbers = self.score(Sampled(state, people, prompts, texts, ids, kl))
            except StopAsked:
                if PartialState().num_processes == 1:
                    raise  # who goes on from the last checkpoint comes here again
                said = f"the held-out people of step {state.global_step} are not scored: the run is asked to stop"
                print(said, file=sys.stderr, flush=True)
                return  # the others wait for the end of this step; a row without the reward would be wrong
        row: dict[str, float | None] = {
            "kl": float(kl.mean()),
            "kl_se": float(kl.std(ddof=1) / math.sqrt(len(kl))) if len(kl) > 1 else None,
            "length": float(np.mean([len(one) for one in ids])),
            **numbers,
            "seconds": time.perf_counter() - started,
        }
        self.write({"step": state.global_step, **{f"held_out/{name}": value for name, value in row.items()}})


class Progress(TrainerCallback):
    """A bar on a terminal; elsewhere about ten lines a run."""

    def __init__(self, title: str, lines: int = 10):
        self.title, self.lines = printable(title), lines
        self.bar, self.total, self.next = None, 0, 0

    def on_train_begin(self, args, state, control, **kwargs):
        """Draw the bar, on a terminal."""
        self.total, self.next = state.max_steps, state.global_step + 1
        if sys.stderr.isatty() and state.is_world_process_zero:
            from tqdm import tqdm

            begun = {"total": self.total, "initial": state.global_step}
            self.bar = tqdm(**begun, desc=self.title, unit="step", dynamic_ncols=True, leave=False)

    def on_step_end(self, args, state, control, **kwargs):
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_train_end(self, args, state, control, **kwargs):
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def show(self, row: dict[str, float | None]) -> None:
        """Show a line of the log: beside the bar, or as a line of its own, at held-out samples and now and then."""
        shown = {name.removeprefix("held_out/"): row[name] for name in _SHOWN if row.get(name) is not None}
        if "reward" in shown:
            shown.pop("loss", None)  # a policy gradient's loss says nothing about progress
        text = "  ".join(f"{name} {value:.3g}" for name, value in shown.items())
        held_out = "held_out/kl" in row
        if self.bar is not None:
            self.bar.set_postfix_str(("held out: " if held_out else "") + text)
        elif text and (held_out or int(row["step"] or 0) >= self.next):
            self.next = int(row["step"] or 0) + self.total // self.lines
            where = "held out  " if held_out else ""
            print(f"{self.title}  step {row['step']}/{self.total}  {where}{text}", file=sys.stderr, flush=True)


_SHOWN = (
    "loss", "reward", "kl", "accuracy", "eval_accuracy", "rewards/accuracies", "rewards/margins",
    "held_out/kl", "held_out/reward", "held_out/reading", "held_out/smile", "held_out/wellbeing",
)  # fmt: skip


def frozen_base(
    trainer: Trainer, initial: PreTrainedModel | None
) -> Callable[[], AbstractContextManager[PreTrainedModel]]:
    """A context that yields the policy as it was when training began, to score with.

    Args:
        initial: a copy of the untrained policy, where the trainer keeps none (see `training.keeps_base`).
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    if is_peft_model(model):
        return lambda: _without_adapter(model)
    if initial is not None:
        # As TRL does with its own reference: to the policy's GPU, and to compute in the same precision, else the KL begins above 0.
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


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def hushed() -> Iterator[None]:
    """The libraries' own bars and advice off, for a while: a run speaks through `Progress`."""
    log = transformers.logging
    no_bars, bars, verbosity = datasets.are_progress_bars_disabled(), log.is_progress_bar_enabled(), log.get_verbosity()
    trls = logging.getLogger("trl")  # it repeats a whole row for each step with an unscored one
    trls_level = trls.level
    trls.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # on a name that TRL's own config uses
            yield
    finally:
        log.set_verbosity(verbosity)
        trls.setLevel(trls_level)
        if bars:
            log.enable_progress_bar()
        if not no_bars:
            datasets.enable_progress_bars()
