"""A call that never ends is ended, whatever it waits for; what it was in the middle of is left as if it had not been asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import torch

from smilerl.io import time_limit
from smilerl.io.paths import PACKAGE
from smilerl.io.time_limit import TimedOut, hurry, within
from smilerl.rewards import checked
from smilerl.rewards._asking import RewardTimeout, StopAsked
from smilerl.rewards._summed import Summed, Together

BATCH = {"prompts": ["p", "q"], "completions": ["a", "b"]}


def spin():
    while True:
        pass


def swallow():
    for _ in range(3):
        with contextlib.suppress(BaseException):
            time.sleep(60)
    time.sleep(60)


def wrap():
    try:
        time.sleep(60)
    except BaseException as error:
        raise ValueError("of its own") from error


def alarm():
    """As rewards do that limit the programs they run."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(1)
    time.sleep(60)


def listen():
    here, there = socket.socketpair()
    with here, there:
        here.recv(1)


def deadlock():
    lock = threading.Lock()
    with lock:
        lock.acquire()


HANGS = {
    "sleep": lambda: time.sleep(60),
    "loop": spin,
    "event": lambda: threading.Event().wait(),
    "lock": deadlock,
    "program": lambda: subprocess.run(["sleep", "60"], check=True),
    "socket": listen,
    "catches everything": swallow,
    "raises its own": wrap,
    "sets an alarm": alarm,
    "draws": lambda: [random.random() for _ in iter(int, 1)],
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(time_limit, "AGAIN", 0.05)


@pytest.mark.parametrize("hang", HANGS)
def test_whatever_it_waits_for_it_is_ended_and_its_rows_are_missing(hang):
    def mine(prompts, completions, **columns):
        torch.set_default_dtype(torch.float64)
        HANGS[hang]()

    mine, before, began = (
        checked(mine, timeout=0.1),
        (random.getstate(), torch.get_rng_state().tolist()),
        time.monotonic(),
    )
    assert mine(**BATCH) == [None, None] and mine.last_call.late and not mine.last_call.hurried
    assert time.monotonic() - began < 5
    assert (random.getstate(), torch.get_rng_state().tolist()) == before and torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("blocks", [False, True], ids=["waits", "blocks"])
def test_an_async_reward_is_ended_and_the_other_is_not(blocks, monkeypatch):
    monkeypatch.setattr("smilerl.rewards._asking._SLACK", 0.1)

    async def hangs(prompts, completions, **columns):
        await asyncio.sleep(0.02)
        time.sleep(60) if blocks else await asyncio.sleep(60)

    async def answers(prompts, completions, **columns):
        return [1.0, 2.0]

    hangs, answers = checked(hangs, timeout=0.1), checked(answers, timeout=0.1)
    for _ in range(2):
        assert Summed([answers], [1.0])(**BATCH) == [1.0, 2.0]
        assert Summed([answers, hangs], [1.0, 1.0], [1.0, 1.0])(**BATCH) == [None, None]
        assert hangs.last_call.late and not answers.last_call.late


def test_a_fast_call_is_left_alone_and_costs_little():
    began = time.perf_counter()
    for _ in range(200):
        assert within(60, lambda: 1) == 1
    assert (time.perf_counter() - began) / 200 < 0.005
    assert within(0.2, lambda: threading.active_count()) < 10


def test_hurry_ends_what_runs_and_what_begins_later():
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    before = signal.signal(signal.SIGUSR1, lambda *_: hurry(0.1))
    try:
        for _ in range(2):
            with pytest.raises(TimedOut) as ended:
                within(60, lambda: time.sleep(60))
            assert ended.value.hurried
    finally:
        hurry(None)
        signal.signal(signal.SIGUSR1, before)
    assert within(60, lambda: time.sleep(0.15)) is None


@pytest.mark.slow
def test_a_process_that_cannot_be_ended_is_ended_as_a_whole():
    code = (
        "import ctypes\nfrom smilerl.io import time_limit as _patience\n_patience.STUCK = _patience.AGAIN = 0.2\n"
        "c = ctypes.CDLL(None)\nlock = ctypes.create_string_buffer(64)\nc.pthread_mutex_lock(lock)\n"
        "_patience.within(0.2, lambda: c.pthread_mutex_lock(lock), \"the reward 'mine'\")"
    )
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=env)
    assert ended.returncode == 75 and "the reward 'mine' cannot be ended" in ended.stderr


