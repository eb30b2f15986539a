"""What training asks its rewards through: all at once, so that a row counts only where every weighted reward has scored it.

TRL asks each reward by itself and leaves a None out of the sum, so a row that one of two rewards could not score is paid as if that
one had said 0; a reward of weight 0 makes a row that nothing else scored count as 0. Here each of the functions that TRL gets
answers from one shared pass, with None in the rows that are unscored as a whole: TRL then leaves them out of their group's baseline
and gives them no advantage. Its own metrics and tables stay, one for each reward. A single reward's values are what they were.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object

from smilerl import worlds
from smilerl.rewards._asking import ask
from smilerl.rewards._failures import RewardError
from smilerl.rewards._summed import unscored
from smilerl.terminal import printable

#: Calls over which the share of missing rows is measured.
LAST = 10
#: Passes in a row without a single score, after which standard error says so.
SILENT = 10


class RewardTimeout(RewardError):
    """A reward did not come back in time, too often to go on."""


class StopAsked(BaseException):
    """The run was asked to stop, and a reward that was still running has been ended: this step cannot be made."""


class Together:
    """The rewards of a run as TRL asks them.

    Attributes:
        functions: for TRL's `reward_funcs`, one for each reward, all sync.
        scored: rows scored so far in this process.
        asked: rows asked about so far.
    """

    def __init__(self, rewards: Sequence[Callable], weights: Sequence[float], most_missing: Sequence[float]) -> None:
        """
        Args:
            rewards: R, as `build_rewards` makes them, or wrapped.
            weights: R.
            most_missing: R, see `RewardSpec.most_missing`.
        """
        self.rewards, self.weights, self.most_missing = list(rewards), list(weights), list(most_missing)
        self.scored, self.asked = 0, 0
        self._late: list[deque[bool]] = [deque(maxlen=LAST) for _ in rewards]
        self._silent = 0
        self._about: tuple = ()
        self._waiting: dict[int, list[float | None]] = {}
        self.functions = [self._function(place) for place in range(len(self.rewards))]

    @classmethod
    def of(cls, rewards: Sequence[Callable], specs: Sequence[Any]) -> Together:
        """With the weights and limits that a recipe's `RewardSpec`s say."""
        return cls(rewards, [one.weight for one in specs], [one.most_missing for one in specs])

    def with_state(self) -> list[Any]:
        """What has a state that a checkpoint keeps: each reward, and the counts here."""
        return [*self.rewards, self] if self.rewards else []

    def refuse_unlearnt(self) -> None:
        """Raises RewardError where no process ever got a score, though it asked: what the run learned is nothing."""
        counts = gather_object([(self.scored, self.asked)])
        refuse_unlearnt(sum(scored for scored, _ in counts), sum(asked for _, asked in counts))

    def state_dict(self) -> dict[str, int]:
        """Plain numbers."""
        return {"scored": self.scored, "asked": self.asked}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.scored, self.asked = state["scored"], state["asked"]
        self._waiting = {}

    def _function(self, place: int) -> Callable[..., list[float | None]]:
        reward: Any = self.rewards[place]

        def function(prompts, completions, **columns) -> list[float | None]:
            if place not in self._waiting or self._about != (prompts, completions):
                self._about = (prompts, completions)
                self._waiting = dict(enumerate(self._pass(prompts, completions, columns)))
            return self._waiting.pop(place)  # each takes its own once: the next question is a new one

        function.__name__ = function.__qualname__ = reward.__name__
        function.__doc__ = reward.__doc__
        return function

    def _pass(self, prompts: list, completions: list, columns: dict[str, Any]) -> list[list[float | None]]:
        columns |= worlds.columns_of(columns.get("person") or [])  # in the data set dicts are JSON text
        found = ask(self.rewards, prompts=prompts, completions=completions, **columns)
        self._look_at_the_clock(columns, len(completions))
        left_out = unscored(found, self.weights)
        self.asked, self.scored = self.asked + len(left_out), self.scored + left_out.count(False)
        self._silent = 0 if False in left_out else self._silent + 1
        if self._silent == SILENT:
            print(
                printable(f"no completion has been scored for {SILENT} steps: nothing is learned"),
                file=sys.stderr,
                flush=True,
            )
        if not any(left_out):
            return found
        counted = [values for values, weight in zip(found, self.weights, strict=True) if weight]
        lost = sum(out and any(values[row] is not None for values in counted) for row, out in enumerate(left_out))
        if lost and "log_metric" in columns:  # else each reward's own share tells
            columns["log_metric"]("rewards/incomplete", lost / len(left_out))
        return [[None if out else value for out, value in zip(left_out, values, strict=True)] for values in found]

    def _look_at_the_clock(self, columns: dict[str, Any], rows: int) -> None:
        """Counts what is missing, and ends the run where it is too much, or where it was asked to stop.

        Raises:
            RewardTimeout: more calls than `most_missing` of the last ones were ended by their limit.
            StopAsked: one was ended because the run is to stop. Several processes finish the step without its rows instead.
        """
        for reward, late, most in zip(self.rewards, self._late, self.most_missing, strict=True):
            last = getattr(reward, "last_call", None)
            late.append(bool(last and last.late))
            if last is None or not last.late:
                continue
            if last.hurried and PartialState().num_processes == 1:
                raise StopAsked
            if "log_metric" in columns:
                columns["log_metric"](f"rewards/{reward.__name__}/missing", 1.0)
            limit = f"within {last.seconds:g} s" if not last.hurried else "in time, as the run is asked to stop"
            said = f"the reward '{reward.__name__}' gave no answer {limit}"
            print(printable(f"{said}: its {rows} rows are missing"), file=sys.stderr, flush=True)
            share = sum(late) / len(late)
            if share > most and not last.hurried:
                where = f"{reward.place}: " if reward.place else ""
                raise RewardTimeout(
                    f"{where}{said}, in {sum(late)} of the last {len(late)} calls (most_missing: {most:g}).\n"
                    "Mend it, or raise `timeout:` (seconds) or `most_missing:` beside its `name:`."
                )


def refuse_unlearnt(scored: int, asked: int) -> None:
    """Raises RewardError where a run has asked its rewards and never got a score: what it learned is nothing."""
    if asked and not scored:
        raise RewardError(
            f"none of {asked} completions was scored: each reward with a weight must return a number, not None or NaN, for a completion "
            "that is to count. Nothing was learned. Look at the rewards: smilerl reward check RECIPE"
        )
