"""Asking a reward as TRL does, each time as if for the first time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerState

from smilerl.io.time_limit import TimedOut, within
from smilerl.rewards import RewardContext, RewardError, build_reward, texts
from smilerl.rewards._checked import TIMEOUT
from smilerl.rewards._failures import as_values, failures_named
from smilerl.rewards._process import settings_kept
from smilerl.worlds.base import sealed


class Asked:
    """A reward, unchecked, with its state put back before each question: a schedule or a counter is no impurity."""

    def __init__(self, reward: Callable) -> None:
        self.reward = build_reward(reward)
        self.name = self.reward.__name__
        self._state = copy.deepcopy(self.reward.state_dict())

    def __call__(self, columns: dict[str, list]) -> Any:
        """What the reward returns for some rows, whatever that is. The columns themselves are handed over, no copies.

        Raises:
            RewardError: it raised something, or took longer than it is waited for in a run.
        """
        self.reward.load_state_dict(copy.deepcopy(self._state))
        # As sealed off from outcomes as in a run: a reward that reaches for one should fail here, and not there.
        doing = f"the reward '{self.name}'"
        with sealed("reward check", self.reward.channels), failures_named(doing, self.reward.place), settings_kept():
            try:
                return within(TIMEOUT, lambda: self._answer(columns), doing)
            except TimedOut:
                raise RewardError(f"{self.reward.place}: {doing} gave no answer within {TIMEOUT:g} s") from None

    def _answer(self, columns: dict[str, list]) -> Any:
        found = self.reward(**columns, **_of_trainer(columns["completions"]))
        return asyncio.run(found) if self.reward.is_async else found

    def values(self, columns: dict[str, list]) -> list[float | None]:
        """The same, as finite numbers and None.

        Raises:
            RewardError: it is something else.
        """
        return as_values(self.name, self(columns), columns["completions"])


def _of_trainer(completions: Sequence) -> dict[str, Any]:
    """What a TRL trainer passes besides. Token ids are bytes: a reward that reads them counts."""
    return {
        "completion_ids": [list(said.encode()) for said in texts(completions)],
        "trainer_state": TrainerState(),
        "reward_context": RewardContext.before({}),
        "log_extra": lambda column, values: None,
        "log_metric": lambda name, value: None,
    }
