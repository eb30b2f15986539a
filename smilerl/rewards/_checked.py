"""What goes around the rewards of a run: `checked`, `Reported` and `WithOpening`.

TRL takes what it is given: infinities train on nothing or make every weight NaN without a word, a wrong type is a torch
error that names no reward, a reward that writes to its inputs or reseeds a generator changes the training, and one that
never returns is waited for.
"""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from smilerl.io.time_limit import TimedOut, within
from smilerl.models.replies import opened
from smilerl.rewards._failures import RewardError, as_values, failures_named, located
from smilerl.rewards._process import Streams, settings_kept
from smilerl.rewards._state import NotPlain, plain, restored
from smilerl.rewards.base import Around, Reward

#: Seconds that a call may take, where the recipe says nothing else ...
TIMEOUT = 300.0
#: ... for so many completions, and again so long for each so many more.
AT_ONCE = 1000


@dataclass
class LastCall:
    """How the last call of a reward went.

    Attributes:
        late: whether it was ended by its time limit, so that its rows are missing.
        hurried: whether that was because the run was asked to stop.
        seconds: the limit.
    """

    late: bool = False
    hurried: bool = False
    seconds: float = TIMEOUT


def checked(
    reward: Callable, name: str | None = None, seed: int = 0, *, weight: float = 1.0, timeout: float = TIMEOUT
) -> Reward:
    """`reward` with checked values, copied inputs, a time limit, and a stream of random numbers of its own.

    The global generators of Python, NumPy and torch are swapped for the reward's own while it runs, and back: it draws
    new numbers at each call, and the trainer's are as if it had drawn none. (Only swapping back would give it the same
    numbers at every step.) The streams are part of `state_dict()`. Async rewards run interleaved, so `ask` swaps the
    generators around all of them. Settings of the process that it changes are put back, too (`_process`).

    A call that takes too long is ended, and gives None for each completion: they are missing, see `last_call`.

    Args:
        reward: has TRL's protocol; sync or async.
        name: what metrics and errors call it; its own when None.
        seed: of its stream.
        weight: it counts in the sum.
        timeout: seconds that a call of up to `AT_ONCE` completions may take.

    Returns:
        A reward that raises `RewardError` on whatever it raises, a wrong length, a value that is no number, ±inf, and
        more than `LARGEST`; NaN becomes None.

    Raises:
        RewardError: its state cannot be saved.
    """
    return _Checked(reward, name, seed, weight, timeout)


class _Checked(Around):
    def __init__(self, reward: Any, name: str | None, seed: int, weight: float, timeout: float) -> None:
        super().__init__(reward, name)
        self._doing, self._weight, self._timeout = f"the reward '{self.__name__}'", weight, timeout
        self.last_call, self.streams = LastCall(), Streams(f"{seed}/{self.__name__}")
        self._state()

    def limit(self, completions: Sequence) -> float:
        return self._timeout * max(1, math.ceil(len(completions) / AT_ONCE))

    def _ask(self, given: dict[str, Any]) -> list[float | None]:
        copies = self._begin(given)
        with failures_named(self._doing, self.place), settings_kept(), self.streams.own():
            try:
                found = within(self.last_call.seconds, lambda: self.inner[0](**copies), self._doing)
            except TimedOut as ended:
                self.last_call.late, self.last_call.hurried = True, ended.hurried
                return [None] * len(given["completions"])
        return self._checked(found, given)

    async def _ask_async(self, given: dict[str, Any]) -> list[float | None]:
        task = asyncio.ensure_future(self._named(self._begin(given)))
        await asyncio.wait({task}, timeout=self.last_call.seconds)
        if not task.done():
            task.cancel()
            self.last_call.late = True
            return [None] * len(given["completions"])
        if task.cancelled():
            raise RewardError(f"{self.place}: {self._doing} cancelled itself")
        return self._checked(task.result(), given)

    async def _named(self, given: dict[str, Any]) -> Any:
        """What it returns. Its failures are named here: asyncio lets SystemExit out past those who wait."""
        try:
            return await self.inner[0](**given)
        except asyncio.CancelledError:
            raise
        except BaseException:
            with failures_named(self._doing, self.place):
                raise

    def _begin(self, given: dict[str, Any]) -> dict[str, Any]:
        """Notes that a call begins; returns copies of what the reward is given."""
        self.last_call.late, self.last_call.hurried = False, False
        self.last_call.seconds = self.limit(given["completions"])
        return _copied(given)

    def _checked(self, found: Any, given: dict[str, Any]) -> list[float | None]:
        doing = f"{self._doing} returned something that cannot be read: it"
        with failures_named(doing, self.place), located(self.place):
            return as_values(self.__name__, found, given["completions"], self._weight)

    def _state(self) -> Any:
        with failures_named(f"state_dict() of {self._doing}", self.place), located(self.place):
            try:
                return plain(self.inner[0].state_dict())
            except NotPlain as error:
                raise RewardError(f"the state of {self._doing} cannot be saved: {error}") from None

    def state_dict(self) -> dict:
        return {"streams": self.streams.state_dict(), "reward": self._state()}

    def load_state_dict(self, state: dict) -> None:
        self.streams.load_state_dict(state["streams"])
        self.inner[0].load_state_dict(restored(state["reward"]))


class Reported(Around):
    """Logs `rewards/<name>/scored`, in [0, 1], where the trainer takes metrics.

    TRL leaves None out of a reward's mean without a word, so a mean over the three people who could be understood would
    look like one over all.
    """

    def combine(self, values: Sequence[list[float | None]], **columns: Any) -> list[float | None]:
        if "log_metric" in columns and values[0]:
            scored = sum(value is not None for value in values[0]) / len(values[0])
            columns["log_metric"](f"rewards/{self.__name__}/scored", scored)
        return values[0]


class WithOpening(Around):
    """Asks about completions with the tag in front by which the chat template opened the policy's thoughts.

    TRL leaves that tag in the prompt. Plain prompts have none.
    """

    def __init__(self, reward: Any, tag: str) -> None:
        super().__init__(reward)
        self._tag = tag

    def before(self, given: dict[str, Any]) -> dict[str, Any]:
        talks = not len(given["prompts"]) or not isinstance(given["prompts"][0], str)
        if not self._tag or not talks:
            return given
        return {**given, "completions": [opened(completion, self._tag) for completion in given["completions"]]}


def _copied(value: Any) -> Any:
    """A copy of lists and dicts all the way down, of other objects at the top; what cannot be written to is shared."""
    if isinstance(value, list):
        return [_copied(item) if isinstance(item, (list, dict)) else item for item in value]
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value if callable(value) else copy.copy(value)
