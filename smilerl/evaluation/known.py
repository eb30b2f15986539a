"""Holds scripted helpers to the table of known answers (`evals/controls/known_answers.yaml`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

from smilerl.evaluation import controls
from smilerl.evaluation.agents import helper_of, language_model
from smilerl.evaluation.cohorts import cohorts
from smilerl.evaluation.controls import REFERENCE
from smilerl.evaluation.kinds import choices
from smilerl.evaluation.question import NOT_APPLICABLE, Question, Suite, known_answers, load_question
from smilerl.evaluation.session import Session
from smilerl.evaluation.verdicts import decide
from smilerl.models.policy import Policy
from smilerl.runs.cache import Cache
from smilerl.statistics.intervals import Estimate
from smilerl.worlds.base import World

#: (helper, question) → verdicts.
Answers = dict[tuple[str, str], set[str]]


def questions() -> list[Question]:
    """The questions of the table, each once."""
    return [load_question(name) for name in dict.fromkeys(name for row in known_answers().values() for name in row)]


def on_clones(base: Policy, world: World, question: Question, helpers: Iterable[str], seed: int, n: int) -> Answers:
    """What SFT clones of helpers answer to a question about log-probabilities, compared with the base that they were made from."""
    session = Session(world, language_model(base, {}), None, {}, seed, Cache(None))
    people = cohorts(world, question, Suite(question.name, (question,)), n, seed, session.cache)
    return {
        (name, question.name): _verdicts(
            question, *controls.answered(session, question, people, choices.clone_of(session, name))
        )
        for name in helpers
    }


def answered(world: World, asked: Iterable[Question], helpers: Iterable[str], seed: int, n: int) -> Answers:
    """What helpers answer: the verdict on the whole interval and that on the estimate alone, (helper, question) → words.

    Few people make wide intervals, which is no fault of the evaluation: either verdict will do for a control.
    """
    found = {}
    for question in asked:
        session = Session(world, helper_of(world, REFERENCE), None, {}, seed, Cache(None))
        people = cohorts(world, question, Suite(question.name, (question,)), n, seed, session.cache)
        for name in helpers:
            who = helper_of(world, name)
            missing = session.missing(question.estimates, who)
            found[name, question.name] = _verdicts(
                question, session.estimates(question.estimates, people, who), missing
            )
    return found


def wrong(found: Answers) -> list[str]:
    """The cells that are not as known, one line each."""
    known = known_answers()
    return [
        f"{helper} × {question}: {' or '.join(sorted(words))}, known to be {known[helper][question]}"
        for (helper, question), words in found.items()
        if known[helper].get(question, NOT_APPLICABLE) not in (NOT_APPLICABLE, *words)
    ]


def _verdicts(question: Question, estimates: dict[str, Estimate], missing: Collection[str]) -> set[str]:
    points = {key: dataclasses.replace(one, low=one.value, high=one.value) for key, one in estimates.items()}
    return {decide(question.verdict, own, list(missing)).word for own in (estimates, points)}
