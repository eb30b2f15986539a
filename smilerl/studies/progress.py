"""Progress of a study: a line that moves on a terminal, a line per finished run elsewhere."""

from __future__ import annotations

import statistics
import sys

from smilerl.io.terminal import printable
from smilerl.runs.directory import Run, RunError
from smilerl.studies.work import Job, Outcome

#: Seconds of one training step, and of loading and evaluating, on one of two quiet cores: the estimate before any run.
_STEP, _AROUND = 1.7, 30.0


def budget(jobs: list[Job], workers: int, recorded: list[dict]) -> str:
    """How long the missing runs will take, in words, and what that is reckoned from."""
    known = _recorded(recorded)
    source = (
        f"the {len(known)} runs that are done"
        if known
        else "about 1.7 s a step on one core; the first build of the base comes on top"
    )
    total = _minutes(sum(_expected(job, known) for job in jobs) / workers)
    return f"{len(jobs)} runs to do, {workers} at a time: about {total}, reckoned from {source}."


class Progress:
    """Follows the runs of a study by the files that they write."""

    def __init__(self, jobs: list[Job], workers: int, recorded: list[dict]):
        self.jobs, self.workers = jobs, workers
        self.done: dict[tuple[str, int], float] = {}
        self._recorded = _recorded(recorded)
        self._live = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """A line of its own."""
        self.close()
        print(printable(text), flush=True)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """One run has ended."""
        self.done[job.arm, job.seed] = outcome.seconds
        said = (
            f"failed: {outcome.error}\n    its log: {job.log}"
            if outcome.error
            else f"done in {_minutes(outcome.seconds)}"
        )
        self.say(f"[{len(self.done)}/{len(self.jobs)}] {job.arm}, seed {job.seed}: {said}")

    def show(self) -> None:
        """Draws the line, on a terminal."""
        if not self._live or len(self.done) == len(self.jobs):
            return
        running, left = [], 0.0
        for job in self.jobs:
            if (job.arm, job.seed) in self.done:
                continue
            step = self._step(job)
            share = min(1.0, (step or 0) / max(_steps(job), 1))
            left += _expected(job, list(self.done.values()) or self._recorded) * (1 - share)
            if step is not None:
                running.append(f"{job.arm}·{job.seed} {share:.0%}")
        self.close()
        line = f"[{len(self.done)}/{len(self.jobs)}] {'  '.join(running[: self.workers])}  about "
        print(printable(f"{line}{_minutes(left / self.workers)} left"), end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Removes the line."""
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _step(self, job: Job) -> int | None:
        """Steps of a run that is training now or has ended; None before it has begun."""
        try:
            status = Run(job.path).status
        except RunError:  # which training raises too, with its text
            return None
        return status.get("step", 0) if status.get("state") in ("running", "finished") else None


def _expected(job: Job, known: list[float]) -> float:
    """Seconds that a run will take: the median of those known, else by its number of steps."""
    return statistics.median(known) if known else _AROUND + _STEP * _steps(job)


def _steps(job: Job) -> int:
    """Optimizer steps of a run; a recipe that counts epochs instead is taken as a hundred."""
    steps = job.recipe.training.get("max_steps", 100)
    return steps if steps > 0 else 100


def _recorded(runs: list[dict]) -> list[float]:
    return [run["seconds"] for run in runs if run["state"] == "finished" and run["seconds"]]


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
