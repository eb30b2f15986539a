"""A reward that cannot harm the run: its mistakes are errors that name it, and it can change neither its inputs nor the
trainer's luck.

TRL takes what it is given: infinities train on nothing or make every weight NaN without a word, a wrong type is a torch
error that names no reward, a reward that writes to its inputs or reseeds a generator changes the training, and one that
never comes back is waited for.
"""

from __future__ import annotations

import asyncio
import copy
import math
import numbers
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from smilerl.io.terminal import one_line
from smilerl.io.time_limit import TimedOut, within
from smilerl.rewards._carried import carry, is_async
from smilerl.rewards._failures import RewardError, failures_named, place
from smilerl.rewards._process import settings_kept
from smilerl.rewards._state import NotPlain, plain, restored
from smilerl.rewards._streams import Streams

#: Seconds that a call may take, where the recipe says nothing else ...
TIMEOUT = 300.0
#: ... for so many completions, and again so long for each so many more.
AT_ONCE = 1000
#: Largest size of a reward, by itself and times its weight. Training squares it times a gradient, in clipping and in
#: Adam, and float32 ends at 3e38: this leaves room for gradients of 1e7 for each unit of reward.
LARGEST = 1e12


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
) -> Callable:
    """`reward` with checked values, copied inputs, a time limit, and a stream of random numbers of its own.

    The global generators of Python, NumPy and torch are swapped for the reward's own while it runs, and back: it draws
    new numbers at each call, and the trainer's are as if it had drawn none. (Only swapping back would give it the same
    numbers at every step.) The streams are part of `state_dict()`. Async rewards run interleaved, so `asked` swaps the
    generators around all of them. Settings of the process that it changes are put back, too (`_process`).

    A call that takes too long is ended, and gives None for each completion: they are missing, see `last_call`.

    Args:
        reward: has TRL's protocol; sync or async.
        name: what metrics and errors call it; its `__name__` when not given.
        seed: of its stream.
        weight: it counts in the sum.
        timeout: seconds that a call of up to `AT_ONCE` completions may take.

    Returns:
        A reward that raises `RewardError` on whatever it raises, a wrong length, a value that is no number, ±inf, and
        more than `LARGEST`; NaN becomes None.

    Raises:
        RewardError: its state cannot be saved.
    """
    label = name or str(getattr(reward, "__name__", type(reward).__name__))
    calls = _Calls(reward, label, weight, timeout, Streams(f"{seed}/{label}"))
    _check_state(label, reward)

    def run(prompts, completions, **columns):
        return calls.sync({"prompts": prompts, "completions": completions, **columns})

    async def run_async(prompts, completions, **columns):
        return await calls.awaited({"prompts": prompts, "completions": completions, **columns})

    wrapped = carry(run_async if is_async(reward) else run, reward, name=label)
    wrapped.state_dict, wrapped.load_state_dict = calls.state_dict, calls.load_state_dict
    wrapped.last_call, wrapped.streams, wrapped.place, wrapped.limit = (
        calls.last,
        calls.streams,
        place(reward),
        calls.limit,
    )
    return wrapped


@dataclass
class _Calls:
    """The calls of a checked reward: `checked` says what each does."""

    reward: Any
    label: str
    weight: float
    timeout: float
    streams: Streams
    last: LastCall = field(default_factory=LastCall)

    @property
    def doing(self) -> str:
        return f"the reward '{self.label}'"

    def limit(self, completions: Sequence) -> float:
        """Seconds that a call with these completions may take."""
        return self.timeout * max(1, math.ceil(len(completions) / AT_ONCE))

    def sync(self, given: dict[str, Any]) -> list[float | None]:
        """The values of a call."""
        completions, copies = given["completions"], self._begin(given)
        with failures_named(self.doing, self.reward), settings_kept(), self.streams.own():
            try:
                found = within(self.last.seconds, lambda: self.reward(**copies), self.doing)
            except TimedOut as ended:
                self.last.late, self.last.hurried = True, ended.hurried
                return [None] * len(completions)
        return self._values_of(found, completions)

    async def awaited(self, given: dict[str, Any]) -> list[float | None]:
        """The same of an async reward."""
        completions, copies = given["completions"], self._begin(given)
        task = asyncio.ensure_future(_awaited(self.reward, copies, self.doing))
        await asyncio.wait({task}, timeout=self.last.seconds)
        if not task.done():
            task.cancel()
            self.last.late = True
            return [None] * len(completions)
        if task.cancelled():
            raise RewardError(f"{place(self.reward)}: {self.doing} cancelled itself")
        return self._values_of(task.result(), completions)

    def state_dict(self) -> dict:
        """The streams, and the state of the reward itself, where it has one."""
        inner = _state_of(self.label, self.reward) if hasattr(self.reward, "state_dict") else None
        return {"streams": self.streams.state_dict(), "reward": inner}

    def load_state_dict(self, state: dict) -> None:
        """Puts a state of `state_dict` back."""
        self.streams.load_state_dict(state["streams"])
        if state["reward"] is not None:
            self.reward.load_state_dict(restored(state["reward"]))

    def _begin(self, given: dict[str, Any]) -> dict[str, Any]:
        """Notes that a call begins; returns copies of what the reward is given."""
        self.last.late, self.last.hurried, self.last.seconds = False, False, self.limit(given["completions"])
        return _copied(given)

    def _values_of(self, found: Any, completions: Sequence) -> list[float | None]:
        doing = f"{self.doing} returned something that cannot be read: it"
        with failures_named(doing, self.reward), located(self.reward):
            return as_values(self.label, found, completions, self.weight)


