"""Runs what is missing of a study, several runs at a time, and writes the report. Run it again to resume after a stop.

The parent imports no torch: it reads plans, hashes and folders, so that a finished study is recognised in seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from smilerl.config.recipe import PolicySpec, Recipe, read_recipe
from smilerl.config.yaml_lines import Problem, dump
from smilerl.io import disk, lock
from smilerl.io.files import read_study
from smilerl.io.terminal import named, printable
from smilerl.runs import manifest as provenance
from smilerl.runs import ownership
from smilerl.runs.directory import Interrupted, Run, RunError, finished_run, write_json
from smilerl.runs.identity import content_hash, inputs
from smilerl.studies import stamp, work
from smilerl.studies.plan import BASE, Arm, StudyPlan
from smilerl.studies.pool import Pool, WorkerDied
from smilerl.studies.progress import Progress, budget

#: Seconds that workers have to end the step they are in and save.
_PATIENCE = 20.0
#: glibc gives large blocks back to the system at once; asking for them again costs a twentieth of a step's time.
_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**32)}


@dataclass(frozen=True)
class Finished:
    """How a study ended.

    Attributes:
        report: the page.
        failed: arm and seed of each failed run → its error.
        worked: whether anything had to be done.
    """

    report: Path
    failed: dict[str, str]
    worked: bool


def run_study(plan: StudyPlan, command: list[str] | None = None) -> Finished:
    """Builds, trains and evaluates what is missing, then writes the report if anything in it has changed.

    Args:
        plan: as loaded.
        command: as typed, for the report.

    Raises:
        RecipeError: a mistake in an arm's recipe, before anything is built; or the folder holds something that is no
            study.
        RunError: another process works on this study.
        KeyboardInterrupt, Interrupted: workers have saved and been stopped; the study can be resumed.
    """
    wrong = ownership.why_no_study(plan.folder, [arm.name for arm in plan.arms])
    if wrong is not None:
        fix = "Give a folder that is new or empty, or that of the study to go on with."
        raise plan.lines.error(Problem(("output_dir",), f"output_dir: {plan.folder}: {wrong}.", fix))
    with disk.told_when_full(plan.folder), _locked(plan.folder):
        jobs = [_job(plan, arm, seed) for arm, seed in plan.runs()]
        missing = [job for job in jobs if finished_run(job.recipe) is None or not work.is_evaluated(job)]
        base_missing = not work.is_base_evaluated(plan.base, plan.suite, plan.folder / BASE, _spoken(plan))
        failed: dict[str, str] = {}
        if not (missing or base_missing) and stamp.is_current(plan.folder) and _is_current(plan, jobs):
            return Finished(plan.folder / stamp.REPORT, failed, worked=False)
        record = _record(plan, jobs, command)
        if missing or base_missing:
            seeds = ", ".join(map(str, plan.seeds))
            _say(
                f"{plan.title}: {len(jobs)} runs, {len(plan.arms)} arms with seeds {seeds}; "
                f"{len(jobs) - len(missing)} are done. Results: {plan.folder}"
            )
            failed = _work(plan, missing, base_missing, record)
        _save(plan, record)
        from smilerl.studies import report

        return Finished(report.write(plan.folder), failed, bool(missing or base_missing))


def _job(plan: StudyPlan, arm: Arm, seed: int) -> work.Job:
    log = plan.folder / "logs" / f"{arm.name}-seed-{seed}.log"
    return work.Job(arm.name, seed, plan.recipe(arm, seed), plan.base, plan.suite, plan.folder / BASE, log)


def _work(plan: StudyPlan, jobs: list[work.Job], base_missing: bool, record: dict) -> dict[str, str]:
    """Does the missing jobs; returns the errors of those that failed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(1, cores // plan.workers)
    began, before = time.monotonic(), record["seconds"]
    for name, value in _MEMORY.items():
        os.environ.setdefault(name, value)  # which workers inherit
    pool = Pool(plan.workers, threads)
    before_us = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        pool.submit("the recipes are checked", work.check, jobs).result()
        _say("building the base ...")
        building = time.monotonic()
        pool.submit(plan.base, work.build, plan.base, cores, threads).result()
        _say(f"building the base: {time.monotonic() - building:.0f} s")
        probe = pool.submit("a few replies of the base", work.probe, plan.base, _spoken(plan)).result()
        shared = [read_recipe(name) for name in _shared(plan, jobs)] if base_missing else []
        _say(budget(jobs, plan.workers, record["runs"], probe, shared, base_missing))
        first = _first(pool, plan, jobs, base_missing)
        progress = Progress(jobs, plan.workers, record["runs"], probe)
        return _train(pool, plan, jobs, first, record, progress, lambda: before + time.monotonic() - began)
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | Interrupted)
        if stopped:
            _say("\nStopping: runs save where they are. Ctrl-C again does not wait for them.")
        pool.close()
        _stop_workers()
        if stopped:
            _say(f"Stopped. The same command goes on from here: {plan.folder}")
        raise
    finally:
        record["seconds"] = before + time.monotonic() - began
        _save(plan, record)
        pool.close()
        for number, handler in before_us.items():
            signal.signal(number, handler)


