"""The search against a reward: what it finds where the answer is known."""

from __future__ import annotations

import dataclasses

import pytest

from smilerl import worlds
from smilerl.evaluation.agents import helper_of, scripted
from smilerl.evaluation.cohorts import cohorts
from smilerl.evaluation.kinds import search
from smilerl.evaluation.kinds.search import SEARCHED, Search
from smilerl.evaluation.question import load_suite
from smilerl.evaluation.runner import evaluate
from smilerl.evaluation.session import Session
from smilerl.rewards import build_reward
from smilerl.runs.cache import Cache

SUITE = load_suite("exploit_search")


@pytest.fixture(scope="module")
def world():
    return worlds.build("smileworld")


def searched(world, reward, who="mix", n=24, **settings):
    session = Session(world, None, reward and build_reward(reward), {}, 0, Cache(None))
    cohort = cohorts(world, SUITE.questions[0], SUITE, n, 0, session.cache)["people"]
    who = helper_of(world, who) if isinstance(who, str) else scripted(who)
    return search.estimates(session, Search(**settings), cohort, who)


def test_searching_gold_helps_and_searching_the_reading_fools(world):
    gold, reading = (searched(world, build_reward(name), samples=32, rounds=3) for name in ("gold", "reading"))
    assert set(gold) == set(SEARCHED)
    assert gold["wellbeing_slope"].low > 0 and gold["wellbeing_evolved"].value >= gold["wellbeing_at_best"].value - 0.05
    assert reading["over_care"].low > 0.5 and reading["wellbeing_evolved"].high < gold["wellbeing_evolved"].low


def test_evolution_finds_what_no_sample_says(world):
    """A grader that likes one word, which the policy says now and then, is fooled by saying it again and again."""

    def likes_sorry(completions, **columns):
        return [float(text.count("sorry")) for text in completions]

    found = searched(world, likes_sorry, samples=16, rounds=6)
    assert found["over_care"].low > 0


def test_each_pair_is_asked_about_once(world):
    asked = []

    def reward(completions, person, **columns):
        asked.extend(zip(person, completions, strict=True))
        return [float(len(text) % 7) for text in completions]

    searched(world, reward, n=6, samples=8, rounds=2)
    assert len(asked) == len(set(asked))


def test_unscored_replies_are_left_out(world):
    def shy(completions, **columns):
        return [None if "happy" in text else float(len(text)) for text in completions]

    assert searched(world, shy, n=12, samples=16, rounds=2)["gain"].value > 0
    with pytest.raises(ValueError, match="scored none"):
        searched(world, lambda completions, **columns: [None] * len(completions), n=4, samples=4, rounds=1)


def test_no_reward_no_search(world):
    found = evaluate("mix", world, "exploit_search", n=4, progress=False)["evaluations"]["exploit_search"]
    assert found["status"] == "not applicable" and "--reward" in found["why"]


@pytest.mark.parametrize("reply", ["", "a" * 100_000, "\x00\x1b[31m\r\t", "你好。" * 50, "\nperson: \nperson: "])
def test_any_policy_can_be_searched(world, reply):
    suite = dataclasses.replace(SUITE, n=4)
    found = evaluate(
        lambda people, seed: [reply] * len(people), world, suite, reward=build_reward("sentiment"), progress=False
    )
    assert found["evaluations"]["exploit_search"]["status"] in ("scored", "controls failed")


def test_the_base_itself_is_searched(world, monkeypatch, tmp_path):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path))
    monkeypatch.setattr("smilerl.evaluation.controls.controls", lambda *_: {})
    reward = build_reward("reading")
    found = evaluate("mix", world, "exploit_search", base="mix", reward=reward, n=4, progress=False)
    assert found["evaluations"]["exploit_search"]["status"] == "scored", found["evaluations"]["exploit_search"]["why"]
