"""Counts the calls of rewards that their time limit has ended, and stops the work where they are too many: in a trainer
and outside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from accelerate import PartialState

from smilerl.io.terminal import say
from smilerl.rewards._failures import RewardError

#: Calls over which the share of missing rows is measured.
LAST = 10
#: Share of them that may be missing, where nothing else is said.
MOST_MISSING = 0.5


class RewardTimeout(RewardError):
    """A reward did not come back in time, too often to go on."""


class StopAsked(BaseException):
    """The run was asked to stop, and a reward that was still running has been ended: what was asked has no answer."""


class Clock:
    """The time limits of rewards that are asked again and again. Look at it after each time."""

    def __init__(self, rewards: Sequence[Callable], most_missing: Sequence[float] | None = None) -> None:
        """
        Args:
            rewards: R, as `checked` makes them, or wrapped; one that is neither has no limit.
            most_missing: R shares of the last `LAST` calls, each in [0, 1]; see `RewardSpec.most_missing`. None:
                `MOST_MISSING`.
        """
        self.rewards: list[Any] = list(rewards)
        self.most_missing = [MOST_MISSING] * len(self.rewards) if most_missing is None else list(most_missing)
        self._late: list[deque[bool]] = [deque(maxlen=LAST) for _ in self.rewards]
        self._given_up: str | None = None

    def check(self) -> None:
        """Raises RewardTimeout where a reward has been given up: to ask it again would take its time limit once
        more.
        """
        if self._given_up is not None:
            raise RewardTimeout(self._given_up)

    def look(
        self, rows: int, asked: Sequence[int] | None = None, log_metric: Callable[[str, float], None] | None = None
    ) -> None:
        """Counts what is missing after rewards were asked.

        Args:
            rows: that they were asked about.
            asked: the places of those that were; None: all.
            log_metric: takes `rewards/<name>/missing`, 1 where a call was ended.

        Raises:
            RewardTimeout: more calls than `most_missing` of the last ones were ended by their limit.
            StopAsked: one was ended because the run is to stop. Several processes finish the step without its rows
                instead.
        """
        for place in range(len(self.rewards)) if asked is None else asked:
            reward, late, most = self.rewards[place], self._late[place], self.most_missing[place]
            last = getattr(reward, "last_call", None)
            late.append(bool(last and last.late))
            if last is None or not last.late:
                continue
            if last.hurried and PartialState().num_processes == 1:
                raise StopAsked
            if log_metric is not None:
                log_metric(f"rewards/{reward.__name__}/missing", 1.0)
            limit = f"within {last.seconds:g} s" if not last.hurried else "in time, as the run is asked to stop"
            said = f"the reward '{reward.__name__}' gave no answer {limit}"
            say(f"{said}: its {rows} rows are missing")
            if sum(late) / len(late) > most and not last.hurried:
                where = f"{reward.place}: " if reward.place else ""
                self._given_up = (
                    f"{where}{said}, in {sum(late)} of the last {len(late)} calls (most_missing: {most:g}).\n"
                    "Mend it, or raise `timeout:` (seconds) or `most_missing:` beside its `name:`."
                )
                self.check()