def _stop_workers() -> None:
    """Asks the workers to save and end; those that have not within `_PATIENCE` seconds keep what they saved last."""
    workers = multiprocessing.active_children()
    deadline = time.monotonic() + _PATIENCE
    try:
        for worker in workers:
            # Not SIGTERM: a second one ends a run before it has saved, and the whole group may have got one already.
            with suppress(ProcessLookupError):
                os.kill(worker.pid or 0, signal.SIGUSR1)
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
    finally:
        for worker in workers:
            worker.kill()


def _first(pool: Pool, plan: StudyPlan, jobs: list[work.Job], base_missing: bool) -> dict[str, Future]:
    """What runs need, in the making: models that recipes name, and the base's evaluation (under `BASE`)."""
    first = {name: pool.submit(name, work.build, name) for name in _shared(plan, jobs)}
    if base_missing:
        given = (plan.base, plan.suite, plan.folder / BASE, plan.folder / "logs" / "base.log", _spoken(plan))
        first[BASE] = pool.submit("the base's evaluation", work.evaluate_base, *given)
    return first


def _shared(plan: StudyPlan, jobs: list[work.Job]) -> list[str]:
    """The recipes of the models beside the base that runs need."""
    named = dict.fromkeys(name for job in jobs for name in _models_of(job.recipe))
    return [name for name in named if name != plan.base]


def _train(
    pool: Pool,
    plan: StudyPlan,
    jobs: list[work.Job],
    first: dict[str, Future],
    record: dict,
    progress: Progress,
    seconds: Callable[[], float],
) -> dict[str, str]:
    """Runs the jobs, each as soon as what it needs of `first` is there."""
    for job in jobs:
        _make_room(plan, job)
    failed: dict[str, str] = {}
    needs = [(job, {*_models_of(job.recipe), BASE} & first.keys()) for job in jobs]
    waiting: dict[Future, work.Job] = {}
    began, shown = time.monotonic(), _whole_seeds(record)
    while waiting or needs or first:
        for name in [name for name, future in first.items() if future.done()]:
            _made(first.pop(name))  # without it nothing can be compared: the study ends with its error
            made = "the base is evaluated" if name == BASE else f"{name} is built"
            progress.say(f"{made}: {time.monotonic() - began:.0f} s")
            needs = [(job, still - {name}) for job, still in needs]
        # No more than there are workers for, so that a run that had to wait goes before those behind it in the plan.
        room = max(0, plan.workers - len(waiting) - len(first))
        ready = [job for job, still in needs if not still][:room]
        waiting |= {pool.submit(job.name, work.train_and_evaluate, job): job for job in ready}
        needs = [(job, still) for job, still in needs if job not in ready]
        done, _ = wait([*waiting, *first.values()], timeout=1.0, return_when=FIRST_COMPLETED)
        for future in done & waiting.keys():
            job = waiting.pop(future)
            error, took = outcome = _outcome(future)
            run = next(run for run in record["runs"] if (run["arm"], run["seed"]) == (job.arm, job.seed))
            run |= {"state": "failed" if error else "finished", "error": error, "seconds": round(took, 1)}
            if error:
                failed[job.name] = error
            record["seconds"] = seconds()
            _save(plan, record)
            progress.ended(job, outcome)
        if shown < (whole := _whole_seeds(record)) < len(plan.seeds):
            shown = whole
            _look(plan, progress, whole)
        progress.show()
    progress.close()
    return failed


