"""What a reward raises, as one error that names the reward, the line, and what happened."""

from __future__ import annotations

import functools
import inspect
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from smilerl.io.errors import UserError, users_place
from smilerl.io.terminal import brief, named
from smilerl.io.time_limit import TimedOut

#: Characters of an error's own text that are repeated.
_MOST = 600


class RewardError(UserError, ValueError):
    """A reward that does not exist, cannot be built so, or returned what is no reward. At most ten lines, with the
    fix.
    """


@contextmanager
def failures_named(doing: str, reward: Callable | None = None) -> Iterator[None]:
    """Within this block whatever is raised becomes a `RewardError` with the line that raised it; the original is its
    cause.

    Left as they are: our own errors, a time limit, and Ctrl-C. `sys.exit(0)` is no way to end a run, so it is an error
        like others.

    Args:
        doing: begins the message, such as `the reward 'mine'`.
        reward: whose first line is named where the error says no line of the user's.
    """
    try:
        yield
    except TimedOut:
        raise
    except BaseException as error:
        if type(error).__module__.partition(".")[0] == "smilerl" or _is_ctrl_c(error):
            raise
        at = users_place(error) or (place(reward) if reward is not None else None)
        raise RewardError(f"{at + ': ' if at else ''}{doing} {_happened(error)}") from error


def place(reward: Callable) -> str | None:
    """`file:line` where a reward is written; None for what is not Python."""
    while isinstance(reward, functools.partial):
        reward = reward.func
    written = getattr(type(reward), "combine", type(reward).__call__)  # a `Reward` around others is called in base.py
    code = getattr(inspect.unwrap(reward), "__code__", None) or getattr(written, "__code__", None)
    return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def said(error: BaseException) -> str:
    """An error's text, short and printable, whatever it is."""
    try:
        text = str(error)[: 2 * _MOST]  # making a long one printable takes seconds
    except Exception:  # noqa: BLE001 - a text that cannot be had is no reason to lose the error
        return "(its text cannot be shown)"
    return brief(text, lines=4, most=_MOST)


def _happened(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        code = "" if error.code is None else brief(repr(error.code), lines=1, most=60)
        return f"called sys.exit({code}), which is no way to end a run. Raise an exception that says what is wrong"
    return f"raised {named(error, said(error))}"


def _is_ctrl_c(error: BaseException) -> bool:
    """A KeyboardInterrupt is Ctrl-C where Python turns one into it; while a run listens to signals, it is the reward's
    own.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    in_main = threading.current_thread() is threading.main_thread()
    return not in_main or signal.getsignal(signal.SIGINT) is signal.default_int_handler
