"""Progress of a study: a line that moves on a terminal, a line per finished run elsewhere."""

from __future__ import annotations

import statistics
import sys

from smilerl.config.recipe import Recipe
from smilerl.config.schedule import log_steps
from smilerl.io.terminal import printable
from smilerl.runs.directory import Run, RunError
from smilerl.studies.work import Job, Outcome

#: Seconds of `work.probe` on a quiet core; and there, beside another run, of each completion of a training step, each
#: reply of a held-out sample, each pair of a reward model, loading and evaluating a run, and evaluating the base.
_PROBE, _COMPLETION, _REPLY, _PAIR, _AROUND, _BASE = 0.117, 0.0044, 0.003, 0.0075, 17.0, 65.0


def budget(jobs: list[Job], workers: int, recorded: list[dict], probe: float, first: list[Recipe], base: bool) -> str:
    """How long the missing runs will take, in words, and what that is reckoned from.

    Args:
        recorded: runs as `study.json` has them.
        probe: seconds that `work.probe` took.
        first: the reward models that are trained for the runs.
        base: whether the base is evaluated, too.
    """
    known, speed = _recorded(recorded), probe / _PROBE
    source = f"the {len(known)} runs that are done" if known else f"64 replies of the base in {probe:.2g} s"
    seconds = sum(_expected(job, known, speed) for job in jobs)
    seconds += speed * (sum(_PAIR * (one.data.n or 1000) for one in first) + _BASE * base)
    return f"{len(jobs)} runs to do, {workers} at a time: about {_minutes(seconds / workers)}, reckoned from {source}."


class Progress:
    """Follows the runs of a study by the files that they write."""

    def __init__(self, jobs: list[Job], workers: int, recorded: list[dict], probe: float):
        self.jobs, self.workers, self._speed = jobs, workers, probe / _PROBE
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
            left += _expected(job, list(self.done.values()) or self._recorded, self._speed) * (1 - share)
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


def _expected(job: Job, known: list[float], speed: float) -> float:
    """Seconds that a run will take: the median of those known, else by what it samples and trains on."""
    if known:
        return statistics.median(known)
    training, held_out, steps = job.recipe.training, job.recipe.held_out, _steps(job)
    batch = training.get("per_device_train_batch_size", 8) * training.get("gradient_accumulation_steps", 1)
    samples = len(log_steps(steps)) if held_out.at == "log" else steps // max(held_out.every, 1)
    replies = (1 + samples) * held_out.n if held_out.every else 0
    return speed * (_AROUND + _COMPLETION * batch * steps + _REPLY * replies)


def _steps(job: Job) -> int:
    """Optimizer steps of a run; a recipe that counts epochs instead is taken as a hundred."""
    steps = job.recipe.training.get("max_steps", 100)
    return steps if steps > 0 else 100


def _recorded(runs: list[dict]) -> list[float]:
    return [run["seconds"] for run in runs if run["state"] == "finished" and run["seconds"]]


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