async def _awaited(reward: Callable, given: dict[str, Any], doing: str) -> Any:
    """What an async reward returns. Its failures are named in here: asyncio lets SystemExit out past whoever waits."""
    try:
        return await reward(**given)
    except asyncio.CancelledError:
        raise
    except BaseException:
        with failures_named(doing, reward):
            raise


def _check_state(label: str, reward: Callable) -> None:
    """Raises RewardError where the reward's state could not be saved, or not be put back."""
    saves, loads = hasattr(reward, "state_dict"), hasattr(reward, "load_state_dict")
    if saves != loads:
        has, lacks = ("state_dict", "load_state_dict(state)") if saves else ("load_state_dict", "state_dict()")
        with located(reward):
            raise RewardError(
                f"the reward '{label}' has {has} and no {lacks}: a stopped run could not go on from its state. Write "
                "both, or neither"
            )
    if saves:
        _state_of(label, reward)


def _state_of(label: str, reward: Any) -> Any:
    with failures_named(f"state_dict() of the reward '{label}'", reward), located(reward):
        try:
            return plain(reward.state_dict())
        except NotPlain as error:
            raise RewardError(f"the state of the reward '{label}' cannot be saved: {error}") from None


@contextmanager
def located(reward: Callable) -> Iterator[None]:
    """What is said about a reward's values begins with the file and line where it is written."""
    try:
        yield
    except RewardError as error:
        at = place(reward)
        if at is None:
            raise
        raise RewardError(f"{at}: {error}") from None


def as_values(name: str, values, completions, weight: float = 1.0) -> list[float | None]:
    """`values` as a list of finite floats and Nones, one a completion; NaN becomes None.

    Raises:
        RewardError: a wrong length, a value that is no number, ±inf, or larger than `LARGEST` by itself or times
            `weight`.
    """
    if hasattr(values, "tolist"):  # a tensor or an array
        values = values.tolist()
    if not isinstance(values, (list, tuple)):
        raise RewardError(
            f"the reward '{name}' returned a {type(values).__name__}, not a list with one number or None for each "
            "completion"
        )
    if len(values) != len(completions):
        raise RewardError(
            f"the reward '{name}' returned {len(values)} values for {len(completions)} completions: return one for "
            "each, None for no score"
        )
    return [_value(name, value, weight, f"completion {row} of {len(values)}") for row, value in enumerate(values)]


def _value(name: str, value, weight: float, which: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, numbers.Real) and hasattr(value, "item") and getattr(value, "size", 1) != 0:
        value = value.item() if getattr(value, "ndim", 0) == 0 else value
    if not isinstance(value, numbers.Real):
        raise RewardError(
            f"the reward '{name}' returned {one_line(repr(value), 60)} ({type(value).__name__}) for {which}: return a "
            "number, or None for no score"
        )
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if math.isnan(number):
        return None
    if math.isinf(number):
        shown = value if isinstance(value, float) else one_line(repr(value), 60)
        raise RewardError(
            f"the reward '{name}' returned {shown} for {which}: return a finite number, or None for no score"
        )
    if abs(number) * max(1.0, abs(weight)) > LARGEST:
        times = f", times its weight {weight:g}," if abs(weight) > 1 else ""
        raise RewardError(
            f"the reward '{name}' returned {number:g} for {which}{times} which is more than {LARGEST:g}: sums and "
            "squares of it do not fit "
            "into the float32 of training. Return smaller numbers, such as that divided by its largest, or its "
            "logarithm"
        )
    return number


def _copied(value):
    """A copy of lists and dicts all the way down, of other objects at the top; what cannot be written to is shared."""
    if isinstance(value, list):
        return [_copied(item) if isinstance(item, (list, dict)) else item for item in value]
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value if callable(value) else copy.copy(value)
