"""What a reward raises or returns that cannot be used, as one error that names the reward, the line and the mistake."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import signal
import threading
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

from smilerl.io.errors import UserError, users_place
from smilerl.io.terminal import brief, named, one_line
from smilerl.io.time_limit import TimedOut

#: Largest size of a reward, by itself and times its weight. Training squares it times a gradient, in clipping and in
#: Adam, and float32 ends at 3e38: this leaves room for gradients of 1e7 for each unit of reward.
LARGEST = 1e12
#: Characters of an error's own text that are repeated.
_MOST = 600


class RewardError(UserError, ValueError):
    """A reward that does not exist, cannot be built so, or returned what is no reward. At most ten lines."""


@contextmanager
def failures_named(doing: str, place: str | None = None) -> Iterator[None]:
    """Within this block whatever is raised becomes a `RewardError` with its line, and the original as its cause.

    Our own errors, a time limit and Ctrl-C stay as they are. `sys.exit(0)` is an error like others.

    Args:
        doing: begins the message, such as `the reward 'mine'`.
        place: `file:line` of the reward, for errors that name no line of the user's.
    """
    try:
        yield
    except TimedOut:
        raise
    except BaseException as error:
        if type(error).__module__.partition(".")[0] == "smilerl" or _is_ctrl_c(error):
            raise
        at = users_place(error) or place
        raise RewardError(f"{at + ': ' if at else ''}{doing} {_happened(error)}") from error


@contextmanager
def located(place: str | None) -> Iterator[None]:
    """Within this block the text of a `RewardError` begins with `file:line` of the reward."""
    try:
        yield
    except RewardError as error:
        if place is None:
            raise
        raise RewardError(f"{place}: {error}") from None


def place_of(function: Callable) -> str | None:
    """`file:line` where a function, or the class of a callable instance, is written; None for what is not Python."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(inspect.unwrap(function), "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def as_values(name: str, values: Any, completions: Sized, weight: float = 1.0) -> list[float | None]:
    """`values` as a list of finite floats and Nones, one a completion; NaN becomes None.

    Raises:
        RewardError: they are something else, or too large for training.
    """
    if hasattr(values, "tolist"):  # a tensor or an array
        values = values.tolist()
    said = f"the reward '{name}' returned"
    if not isinstance(values, (list, tuple)):
        kind = type(values).__name__
        raise RewardError(f"{said} a {kind}, not a list with one number or None for each completion")
    if len(values) != len(completions):
        raise RewardError(
            f"{said} {len(values)} values for {len(completions)} completions: return one for each, None for no score"
        )
    return [_value(said, one, weight, f"for completion {row} of {len(values)}") for row, one in enumerate(values)]


def _value(said: str, value: Any, weight: float, which: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, numbers.Real) and hasattr(value, "item") and getattr(value, "size", 1) != 0:
        value = value.item() if getattr(value, "ndim", 0) == 0 else value
    shown = value if isinstance(value, float) else one_line(repr(value), 60)
    if not isinstance(value, numbers.Real):
        raise RewardError(f"{said} {shown} ({type(value).__name__}) {which}: return a number, or None for no score")
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise RewardError(f"{said} {shown} {which}: return a finite number, or None for no score")
    if abs(number) * max(1.0, abs(weight)) > LARGEST:
        times = f", times its weight {weight:g}," if abs(weight) > 1 else ""
        raise RewardError(
            f"{said} {number:g} {which}{times} which is more than {LARGEST:g}: sums and squares of it do not fit into "
            "the float32 of training. Return smaller numbers, such as that divided by its largest, or its logarithm"
        )
    return number


def _said(error: BaseException) -> str:
    """An error's text, short and printable."""
    try:
        text = str(error)[: 2 * _MOST]  # making a long one printable takes seconds
    except Exception:  # noqa: BLE001 - an error whose text fails is still reported
        return "(its text cannot be shown)"
    return brief(text, lines=4, most=_MOST)


def _happened(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        code = "" if error.code is None else brief(repr(error.code), lines=1, most=60)
        return f"called sys.exit({code}), which is no way to end a run. Raise an exception that says what is wrong"
    return f"raised {named(error, _said(error))}"


def _is_ctrl_c(error: BaseException) -> bool:
    """While a run listens to signals, a KeyboardInterrupt is the reward's own; else it is Ctrl-C."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    in_main = threading.current_thread() is threading.main_thread()
    return not in_main or signal.getsignal(signal.SIGINT) is signal.default_int_handler
