"""A reward gone bad is an error that names it, and cannot touch the run."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest
import torch

from smilerl.rewards import RewardError, checked

BATCH = {"prompts": [["p"], ["q"]], "completions": ["a", "b"]}


def returns(value):
    def mine(prompts, completions, **columns):
        return value

    return checked(mine)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1.0], "'mine' returned 1 values for 2 completions"),
        ([1.0, 2.0, 3.0], "'mine' returned 3 values for 2 completions"),
        ([1.0, "good"], "'mine' returned 'good' (str) for completion 1 of 2"),
        ([[1.0], [2.0]], "'mine' returned [1.0] (list) for completion 0 of 2"),
        ([float("inf"), 0.0], "'mine' returned inf for completion 0 of 2"),
        ([0.0, float("-inf")], "'mine' returned -inf for completion 1 of 2"),
        (torch.tensor([0.0, float("inf")]), "'mine' returned inf for completion 1 of 2"),
        (3.0, "'mine' returned a float, not a list"),
        (None, "'mine' returned a NoneType, not a list"),
        ({"a": 1.0}, "'mine' returned a dict, not a list"),
        ("ab", "'mine' returned a str, not a list"),
        (torch.zeros(2, 1), "'mine' returned [0.0] (list)"),
    ],
)
def test_what_is_no_reward_is_an_error_that_names_it(value, says):
    with pytest.raises(RewardError) as caught:
        returns(value)(**BATCH)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 10


@pytest.mark.parametrize(
    ("value", "means"),
    [
        ([1, None], [1.0, None]),
        ([float("nan"), True], [None, 1.0]),
        ((0.5, np.float32(2)), [0.5, 2.0]),
        ([torch.tensor(1.5), np.bool_(False)], [1.5, 0.0]),
        (np.array([1.0, np.nan]), [1.0, None]),
        (torch.tensor([1, 2]), [1.0, 2.0]),
    ],
)
def test_what_is_a_reward_becomes_floats_and_none(value, means):
    assert returns(value)(**BATCH) == means


def test_it_cannot_change_its_inputs():
    def vandal(prompts, completions, *, completion_ids, trainer_state, **columns):
        prompts[0].append("x")
        completions.reverse()
        completion_ids[0][0] = 99
        trainer_state.global_step = 7
        return [0.0, 0.0]

    class State:
        global_step = 0

    batch = {
        "prompts": [[{"content": "p"}], []],
        "completions": ["a", "b"],
        "completion_ids": [[1], [2]],
        "trainer_state": State(),
    }
    checked(vandal)(**batch)
    assert batch["prompts"] == [[{"content": "p"}], []]
    assert batch["completions"] == ["a", "b"]
    assert batch["completion_ids"] == [[1], [2]]
    assert batch["trainer_state"].global_step == 0


def luck() -> tuple:
    return random.random(), np.random.rand(), torch.rand(1).item()


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def test_its_luck_is_its_own():
    drawn = []

    def gambler(prompts, completions, **columns):
        drawn.append(luck())
        return [0.0, 0.0]

    def reseeder(prompts, completions, **columns):
        seed_all(1)
        return [0.0, 0.0]

    seed_all(0)
    undisturbed = [luck(), luck()]
    seed_all(0)
    gambler, reseeder = checked(gambler, seed=3), checked(reseeder)
    disturbed = []
    for _ in range(2):
        gambler(**BATCH)
        reseeder(**BATCH)
        disturbed.append(luck())
    assert disturbed == undisturbed
    assert drawn[0] != drawn[1], "a reward that draws from the global generators gets new numbers at each call"
    state = gambler.state_dict()
    gambler(**BATCH)
    gambler.load_state_dict(state)
    gambler(**BATCH)
    assert drawn[2] == drawn[3]


def test_its_own_mistakes_keep_their_traceback_and_name_it():
    def broken(prompts, completions, **columns):
        return [1 / 0]

    seed_all(0)
    before = random.getstate()
    with pytest.raises(
        RewardError, match=r"test_checked\.py:\d+: the reward 'broken' raised ZeroDivisionError: division"
    ) as caught:
        checked(broken)(**BATCH)
    assert isinstance(caught.value.__cause__, ZeroDivisionError) and caught.value.__cause__.__traceback__ is not None
    assert random.getstate() == before


def test_async_rewards_pass_through_checked():
    from trl.trainer.utils import is_async_callable

    async def slow(prompts, completions, **columns):
        await asyncio.sleep(0)
        return [1, float("nan")]

    class Slow:
        async def __call__(self, prompts, completions, **columns):
            return [1.0]

    assert is_async_callable(checked(slow))
    assert is_async_callable(checked(Slow()))
    assert asyncio.run(checked(slow)(**BATCH)) == [1.0, None]
    with pytest.raises(RewardError, match="'Slow' returned 1 values for 2"):
        asyncio.run(checked(Slow())(**BATCH))


def test_it_keeps_what_others_ask_of_a_reward():
    def mine(prompts, completions, **columns):
        """Mine."""
        return [0.0, 0.0]

    mine.channels = ("gold",)
    wrapped = checked(mine, name="mine_2")
    assert (wrapped.__name__, wrapped.__doc__, wrapped.channels) == ("mine_2", "Mine.", ("gold",))
