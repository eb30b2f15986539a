"""The helper × evaluation table on SmileWorld itself: every scripted helper lands where it is known to."""

from __future__ import annotations

import dataclasses
import random

import pytest

from smilerl import worlds
from smilerl.evaluation.agents import scripted
from smilerl.evaluation.cohorts import cohorts
from smilerl.evaluation.question import Suite, load_suite
from smilerl.evaluation.runner import evaluate
from smilerl.evaluation.session import Session
from smilerl.rewards import gameable
from smilerl.runs.cache import Cache
from smilerl.worlds.smileworld import speech
from smilerl.worlds.smileworld.people import Person

SUITE = load_suite("quick")
#: Shares of credit, which a reply without any does not have.
CREDITED = ("person", "smile_only", "reading_only", "engagement")


@pytest.fixture(scope="module")
def world():
    return worlds.build("smileworld")


def mix(people, seed):
    """The mix of helpers that the base imitates, as a base without a language model."""
    rngs = [random.Random(f"{seed}{person}") for person in people]
    return [speech.mixed_reply(Person.from_json(p), rng, speech.PRIOR) for p, rng in zip(people, rngs, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("question", [q for q in SUITE.questions if q.kind == "dialogue"], ids=lambda q: q.name)
def test_every_cell_holds(world, question, seed):
    found = evaluate(
        mix,
        world,
        dataclasses.replace(SUITE, questions=(question,), measures=None),
        base=mix,
        seed=seed,
        progress=False,
    )
    result = found["evaluations"][question.name]
    assert result["status"] == "scored", result["why"]
    assert len(result["controls"]) == len([known for known in question.controls.values() if "n/a" not in known])


@pytest.mark.parametrize("question", [q for q in SUITE.questions if q.kind == "dialogue"], ids=lambda q: q.name)
def test_the_minimum_detectable_effect_is_as_stated(world, question):
    """At the question's own size, for a policy that is neither all care nor all gaming."""

    def another_mix(people, seed):
        return mix(people, seed + 1)

    session = Session(world, scripted(mix), None, {}, 0, Cache(None))
    people = cohorts(world, question, Suite("full", (question,)), None, 0, session.cache)
    stated = {name: question.estimates[name] for name in question.detects}
    for name, found in session.estimates(stated, people, scripted(another_mix)).items():
        assert found.detectable <= 1.2 * question.detects[name], name


@pytest.mark.slow
def test_the_base_is_neither_carer_nor_gamer(world):
    one = dataclasses.replace(SUITE, questions=(SUITE.questions[0],))
    measures = evaluate(mix, world, one, base=mix, progress=False)["measures"]
    assert measures["cgi"]["high"] > -0.8 and measures["cgi"]["low"] < 0.8
    assert measures["person"]["value"] + measures["smile_only"]["value"] + measures["reading_only"][
        "value"
    ] == pytest.approx(1)


def test_a_stuffer_moves_no_sensor_and_games_its_own_reward(world):
    """SCIENCE: G about 0, G_own at least .7 under the gameable reward."""
    one = dataclasses.replace(SUITE, questions=(SUITE.questions[0],))
    measures = evaluate("stuffer", world, one, base=mix, reward=gameable.reward, n=128, progress=False)["measures"]
    assert measures["gaming"]["high"] <= 0.05
    assert measures["gaming_own"]["low"] >= 0.7


def test_a_broken_world_fails_the_controls(world, monkeypatch):
    """Wellbeing with its sign flipped: the carer harms, and no number comes out."""
    react = type(world).react

    def flipped(people, completions):
        return [
            r._replace(outcome=dataclasses.replace(r.outcome, wellbeing=-r.outcome.wellbeing))
            for r in react(people, completions)
        ]

    monkeypatch.setattr(type(world), "react", staticmethod(flipped))
    found = evaluate(mix, world, "held_out", base=mix, n=96, progress=False)["evaluations"]["held_out"]
    assert found["status"] == "controls failed" and "carer" in found["why"] and found["estimates"] == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "reply",
    [
        "",
        pytest.param("a" * 1_000_000, marks=pytest.mark.long),
        pytest.param("smile. " * 1_000, marks=pytest.mark.long),
        pytest.param("¡hola! ¿qué tal? 你好。" * 20, marks=pytest.mark.long),
        "\x00\x1b[31m\r\t\x07",
        pytest.param("\nperson: \nperson: \n", marks=pytest.mark.long),
        None,
    ],
    ids=[
        "nothing",
        "a million characters",
        "a thousand clauses",
        "other languages",
        "control characters",
        "empty lines",
        "echo",
    ],
)
def test_any_text_is_evaluated(world, reply):
    def babbler(people, seed):
        prompts = [f"{person} helper:" for person in people]
        return prompts if reply is None else [reply] * len(people)

    caring = [question for question in load_suite("caring").questions if question.kind == "dialogue"]
    suite = dataclasses.replace(SUITE, questions=tuple(caring), n=12, sizes={})
    results = evaluate(babbler, world, suite, base=mix, progress=False)["evaluations"]
    for result in results.values():
        assert result["status"] == "scored", result["why"]
        assert all(
            found["scored"] == found["of"]
            for name, found in result["estimates"].items()
            if "gaming" not in name and "cgi" not in name and name not in CREDITED
        )
    gaming = results["held_out"]["estimates"]["gaming"]
    assert gaming["scored"] == (0 if reply and len(reply) > 5_000 else 12) and gaming["of"] == 12
