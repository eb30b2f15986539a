"""Writes what the trainer logs to the run, with the KL in nats per completion."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from transformers import TrainerCallback

#: Takes one line of the log: `step` and the numbers.
Write = Callable[[dict[str, float | None]], None]


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
