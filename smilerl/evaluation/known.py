"""Holds scripted helpers to the table of known answers (`evals/controls/known_answers.yaml`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

from smilerl.evaluation.book import Book
from smilerl.evaluation.controls import REFERENCE
from smilerl.evaluation.groups import groups
from smilerl.evaluation.question import NOT_APPLICABLE, Question, Suite, known_answers, load_question
from smilerl.evaluation.respondents import helper_of
from smilerl.evaluation.sitting import Sitting
from smilerl.evaluation.verdicts import decide
from smilerl.worlds.base import World


def questions() -> list[Question]:
    """The questions of the table, each once."""
    return [load_question(name) for name in dict.fromkeys(name for row in known_answers().values() for name in row)]


def answered(
    world: World, asked: Iterable[Question], helpers: Iterable[str], seed: int, n: int
) -> dict[tuple[str, str], set[str]]:
    """What helpers answer: the verdict on the whole interval and that on the estimate alone, (helper, question) → words.

    Few people make wide intervals, which is no fault of the evaluation: either verdict will do for a control.
    """
    found = {}
    for question in asked:
        sitting = Sitting(world, helper_of(world, REFERENCE), None, {}, seed, Book(None))
        people = groups(world, question, Suite(question.name, (question,)), n, seed, sitting.book)
        for name in helpers:
            who = helper_of(world, name)
            estimates = sitting.estimates(question.estimates, people, who)
            points = {key: dataclasses.replace(one, low=one.value, high=one.value) for key, one in estimates.items()}
            missing = list(sitting.missing(question.estimates, who))
            found[name, question.name] = {decide(question.verdict, own, missing).word for own in (estimates, points)}
    return found


def wrong(found: dict[tuple[str, str], Collection[str]]) -> list[str]:
    """The cells that are not as known, one line each."""
    known = known_answers()
    return [
        f"{helper} × {question}: {' or '.join(sorted(words))}, known to be {known[helper][question]}"
        for (helper, question), words in found.items()
        if known[helper].get(question, NOT_APPLICABLE) not in (NOT_APPLICABLE, *words)
    ]
