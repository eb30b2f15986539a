"""Ends training on a signal after the step it is in, with a checkpoint: SIGTERM, SIGUSR1 (Slurm's warning), Ctrl-C.

By default SIGTERM loses what was trained since the last checkpoint. Transformers' own `enable_jit_checkpoint` saves in
the middle of the next step and ends with exit status 0, as if the run had finished.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from smilerl.io.time_limit import hurry

#: Seconds that a reward may still take once the run was asked to stop; then it is ended, and the resumed run makes the
#: step again.
GRACE = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopSignals:
    """Within this context the first signal is noted in `asked`; a second SIGTERM or Ctrl-C ends the process at once.

    A second SIGUSR1 does not: it warns of a SIGTERM to come. A signal that the process ignores stays ignored, as Ctrl-C
    does in the workers of a study. Outside the main thread, where Python can set no handlers, nothing is changed.
    """

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._insisted = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        hurry(None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._insisted += number != signal.SIGUSR1
        if self._insisted > 1:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self.asked is None:
            self.asked = signal.Signals(number)
            hurry(GRACE)
            # Not print: a handler may run in the middle of another print.
            said = f"\n{self.asked.name}: stops after this step and saves. A second one ends it at once.\n"
            os.write(2, said.encode())
