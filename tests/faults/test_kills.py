"""A run that is killed at any moment, also while it saves, goes on to the weights and the log of one that was not, bit by bit."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from smilerl.runs.directory import Run
from tests.training.test_resume import STATEFUL, what_was_trained

pytestmark = [pytest.mark.slow, pytest.mark.attack("killed runs")]
STEPS = 6
#: Kills of one run before it is left alone.
MOST = 4


@pytest.fixture
def recipe(tiny, tmp_path):
    """Writes the recipe of a run that saves at each step, with a reward that counts and draws, and held-out people."""
    (tmp_path / "stateful.py").write_text(STATEFUL)
    training = {"max_steps": STEPS, "save_steps": 1, "steps_per_generation": 2}
    return lambda name: tiny(
        name,
        rewards=[{"name": f"{tmp_path}/stateful.py:Stateful"}],
        training=training,
        held_out={"every": 2, "n": 4},
        data={"n": 8},
    )


@pytest.fixture
def undisturbed(product, recipe, tmp_path):
    """What a run that nothing happens to trains, and the seconds that it takes."""
    began = time.monotonic()
    ended = product("train", recipe("undisturbed"))
    assert ended.code == 0, ended.err
    return what_was_trained(Run(tmp_path / "runs/undisturbed")), time.monotonic() - began


def killed_and_resumed(product, recipe, undisturbed, folder: Path, moments: random.Random) -> int:
    """Kills a run until it has ended or was killed often, lets it finish, and returns how often it was killed."""
    expected, duration = undisturbed
    kills = 0
    while kills < MOST:
        process = product.start("train", recipe)
        time.sleep(moments.uniform(0.0, duration))
        os.killpg(process.pid, signal.SIGKILL)
        if process.wait().code != -signal.SIGKILL:
            break
        kills += 1
    process = product("train", recipe)
    assert process.code == 0 and "Traceback" not in process.err, process.err
    run = Run(folder)
    assert run.state == "finished"
    found = what_was_trained(run)
    for part in ("weights", "rows", "samples"):
        assert found[part] == expected[part], f"{part} differ in {folder} after {kills} kills"
    return kills


@pytest.mark.parametrize("kills", [8, pytest.param(192, marks=pytest.mark.long)])
def test_a_run_killed_at_any_moment_ends_as_one_that_was_not(
    kills, product, recipe, undisturbed, tmp_path, record_property
):
    record_property("tried", kills)
    moments, killed, runs = random.Random(kills), 0, 0
    while killed < kills:
        killed += killed_and_resumed(
            product, recipe(f"killed-{runs}"), undisturbed, tmp_path / f"runs/killed-{runs}", moments
        )
        runs += 1
