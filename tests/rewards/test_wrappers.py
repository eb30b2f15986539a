"""A wrapper keeps what it wraps, through any depth: channels, lineage, state, what the check asks, and being async."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from shutil import copytree

import pytest

from smilerl.publish import sections
from smilerl.rewards import Around, RewardError, build_reward, build_rewards, is_async
from smilerl.rewards._summed import Summed
from smilerl.rewards.base import Reward
from smilerl.rewards.preference import MODEL_VARIABLE
from smilerl.training import rollouts, sharding

#: How each of our wrappers names the reward inside.
WRAPPERS = {
    "gameable": lambda inner: {"name": "gameable", "args": {"base": inner}},
    "shuffled": lambda inner: {"name": "shuffled", "args": {"reward": inner, "across": "replies"}},
    "random": lambda inner: {"name": "random", "args": {"like": inner}},
    "users": lambda inner: {"name": "tests.rewards.test_wrappers.Counted", "args": {"inner": inner}},
}
CHAINS = [
    *((name,) for name in WRAPPERS),
    *itertools.product(WRAPPERS, repeat=2),
    ("gameable", "shuffled", "random"),
    ("random", "users", "gameable"),
    *(
        pytest.param(chain, marks=pytest.mark.long)
        for chain in itertools.product(WRAPPERS, repeat=3)
        if chain not in (("gameable", "shuffled", "random"), ("random", "users", "gameable"))
    ),
]


class Counted(Reward):
    """A user's wrapper with a state of its own."""

    def __init__(self, inner):
        super().__init__(inner)
        self.count = 0

    def combine(self, values, *, prompts, completions, **columns):
        self.count += 1
        return [None if value is None else value + self.count for value in values[0]]

    def state_dict(self):
        return {**super().state_dict(), "count": self.count}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.count = state["count"]


class Stateful:
    """A user's reward that counts, with all that a reward may say of itself."""

    channels = ("gold",)
    learnt_from = ("annotators",)
    by_design = ("twice",)
    needs_reaction = True

    def __init__(self):
        self.calls = 0

    def __call__(self, prompts, completions, **columns):
        self.calls += 1
        return [float(self.calls * row) for row in range(len(completions))]

    def about(self):
        return {"model": "mine", "dtype": "bfloat16"}

    def tokens(self, prompts, completions, **columns):
        return [7] * len(completions)

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]


class Slow(Stateful):
    async def __call__(self, prompts, completions, **columns):
        return Stateful.__call__(self, prompts, completions)


STATEFUL, SLOW = "tests.rewards.test_wrappers.Stateful", "tests.rewards.test_wrappers.Slow"


@pytest.fixture
def judge(reward_model, tmp_path) -> str:
    """A reward model whose run says that annotators, and before them gold, had taught it."""
    folder = copytree(reward_model, tmp_path / "judge/model")
    (tmp_path / "judge/manifest.json").write_text(json.dumps({"channels": ["annotators"], "learnt_from": ["gold"]}))
    return str(folder)


def wrapped(chain, inner):
    """The spec of a chain of wrappers, the outermost first."""
    for name in reversed(chain):
        inner = WRAPPERS[name](inner)
    return inner


