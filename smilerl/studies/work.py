"""The tasks of a study's worker processes: build what is shared, train an arm, evaluate it.

A worker lives as long as the study, so torch and TRL are imported once in each, and nowhere else. What it prints goes
to the job's log.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from smilerl.config.nesting import nested
from smilerl.config.recipe import PolicySpec, Recipe, WorldSpec, read_recipe
from smilerl.io import paths
from smilerl.io.terminal import brief, named, say
from smilerl.runs import seals, sources
from smilerl.runs.directory import Interrupted, Run
from smilerl.runs.identity import content_hash, digest, hash_path

STAMP = "inputs"
#: Seconds that a worker has to end its step and save when its study has been killed.
GRACE = 7.0


@dataclass(frozen=True)
class Job:
    """One arm and seed.

    Attributes:
        recipe: with its seed and run directory.
        base: what the study starts from, as the plan names it.
        suite: the evaluations.
        base_folder: holds the base's evaluations.
        log: takes what training prints.
    """

    arm: str
    seed: int
    recipe: Recipe
    base: str
    suite: str
    base_folder: Path
    log: Path

    @property
    def path(self) -> Path:
        """The run directory."""
        return Path(self.recipe.output_dir)

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.arm}, seed {self.seed}"


class Outcome(NamedTuple):
    """How a job ended: its error in one line, or None, and the seconds that it took."""

    error: str | None
    seconds: float


def begin(threads: int) -> None:
    """Readies a fresh process, before torch is imported."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what stops
    signal.signal(signal.SIGUSR1, lambda *_: _leave(75))  # while a policy trains, it saves first; see `training.stop`
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}


def check(jobs: list[Job]) -> None:
    """Checks each arm's recipe against all that it names.

    Raises:
        RecipeError: the first mistake, before anything is built.
    """
    from smilerl.config.trl_refusals import check_here
    from smilerl.training import recipe_check

    for job in jobs:
        with nested(job.recipe.source, "check"):
            recipe_check.check(job.recipe)
    for job in jobs:
        check_here(job.recipe)


def build(name: str, cores: int | None = None, threads: int = 1) -> None:
    """Builds a model that several runs start from, and shows how that goes.

    Args:
        cores: how many to use while nothing else runs, and `threads` from then on.
    """
    with _ending_when_asked(), _all_cores(cores, threads) if cores else nullcontext():
        from smilerl.training.models import model_dir

        model_dir(name)


def probe(base: str, spoken: PolicySpec) -> float:
    """Seconds that the base takes for a reply to each of 64 people, the least of three times: how fast a study goes."""
    import torch

    from smilerl import worlds
    from smilerl.models.sampling import sample
    from smilerl.training.models import load

    with _ending_when_asked(), printing_to(Path(os.devnull)):
        policy = load(base, spoken, device="cuda" if torch.cuda.is_available() else None)
        spec, took = world_of(base), []
        prompts = worlds.build(spec.name, **spec.args).people("held_out", 64, 0)["prompt"][:]
        for _ in range(3):
            began = time.monotonic()
            sample(policy, prompts, max_new_tokens=32, seed=0)
            took.append(time.monotonic() - began)
    return min(took)


def evaluate_base(base: str, suite: str, folder: Path, log: Path, spoken: PolicySpec) -> None:
    """Evaluates the untrained base, loaded and spoken to as the arms' policies are (`spoken`)."""
    with _ending_when_asked(), printing_to(log):
        from smilerl.training.models import model_dir

        _evaluate(model_dir(base), base, suite, folder, spoken)


def train_and_evaluate(job: Job) -> Outcome:
    """Trains an arm unless that is done, evaluates it, and says how that went instead of raising."""
    began = time.monotonic()
    with _ending_when_asked(), printing_to(job.log):
        try:
            _train_and_evaluate(job)
        except Exception as error:  # noqa: BLE001 - the study reports it and goes on with the other arms
            say(traceback.format_exc())
            return Outcome(" ".join(brief(named(error)).split()), time.monotonic() - began)
    return Outcome(None, time.monotonic() - began)


def is_evaluated(job: Job) -> bool:
    """Whether a run has evaluations made by today's questions, code and base. Imports no library."""
    folder = job.path / "evals" / job.suite
    return (folder / "own_reward.json").is_file() and _is_whole(folder, job.base, job.recipe.policy)


