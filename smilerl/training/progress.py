"""Shows how a run goes: a bar on a terminal, elsewhere a few lines; silences the libraries' own bars and advice."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
import transformers
from transformers import TrainerCallback

from smilerl.config.recipe import Recipe
from smilerl.io import terminal

_SHOWN = (
    "loss", "reward", "kl", "accuracy", "eval_accuracy", "rewards/accuracies", "rewards/margins",
    "held_out/kl", "held_out/reward", "held_out/reading", "held_out/smile", "held_out/wellbeing",
)  # fmt: skip
#: Lines of a run that is not shown as a bar, about.
_LINES = 10


def title(recipe: Recipe) -> str:
    """What a run is called on the screen."""
    return f"{Path(recipe.source).stem} (seed {recipe.seed})"


def say(recipe: Recipe, text: str) -> None:
    """One line on standard error about a run."""
    terminal.say(f"{title(recipe)}  {text}")


class Progress(TrainerCallback):
    """A bar on a terminal; elsewhere about ten lines a run."""

    def __init__(self, title: str):
        self.title = terminal.printable(title)
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
        """Show a row of the log: beside the bar, or as a line of its own, at held-out samples and now and then."""
        shown = {name.removeprefix("held_out/"): row[name] for name in _SHOWN if row.get(name) is not None}
        if "reward" in shown:
            shown.pop("loss", None)  # a policy gradient's loss says nothing about progress
        text = "  ".join(f"{name} {value:.3g}" for name, value in shown.items())
        held_out, step = "held_out/kl" in row, int(row["step"] or 0)
        if self.bar is not None:
            self.bar.set_postfix_str(("held out: " if held_out else "") + text)
        elif text and (held_out or step >= self.next):
            self.next = step + self.total // _LINES
            terminal.say(f"{self.title}  step {step}/{self.total}  {'held out  ' if held_out else ''}{text}")


@contextmanager
def hushed() -> Iterator[None]:
    """The libraries' own bars and advice off, for a while: a run speaks through `Progress`."""
    log, trls = (
        transformers.logging,
        logging.getLogger("trl"),
    )  # TRL repeats a whole row for each step with an unscored one
    no_bars, bars, verbosity = datasets.are_progress_bars_disabled(), log.is_progress_bar_enabled(), log.get_verbosity()
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
