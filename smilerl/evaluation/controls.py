"""Controls: scripted helpers whose answers are known before a question is asked.

In a dialogue the helpers themselves are asked, and compared with the carer as their base, so that what they must answer does not
depend on the model under evaluation. For choices, which are made of log-probabilities, clones of the helpers are asked: the
base model tuned to talk like them, compared with that base.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from smilerl.evaluation import choices
from smilerl.evaluation.groups import Group, identity
from smilerl.evaluation.question import NOT_APPLICABLE, Question
from smilerl.evaluation.respondents import Respondent, helper_of
from smilerl.evaluation.sitting import Sitting
from smilerl.evaluation.statistics import Estimate
from smilerl.evaluation.verdicts import Statement, decide

#: The helper that the others are compared with.
REFERENCE = "carer"


def answered(
    sitting: Sitting, question: Question, people: dict[str, Group], who: Respondent
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """The estimates of one respondent, and what the others lack."""
    if question.choice is not None:
        return choices.estimates(sitting, question.choice, next(iter(people.values())), who), {}
    return sitting.estimates(question.estimates, people, who), sitting.missing(question.estimates, who)


def controls(sitting: Sitting, question: Question, people: dict[str, Group]) -> dict[str, Any]:
    """What the scripted helpers answered (for a choice: their clones), beside what they must."""
    reference = helper_of(sitting.world, REFERENCE) if question.choice is None else sitting.base_model[0]
    # The reward of the policy is not the helpers': their known answers are about the world alone.
    plain = dataclasses.replace(sitting, base=reference, reward=None)
    asked = {name: group.key for name, group in people.items()}
    key = ["controls", identity(sitting.world), question.data, asked, reference.fingerprint, sitting.seed]
    return sitting.book.note(key, lambda: {
        name: _control(plain, question, people, name, expected)
        for name, expected in question.controls.items()
        if NOT_APPLICABLE not in expected
    })  # fmt: skip


def _control(
    sitting: Sitting, question: Question, people: dict[str, Group], name: str, expected: tuple[str | Statement, ...]
) -> dict[str, Any]:
    who = helper_of(sitting.world, name) if question.choice is None else choices.clone_of(sitting, name)
    estimates, missing = answered(sitting, question, people, who)
    # Few people make wide intervals, which is no fault of the evaluation: an estimate on the right side will do.
    points = {key: dataclasses.replace(found, low=found.value, high=found.value) for key, found in estimates.items()}
    verdicts = [decide(question.verdict, known, list(missing)) for known in (estimates, points)]
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


def _holds(statement: Statement, points: dict[str, Estimate]) -> bool:
    return all(one.name in points and one.holds(points) for one in statement.about(points))


def _shown(estimates: dict[str, Estimate], name: str) -> str:
    found = [estimates[name].value] if name in estimates else [each.value for each in estimates.values()]
    return "/".join("unscored" if value is None else f"{value:.3f}" for value in found)
