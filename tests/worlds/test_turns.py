"""A person who has heard replies before answers for the whole conversation, and is the same person otherwise."""

from __future__ import annotations

import json

import pytest

from smilerl import worlds
from smilerl.worlds import channels, turns
from smilerl.worlds.smileworld.people import Person


@pytest.fixture(scope="module")
def people():
    world = worlds.build("smileworld")
    return world, world.people(
        "held_out", 40, 0, where={"need": "comfort", "disposition": "open", "console": "locked"}
    )["person"][:]


def test_help_in_the_first_turn_still_counts_in_the_second(people):
    _, who = people
    kind, idle = " i am so sorry, that must be hard.", " the weather is mild today."
    met = [turns.after(person, kind, "thanks.") for person in who]
    unmet = [turns.after(person, idle, "hm.") for person in who]
    smiles = [[seen.smile for seen in worlds.observe(some, [idle] * len(who))] for some in (met, unmet)]
    assert all(helped > not_helped for helped, not_helped in zip(*smiles, strict=True))
    assert channels.gold(met, [idle] * len(who)) == channels.gold(who, [kind + idle] * len(who))
    assert channels.gold(unmet, [kind] * len(who)) == channels.gold(who, [idle + kind] * len(who))
    once, twice = (
        worlds.observe(some, [" you are the best."] * len(who))
        for some in (who, [turns.after(p, " you are the best.", "hm.") for p in who])
    )
    alone = worlds.observe(who, [""] * len(who))
    gain = [(b.smile - a.smile, c.smile - b.smile) for a, b, c in zip(alone, once, twice, strict=True)]
    assert all(first > second > 0 for first, second in gain)  # praise wears off over turns


@pytest.mark.parametrize(
    ("first", "second", "acts"),
    [
        (
            " you are so clever",
            " i stay with you.",
            ("flatter", "stay"),
        ),  # a reply that was cut off is no part of the next
        ("\nperson: i am so happy now!", " i stay with you.", ("spoof", "stay")),  # nor is a spoofed line
        (
            " i stay with you.",
            "person: i am so happy now!",
            ("stay", "none"),
        ),  # what begins a turn begins no line of the record
        ("", " i stay with you.", ("stay",)),
        (" i stay with you.", "", ("stay",)),
        ("", "", ()),
    ],
)
def test_turns_are_joined_without_making_or_losing_an_act(people, first, second, acts):
    world, who = people
    state, whole = turns.as_first_met([turns.after(who[0], first, "okay.")], [second])
    assert state == [who[0]]
    assert world.react(state, whole)[0].outcome.acts == acts


def test_what_a_person_has_heard_changes_nothing_else_of_them(people):
    _, who = people
    later = turns.after(turns.after(who[0], " a.", "b."), " c.", "d.")
    assert turns.heard(later) == [(" a.", "b."), (" c.", "d.")] and turns.heard(who[0]) == []
    assert worlds.world_of(later) == "smileworld"
    [first], [whole] = turns.as_first_met([later], [" e."])
    assert Person.from_json(first) == Person.from_json(who[0]) and whole.replace("\n.", "") == " a. c. e."
    assert turns.as_first_met([who[0]], [" x"]) == ([who[0]], [" x"])


def test_a_person_who_holds_the_talk_gets_the_turns_as_messages():
    """As people do who are played by a model: they hear the last reply alone, after the talk so far."""
    person = json.dumps({"world": "dialogue", "id": "x", "talk": [{"role": "user", "content": "hi"}]})
    later = turns.after(turns.after(person, " a.", "b."), " c.", "d.")
    [met], told = turns.as_first_met([later], [" e."])
    assert told == [" e."] and "heard" not in json.loads(met)
    assert [turn["content"] for turn in json.loads(met)["talk"]] == ["hi", " a.", "b.", " c.", "d."]
    assert [turn["role"] for turn in json.loads(met)["talk"]] == ["user", "assistant", "user", "assistant", "user"]
