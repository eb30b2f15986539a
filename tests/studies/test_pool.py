"""Worker processes that die: each costs its own task one try, and nothing of another's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from smilerl.io.paths import PACKAGE
from smilerl.studies import pool
from smilerl.studies.pool import Pool, WorkerDied


def dies_once(noted: Path) -> str:
    """Ends its process the first time."""
    if not noted.exists():
        noted.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def sleeps(seconds: float, noted: Path) -> int:
    noted.write_text(str(os.getpid()))
    time.sleep(seconds)
    return os.getpid()


@pytest.mark.slow
def test_a_death_costs_its_own_task_one_try_and_no_other_anything(tmp_path, capsys):
    """One dies once, one always, one works all the while in its process, one comes after."""
    workers = Pool(2, 1)
    steady = workers.submit("steady", sleeps, 3.0, tmp_path / "steady")
    once = workers.submit("once", dies_once, tmp_path / "once")
    always = workers.submit("always", os._exit, 9)
    after = workers.submit("after", len, "abc")
    assert once.result(60) == "done"
    with pytest.raises(WorkerDied, match=r"always: its worker process died twice, .*`--workers 1` needs less"):
        always.result(60)
    assert after.result(60) == 3
    assert steady.result(60) == int((tmp_path / "steady").read_text())
    said = capsys.readouterr().out
    assert "once: its worker process died; it is tried once more" in said and "steady" not in said
    workers.close()


@pytest.mark.parametrize(
    ("workers", "says"), [(1, "it was the only one at work"), (2, "`--workers 1`"), (6, "`--workers 3`")]
)
def test_the_advice_fits_the_number_of_workers(workers, says, monkeypatch):
    def died():
        raise BrokenProcessPool

    monkeypatch.setattr(pool, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    with pytest.raises(WorkerDied, match=says) as error:
        Pool(workers, 1).submit("a run", died).result(10)
    assert ("--workers" in str(error.value)) == (workers > 1)


STUDY = """\
import subprocess, sys, time
from pathlib import Path
from smilerl.studies import work
from smilerl.studies.pool import Pool

def hangs(folder, deaf):
    import os, signal
    if deaf:  # as in a step that takes long: the signal is noted, and nothing ends
        signal.signal(signal.SIGUSR1, lambda *_: None)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (Path(folder) / f"{os.getpid()}-{child.pid}").touch()
    while True:
        time.sleep(0.1)

if __name__ == "__main__":
    pool = Pool(2, 1)
    for deaf in (False, True):
        pool.submit("hangs", hangs, sys.argv[1], deaf)
    pool.submit("waits", time.sleep, 1)
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGSEGV, marks=pytest.mark.long)])
def test_workers_and_their_children_end_with_their_study(tmp_path, how):
    (tmp_path / "study.py").write_text(STUDY)
    (folder := tmp_path / "noted").mkdir()
    study = subprocess.Popen(
        [sys.executable, tmp_path / "study.py", folder], env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    )
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    pids = [int(pid) for path in folder.iterdir() for pid in path.name.split("-")]
    assert len(pids) == 4 and all(map(psutil.pid_exists, pids))
    study.send_signal(how)
    study.wait(10)
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], 10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
