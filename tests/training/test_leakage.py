"""Arms without a declared channel train the same, bit for bit, whatever the wellbeing table says; the gold arm does not."""

from __future__ import annotations

import pytest

from smilerl.runs.identity import hash_path
from smilerl.training.run import run_recipe
from smilerl.worlds.smileworld import dynamics

pytestmark = pytest.mark.slow
TRAINING = {"max_steps": 3, "max_completion_length": 24, "learning_rate": 0.05}
SHUT = [
    "reading",
    "smile",
    "sentiment",
    "gameable",
    "random",
    "constant",
    {"name": "shuffled", "args": {"reward": "reading"}},
]
OPEN = ["gold", {"name": "smile", "args": {"delayed": 1.0}}]


def weights(make_recipe, name: str, reward) -> str:
    reward = reward if isinstance(reward, dict) else {"name": reward}
    return hash_path(run_recipe(make_recipe("rloo", name, training=TRAINING, rewards=[reward]), progress=False).model)


@pytest.fixture
def permuted(monkeypatch):
    """Call it and the wellbeing table is another one: every act gets the weight of the act three rows on."""

    def permute() -> None:
        names = list(dynamics.W)
        monkeypatch.setattr(
            dynamics, "W", dict(zip(names, [dynamics.W[n] for n in names[-3:] + names[:-3]], strict=True))
        )
        assert dynamics.W["none"] != 0  # what an untrained policy says counts, too

    return permute


@pytest.mark.parametrize("reward", SHUT, ids=str)
def test_the_wellbeing_table_cannot_be_felt_through_a_proxy(make_recipe, permuted, reward):
    before = weights(make_recipe, "before", reward)
    permuted()
    assert weights(make_recipe, "after", reward) == before


@pytest.mark.parametrize("reward", OPEN, ids=str)
def test_it_is_felt_through_a_declared_channel(make_recipe, permuted, reward):
    before = weights(make_recipe, "before", reward)
    permuted()
    assert weights(make_recipe, "after", reward) != before


def test_a_constant_reward_with_a_kl_penalty_moves_nothing(make_recipe):
    recipe = make_recipe("rloo", training={**TRAINING, "beta": 0.05}, rewards=[{"name": "constant"}])
    run = run_recipe(recipe, progress=False)
    weights = [folder / "model.safetensors" for folder in (run.path / "initial", run.model)]
    assert hash_path(weights[0]) == hash_path(weights[1])
    assert [row["held_out/kl"] for row in run.metrics() if "held_out/kl" in row] == [0.0] * 4
