"""What a start hashes is hashed once: the recipe, the rows that are trained on, the rows of the data."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml

from smilerl import worlds
from smilerl.runs import identity
from smilerl.runs.directory import Run
from smilerl.training import data
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe
from smilerl.worlds.dialogue import rows
from tests.fixtures.recipes import RL, TINY


@pytest.fixture
def counted(monkeypatch) -> Counter:
    """How often each is called."""
    calls: Counter = Counter()

    def count(module, name):
        was = getattr(module, name)

        def counting(*args, **more):
            calls[name] += 1
            return was(*args, **more)

        monkeypatch.setattr(module, name, counting)

    count(identity, "_content_hash")
    count(data, "data_hash")
    count(rows, "key")
    return calls


@pytest.fixture
def recipe(tmp_path):
    said = {
        "method": "rloo",
        "output_dir": str(tmp_path / "run"),
        "policy": {"config": TINY},
        "world": {"name": "dialogue", "args": {"path": "data/dialogue/people_train.jsonl", "format": "text"}},
        "data": {"n": 16},
        "rewards": [{"name": "sentiment", "args": {"reads": "completion"}}],
        "training": dict(RL),
        "held_out": {"every": 0, "n": 4},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(said))
    return load_recipe(path)


def test_an_attempt_hashes_its_recipe_once(recipe, counted):
    with Run.create(recipe) as run:
        assert counted["_content_hash"] == 1
        run.log({"step": 1})
    with Run.create(recipe):
        assert counted["_content_hash"] == 2
    with Run.create(recipe) as run:
        run.finish()
    counted.clear()
    Run.create(recipe).close()
    assert counted["_content_hash"] == 1


def test_a_world_hashes_each_row_once(counted):
    world = worlds.build("dialogue", path="data/dialogue/people_train.jsonl")
    first = world.people("train", 8, 0)
    counted.clear()
    world.supply("people", "train")
    assert world.people("train", 8, 0).to_list() == first.to_list() and world.people("train", 4, 1).num_rows == 4
    assert counted["key"] == 0


@pytest.mark.slow
def test_a_start_hashes_its_rows_once(recipe, counted):
    run_recipe(recipe, progress=False)
    assert counted["data_hash"] == 1 and counted["_content_hash"] == 1
