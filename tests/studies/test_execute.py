"""Running a study: what is missing and nothing else, one failure does not stop the rest, and a stop can be gone on from.

Workers are threads here, and training writes a run directory and invented evaluations; `test_a_real_study` (slow) trains.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import synthetic

from smilerl.config.recipe import PolicySpec, read_recipe
from smilerl.io.paths import PACKAGE
from smilerl.runs import seals
from smilerl.runs.directory import Run, RunError
from smilerl.studies import execute, pool, report, work
from smilerl.studies.plan import load_plan
from smilerl.studies.progress import budget

BASE = """\
method: sft
policy:
  config: {model_type: llama, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 2, intermediate_size: 64}
data: {n: 200}
training: {per_device_train_batch_size: 16, max_length: 128, max_steps: 4, use_cpu: true, bf16: false, gradient_checkpointing: false}
held_out: {every: 0}
"""
ARM = """\
method: rloo
policy: {model_name_or_path: base.yaml}
data: {n: 64}
rewards: [{name: REWARD}]
training: {max_steps: 2, per_device_train_batch_size: 16, num_generations: 8, max_completion_length: 24, use_cpu: true, bf16: false, gradient_checkpointing: false}
held_out: {every: 1, n: 16}
"""
RM = """\
method: reward
policy: {model_name_or_path: base.yaml}
data: {split: pairs, n: 32}
training: {use_cpu: true, bf16: false}
held_out: {every: 0, n: 8}
"""
PLAN = """\
question: What for?
base: base.yaml
arms:
  - {name: reading, recipe: reading.yaml}
  - {name: gold, recipe: gold.yaml, role: gold}
seeds: [0, 1]
suite: held_out
output_dir: out
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A plan of two arms and two seeds in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE.parent))  # for child processes, which start in this folder
    Path("base.yaml").write_text(BASE)
    for reward in ("reading", "gold"):
        Path(f"{reward}.yaml").write_text(ARM.replace("REWARD", reward))
    Path("plan.yaml").write_text(PLAN)
    return lambda *overrides: load_plan("plan.yaml", overrides)


