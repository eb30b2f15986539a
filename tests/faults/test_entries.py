"""`smilerl train R`, `python -m smilerl.train --config R` and `accelerate launch -m smilerl.train --config R` end alike."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from smilerl.io.paths import PACKAGE

pytestmark = [pytest.mark.slow, pytest.mark.attack("entries")]

#: A reward that does something when it is asked the second time; it is asked once a step.
REWARD = """
import os, signal
asked = 0

def mine(prompts, completions, **columns):
    global asked
    asked += 1
    if asked == 2:
        {does}
    return [float(len(str(one))) for one in completions]
"""
ENTRIES = ("command", "module", pytest.param("accelerate", marks=pytest.mark.long))
#: What happens: what the reward does, an override, the exit status, the state of the run, and words of standard error.
CASES = {
    "success": ("pass", "--seed=1", 0, "finished", ""),
    "bad recipe": ("pass", "--training.learnin_rate=1", 2, None, "Did you mean 'learning_rate'?"),
    "raises": (
        "raise KeyError('no such key')",
        "--seed=1",
        2,
        "failed",
        "the reward 'mine' raised KeyError: 'no such key'",
    ),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", "--seed=1", 75, "interrupted", "saved"),
}


def ended(entry: str, product, recipe: Path, *overrides: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of one way to train a recipe; accelerate says 1 for any failure."""
    if entry != "accelerate":
        said = product(*(("train", recipe) if entry == "command" else ("--config", recipe)), *overrides)
        return said.code, said.out, said.err
    launch = [shutil.which("accelerate", path=str(Path(sys.executable).parent)), "launch", "--cpu", "--num_processes=1"]
    said = subprocess.run(
        [*launch, "-m", "smilerl.train", "--config", recipe, *overrides], capture_output=True, text=True,
        cwd=recipe.parent, env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return said.returncode, said.stdout, said.stderr


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("case", CASES)
def test_all_entries_end_alike(entry, case, product, tiny, tmp_path):
    does, override, status, state, words = CASES[case]
    (tmp_path / "mine.py").write_text(REWARD.format(does=does))
    code, out, err = ended(
        entry, product, tiny(rewards=[{"name": "mine.py:mine"}], training={"max_steps": 4}), override
    )
    assert code == (min(status, 1) if entry == "accelerate" else status), err
    assert words in err
    assert entry == "accelerate" or "Traceback" not in err  # accelerate shows one of its own
    run = tmp_path / "runs/recipe"
    assert (json.loads((run / "status.json").read_text())["state"] if run.exists() else None) == state
    assert (run / "traceback.txt").exists() == (case == "raises")
    if case == "success":
        assert re.match(r"runs/recipe  \(4 steps, \d+ s\)\n", out.split("smilerl: ")[-1]), out
        assert out.splitlines()[-1].strip().startswith("1 process on cpu")
    else:
        assert not out


def test_the_command_and_the_module_say_the_same(product, tiny, tmp_path):
    """Word for word, but for numbers that are measured."""
    for case, (does, override, *_) in CASES.items():
        (tmp_path / "mine.py").write_text(REWARD.format(does=does))
        said = []
        for entry in ("command", "module"):
            shutil.rmtree(tmp_path / "runs", ignore_errors=True)
            code, *texts = ended(
                entry, product, tiny(rewards=[{"name": "mine.py:mine"}], training={"max_steps": 4}), override
            )
            said.append((code, *(re.sub(r"\d+(\.\d+)?", "N", text) for text in texts)))
        assert said[0] == said[1], case
