"""Locks: one holder at a time, in any process; none after it has ended, however it ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smilerl.io import lock
from smilerl.io.errors import UserError
from smilerl.io.paths import PACKAGE

HOLDS = """\
import sys
from pathlib import Path
from smilerl.io import lock

held = lock.take(Path(sys.argv[1]))
print("held" if held else "refused", flush=True)
sys.stdin.read()
"""


@contextmanager
def another(path: Path) -> Iterator[subprocess.Popen]:
    """Another process that has taken the lock, or was refused it, and ends when its input does."""
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def test_one_process_holds_it_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not lock.is_held(path), "and to ask makes no file"
    assert not path.exists()
    with another(path) as process:
        assert process.stdout.readline() == "held\n"
        assert lock.is_held(path) and lock.take(path) is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not lock.is_held(path)
        with lock.take(path), another(path) as second:
            assert lock.is_held(path) and second.stdout.readline() == "refused\n"
    assert not lock.is_held(path) and path.exists()


def test_a_moment_is_not_taken_for_a_holder(tmp_path: Path, monkeypatch) -> None:
    """Such as that in which another process asks whether it is held."""
    path = tmp_path / "lock"
    for ask, answer in ((lock.is_held, False), (lambda path: lock.take(path) is None, False)):
        moment = lock.take(path)
        monkeypatch.setattr("time.sleep", lambda seconds, moment=moment: moment.close())
        assert ask(path) is answer


def test_the_cache_is_waited_for_and_that_is_said(tmp_path: Path, capsys) -> None:
    path = tmp_path / "models" / "base.lock"
    path.parent.mkdir()
    with another(path) as process:
        assert process.stdout.readline() == "held\n"
        threading.Timer(0.3, process.stdin.close).start()
        with lock.in_cache(path):
            assert process.wait() == 0 and lock.is_held(path)
    assert capsys.readouterr().err == f"{path.with_suffix('')}: another process builds it; waiting for it\n"
    assert not lock.is_held(path)


@pytest.mark.parametrize("place", ["a file", "a folder"])
def test_a_cache_that_cannot_be_locked_is_told(tmp_path: Path, place: str) -> None:
    if place == "a file":
        (tmp_path / "models").write_text("")
    else:
        (tmp_path / "models" / "base.lock").mkdir(parents=True)
    with pytest.raises(UserError, match="cannot be written in"), lock.in_cache(tmp_path / "models" / "base.lock"):
        pytest.fail("locked")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_lock_that_may_only_be_read_is_known(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with another(path) as process:
        assert process.stdout.readline() == "held\n"
        path.chmod(0o444)
        assert lock.is_held(path)
    assert not lock.is_held(path)


def test_locks_are_taken_in_one_place() -> None:
    taking = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if re.search(r"\b(fcntl|filelock|msvcrt)\b import|\bimport (fcntl|filelock|msvcrt)\b", file.read_text())
    }
    assert taking == {"io/lock.py"}
