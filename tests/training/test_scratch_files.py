"""One file dropped in is a method, and one is an observer: listed, checked, hashed and run, with no other edit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from smilerl.io.paths import PACKAGE
from tests.fixtures.recipes import RL, TINY

METHOD = '''"""RLOO under another name, by TRL's RLOOTrainer."""

from trl import RLOOConfig, RLOOTrainer

from smilerl.training.methods import arguments, loaded, people, trainer_of

CONFIG = RLOOConfig
policy, dataset = loaded, people


def make_trainer(recipe, *, policy, dataset, reward_funcs, callbacks=(), output_dir):
    args = arguments(RLOOConfig, recipe, output_dir)
    return trainer_of(RLOOTrainer, recipe, policy, dataset, callbacks, args, reward_funcs=reward_funcs)
'''
OBSERVER = '''"""Logs how many steps it has seen."""

from transformers import TrainerCallback

from smilerl.training.observers.base import Watched


def build(watched: Watched):
    """In every run."""
    return Steps(watched.write)


class Steps(TrainerCallback):
    def __init__(self, write):
        self.write = write

    def on_step_end(self, args, state, control, **kwargs):
        self.write({"step": state.global_step, "scratch/steps": state.global_step})
'''
RECIPE = {
    "method": "scratch", "output_dir": "run", "policy": {"config": TINY}, "data": {"n": 16}, "training": RL,
    "rewards": [{"name": "smile"}], "held_out": {"every": 1, "n": 4},
}  # fmt: skip
#: Tests that run over the folders.
CONTRACTS = [
    "tests/training/test_methods.py::test_a_method_says_what_it_is_made_of[scratch]",
    "tests/training/test_observers.py::test_an_observer_says_what_it_watches[scratch]",
]
LISTED = """
import json
from smilerl.config.recipe import read_recipe
from smilerl.config.trl import methods
from smilerl.runs import sources
from smilerl.training import methods as files, observers
print(json.dumps([methods(), files.names(), observers.names(), sorted(sources.of_run(["scratch"]))]))
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package with the two files, its tests beside it, and a recipe."""
    shutil.copytree(PACKAGE, tmp_path / "smilerl", ignore=shutil.ignore_patterns("__pycache__"))
    training = tmp_path / "smilerl" / "training"
    (training / "methods" / "scratch.py").write_text(METHOD)
    (training / "observers" / "scratch.py").write_text(OBSERVER)
    for name in ("tests", "evals", "recipes", "data", "pyproject.toml", "CONTRIBUTING.md"):
        (tmp_path / name).symlink_to(PACKAGE.parent / name)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path


def called(house: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(house), "SMILERL_CACHE": str(house / "cache")}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=house, env=environment, timeout=240)  # fmt: skip


@pytest.mark.long
def test_a_method_and_an_observer_are_one_file_each(house):
    listed = called(house, "-c", LISTED)
    assert listed.returncode == 0, listed.stderr
    in_recipes, methods, observers, hashed = json.loads(listed.stdout)
    assert "scratch" in in_recipes and "scratch" in methods and "scratch" in observers
    assert {"training/methods/scratch.py", "training/observers/scratch.py"} <= set(hashed)
    checked = called(house, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CONTRACTS)
    assert checked.returncode == 0 and "2 passed" in checked.stdout, checked.stdout

    ran = called(house, "-m", "smilerl.train", "--config", "recipe.yaml")
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in (house / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["scratch/steps"] for row in rows if "scratch/steps" in row] == [1, 2]
    assert len([row for row in rows if "held_out/kl" in row]) == 3

    wrong = called(house, "-m", "smilerl.train", "--config", "recipe.yaml", "--method", "scrach")
    assert wrong.returncode == 2 and "'scratch'" in wrong.stderr