def is_base_evaluated(base: str, suite: str, base_folder: Path, spoken: PolicySpec) -> bool:
    """Whether the base has such evaluations, made as the arms' are."""
    return _is_whole(base_folder / "evals" / suite, base, spoken)


def world_of(base: str) -> WorldSpec:
    """The world that every policy of a study is evaluated in: the base's own, so that all arms meet the same people."""
    found = paths.find(base)
    return read_recipe(found).world if found and found.suffix in (".yaml", ".yml") else WorldSpec()


def _train_and_evaluate(job: Job) -> None:
    from smilerl.evaluation import own_reward
    from smilerl.training.run import run_recipe

    _until_free(job.path)
    run = run_recipe(job.recipe, progress=False)
    if not is_evaluated(job):
        _evaluate(run.model, job.base, job.suite, job.path, job.recipe.policy, job.recipe)
        own_reward.measure(job.recipe, job.path / "evals" / job.suite, job.base_folder / "evals" / job.suite)
        seals.seal_inside(job.path / "evals" / job.suite)


def _evaluate(
    model: Path, base: str, suite: str, folder: Path, spoken: PolicySpec, recipe: Recipe | None = None
) -> None:
    """Writes `folder/evals/<suite>` of an arm's run, or of the base (no recipe), and last a stamp of its inputs."""
    import torch

    from smilerl import worlds
    from smilerl.evaluation import own_reward
    from smilerl.evaluation.kinds.curve import read_trail
    from smilerl.evaluation.runner import evaluate
    from smilerl.training.models import load

    spec, out = world_of(base), folder / "evals" / suite
    reward = own_reward.combined(recipe) if recipe and recipe.rewards else None
    device = "cuda" if torch.cuda.is_available() else None
    untuned = load(base, spoken, device=device)
    policy: Any = untuned
    if recipe:
        best_of_n = recipe.method == "best_of_n"
        policy = own_reward.chooser(recipe) if best_of_n else load(str(model), spoken, device=device)
    world = worlds.build(spec.name, **spec.args)
    trail = read_trail(folder, world) if recipe else None
    evaluate(policy, world, suite, base=untuned, reward=reward, out_dir=out, trail=trail, progress=False)
    (out / STAMP).write_text(_stamp(base, spoken))
    seals.seal_inside(out)


def _is_whole(folder: Path, base: str, spoken: PolicySpec) -> bool:
    """Whether an evaluation was completed, is what was saved then, and was made with what there is today."""
    if not ((folder / "results.json").is_file() and seals.has_seal(folder)) or seals.damage_inside(folder) is not None:
        return False
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text() == _stamp(base, spoken)


def _stamp(base: str, spoken: PolicySpec) -> str:
    """A hash of the questions, of the code that asks them, and of what the base is and how it is prompted."""
    found = paths.find(base)
    of_base = (
        base
        if found is None
        else content_hash(read_recipe(found))
        if found.suffix in (".yaml", ".yml")
        else hash_path(found)
    )
    code = digest(sources.of_evaluations())[:16]
    prompted = json.dumps([spoken.dtype, spoken.chat_template_kwargs], separators=(",", ":"), sort_keys=True)
    return f"{of_base} {hash_path(paths.share() / 'evals')} {code} {prompted}"


@contextmanager
def _ending_when_asked() -> Iterator[None]:
    """Ends a worker that was asked to stop and has saved: after an error it would begin the next job."""
    try:
        yield
    except Interrupted as asked:
        _leave(int(asked.code or 0))


def _end_with_parent() -> None:
    """Ends this worker when its study has died: its results would be lost, and its locks would keep others out."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])  # a pipe that the system closes, however the parent ended
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(GRACE)
        _leave(75)


def _leave(code: int) -> None:
    """Ends this process at once, and what it has started."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
    os._exit(code)


def _until_free(folder: Path) -> None:
    """Waits for a worker of a study that has just been killed, which may still be saving this run."""
    deadline = time.monotonic() + 2 * GRACE
    while Run(folder).in_use and time.monotonic() < deadline:
        time.sleep(0.2)


@contextmanager
def _all_cores(cores: int, threads: int) -> Iterator[None]:
    import torch

    torch.set_num_threads(cores)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def printing_to(log: Path) -> Iterator[None]:
    """Everything printed in this block, also by libraries in C, goes to the end of a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