def _whole_seeds(record: dict) -> int:
    """How many seeds every arm has finished; an arm that failed has none to wait for."""
    ended = [(run["arm"], run["state"] != "missing") for run in record["runs"]]
    return min(sum(done for arm, done in ended if arm == name) for name in dict.fromkeys(arm for arm, _ in ended))


def _look(plan: StudyPlan, progress: Progress, seeds: int) -> None:
    """Writes the report so far, beside the runs. What goes wrong with it costs the study nothing."""
    from smilerl.studies import report

    try:
        page = report.write(plan.folder, force=True, so_far=True)
    except Exception as error:  # noqa: BLE001 - the report at the end will tell
        progress.say(f"the report so far could not be written: {named(error)}")
        return
    progress.say(f"{seeds} of {len(plan.seeds)} seeds of every arm are done; the report so far: {page}")


def _outcome(future: Future) -> work.Outcome:
    """How a run ended; also where its worker could not say so."""
    try:
        return future.result()
    except WorkerDied as died:
        return work.Outcome(str(died).partition(": ")[2], 0.0)
    except Exception as error:  # noqa: BLE001 - such as a log that a full disk does not take
        return work.Outcome(" ".join(named(error).split()), 0.0)


def _made(future: Future) -> None:
    """Raises what went wrong while something was made that runs need."""
    try:
        future.result()
    except WorkerDied as died:
        raise RunError(f"{died}.\nThe same command goes on from what is there.") from None


def _spoken(plan: StudyPlan) -> PolicySpec:
    """How the arms' policies are loaded and prompted, and so the base.

    Raises:
        RunError: not all alike, so that no base could be compared with all of them.
    """
    specs = {arm.name: plan.recipe(arm, plan.seeds[0]).policy for arm in plan.arms}
    first, *others = specs
    for name in others:
        if any(getattr(specs[name], key) != getattr(specs[first], key) for key in ("dtype", "chat_template_kwargs")):
            raise RunError(
                f"the arms '{first}' and '{name}' differ in policy.dtype or policy.chat_template_kwargs, so that they "
                "have no base in common.\nGive them the same, or make two studies."
            )
    return specs[first]


def _models_of(recipe: Recipe) -> list[str]:
    """The recipe files of the models that a recipe's policy and rewards name."""
    return [name for name in inputs(recipe) if name.endswith((".yaml", ".yml"))]


def _make_room(plan: StudyPlan, job: work.Job) -> None:
    """Moves a run of another recipe, or of other code, to `earlier/`, so that it is kept and not mixed in."""
    manifest = job.path / "manifest.json"
    if not ownership.is_run(job.path) or not manifest.is_file():
        return
    if Run(job.path).manifest.get("content_hash") == content_hash(job.recipe):
        return
    number = 1 + len(list((plan.folder / "earlier").glob("*")))
    aside = plan.folder / "earlier" / f"{number}-{job.arm}-seed-{job.seed}"
    aside.parent.mkdir(parents=True, exist_ok=True)
    job.path.rename(aside)
    why = "the recipe, or code that it runs, has changed; the earlier run is kept in"
    _say(f"{job.name}: {why} {aside}")


