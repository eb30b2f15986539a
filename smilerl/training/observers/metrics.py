"""Writes what the trainer logs to the run, with the KL in nats per completion."""

from __future__ import annotations

from collections.abc import Mapping

from transformers import TrainerCallback

from smilerl.training import methods
from smilerl.training.observers.base import Watched, Write


def build(watched: Watched) -> Metrics:
    """In every run."""
    return Metrics(watched.write, methods.optional(watched.recipe, "RENAMED"))


class Metrics(TrainerCallback):
    """Writes each log of the trainer, with `kl` in nats per completion.

    `kl` estimates KL(π ‖ π_base) of whole completions on the training prompts, π_base being the policy that training
    began with. TRL logs a mean over *tokens*; here it is multiplied by the mean number of tokens in a completion (EOS
    included). For RLOO the token terms are log π − log π_base, so with `logging_steps: 1` the product is the batch mean
    of the log-ratio of whole completions, and may come out negative; for GRPO they are the non-negative estimator of
    Schulman. TRL's number stays as `kl_per_token`. With beta 0, and in methods that do not sample, TRL measures none:
    `HeldOut` does.

    Args:
        renamed: our names of what TRL logs under a name that means something else here.
    """

    def __init__(self, write: Write, renamed: Mapping[str, str] | None = None):
        self.write, self.renamed = write, renamed or {}

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Write one row: the step, and what was logged that is a number."""
        if not state.is_world_process_zero:
            return
        logged = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
        row = {"step": state.global_step, **{self.renamed.get(name, name): value for name, value in logged.items()}}
        if "kl" in row and "completions/mean_length" in row:
            row["kl_per_token"] = row["kl"]
            row["kl"] = row["kl"] * row["completions/mean_length"]
        self.write(row)
