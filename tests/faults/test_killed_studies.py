"""A study that is killed leaves no process that trains on, and goes on at once; a worker that is killed costs its own run one try."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.fixtures.recipes import RL, SFT, TINY

pytestmark = [pytest.mark.slow, pytest.mark.attack("killed studies")]
#: Seconds in which all processes of a killed study have ended.
SOON = 10.0
#: Waits in each step, so that there is time to strike.
SLOW = """\
import time
def slow(prompts, completions, **columns):
    time.sleep(0.3)
    return [len(str(text)) / 40 for text in completions]
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A study of two runs, one after the other, in a world of a few prompts, of which little can be asked."""
    (tmp_path / "slow.py").write_text(SLOW)
    talks = [
        {"prompt": f"person: it is {word} today .\nhelper:", "completion": " so it is ."}
        for word in map(str, range(40))
    ]
    (tmp_path / "talks.jsonl").write_text("\n".join(map(json.dumps, talks)))
    world = {
        "name": "dialogue",
        "args": {"path": str(tmp_path / "talks.jsonl"), "format": "text", "held_out_fraction": 0.2},
    }
    base = {
        "method": "sft",
        "world": world,
        "policy": {"config": TINY},
        "data": {"n": 32},
        "training": SFT,
        "held_out": {"every": 0},
    }
    arm = {
        "method": "rloo",
        "world": world,
        "policy": {"model_name_or_path": "base.yaml"},
        "data": {"n": 16},
        "rewards": [{"name": f"{tmp_path}/slow.py:slow"}],
        "training": {**RL, "max_steps": 12, "save_steps": 1},
        "held_out": {"every": 0, "n": 4},
    }
    plan = {
        "question": "What for?",
        "base": "base.yaml",
        "arms": [{"name": name, "recipe": f"{name}.yaml"} for name in ("one", "two")],
        "seeds": [0],
        "suite": "held_out",
        "workers": 1,
        "output_dir": "out",
    }
    for name, said in {"base": base, "one": arm, "two": arm, "plan": plan}.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(said, sort_keys=False))
    return tmp_path / "plan.yaml"


def reached(status: Path, step: int, process, timeout: float = 300) -> None:
    """Waits until a run has made so many steps."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if status.is_file() and json.loads(status.read_text()).get("step", 0) >= step:
            return
        time.sleep(0.05)
    process.wait(1)
    pytest.fail(f"{status} did not reach step {step}:\n{process.out}\n{process.err}")


def worker_of(pid: int, run: Path) -> int:
    """The process of a study that trains a run."""
    holder = int((run / "lock").read_text())
    assert holder in {child.pid for child in psutil.Process(pid).children(recursive=True)}
    return holder


def test_a_killed_worker_and_a_killed_study(product, plan, tmp_path, record_property):
    record_property("tried", 2)
    out = tmp_path / "out"
    study = product.start("study", plan)
    reached(out / "one/seed-0/status.json", 3, study)
    os.kill(worker_of(study.pid, out / "one/seed-0"), signal.SIGKILL)
    reached(out / "two/seed-0/status.json", 2, study)  # the other is begun, and the first has ended well
    assert "one, seed 0: its worker process died; it is tried once more" in study.out and "failed" not in study.out
    assert json.loads((out / "one/seed-0/status.json").read_text())["state"] == "finished"
    assert len(json.loads((out / "one/seed-0/manifest.json").read_text())["resumed"]) == 1

    processes = [psutil.Process(study.pid), *psutil.Process(study.pid).children(recursive=True)]
    os.kill(study.pid, signal.SIGKILL)
    study.wait()
    began = time.monotonic()
    again = product.start("study", plan)  # does not wait for them to have ended
    _, alive = psutil.wait_procs(processes, SOON)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE], (
        f"after {time.monotonic() - began} s"
    )
    again.wait(400)
    assert again.code == 0, again.out + again.err
    record = json.loads((out / "study.json").read_text())
    assert [run["state"] for run in record["runs"]] == ["finished", "finished"]
    assert json.loads((out / "two/seed-0/manifest.json").read_text())["resumed"]