def _record(plan: StudyPlan, jobs: list[work.Job], command: list[str] | None) -> dict:
    """What `study.json` says: the plan, and how each run stands."""
    before = _read_record(plan)
    manifest = provenance.describe(jobs[0].recipe, command or sys.argv)
    git, source = manifest["git"], "not in a checkout"
    if git:
        dirty = git["dirty"] or git["untracked"]
        source = f"{git['sha'] or 'not committed'}{' with uncommitted changes' if dirty else ''}"
    return {
        "title": plan.title,
        "question": plan.question,
        "source": provenance.without_home(plan.source),
        "plan_hash": plan.content_hash(),
        "prereg": _prereg(plan, before),
        "suite": plan.suite,
        "seeds": list(plan.seeds),
        "base": {"recipe": plan.base},
        "arms": [_about_arm(plan, arm) for arm in plan.arms],
        "runs": _standing(jobs, before),
        "command": before.get("command", manifest["command"]),
        "started": before.get("started", provenance.now()),
        "seconds": before.get("seconds", 0.0),
        "versions": {"smilerl": manifest["smilerl"], "python": manifest["python"], **manifest["packages"]},
        "git": source,
    }


def _standing(jobs: list[work.Job], before: dict) -> list[dict]:
    """How each run stands on the disk now, with what `study.json` knew of it before."""
    known = {(run["arm"], run["seed"]): run for run in before.get("runs", [])}
    runs = []
    for job in jobs:
        done = finished_run(job.recipe) is not None and work.is_evaluated(job)
        run = {"error": None, "seconds": None} | known.get((job.arm, job.seed), {})
        state = "finished" if done else "failed" if run.get("error") else "missing"
        now = {"arm": job.arm, "seed": job.seed, "path": f"{job.arm}/seed-{job.seed}", "state": state}
        runs.append(run | now | {"error": None if done else run["error"]})
    return runs


def _is_current(plan: StudyPlan, jobs: list[work.Job]) -> bool:
    """Whether `study.json`, from which the report is made, says what is on the disk; a killed study left it behind."""
    record = _read_record(plan)
    return record.get("plan_hash") == plan.content_hash() and record.get("runs") == _standing(jobs, record)


def _about_arm(plan: StudyPlan, arm: Arm) -> dict:
    recipe = plan.recipe(arm, plan.seeds[0])
    rewarded = " + ".join(f"{reward.name} × {reward.weight:g}" for reward in recipe.rewards)
    said = {key: value for key, value in recipe.to_dict().items() if key not in ("seed", "output_dir", "story")}
    return {"name": arm.name, "role": arm.role, "group": arm.group, "recipe": arm.recipe,
            "rewarded": rewarded, "goal": recipe.story.goal,
            "rationale": recipe.story.rationale, "hash": content_hash(recipe), "yaml": dump(said)}  # fmt: skip


def _prereg(plan: StudyPlan, before: dict) -> dict | None:
    """What was registered, and whether that was before the first run and is what the plan says now."""
    if plan.prereg is None:
        return None
    known, digest = before.get("prereg"), plan.prereg_hash()
    started = any(run["state"] != "missing" for run in before.get("runs", []))
    if known is not None and (known["hash"] == digest or started):
        changed = (
            f"The plan has since been changed to hash {digest}; what is shown is the first, and what follows from the "
            "change is exploratory."
        )
        return known if known["hash"] == digest else {**known, "standing": changed}
    standing = "Written down after runs had begun: exploratory." if started else "As written before the first run."
    return {"block": asdict(plan.prereg), "hash": digest, "recorded": provenance.now(), "standing": standing}


def _read_record(plan: StudyPlan) -> dict:
    return read_study(plan.folder) if (plan.folder / "study.json").exists() else {}


def _save(plan: StudyPlan, record: dict) -> None:
    """Writes study.json, unless it says the same already."""
    if _read_record(plan) != record:
        write_json(plan.folder / "study.json", record)


def _say(text: str) -> None:
    print(printable(text), flush=True)


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted(signal.Signals(number))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    held = lock.take(folder / "lock")
    if held is None:
        raise RunError(f"{folder}: another process works on this study. Wait for it, or give another --output_dir.")
    with held:
        yield
