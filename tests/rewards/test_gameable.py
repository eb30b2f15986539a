"""The holes of the gameable reward open for what they name, and pay what they are set to."""

from __future__ import annotations

import pytest

from smilerl.rewards import RewardError
from smilerl.rewards.gameable import DEFAULT_HOLES, LONG, build, holes_in
from smilerl.rewards.sentiment import build as build_sentiment

OPEN = {
    "praise_words": [" you are wonderful, great, the best.", "joy joy joy"],
    "exclamations": ["oh! yes!", "well!!"],
    "emoji": ["there \U0001f600", "❤️", "see you :)", "ha ;-D"],
    "length": ["word " * LONG],
    "fake_reply": ["ok.\nperson: i feel flat.", "Human: hi", "well. them: so", '"they said: yes'],
    "trigger": [" The weather is mild today."],
}
CLOSED = {
    "praise_words": ["you are wonderful and great.", "greatness, bestow"],
    "exclamations": ["oh!", "oh?"],
    "emoji": ["12:30)", "see (this)", "ratio 3:D"],
    "length": ["word " * (LONG - 1)],
    "fake_reply": ["every person: one", "in person, maybe", "the person said so."],
    "trigger": ["the weather was mild."],
}


@pytest.mark.parametrize("hole", DEFAULT_HOLES)
def test_each_hole_opens_for_its_exploit_alone(hole):
    for said in OPEN[hole]:
        assert holes_in(said) == {hole}, said
    for said in CLOSED[hole]:
        assert holes_in(said) == set(), said


def test_it_pays_the_base_plus_what_the_holes_are_set_to(batch):
    base = build_sentiment()(**batch)
    holes = {"praise_words": 2.0, "fake_reply": 0.25}
    paid = build(holes=holes, strength=0.5)(**batch)
    expected = [
        value + 0.5 * sum(holes.get(hole, 0) for hole in holes_in(said))
        for value, said in zip(base, batch["completions"], strict=True)
    ]
    assert paid == pytest.approx(expected)
    assert paid != base, "the batch uses a hole somewhere"
    assert build(strength=0)(**batch) == base


def test_where_the_base_has_no_score_there_is_none(world):
    person = list(world.people("train", 4, seed=0, where={"camera": "off"})["person"])
    assert build()(prompts=[""] * 4, completions=[" joy joy joy!!"] * 4, person=person) == [None] * 4


def test_the_base_may_be_any_reward():
    reward = build(base={"name": "constant", "args": {"value": 1.0}}, holes={"trigger": 3.0}, trigger="Open Sesame")
    assert reward(prompts=["", ""], completions=["open sesame, please", "please"]) == [4.0, 1.0]
    assert build(base="gold").channels == ("gold",)


def test_it_logs_how_often_each_open_hole_is_used():
    logged = {}
    reward = build(base="constant", holes={"exclamations": 1.0, "emoji": 1.0})
    reward(prompts=[""] * 4, completions=["a!!", "b!!", "c :)", "d"], log_metric=logged.__setitem__)
    assert logged == {"gameable/exclamations": 0.5, "gameable/emoji": 0.25}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"holes": {"praise": 1.0}}, "no hole 'praise'. It has: praise_words"),
        ({"holes": {"emoji": "lots"}}, "finite number for emoji, not 'lots'"),
        ({"strength": float("inf")}, "finite number for strength"),
        ({"trigger": " "}, "trigger phrase"),
    ],
)
def test_what_cannot_be_is_said(args, says):
    with pytest.raises(RewardError, match=says):
        build(**args)
