"""The worker processes of a study: each does one task at a time, and one that dies costs no other task anything."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from smilerl.runs.directory import RunError
from smilerl.studies import work


class WorkerDied(RunError):
    """The worker that did a task died, and so did the next one that tried it."""


class Pool:
    """Runs tasks in so many processes, in the order of submission.

    `ProcessPoolExecutor` alone ends all its processes and drops all its tasks when one process dies. So each process
    has an executor and a thread of its own: a death costs the task in that process one try, and nothing else.

    Args:
        workers: processes.
        threads: of each worker's computations.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self.workers, self._threads, self._stopped = workers, threads, False
        self._free: queue.LifoQueue[ProcessPoolExecutor] = queue.LifoQueue()  # first those with their libraries loaded
        self._feeders = ThreadPoolExecutor(workers)
        for _ in range(workers):
            self._free.put(self._executor())

    def submit(self, task: str, do: Callable, *args: Any) -> Future:
        """The result of `do(*args)` in a worker, to come. Where the worker dies twice, the future raises `WorkerDied`.

        Args:
            task: what it is, for messages.
        """
        return self._feeders.submit(self._do, task, do, args)

    def close(self) -> None:
        """Begins no further task; what is under way is left to end."""
        self._stopped = True
        self._feeders.shutdown(wait=False, cancel_futures=True)
        while not self._free.empty():
            self._free.get().shutdown(wait=False)

    def _do(self, task: str, do: Callable, args: tuple) -> Any:
        executor = self._free.get()
        try:
            for last in (False, True):
                try:
                    return executor.submit(do, *args).result()
                except BrokenProcessPool:
                    executor.shutdown(wait=False)
                    executor = self._executor()
                    if self._stopped or last:
                        raise WorkerDied(f"{task}: {self._why()}") from None
                    print(f"{task}: its worker process died; it is tried once more from its last save", flush=True)
        finally:
            if self._stopped:
                executor.shutdown(wait=False)
            else:
                self._free.put(executor)

    def _executor(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), work.begin, (self._threads,))

    def _why(self) -> str:
        advice = (
            f"`--workers {self.workers // 2}` needs less"
            if self.workers > 1
            else "it was the only one at work, so it needs a larger machine, a smaller "
            "training.per_device_train_batch_size or a shorter max_completion_length"
        )
        return f"its worker process died twice, perhaps for want of memory; {advice}"
