"""A time limit for code that may never end: after it, an exception is raised in the middle of that code.

The code runs in the main thread, where all else runs, and a signal ends it: a real-time one, as rewards that run
programs often use SIGALRM for limits of their own. A worker thread that is left behind would be wrong here: it would go
on drawing from the trainer's generators, and could look at outcomes once the run's seal is off; gradient mode, the CUDA
device and context variables do not follow into a thread. The price: code in C that neither returns nor looks for
signals is not ended by the exception. Such a process is ended as a whole, see `STUCK`; it can be resumed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

Value = TypeVar("Value")
#: Seconds between one attempt to end a call and the next: code may catch the exception and go on.
AGAIN = 1.0
#: Seconds after which a call that cannot be ended takes the process with it, with exit status 75.
STUCK = 60.0
_SIGNAL = getattr(signal, "SIGRTMIN", signal.SIGUSR2) + (7 if hasattr(signal, "SIGRTMIN") else 0)


class TimedOut(BaseException):
    """A call took longer than it may. No `Exception`, so that `except Exception` in the code that is ended passes it.

    Attributes:
        hurried: whether it was cut short because the run was asked to stop.
    """

    def __init__(self, hurried: bool) -> None:
        super().__init__("a time limit")
        self.hurried = hurried


class _Call:
    def __init__(self, what: str, seconds: float) -> None:
        self.what, self.done, self.armed, self.due = what, threading.Event(), False, False
        self.deadline = time.monotonic() + seconds
        self.first: float | None = None


_running: list[_Call] = []
_hurry: float | None = None


def within(seconds: float, function: Callable[[], Value], what: str = "a call") -> Value:
    """`function()`, ended after so many seconds, or sooner while `hurry` holds; no limit outside the main thread.

    Raises:
        TimedOut: it was ended.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    if signal.getsignal(_SIGNAL) is not _end:
        signal.signal(_SIGNAL, _end)  # and never back: by default this signal would end the process
    call = _Call(what, seconds if _hurry is None else min(seconds, _hurry))
    _running.append(call)
    threading.Thread(target=_watch, args=(call,), daemon=True, name="smilerl-time-limit").start()
    try:
        try:
            call.armed = True
            return function()
        finally:
            call.armed = False
    except BaseException as error:
        call.armed = False
        if call.due:  # also where the code turned it into an exception of its own
            raise TimedOut(_hurry is not None) from error
        raise
    finally:
        call.done.set()
        _running.remove(call)


def hurry(seconds: float | None) -> None:
    """Limits the call that runs now, and each that begins later, to so many seconds; None: to their own limits.

    For signal handlers: takes no lock.
    """
    global _hurry
    _hurry = seconds
    if seconds is not None:
        for call in _running:
            call.deadline = min(call.deadline, time.monotonic() + seconds)


def _end(number: int, frame: FrameType | None) -> None:
    call = _running[-1] if _running else None
    if call is not None and call.armed and call.due:
        raise TimedOut(_hurry is not None)


def _watch(call: _Call) -> None:
    main: Any = threading.main_thread().ident
    while not call.done.wait(min(0.5, max(0.0, call.deadline - time.monotonic()))):  # `hurry` may move the deadline
        now = time.monotonic()
        if now < call.deadline:
            continue
        call.first = now if call.first is None else call.first
        if now - call.first > STUCK:
            text = f"\n{call.what} cannot be ended: it is in code that hears no signal. The process ends.\n"
            os.write(2, text.encode())
            os._exit(75)
        call.due, call.deadline = True, now + AGAIN
        signal.pthread_kill(main, _SIGNAL)