@pytest.fixture
def trained(monkeypatch) -> list[tuple[str, int]]:
    """Replaces what workers do; collects what was trained. An arm in `trained.fails` raises."""

    class Trained(list):
        fails: set[tuple[str, int]] = set()

    done = Trained()

    def evaluate(folder: Path, arm: str, base: str, suite: str, spoken: PolicySpec) -> None:
        synthetic.write_evaluation(
            folder, arm, synthetic.ARMS.get(arm, (0, 0, synthetic.BASE))[2], np.random.default_rng(0), own=arm != "base"
        )
        shutil.move(folder / "evals" / "quick", folder / "evals" / suite)
        (folder / "evals" / suite / work.STAMP).write_text(work._stamp(base, spoken))
        seals.seal_inside(folder / "evals" / suite)

    def train(job: work.Job) -> work.Outcome:
        with Run.create(job.recipe, ["test"]) as run:
            if not run.finished:
                if (job.arm, job.seed) in done.fails:
                    error = ValueError("the reward returned 3 values for 16 completions")
                    run.fail(error)
                    return work.Outcome(f"ValueError: {error}", 0.1)
                done.append((job.arm, job.seed))
                run.finish()
        evaluate(job.path, job.arm, job.base, job.suite, job.recipe.policy)
        return work.Outcome(None, 0.1)

    monkeypatch.setattr(pool, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    monkeypatch.setattr(work, "check", lambda jobs: None)
    monkeypatch.setattr(work, "build", lambda *_: None)
    monkeypatch.setattr(work, "probe", lambda *_: 0.1)
    monkeypatch.setattr(
        work, "evaluate_base", lambda base, suite, folder, *more: evaluate(folder, "base", base, suite, more[-1])
    )
    monkeypatch.setattr(work, "train_and_evaluate", train)
    return done


def test_every_arm_and_seed_is_trained_once_and_reported(plan, trained):
    finished = execute.run_study(plan())
    assert sorted(trained) == [("gold", 0), ("gold", 1), ("reading", 0), ("reading", 1)]
    assert finished.worked
    assert not finished.failed
    assert finished.report.is_file()


def test_the_report_is_there_as_soon_as_each_arm_has_a_seed_and_says_so_far(plan, trained, monkeypatch):
    """It shows the runs that are done, and nothing of one that is at work, whatever lies in its folder."""
    pages, train = [], work.train_and_evaluate

    def seen(job: work.Job) -> work.Outcome:
        if len(trained) == 2:  # both arms have their first seed
            deadline = time.monotonic() + 20
            half = job.path / "evals" / job.suite / "results.json"
            half.parent.mkdir(parents=True, exist_ok=True)
            half.write_text("{}")  # as evaluations are while they are written
            while not (page := Path("out/report.html")).is_file() and time.monotonic() < deadline:
                time.sleep(0.05)
            pages.append(page.read_text())
            shutil.rmtree(job.path)
        return train(job)

    monkeypatch.setattr(work, "train_and_evaluate", seen)
    finished = execute.run_study(plan("--workers=1"))
    assert "2 of 4 runs are in this page" in pages[0] and "Missing from this report" not in pages[0]
    last = finished.report.read_text()
    assert "So far" not in last and "4 of 4 runs finished" in last


def test_how_long_it_will_take_follows_the_machine_and_then_the_runs_that_are_done(plan):
    """Beforehand from what the base's replies take here; with runs done, from their median."""
    made = plan()
    jobs = [execute._job(made, arm, seed) for arm, seed in made.runs()]

    def minutes(*args) -> float:
        number, unit = re.search(r"about (\d+) (s|min), reckoned", budget(*args)).groups()
        return float(number) / (60 if unit == "s" else 1)

    quick, slow = minutes(jobs, 2, [], 0.117, [], False), minutes(jobs, 2, [], 11.7, [], False)
    assert 0.4 < quick < 1 and slow == pytest.approx(100 * quick, rel=0.02)
    assert minutes(jobs, 1, [], 11.7, [], False) == pytest.approx(2 * slow, rel=0.02)
    assert minutes(jobs, 2, [], 11.7, [], True) > slow
    assert minutes(jobs, 2, [], 11.7, [read_recipe("reading.yaml")] * 50, False) > slow
    done = [{"state": "finished", "seconds": 600.0}, {"state": "finished", "seconds": 1200.0}]
    assert minutes(jobs, 2, done, 0.117, [], False) == 30


def test_a_report_so_far_that_cannot_be_written_costs_the_study_nothing(plan, trained, monkeypatch, capsys):
    whole = report.write
    monkeypatch.setattr(report, "write", lambda folder, **how: 1 / 0 if how else whole(folder))
    assert execute.run_study(plan()).report.is_file() and len(trained) == 4
    assert "the report so far could not be written: ZeroDivisionError" in capsys.readouterr().out


def test_a_second_call_does_nothing(plan, trained):
    report = execute.run_study(plan()).report
    written = report.stat().st_mtime_ns
    again = execute.run_study(plan())
    assert len(trained) == 4
    assert not again.worked
    assert report.stat().st_mtime_ns == written


@pytest.mark.slow
@pytest.mark.parametrize("said", ["failed", "missing"])
def test_what_study_json_says_is_worked_out_anew_before_nothing_is_done(plan, trained, said):
    """A study whose workers died has written `failed` of runs that others have finished since."""
    made = plan()
    execute.run_study(made)
    record = json.loads(Path("out/study.json").read_text())
    for run in record["runs"][1:]:
        run |= {"state": said, "error": "a worker process died" if said == "failed" else None}
    Path("out/study.json").write_text(json.dumps(record))
    report.write("out")
    assert not execute.run_study(made).failed
    assert len(trained) == 4
    assert {run["state"] for run in json.loads(Path("out/study.json").read_text())["runs"]} == {"finished"}
    page = Path("out/report.md").read_text()
    assert "4 of 4 runs finished" in page and "worker process died" not in page


@pytest.mark.slow
def test_a_base_evaluation_alone_is_waited_for(plan, trained, monkeypatch):
    made = plan()
    execute.run_study(made)
    shutil.rmtree("out/base")
    evaluate = work.evaluate_base
    monkeypatch.setattr(work, "evaluate_base", lambda *given: time.sleep(0.5) or evaluate(*given))
    assert execute.run_study(made).worked
    assert len(trained) == 4 and Path("out/base/evals/held_out/results.json").is_file()


@pytest.mark.slow
def test_no_run_begins_before_what_it_needs_is_there(plan, trained, monkeypatch):
    """Runs that need no reward model do not wait for it; all wait for the base's evaluation."""
    Path("rm.yaml").write_text(RM)
    Path("gold.yaml").write_text(ARM.replace("REWARD", "preference, args: {model: rm.yaml}"))
    order, evaluate, train = [], work.evaluate_base, work.train_and_evaluate

    def noted(name, seconds, do):
        time.sleep(seconds)
        order.append(name)
        return do()

    def build(name, *cores):
        noted(name, 1.5 if name == "rm.yaml" else 0, lambda: None)

    monkeypatch.setattr(work, "build", build)
    monkeypatch.setattr(work, "evaluate_base", lambda *given: noted("base", 0.3, lambda: evaluate(*given)))
    monkeypatch.setattr(work, "train_and_evaluate", lambda job: noted(job.arm, 0, lambda: train(job)))
    execute.run_study(plan("--workers=3"))
    assert order == ["base.yaml", "base", "reading", "reading", "rm.yaml", "gold", "gold"]


def test_a_run_that_had_to_wait_goes_before_those_behind_it(plan, trained, monkeypatch):
    """Else the first seed of an arm with a reward model would come last, and with it the report so far."""
    Path("rm.yaml").write_text(RM)
    Path("reading.yaml").write_text(ARM.replace("REWARD", "preference, args: {model: rm.yaml}"))
    built, train, order = threading.Event(), work.train_and_evaluate, []

    def run(job: work.Job) -> work.Outcome:
        order.append(job.name)
        built.set()
        time.sleep(0.5)
        return train(job)

    monkeypatch.setattr(work, "build", lambda name, *_: built.wait(10) if name == "rm.yaml" else None)
    monkeypatch.setattr(work, "train_and_evaluate", run)
    execute.run_study(plan("--workers=2", "--seeds=[0, 1, 2]"))
    assert order[0] == "gold, seed 0" and order.index("reading, seed 0") < order.index("gold, seed 2")


def test_what_runs_need_and_cannot_have_ends_the_study(plan, trained, monkeypatch):
    def broken(*_):
        raise ValueError("no such people")

    monkeypatch.setattr(work, "evaluate_base", broken)
    with pytest.raises(ValueError, match="no such people"):
        execute.run_study(plan())
    assert trained == []

    def died(*_):
        raise BrokenProcessPool

    monkeypatch.setattr(work, "evaluate_base", died)
    with pytest.raises(RunError, match="`--workers 1` needs less"):
        execute.run_study(plan())


@pytest.mark.slow
def test_a_base_that_is_spoken_to_otherwise_is_evaluated_again(plan, trained):
    made = plan()
    execute.run_study(made)
    folder = made.folder / "base"
    assert work.is_base_evaluated(made.base, made.suite, folder, PolicySpec())
    for other in (PolicySpec(dtype="bfloat16"), PolicySpec(chat_template_kwargs={"enable_thinking": False})):
        assert not work.is_base_evaluated(made.base, made.suite, folder, other)


@pytest.mark.slow
def test_only_what_is_missing_is_run(plan, trained):
    execute.run_study(plan())
    shutil.rmtree("out/gold/seed-1")
    execute.run_study(plan())
    assert trained[4:] == [("gold", 1)]


@pytest.mark.slow
def test_a_new_seed_adds_its_runs(plan, trained):
    execute.run_study(plan())
    execute.run_study(plan("--seeds=[0, 1, 2]"))
    assert sorted(trained[4:]) == [("gold", 2), ("reading", 2)]


@pytest.mark.slow
def test_a_run_without_evaluation_is_evaluated_and_not_trained_again(plan, trained):
    execute.run_study(plan())
    shutil.rmtree("out/gold/seed-1/evals")
    assert execute.run_study(plan()).worked
    assert len(trained) == 4
    assert Path("out/gold/seed-1/evals/held_out/results.json").is_file()


@pytest.mark.slow
def test_a_changed_recipe_is_run_anew_and_the_earlier_run_kept(plan, trained):
    execute.run_study(plan())
    Path("gold.yaml").write_text(ARM.replace("REWARD", "gold").replace("max_steps: 2", "max_steps: 3"))
    execute.run_study(plan())
    assert sorted(trained[4:]) == [("gold", 0), ("gold", 1)]
    assert sorted(path.name.split("-", 1)[1] for path in Path("out/earlier").iterdir()) == [
        "gold-seed-0",
        "gold-seed-1",
    ]


@pytest.mark.slow
def test_a_failed_arm_is_named_and_the_others_go_on(plan, trained):
    trained.fails = {("reading", 0)}
    finished = execute.run_study(plan())
    assert list(finished.failed) == ["reading, seed 0"]
    assert "3 values" in finished.failed["reading, seed 0"]
    assert sorted(trained) == [("gold", 0), ("gold", 1), ("reading", 1)]
    assert "reading, seed 0: failed" in finished.report.read_text()
    trained.fails = set()
    assert not execute.run_study(plan()).failed
    assert trained[3:] == [("reading", 0)]


def test_two_processes_do_not_run_one_study(plan, trained):
    with execute._locked(Path("out")), pytest.raises(RunError, match="another process works on this study"):
        execute.run_study(plan())


PREREG = "prereg: {hypothesis: it helps, primary: cgi, direction: gold > reading, sesoi: 0.1}\n"


@pytest.mark.slow
def test_a_hypothesis_written_before_the_first_run_is_recorded_as_such(plan, trained):
    Path("plan.yaml").write_text(PLAN + PREREG)
    execute.run_study(plan())
    prereg = json.loads(Path("out/study.json").read_text())["prereg"]
    assert prereg["standing"] == "As written before the first run."
    assert prereg["hash"] == plan().prereg_hash()


@pytest.mark.slow
def test_a_hypothesis_written_or_changed_after_runs_says_so(plan, trained):
    execute.run_study(plan())
    Path("plan.yaml").write_text(PLAN + PREREG)
    execute.run_study(plan())
    assert "after runs had begun" in json.loads(Path("out/study.json").read_text())["prereg"]["standing"]

    shutil.rmtree("out")
    execute.run_study(plan())
    first = plan().prereg_hash()
    Path("plan.yaml").write_text(PLAN + PREREG.replace("0.1", "0.01"))
    execute.run_study(plan())
    prereg = json.loads(Path("out/study.json").read_text())["prereg"]
    assert prereg["hash"] == first
    assert "since been changed" in prereg["standing"]


@pytest.mark.slow
def test_looking_whether_there_is_work_imports_no_torch(plan, trained):
    execute.run_study(plan())
    code = (
        "import sys; from smilerl.studies import execute, plan\n"
        "assert not execute.run_study(plan.load_plan('plan.yaml')).worked\n"
        "print([name for name in ('torch', 'trl', 'transformers', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_workers_that_do_not_end_when_asked_are_ended(monkeypatch):
    """One that trains saves and goes by itself (tests/training/test_stopping.py); one that does nothing ends; none is waited for long."""
    fork = multiprocessing.get_context("fork")

    def hang(ready, stubborn: bool) -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN if stubborn else signal.SIG_DFL)
        ready.set()
        time.sleep(60)

    ready = [fork.Event(), fork.Event()]
    workers = [
        fork.Process(target=hang, args=(one, stubborn)) for one, stubborn in zip(ready, (False, True), strict=True)
    ]
    for worker, one in zip(workers, ready, strict=True):
        worker.start()
        assert one.wait(10)
    monkeypatch.setattr(execute, "_PATIENCE", 0.5)
    began = time.monotonic()
    execute._stop_workers()
    for worker in workers:
        worker.join(5)
    assert [worker.exitcode for worker in workers] == [-signal.SIGUSR1, -signal.SIGKILL]
    assert time.monotonic() - began < 3


@pytest.mark.slow
def test_a_real_study(plan):
    """Trains and evaluates a tiny model twice in two processes, killed once on the way."""
    command = [sys.executable, "-m", "smilerl.cli", "study", "plan.yaml", "--seeds=[0]"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as stopped:
        for line in stopped.stdout:
            if line.startswith("[1/2]"):
                stopped.terminate()
        assert stopped.wait(60) == 75
    assert subprocess.run(command, capture_output=True, text=True, timeout=600).returncode == 0
    state = json.loads(Path("out/study.json").read_text())
    assert [run["state"] for run in state["runs"]] == ["finished", "finished"]
    began = time.monotonic()
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Every run of this study is done." in said.stdout
    assert time.monotonic() - began < 15
    for arm in ("reading", "gold"):
        own = json.loads(Path(f"out/{arm}/seed-0/evals/held_out/own_reward.json").read_text())
        assert own["own_reward_change"]["scored"] > 0
