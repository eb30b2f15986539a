"""One file dropped into smilerl/rewards is a reward, or a wrapper, to everything that lists, checks, documents and runs them."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from types import SimpleNamespace

import pytest

from smilerl import cli, rewards
from smilerl.publish import sections
from smilerl.rewards import Reward, RewardContext, RewardError, build_reward, build_rewards
from smilerl.rewards._summed import Summed
from smilerl.training.run import run_recipe
from tests.rewards import test_reward_contract as contract

SCRATCH = {
    "questions": '''"""questions: the question marks in a reply. Asks, and does not listen."""

from smilerl.rewards import texts


def build(each: float = 1.0):
    """How many question marks a reply has, times `each`."""

    def questions(prompts, completions, **columns):
        return [each * (said.count("?") + len(said) % 7) for said in texts(completions)]

    questions.learnt_from = ("annotators",)
    return questions


reward = build()
''',
    "fading": '''"""fading: another reward, which fades out while the policy trains."""

from smilerl.rewards.base import Reward


def build(inner="smile", seed: int = 0):
    """The value of `inner`, times the share of the run that is left."""
    return _Fading(inner, name="fading", seed=seed)


class _Fading(Reward):
    def combine(self, values, *, prompts, completions, reward_context=None, **columns):
        left = 1.0 if reward_context is None else 1 - reward_context.step / reward_context.max_steps
        return [None if value is None else left * value for value in values[0]]


reward = build()
''',
}
FADING = {"name": "fading", "args": {"inner": {"name": "questions", "args": {"each": 2.0}}}}


@pytest.fixture
def dropped(tmp_path, monkeypatch):
    """The package with two files more: a second folder on its path, so that tests beside this one do not see them."""
    folder = tmp_path / "rewards"
    folder.mkdir()
    for name, code in SCRATCH.items():
        (folder / f"{name}.py").write_text(code)
    monkeypatch.setattr(rewards, "__path__", [*rewards.__path__, str(folder)])
    importlib.invalidate_caches()
    yield
    for name in SCRATCH:
        sys.modules.pop(f"smilerl.rewards.{name}", None)
        vars(rewards).pop(name, None)


def test_it_is_listed_and_built(dropped):
    assert {*SCRATCH} <= {*rewards.names()}
    with pytest.raises(RewardError, match=r"fading, .*questions.*Did you mean 'questions'"):
        build_reward("question")
    (reward,) = build_rewards([FADING])
    assert reward.learnt_from == ("annotators",) and reward.__name__ == "fading"
    with pytest.raises(RewardError, match=r"'fading' takes no 'inne'. It takes: inner, seed. Did you mean 'inner'"):
        build_reward({"name": "fading", "args": {"inne": "questions"}})


@pytest.mark.parametrize("name", SCRATCH)
def test_it_passes_the_contract_of_all_rewards(dropped, name, batch):
    module = importlib.import_module(f"smilerl.rewards.{name}")
    known = {"module": module, "batch": batch}
    tests = [test for at, test in vars(contract).items() if at.startswith("test_")]
    quick = [test for test in tests if {*inspect.signature(test).parameters} <= {*known}]
    assert len(quick) == 6
    for test in quick:
        test(**{one: known[one] for one in inspect.signature(test).parameters})


@pytest.mark.parametrize("spec", ["questions", json.dumps(FADING)])
def test_it_is_checked(dropped, spec, capsys, tmp_path):
    assert cli.main(["reward", "check", spec, "--n", "4", "--out", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["passed"] and "passed" in capsys.readouterr().out and len(found["helpers"]) > 3


def test_it_runs_and_the_run_is_documented(dropped, make_recipe):
    run = run_recipe(make_recipe("rloo", rewards=[FADING], held_out={"every": 1, "n": 4}))
    assert run.finished and run.manifest["learnt_from"] == ["annotators"]
    held_out = {row["step"]: row["held_out/reward"] for row in run.metrics() if "held_out/reward" in row}
    assert held_out[2] == 0.0 != held_out[0], "at the last step it has faded out"
    (row,) = sections.rewards(SimpleNamespace(recipe=make_recipe("rloo", rewards=[FADING])))
    assert row["says"] == "another reward, which fades out while the policy trains."


def test_a_reward_is_told_when_it_is_asked():
    """By the trainer's state, by what asks outside training, and never by nothing."""
    told: list[RewardContext] = []

    def mine(prompts, completions, *, reward_context, **columns):
        told.append(reward_context)
        return [0.0] * len(completions)

    class Outer(Reward):
        def combine(self, values, *, reward_context, **columns):
            told.append(reward_context)
            return values[0]

    class State:
        global_step, max_steps = 3, 8

    batch = {"prompts": ["p"], "completions": ["c"]}
    outer = Outer(Outer(mine))
    assert outer.lacking({"prompt"}) is None
    outer(**batch, trainer_state=State())
    (reward,) = build_rewards([outer])
    reward(**batch, trainer_state=State())
    assert told == [RewardContext(3, 8, "train")] * 6
    told.clear()
    after = RewardContext.after({"max_steps": 5}, "test")
    assert Summed([reward], [1.0], context=after)(**batch) == [0.0] and told == [RewardContext(5, 5, "test")] * 3
    for asked in (build_reward(mine), Summed([mine], [1.0])):
        with pytest.raises(RewardError, match=r"'mine' asks for reward_context.*reward_context=RewardContext"):
            asked(**batch)
