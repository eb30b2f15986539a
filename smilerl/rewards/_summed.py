"""Several rewards as the one number that training maximises: their weighted sum, of the rows that all of them score.

`Together` is how a trainer asks them, `Summed` how everything else does, and `ask_outside` gives a reward what it gets
in training.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from accelerate.utils import gather_object

from smilerl import worlds
from smilerl.io.terminal import say
from smilerl.models.messages import as_trained
from smilerl.rewards._asking import Clock, ask
from smilerl.rewards._failures import RewardError
from smilerl.rewards.base import Reward, RewardContext, build_reward

#: Passes in a row without a single score, after which standard error says so.
SILENT = 10


class Summed(Reward):
    """The weighted sum of rewards.

    The sum is None where a reward of any weight but 0 is None; one of weight 0 is not asked. See `unscored`. Calls that
    take longer than their limit are counted, and stop the work, as in training: it raises what `Clock.look` does.
    """

    def __init__(
        self,
        rewards: Sequence[Callable],
        weights: Sequence[float],
        most_missing: Sequence[float] | None = None,
        clock: Clock | None = None,
        *,
        context: RewardContext | None = None,
        unmoved: bool = False,
    ) -> None:
        """
        Args:
            rewards: R, as `build_rewards` gives them.
            weights: one for each.
            most_missing: one for each, see `RewardSpec.most_missing`.
            clock: of all these rewards, where others count with it; a new one when None.
            context: for rewards that ask for one, where a call names none.
            unmoved: whether each call leaves the rewards' states as they were.
        """
        super().__init__(*rewards, name="total")
        self._weights, self._context, self._unmoved = list(weights), context, unmoved
        self._counted = [place for place, weight in enumerate(weights) if weight]
        self._clock = Clock(self.inner, most_missing) if clock is None else clock
        self.is_async = False

    def __call__(self, prompts: Sequence, completions: Sequence, **columns: Any) -> list[float | None]:
        given = {
            "completion_ids": [None] * len(completions),
            "trainer_state": None,
            "log_extra": lambda column, values: None,
            "log_metric": lambda name, value: None,
            **({} if self._context is None else {"reward_context": self._context}),
            **worlds.columns_of(columns.get("person") or []),  # in training `Together` adds them
            **columns,
        }
        self._clock.check()
        with unnoticed(self.inner) if self._unmoved else nullcontext():
            counted = [self.inner[place] for place in self._counted]
            found = ask(counted, prompts=prompts, completions=completions, **given)
        self._clock.look(len(completions), self._counted)
        weights = [self._weights[place] for place in self._counted]
        sums: list[float | None] = [0.0] * len(completions)
        for weight, values in zip(weights, found, strict=True):
            both = zip(sums, values, strict=True)
            sums = [None if one is None or value is None else one + weight * value for one, value in both]
        return sums

    def lacking(self, columns: Any) -> str | None:
        found = (self.inner[place].lacking(columns) for place in self._counted)
        return next((lack for lack in found if lack is not None), None)


def summed_as(specs: Sequence[Any], rewards: Sequence[Callable], context: RewardContext | None, **more: Any) -> Summed:
    """`Summed` with the weights and limits that a recipe's `RewardSpec`s say.

    Args:
        context: for rewards that ask for one; None: each call names it.
        more: what else `Summed` takes.
    """
    weights, most_missing = [one.weight for one in specs], [one.most_missing for one in specs]
    return Summed(rewards, weights, most_missing, context=context, **more)


def ask_outside(
    reward: Callable[..., list[float | None]],
    prompts: Sequence,
    people: Sequence[str],
    completions: Sequence,
    **more: Any,
) -> list[float | None]:
    """The values of N replies that no trainer has sampled, asked about in the same form as in training.

    Args:
        reward: TRL's protocol, such as `Summed` makes it.
        prompts: N, plain or messages; those of a Parquet file hold arrays of messages, and become lists.
        people: N person JSONs, which hold the columns of the data.
        completions: N texts, or messages.
        more: what else it is given.

    Returns:
        N values, None where there is no score.
    """
    asked = [prompt if isinstance(prompt, str) else [dict(message) for message in prompt] for prompt in prompts]
    given = {**worlds.columns_of(people), **more}
    return reward(prompts=asked, completions=as_trained(asked, completions), person=list(people), **given)


def unscored(found: Sequence[Sequence[float | None]], weights: Sequence[float]) -> list[bool]:
    """For each of N rows, whether a reward of any weight but 0 has no score for it, so that the whole row has none.

    A sum over the others would compare rows by different rewards: a judge who fails would pay, or cost, its mean.

    Args:
        found: R lists of N values.
        weights: R.
    """
    counted = [values for values, weight in zip(found, weights, strict=True) if weight]
    return [any(value is None for value in row) for row in zip(*counted, strict=True)]


@contextmanager
def unnoticed(rewards: Sequence[Reward]) -> Iterator[None]:
    """Within this block rewards may be asked; afterwards their states (counts, schedules, noise) are as before."""
    before = copy.deepcopy([reward.state_dict() for reward in rewards])
    try:
        yield
    finally:
        for reward, state in zip(rewards, before, strict=True):
            reward.load_state_dict(state)


class Together:
    """The rewards of a run as TRL asks them: a row counts only where every weighted reward has scored it.

    TRL asks each reward by itself and leaves a None out of the sum, so a row that one of two rewards could not score is
    paid as if that one had said 0; a reward of weight 0 makes a row that nothing else scored count as 0. Here each of
    the functions that TRL gets answers from one shared pass, with None in the rows that are unscored as a whole: TRL
    then leaves them out of their group's baseline and gives them no advantage. Its own metrics and tables stay, one for
    each reward. A single reward's values are what they were.

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
        self.rewards, self.weights = [build_reward(reward) for reward in rewards], list(weights)
        self.clock = Clock(self.rewards, most_missing)
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
        """Raises RewardError where no process ever got a score, though it asked."""
        counts = gather_object([(self.scored, self.asked)])
        refuse_unlearnt(sum(scored for scored, _ in counts), sum(asked for _, asked in counts))

    def state_dict(self) -> dict[str, int]:
        return {"scored": self.scored, "asked": self.asked}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.scored, self.asked = state["scored"], state["asked"]
        self._waiting = {}

    def _function(self, place: int) -> Callable[..., list[float | None]]:
        def function(prompts, completions, **columns) -> list[float | None]:
            if place not in self._waiting or self._about != (prompts, completions):
                self._about = (prompts, completions)
                self._waiting = dict(enumerate(self._pass(prompts, completions, columns)))
            return self._waiting.pop(place)  # each takes its own once: the next question is a new one

        function.__name__ = function.__qualname__ = self.rewards[place].__name__
        function.__doc__ = self.rewards[place].__doc__
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
    """Raises RewardError where a run has asked its rewards and never got a score, so that it learned nothing."""
    if asked and not scored:
        raise RewardError(
            f"none of {asked} completions was scored: each reward with a weight must return a number, not None or NaN, "
            "for a completion that is to count. Nothing was learned. Look at the rewards: smilerl reward check RECIPE"
        )