def asked(reward, batch):
    found = reward(**batch)
    return asyncio.run(found) if is_async(reward) else found


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_channels_lineage_and_what_the_check_asks(chain, judge, batch):
    (reward,) = build_rewards([wrapped(chain, {"name": "preference", "args": {"model": judge}})])
    assert reward.learnt_from == ("annotators", "gold") and reward.channels == ()
    said = sections.outcomes({"channels": list(reward.channels), "learnt_from": list(reward.learnt_from)})
    assert "had learnt from `annotators`, `gold`" in said and "Nothing computed" not in said
    assert reward.about()["model"] == judge
    assert len(reward.tokens(**batch)) == len(batch["completions"])

    (mine,) = build_rewards([wrapped(chain, STATEFUL)])
    assert (mine.channels, mine.learnt_from, mine.needs_reaction) == (("gold",), ("annotators",), True)
    assert mine.by_design[-1] == "twice" and mine.about()["dtype"] == "bfloat16"


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_state_goes_out_and_in(chain, batch):
    batch = {name: column[:8] for name, column in batch.items()}
    for inner in (STATEFUL, SLOW, {"name": "random", "args": {"like": STATEFUL}}):
        first, second = (build_rewards([wrapped(chain, inner)], seed=3)[0] for _ in range(2))
        asked(first, batch)
        asked(first, batch)
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert asked(second, batch) == asked(first, batch), inner
        assert asked(second, batch) == asked(first, batch), inner


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_around_an_async_reward_is_async(name, batch):
    slow, quick = build_reward(wrapped([name], SLOW)), build_reward(wrapped([name], STATEFUL))
    assert is_async(slow) and not is_async(quick)
    assert asyncio.run(slow(**batch)) == quick(**batch)
    (reward,) = build_rewards([wrapped([name], SLOW)])
    assert is_async(reward)


@pytest.mark.parametrize(
    "around", [rollouts.OfLastTurn, sharding.WithWholeModels, lambda reward: Summed([reward], [1.0])]
)
@pytest.mark.parametrize("inner", [STATEFUL, SLOW])
def test_what_a_trainer_puts_around_a_reward_keeps_it_too(around, inner):
    (reward,) = build_rewards([wrapped(["users", "shuffled"], inner)])
    outer = around(reward)
    for name in ("channels", "learnt_from", "by_design", "needs_reaction"):
        assert getattr(outer, name) == getattr(reward, name), name
    assert outer.about() == reward.about()
    before = copy.deepcopy(outer.state_dict())
    own = reward.state_dict() if isinstance(outer, Around) else {"inner": [reward.state_dict()]}
    assert json.loads(json.dumps(before)) == json.loads(json.dumps(own))
    outer.load_state_dict(before)


def test_the_sum_of_rewards_has_what_each_of_them_has(judge, batch):
    rewards = build_rewards([STATEFUL, {"name": "preference", "args": {"model": judge}}, {"name": "random"}])
    total = Summed(rewards, [1.0, 1.0, 1.0])
    assert total.channels == ("gold",) and total.learnt_from == ("annotators", "gold") and total.needs_reaction
    state = copy.deepcopy(total.state_dict())
    first = total(**batch)
    total.load_state_dict(state)
    assert total(**batch) == first != total(**batch)


def test_a_reward_of_the_environment_has_a_lineage(judge, monkeypatch):
    monkeypatch.setenv(MODEL_VARIABLE, judge)
    assert build_reward("preference").learnt_from == ("annotators", "gold")
    assert build_reward(WRAPPERS["gameable"]("preference")).learnt_from == ("annotators", "gold")


def test_several_inside_one(batch):
    class Least(Reward):
        def combine(self, values, *, prompts, completions, **columns):
            return [min(row) for row in zip(*values, strict=True)]

    least = Least(Stateful(), "constant", lambda completions, **columns: [2] * len(completions))
    assert least.__name__ == "Least" and least.channels == ("gold",) and set(least.by_design) == {"twice", "spread"}
    assert set(least(**batch)) == {0.0}


def test_a_mistake_inside_is_told_where_it_is_made(batch):
    def short(prompts, completions, **columns):
        return [0.0]

    (reward,) = build_rewards([{"name": "gameable", "args": {"base": short}}])
    with pytest.raises(
        RewardError, match=rf"test_wrappers\.py:\d+: the reward 'short' returned 1 values for {len(batch['prompts'])}"
    ):
        reward(**batch)

    class Long(Reward):
        def combine(self, values, *, prompts, completions, **columns):
            return [*values[0], 0.0]

    (reward,) = build_rewards([Long("constant")])
    with pytest.raises(RewardError, match=r"test_wrappers\.py:\d+: the reward 'Long' returned"):
        reward(**batch)
