"""A reward that hangs holds no run: rows are missing, or the run stops where it can go on to the very weights of one that did not hang."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time

import pytest

from smilerl.io import time_limit
from smilerl.rewards._asking import RewardTimeout
from smilerl.runs import checkpoints
from smilerl.runs.directory import Interrupted, Run
from smilerl.training import stop
from smilerl.training.run import run_recipe
from tests.training.test_resume import LORA, what_was_trained

#: Counts, draws, and hangs at the calls that the environment names; nothing of its state says so.
HANGING = """
import asyncio, os, random, time
class Hanging:
    __name__ = "hanging"
    calls = 0
    def __call__(self, prompts, completions, **columns):
        self.calls += 1
        drawn = random.random()
        if str(self.calls) in os.environ.get("HANGS", "").split(","):
            time.sleep(60)
        return [len(text) / 40 + self.calls % 2 + drawn for text in completions]
    def state_dict(self): return {"calls": self.calls}
    def load_state_dict(self, state): self.calls = state["calls"]
class HangingAsync(Hanging):
    async def __call__(self, prompts, completions, **columns):
        hangs, self.calls = os.environ.get("HANGS", ""), self.calls + 1
        await asyncio.sleep(60 if str(self.calls) in hangs.split(",") else 0)
        return [len(text) / 40 + self.calls % 2 for text in completions]
"""


@pytest.fixture
def hanging(tmp_path, make_recipe, monkeypatch):
    """A recipe of six steps and its reward, which is given a fifth of a second."""
    monkeypatch.setattr(time_limit, "AGAIN", 0.1)
    (tmp_path / "hanging.py").write_text(HANGING)

    def make(method="rloo", reward="Hanging", most_missing=0.5, training=None, timeout=0.3, **sections):
        rewards = [{"name": f"{tmp_path}/hanging.py:{reward}", "timeout": timeout, "most_missing": most_missing}]
        return make_recipe(
            method,
            rewards=rewards,
            training={"max_steps": 6, **(training or {})},
            held_out={"every": 0, "n": 4},
            **sections,
        )

    return make


@pytest.mark.slow
def test_missing_rows_are_left_out_logged_and_no_0(hanging, monkeypatch, capsys):
    monkeypatch.setenv("HANGS", "3")
    run = run_recipe(hanging(), progress=False)
    rows = [row for row in run.metrics() if "loss" in row]
    assert run.finished and [row.get("rewards/hanging/missing") for row in rows] == [None, None, 1.0, None, None, None]
    assert rows[2]["rewards/hanging/scored"] == 0 and rows[2].get("reward") is None
    assert "'hanging' gave no answer within 0.3 s: its 8 rows are missing" in capsys.readouterr().err


SLOW, LONG = pytest.mark.slow, pytest.mark.long
ACCUMULATED = {
    "gradient_accumulation_steps": 2,
    "steps_per_generation": 1,
    "log_completions": True,
    "num_completions_to_print": 1,
}


@pytest.mark.parametrize(
    ("method", "reward", "call", "training", "people"),
    [
        pytest.param("rloo", "Hanging", 3, {}, 8, marks=SLOW),
        pytest.param("rloo", "HangingAsync", 3, {}, 8, marks=LONG),
        pytest.param("grpo", "Hanging", 7, ACCUMULATED, 8, marks=SLOW),  # in the second epoch
        pytest.param("grpo", "Hanging", 8, ACCUMULATED, 8, marks=LONG),  # in the middle of a step
        pytest.param("rloo", "Hanging", 5, {}, 4, marks=LONG),  # in the first step of an epoch
    ],
)
def test_too_many_missing_rows_stop_it_before_the_step_and_it_goes_on_exactly(
    hanging, monkeypatch, method, reward, call, training, people, **more
):
    more = {"data": {"n": people}, **more}
    expected = run_recipe(hanging(method, reward, 1.0, training, **more), progress=False)
    recipe = hanging(method, reward, 0.0, training, **more)
    recipe = dataclasses.replace(recipe, output_dir=f"{recipe.output_dir}-stopped")
    monkeypatch.setenv("HANGS", str(call))
    with pytest.raises(
        RewardTimeout,
        match=r"hanging\.py:\d+: the reward '\w+' gave no answer .*\n.*most_missing.*\nThe same command goes on from step",
    ):
        run_recipe(recipe, progress=False)
    run = Run.open(recipe.output_dir)
    (kept,) = checkpoints.in_order(run.checkpoints)
    assert run.state == "failed" and checkpoints.damage(kept) is None
    monkeypatch.delenv("HANGS")
    assert what_was_trained(run_recipe(recipe, progress=False)) == what_was_trained(expected)


@pytest.mark.slow
def test_a_hang_at_the_first_step_says_that_nothing_is_saved(hanging, monkeypatch):
    monkeypatch.setenv("HANGS", "1")
    with pytest.raises(RewardTimeout, match="begins again: no step had been saved"):
        run_recipe(hanging(most_missing=0.0), progress=False)


@pytest.mark.parametrize("name", [pytest.param("SIGTERM", marks=SLOW), pytest.param("SIGUSR1", marks=LONG)])
def test_a_signal_is_heard_while_a_reward_hangs(hanging, monkeypatch, capfd, name):
    monkeypatch.setattr(stop, "GRACE", 0.2)
    recipe = hanging(timeout=300.0)
    expected = run_recipe(recipe, progress=False)
    recipe = dataclasses.replace(recipe, output_dir=f"{recipe.output_dir}-stopped")
    monkeypatch.setenv("HANGS", "4")
    began = []

    def send():
        while not (Run(expected.path.with_name(f"{expected.path.name}-stopped")).status.get("step") or 0) >= 3:
            time.sleep(0.02)
        time.sleep(0.3)
        began.append(time.monotonic())
        os.kill(os.getpid(), signal.Signals[name])

    threading.Thread(target=send, daemon=True).start()
    with pytest.raises(Interrupted) as left:
        run_recipe(recipe, progress=False)
    assert left.value.code == 75 and time.monotonic() - began[0] < 5
    run = Run.open(recipe.output_dir)
    assert run.state == "interrupted" and [path.name for path in checkpoints.in_order(run.checkpoints)] == [
        "checkpoint-3"
    ]
    assert "stopped after step 3 of 6, saved. The same command goes on from there." in capfd.readouterr().err
    monkeypatch.delenv("HANGS")
    assert what_was_trained(run_recipe(recipe, progress=False)) == what_was_trained(expected)


@pytest.mark.long
def test_a_hang_of_the_held_out_reward_is_missing_rows(hanging, monkeypatch):
    monkeypatch.setenv("HANGS", "1")  # the base is measured before the first step
    recipe = dataclasses.replace(hanging(most_missing=1.0), held_out=dataclasses.replace(hanging().held_out, every=3))
    run = run_recipe(recipe, progress=False)
    held_out = [row for row in run.metrics() if "held_out/kl" in row]
    assert held_out[0]["held_out/reward_scored"] == 0 and "held_out/reward" not in held_out[0]
    assert "held_out/reward" in held_out[-1]


@pytest.mark.long
def test_with_an_adapter(hanging, monkeypatch, make_recipe):
    base = {"model_name_or_path": str(run_recipe(make_recipe("sft", name="base"), progress=False).model), "peft": LORA}
    test_too_many_missing_rows_stop_it_before_the_step_and_it_goes_on_exactly(
        hanging, monkeypatch, "grpo", "Hanging", 3, {"num_iterations": 2}, 8, policy=base
    )
