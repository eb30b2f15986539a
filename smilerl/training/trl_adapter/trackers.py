"""Sends every row of a run's log to the trackers of `training.report_to` (tensorboard, wandb, ...), under its names.

By themselves they get what TRL logs, under TRL's names: nothing of held-out people, and a `kl` that means something
else. And Transformers' integrations rename it: `train/` in front of each name, and `eval_x` to `eval/x`. TRL itself
adds to wandb, mlflow and trackio how long its parts take (`profiling/...`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from unittest.mock import patch

from transformers import Trainer
from transformers.integrations import integration_utils

from smilerl.runs.directory import Run


class Trackers:
    """Within this context a trainer's trackers get what the run logs instead of what the trainer logs.

    They stay open when training ends: held-out people and test data are measured after that.
    """

    def __init__(self, trainer: Trainer, run: Run) -> None:
        self._trainer, self._run = trainer, run
        self._logs: list[Any] = []
        self._ends: list[partial] = []

    def __enter__(self) -> Trackers:
        for tracker in self._trainer.callback_handler.callbacks:
            if isinstance(tracker, tuple(integration_utils.INTEGRATION_TO_CALLBACK.values())):
                self._logs.append(tracker.on_log)
                tracker.on_log = lambda *given, **more: None
                tracker.on_train_end = partial(self._end_later, tracker.on_train_end)
        if self._logs:
            self._run.listeners.append(self._log)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if self._logs:
            self._run.listeners.remove(self._log)
        if kind is None:  # as without us: a run that fails or is stopped does not end its trackers
            for end in self._ends:
                end()

    def _log(self, row: Mapping[str, Any]) -> None:
        """Sends a row at the trainer's current step, without numbers that are None."""
        trainer = self._trainer
        numbers = {name: value for name, value in row.items() if name != "step" and value is not None}
        with patch.object(integration_utils, "rewrite_logs", dict):
            for log in self._logs:
                log(trainer.args, trainer.state, trainer.control, logs=dict(numbers), model=trainer.model)

    def _end_later(self, end: Any, *given: Any, **more: Any) -> None:
        self._ends.append(partial(end, *given, **more))
