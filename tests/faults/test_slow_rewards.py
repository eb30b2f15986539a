"""Rewards that take too long outside the trainer's steps: while held-out people are scored, in pairs, and in evaluations."""

from __future__ import annotations

import os
import signal
import time

import pytest

from smilerl.runs import checkpoints
from smilerl.runs.directory import Run
from tests.training.test_resume import what_was_trained

pytestmark = [pytest.mark.slow, pytest.mark.attack("rewards that are slow or stopped outside a step")]

#: Hangs at its call number `AT`, counted from 1, until the file `asked` is there.
HANGS = """
import os, time
calls = []
def mine(prompts, completions, **columns):
    calls.append(1)
    if len(calls) == {at} and not os.path.exists("{folder}/asked"):
        open("{folder}/hangs", "w").close()
        time.sleep(600)
    return [len(said) / 40 for said in completions]
"""
#: Calls of a run of four steps that meets held-out people at 0, 2 and 4: held out, 1, 2, held out, 3, 4, held out.
MOMENTS = {"before the first step": (1, 0), "in the middle": (4, 1), "at the end": (7, 3)}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGUSR1", marks=pytest.mark.long)])
def test_a_stop_while_held_out_people_are_scored_writes_no_wrong_row(product, tiny, tmp_path, moment, name):
    at, kept = MOMENTS[moment]

    def recipe(where: str):
        (tmp_path / f"{where}.py").write_text(HANGS.format(at=at if where == "stopped" else 0, folder=tmp_path))
        spec = {"name": f"{tmp_path}/{where}.py:mine", "timeout": 300}
        return tiny(where, rewards=[spec], training={"max_steps": 4, "save_steps": 1}, held_out={"every": 2, "n": 4})

    assert product("train", recipe("undisturbed")).code == 0
    going = product.start("train", recipe("stopped"))
    deadline = time.monotonic() + 60
    while not (tmp_path / "hangs").exists():
        assert time.monotonic() < deadline and going.code is None, going.err
        time.sleep(0.05)
    os.kill(going.pid, signal.Signals[name])
    assert going.wait(60).code == 75 and "Traceback" not in going.err, going.err
    run = Run(tmp_path / "runs/stopped")
    saved = checkpoints.in_order(run.checkpoints)
    assert run.state == "interrupted" and (checkpoints.step_of(saved[-1]) if saved else 0) == kept
    assert ("goes on from step" if kept else "begins again") in going.err
    (tmp_path / "asked").touch()
    assert product("train", tmp_path / "stopped.yaml").code == 0
    expected, found = (what_was_trained(Run(tmp_path / "runs" / where)) for where in ("undisturbed", "stopped"))
    assert found == expected


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_pairs_stop_at_the_limit_and_leave_nothing(product, tmp_path, checkpoint, kind):
    word, sleep = ("async def", "await asyncio.sleep(600)") if kind == "async" else ("def", "time.sleep(600)")
    (tmp_path / "mine.py").write_text(
        f"import asyncio, time\n{word} mine(prompts, completions, **columns):\n    {sleep}\n"
    )
    began = time.monotonic()
    product(
        "pairs", checkpoint("llama"), "--reward", "{name: mine.py:mine, timeout: 0.3}", "--out", "made.jsonl", "--n", "4", "--k", "2",
        "--max_completion_length", "8",
    ).refused("the reward 'mine' gave no answer within 0.3 s, in 1 of the last 1 calls", "mine.py:2")  # fmt: skip
    assert time.monotonic() - began < 60 and not list(tmp_path.glob("made*"))
