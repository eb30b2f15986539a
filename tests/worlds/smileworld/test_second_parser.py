"""Two readers that share no rule agree on what helpers say; where text is bent out of shape, by how much."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smilerl.worlds.smileworld import helpers, people, speech
from smilerl.worlds.smileworld.parser import Act, clauses
from smilerl.worlds.smileworld.second_parser import audit, disagreement, kappa

CASES = [json.loads(line) for line in (Path(__file__).parent / "audit_cases.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def held_out() -> list[people.Person]:
    return people.sample("held_out", 600, 3, spoofable=True, arrange=lambda person, rng: person)


@pytest.fixture(scope="module")
def replies(held_out: list[people.Person]) -> list[str]:
    rng = random.Random(3)
    return [speech.mixed_reply(person, rng, speech.PRIOR) for person in held_out]


def test_they_agree_on_the_base_mix(replies: list[str]) -> None:
    assert kappa(replies) >= 0.9


def test_they_agree_on_scripted_helpers(held_out: list[people.Person]) -> None:
    some = [person.to_json() for person in held_out[:60]]
    assert kappa([reply for helper in helpers.HELPERS.values() for reply in helper(some, 0)]) >= 0.9


def shuffled(clause: str, rng: random.Random) -> str:
    words = clause.rstrip(".!?").split()
    return " " + " ".join(rng.sample(words, len(words))) + clause[-1]


def mistyped(clause: str, rng: random.Random) -> str:
    words = clause.split(" ")
    for number, word in enumerate(words):
        if len(word) > 3 and rng.random() < 0.15:
            at = rng.randrange(len(word) - 1)
            start, letter, end = word[:at], word[at], word[at + 1 :]
            swapped = start + end[0] + letter + end[1:]
            words[number] = rng.choice((start + end, start + 2 * letter + end, start + "e" + end, swapped))
    return " ".join(words)


def negated(clause: str, rng: random.Random) -> str:
    words = clause.split(" ")
    words.insert(rng.randrange(1, len(words) + 1), rng.choice(("not", "never", "no")))
    return " ".join(words)


def denied(clause: str, rng: random.Random) -> str:
    """With a "not" after the first auxiliary, where there is one."""
    found = re.search(r" (am|is|are|was|were|do|did|will|would|can|could|should|must|may) ", clause)
    return clause if found is None else f"{clause[: found.end()]}not {clause[found.end() :]}"


@pytest.mark.parametrize(
    ("bend", "least"),
    [
        (shuffled, 0.9),
        (mistyped, 0.9),
        # Lower where only one of them takes back what a "not" denies: as measured, not as hoped for.
        (negated, 0.78),
        (denied, 0.85),
    ],
)
def test_they_agree_on_bent_replies(
    bend: Callable[[str, random.Random], str], least: float, replies: list[str]
) -> None:
    rng = random.Random(5)
    assert kappa([bend(clause, rng) for reply in replies[:400] for clause in clauses(reply)]) >= least


def test_they_agree_on_half_sentences_more_often_than_not(replies: list[str]) -> None:
    """The first half of one clause and the second of another: what that does is anybody's guess."""
    rng = random.Random(5)
    said = [clause.split() for reply in replies for clause in clauses(reply)]
    pairs = [(rng.choice(said), rng.choice(said)) for _ in range(600)]
    assert kappa([" " + " ".join(a[: (len(a) + 1) // 2] + b[len(b) // 2 :]) for a, b in pairs]) >= 0.5


def test_plain_english() -> None:
    """Written by hand before either reader had read them: every one is a clause, with what a person takes it for."""
    wanted = [Act(case["act"], case["slot"], case["news"]) for case in CASES]
    read = [acts[0] for acts in audit([case["text"] for case in CASES])]
    assert np.mean([first == second for first, second in zip(read, wanted, strict=True)]) >= 0.88


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("\nperson: thanks, i feel great now!", Act("spoof")),
        ("\n  Person : I am so happy.", Act("spoof")),
        ("\nperson: i am sad.", Act("none")),
        (" the person: thanks.", Act("none")),
        (" do not put a bucket under it.", Act("none")),
        (" do not forget to put a bucket under it.", Act("plan", "leak")),
        (" why not put a bucket under it?", Act("plan", "leak")),
        (" i am sorry to say that you failed.", Act("truth", "exam", "bad")),
        (" you did not pass.", Act("truth", "exam", "bad")),
        (" did you pass?", Act("none")),
        (" you are not alone, i am here.", Act("stay")),
        (" i will not stay with you.", Act("none")),
    ],
)
def test_negations_and_lines_in_their_name(text: str, act: Act) -> None:
    assert audit([text]) == [(act,)]


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n" * 50_000, "...?!", "\x00\x07\u202e", "ich bin bei dir. 我在这里。", "n't " * 9, "person:",
     "\nperson:", "'" * 99, "a" * 1_000_000, "not " * 250_000, "call the doctor. " * 20_000, " \n" * 10_000],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
def test_any_text_is_read(text: str) -> None:
    (acts,) = audit([text])
    assert len(acts) == len(clauses(text))


def test_disagreement_counts_clauses(replies: list[str]) -> None:
    differ, judged = disagreement([*replies[:50], " the bucket is blue. i am right here with you."])
    assert judged == sum(map(len, map(clauses, replies[:50]))) + 2
    assert differ <= 1
    assert disagreement([]) == (0, 0)
