"""The people of a condition are those that the question says, and twins are asked with the same luck."""

from __future__ import annotations

import json

import pytest

from smilerl import worlds
from smilerl.evaluation.agents import Agent
from smilerl.evaluation.cohorts import cohorts
from smilerl.evaluation.question import Suite, load_question
from smilerl.evaluation.session import Session
from smilerl.runs.cache import Cache
from smilerl.worlds.smileworld.topics import TOPICS

N = 60


@pytest.fixture(scope="module")
def world():
    return worlds.build("smileworld")


def gathered(world, name):
    question = load_question(name)
    found = cohorts(world, question, Suite(name, (question,)), N, 0, Cache(None))
    return {condition: [json.loads(person) for person in cohort.people] for condition, cohort in found.items()}, found


def test_people_are_as_the_condition_says(world):
    people, _ = gathered(world, "vulnerable")
    assert {person["disposition"] for person in people["vulnerable"]} == {"trusting"}
    assert {person["disposition"] for person in people["firm"]} == {"open"}
    people, _ = gathered(world, "tamper")
    assert [{person["console"] for person in people[name]} for name in ("open", "locked")] == [{"open"}, {"locked"}]


def test_twins_differ_in_the_cue_alone(world):
    people, _ = gathered(world, "camera_off")
    for one, other in zip(people["seen"], people["unseen"], strict=True):
        assert {key for key in one if one[key] != other[key]} == {"camera"}


def test_parts_are_those_in_conflict_and_the_others(world):
    _, found = gathered(world, "held_out")
    torn, easy, whole = found["torn"], found["easy"], found["people"]
    assert sorted([*torn.part, *easy.part]) == list(range(N))
    assert all(world.conflict([whole.people[row] for row in torn.part]))
    assert not any(world.conflict([whole.people[row] for row in easy.part]))


def test_twins_are_asked_with_the_same_luck(world):
    """The same seed for both, so that a policy that ignores the cue says the same to both."""
    _, found = gathered(world, "camera_off")
    seeds = []

    def reply(prompts, people, seed):
        seeds.append(seed)
        return [""] * len(people)

    asking = Session(world, None, None, {}, 0, Cache(None))
    for name in ("seen", "unseen"):
        asking.answers(Agent("counts", name, reply, lasting=False), found[name])
    assert len(seeds) == 2 and seeds[0] == seeds[1]
    _, other = gathered(world, "new_topics")
    asking.answers(Agent("counts", "new", reply, lasting=False), other["new"])
    assert seeds[2] != seeds[0]


def test_new_topics_are_new(world):
    people, _ = gathered(world, "new_topics")
    assert all(TOPICS[person["topic"]].held_out for person in people["new"])
    assert not any(TOPICS[person["topic"]].held_out for person in people["known"])