def slow(name: str, *hangs: int, **limits):
    """Hangs at these calls, counted from 1."""
    calls = []

    def mine(prompts, completions, **columns):
        calls.append(1)
        if len(calls) in hangs:
            time.sleep(60)
        return [1.0] * len(completions)

    return checked(mine, name=name, timeout=0.05, **limits)


def test_missing_rows_are_counted_and_too_many_end_the_run(capsys):
    logged: list = []
    columns = {**BATCH, "log_metric": lambda name, value: logged.append((name, value))}
    together = Together([slow("late", 3, 5, 6, 7, 8)], [1.0], [0.5])
    found = [together.functions[0](**columns) for _ in range(6)]
    assert [values[0] for values in found] == [1.0, 1.0, None, 1.0, None, None]
    assert logged == [("rewards/late/missing", 1.0)] * 3 and together.scored == 6
    assert "the reward 'late' gave no answer within 0.05 s: its 2 rows are missing" in capsys.readouterr().err
    with pytest.raises(
        RewardTimeout,
        match=r"test_patience\.py:\d+: the reward 'late' .* in 4 of the last 7 calls \(most_missing: 0.5\)",
    ):
        together.functions[0](**columns)
    with pytest.raises(RewardTimeout, match="in 1 of the last 1 calls"):
        Together([slow("late", 1)], [1.0], [0.5]).functions[0](**columns)


def test_a_stop_leaves_no_half_step():
    hurry(0.05)
    try:
        with pytest.raises(StopAsked):
            Together([slow("late", 1)], [1.0], [1.0]).functions[0](**BATCH)
    finally:
        hurry(None)


def test_outside_the_trainer_missing_rows_are_counted_and_too_many_stop_the_work(capsys):
    total = Summed([slow("late", 3, 5, 6, 7, 8)], [1.0])
    assert [total(**BATCH)[0] for _ in range(6)] == [1.0, 1.0, None, 1.0, None, None]
    assert capsys.readouterr().err.count("the reward 'late' gave no answer within 0.05 s: its 2 rows are missing") == 3
    with pytest.raises(
        RewardTimeout, match=r"test_patience\.py:\d+: the reward 'late' .* within 0.05 s, in 4 of the last 7 calls"
    ):
        total(**BATCH)  # fmt: skip
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(RewardTimeout, match="in 4 of the last 7 calls"):
            total(**BATCH)
    assert time.monotonic() - began < 0.05, "a reward that has been given up is asked again"


def test_each_reward_of_a_sum_has_its_own_limit_and_count(monkeypatch):
    monkeypatch.setattr("smilerl.rewards._asking._SLACK", 0.1)
    patient = Summed([slow("late", 1, 2), slow("quick")], [1.0, 1.0], [1.0, 0.0])
    assert [patient(**BATCH)[0] for _ in range(3)] == [None, None, 2.0]

    async def late(prompts, completions, **columns):
        await asyncio.sleep(60)

    with pytest.raises(
        RewardTimeout, match=r"the reward 'late_2' gave no answer within 0\.1 s, in 1 of the last 1 calls"
    ):
        Summed([slow("quick"), checked(late, name="late_2", timeout=0.1)], [1.0, 1.0], [0.5, 0.5])(**BATCH)
    assert Summed([slow("quick"), slow("unasked", 1)], [1.0, 0.0], [0.5, 0.0])(**BATCH) == [1.0, 1.0]


def test_a_stop_outside_the_trainer_scores_nothing_wrongly():
    total = Summed([slow("late", 1)], [1.0], [1.0])
    hurry(0.05)
    try:
        with pytest.raises(StopAsked):
            total(**BATCH)
    finally:
        hurry(None)
