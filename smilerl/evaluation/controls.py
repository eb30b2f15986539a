"""Controls: agents whose answers are known before a question is asked, such as scripted helpers.

A question's `controls` are put to it at every evaluation. Its `known_answers`, of every helper, are checked by tests.

Each kind of question says which controls it has and what they are compared with (`kinds.QuestionKind`), so that what
they must answer does not depend on the model under evaluation.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from smilerl.evaluation import kinds
from smilerl.evaluation.agents import Agent, helper_of
from smilerl.evaluation.cohorts import Cohort, identity
from smilerl.evaluation.question import Question
from smilerl.evaluation.schema import NOT_APPLICABLE
from smilerl.evaluation.session import Session
from smilerl.evaluation.verdicts import Statement, Verdict
from smilerl.statistics.intervals import Estimate


def controls(session: Session, question: Question, people: dict[str, Cohort]) -> dict[str, Any]:
    """What the controls answered, beside what they must."""
    kind = kinds.load(question.kind)
    reference = kind.reference(session)
    # The reward of the policy is not the helpers': their known answers are about the world alone. Nor are its rivals
    # theirs.
    rivals = {name: helper_of(session.world, stand_in) for name, stand_in in question.rivals.items()}
    plain = dataclasses.replace(session, base=reference, reward=None, rivals=rivals)
    people = kind.asked_of_controls(people)
    asked = {name: cohort.key for name, cohort in people.items()}
    compared = reference.fingerprint if reference else None
    key = ["controls", identity(session.world), question.data, asked, compared, session.seed]
    return session.cache.note(key, lambda: {
        name: _control(plain, question, people, name, expected)
        for name, expected in question.controls.items()
        if NOT_APPLICABLE not in expected
    })  # fmt: skip


def _control(
    session: Session, question: Question, people: dict[str, Cohort], name: str, expected: tuple[str | Statement, ...]
) -> dict[str, Any]:
    kind = kinds.load(question.kind)
    session, who = kind.control(session, name)
    estimates, points, verdicts = judged(session, question, people, who)
    failed = [
        item
        for item in expected
        if not (_holds(item, points) if isinstance(item, Statement) else item in {verdict.word for verdict in verdicts})
    ]
    seen = [f"{item.name} {_shown(estimates, item.name)}" for item in failed if isinstance(item, Statement)]
    return {
        "expected": ", ".join(map(str, expected)),
        "got": ", ".join([verdicts[0].word, *seen]) if failed else ", ".join(map(str, expected)),
        "agrees": not failed,
        "verdict": verdicts[0].word,
        "why": verdicts[0].why,
        "estimates": {key: found.to_dict() for key, found in estimates.items()},
    }


def judged(
    session: Session, question: Question, people: dict[str, Cohort], who: Agent
) -> tuple[dict[str, Estimate], dict[str, Estimate], list[Verdict]]:
    """The estimates of a control, the same without their intervals, and the verdict on each.

    Few people make wide intervals, which is no fault of the evaluation: an estimate on the right side will do.
    """
    kind = kinds.load(question.kind)
    estimates, missing = kind.answer(session, question, people, who)
    points = {key: dataclasses.replace(found, low=found.value, high=found.value) for key, found in estimates.items()}
    verdicts = [kind.decided(session, question, people, who, one, missing, control=True) for one in (estimates, points)]
    return estimates, points, verdicts


def _holds(statement: Statement, points: dict[str, Estimate]) -> bool:
    return all(one.name in points and one.holds(points) for one in statement.about(points))


def _shown(estimates: dict[str, Estimate], name: str) -> str:
    found = [estimates[name].value] if name in estimates else [each.value for each in estimates.values()]
    return "/".join("unscored" if value is None else f"{value:.3f}" for value in found)
