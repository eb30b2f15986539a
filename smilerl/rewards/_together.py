"""What training asks its rewards through: all at once, so that a row counts only where every weighted reward has scored
it.

TRL asks each reward by itself and leaves a None out of the sum, so a row that one of two rewards could not score is
paid as if that one had said 0; a reward of weight 0 makes a row that nothing else scored count as 0. Here each of the
functions that TRL gets
answers from one shared pass, with None in the rows that are unscored as a whole: TRL then leaves them out of their
group's baseline and gives them no advantage. Its own metrics and tables stay, one for each reward. A single reward's
values are what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accelerate.utils import gather_object

from smilerl import worlds
from smilerl.io.terminal import say
from smilerl.rewards._asking import ask
from smilerl.rewards._clock import Clock
from smilerl.rewards._failures import RewardError
from smilerl.rewards._summed import unscored

#: Passes in a row without a single score, after which standard error says so.
SILENT = 10


class Together:
    """The rewards of a run as TRL asks them.

    Attributes:
        functions: for TRL's `reward_funcs`, one for each reward, all sync.
        scored: rows scored so far in this process.
        asked: rows asked about so far.
        clock: counts the calls that were ended by their time limit.
    """

    def __init__(self, rewards: Sequence[Callable], weights: Sequence[float], most_missing: Sequence[float]) -> None:
        """
        Args:
            rewards: R, as `build_rewards` makes them, or wrapped.
            weights: R.
            most_missing: R, see `RewardSpec.most_missing`.
        """
        self.rewards, self.weights, self.clock = list(rewards), list(weights), Clock(rewards, most_missing)
        self.scored, self.asked = 0, 0
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
        self.clock.look(len(completions), log_metric=columns.get("log_metric"))
        left_out = unscored(found, self.weights)
        self.asked, self.scored = self.asked + len(left_out), self.scored + left_out.count(False)
        self._silent = 0 if False in left_out else self._silent + 1
        if self._silent == SILENT:
            say(f"no completion has been scored for {SILENT} steps: nothing is learned")
        if not any(left_out):
            return found
        counted = [values for values, weight in zip(found, self.weights, strict=True) if weight]
        lost = sum(out and any(values[row] is not None for values in counted) for row, out in enumerate(left_out))
        if lost and "log_metric" in columns:  # else each reward's own share tells
            columns["log_metric"]("rewards/incomplete", lost / len(left_out))
        return [[None if out else value for out, value in zip(left_out, values, strict=True)] for values in found]


def refuse_unlearnt(scored: int, asked: int) -> None:
    """Raises RewardError where a run has asked its rewards and never got a score: what it learned is nothing."""
    if asked and not scored:
        raise RewardError(
            f"none of {asked} completions was scored: each reward with a weight must return a number, not None or NaN, "
            "for a completion "
            "that is to count. Nothing was learned. Look at the rewards: smilerl reward check RECIPE"
        )
