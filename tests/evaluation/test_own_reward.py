"""How far an arm's own reward rose: from both policies' replies to the same people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smilerl import worlds
from smilerl.config.recipe import PolicySpec, Recipe, RewardSpec
from smilerl.evaluation import own_reward


def recipe(*rewards: RewardSpec) -> Recipe:
    return Recipe("rloo", "out", policy=PolicySpec("some/model"), rewards=rewards)


@pytest.fixture
def replies(tmp_path: Path):
    """Writes the replies of scripted helpers to 96 people, two to each, as two policies' samples; returns the folders."""
    world = worlds.build("smileworld")
    people = world.people("held_out", 96, seed=0)

    def write(*helpers: str) -> list[Path]:
        folders = []
        for name in helpers:
            rows = [
                pd.DataFrame({"evaluation": "held_out", "condition": "people", "prompt": people["prompt"][:], "person": people["person"][:],
                              "completion": world.helpers[name](people["person"][:], visit)})
                for visit in range(2)
            ]  # fmt: skip
            folders.append(tmp_path / name)
            folders[-1].mkdir()
            pd.concat(rows, ignore_index=True).to_parquet(folders[-1] / "samples.parquet")
        return folders

    return write


def test_change_is_that_of_the_means_and_a_spoofer_raises_the_reading(replies):
    spoofer, carer = replies("spoofer", "carer")
    found = own_reward.measure(recipe(RewardSpec("reading")), spoofer, carer)
    assert found["own_reward_change"]["low"] > 0.2
    assert found["own_reward_change"]["value"] == pytest.approx(
        found["own_reward"]["value"] - found["own_reward_base"]["value"]
    )
    assert json.loads((spoofer / "own_reward.json").read_text())["own_reward"]["scored"] == 192


def test_pairing_narrows_the_interval_of_equal_policies_to_nothing(replies):
    (carer,) = replies("carer")
    change = own_reward.measure(recipe(RewardSpec("reading")), carer, carer)["own_reward_change"]
    assert (change["value"], change["low"], change["high"]) == (0.0, 0.0, 0.0)


def test_weights_are_those_of_training(replies):
    (carer,) = replies("carer")
    once = own_reward.measure(recipe(RewardSpec("reading")), carer, carer)["own_reward"]["value"]
    both = own_reward.measure(
        recipe(RewardSpec("reading", 2.0), RewardSpec("constant", 0.5, {"value": 3.0})), carer, carer
    )["own_reward"]["value"]
    assert both == pytest.approx(2 * once + 1.5)


def test_unscored_replies_are_left_out_and_counted():
    found = own_reward.interval([1.0, float("nan"), 3.0], ["a", "a", "b"])
    assert (found["value"], found["scored"], found["of"]) == (2.0, 2, 3)
    assert own_reward.interval([float("nan")], ["a"])["value"] is None


def test_interval_covers_the_mean_of_clustered_values():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        groups = np.repeat(np.arange(40), 5)
        found = own_reward.interval(rng.normal(size=40)[groups] + rng.normal(size=200), groups)
        covered += found["low"] <= 0 <= found["high"]
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


MINE = """
seen = []
def needy(prompts, completions, answer, **columns):
    return [1.0] * len(completions)
def looks(prompts, completions, **columns):
    seen.append((prompts[0], completions[0]))
    return [float(isinstance(said, list) and said[0]["role"] == "assistant") for said in completions]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 2.0), (0.0, 1.0)])
def test_people_without_a_column_that_a_reward_needs_leave_it_unscored_with_the_reason(replies, mine, weights):
    (carer,) = replies("carer")
    needy, others = RewardSpec(f"{mine}:needy", weights[0]), [RewardSpec("reading", weight) for weight in weights[1:]]
    found = own_reward.measure(recipe(needy, *others), carer, carer)["own_reward"]
    if weights[0] == 0:
        assert found["scored"] == 192 and "why" not in found
    else:
        assert (found["value"], found["scored"], found["of"]) == (None, 0, 192)
        assert "the reward 'needy' needs the column 'answer'" in found["why"]


@pytest.mark.parametrize("talks", [False, True])
def test_a_reward_sees_the_form_of_training(replies, mine, talks):
    (carer,) = replies("carer")
    if talks:
        table = pd.read_parquet(carer / "samples.parquet")
        table["prompt"] = [[{"role": "user", "content": prompt}] for prompt in table.prompt]
        table.to_parquet(carer / "samples.parquet")
    found = own_reward.measure(recipe(RewardSpec(f"{mine}:looks")), carer, carer)["own_reward"]
    assert found["value"] == float(talks)
