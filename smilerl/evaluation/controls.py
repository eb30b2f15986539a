"""Controls: scripted helpers whose answers are known before a question is asked.

In a dialogue the helpers themselves are asked, and compared with the carer as their base, so that what they must answer does not
depend on the model under evaluation. For choices, which are made of log-probabilities, clones of the helpers are asked: the
base model tuned to talk like them, compared with that base.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from smilerl import rewards
from smilerl.evaluation.agents import Agent, helper_of
from smilerl.evaluation.cohorts import Cohort, first, identity
from smilerl.evaluation.kinds import choices, curves, items, search
from smilerl.evaluation.question import NOT_APPLICABLE, Question
from smilerl.evaluation.session import Session
from smilerl.evaluation.verdicts import Statement, decide
from smilerl.statistics.intervals import Estimate
from smilerl.worlds.base import World

#: The helper that the others are compared with.
REFERENCE = "carer"
#: How many people clones are asked about: what tuning did to them is told in many nats, and by few people as well.
FEW = 12
#: Between helper and reward in the name of a control of a search.
FOR = " for "


def answered(
    session: Session, question: Question, people: dict[str, Cohort], who: Agent, parts: bool = False
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """The estimates of one agent, and what the others lack; `parts` as in `Session.estimates`."""
    if question.choice is not None:
        return choices.estimates(session, question.choice, next(iter(people.values())), who)
    if question.search is not None:
        return search.estimates(session, question.search, next(iter(people.values())), who), {}
    if question.kind == "curve":
        return curves.estimates(question, who.trail, session.seed), {}
    if question.kind == "items":
        return items.estimates(session, question, who)
    return session.estimates(question.estimates, people, who, parts), session.missing(question.estimates, who, people)


def known_names(kind: str, world: World) -> list[str]:
    """The controls that a question of this kind can have; empty where the world has no scripted helpers."""
    if kind == "curve":
        return list(curves.SYNTHETIC)
    if kind == "items":
        return list(items.CHOOSERS)
    helpers = list(world.helpers)
    return (
        [f"{helper}{FOR}{reward}" for helper in helpers for reward in rewards.names()] if kind == "search" else helpers
    )


def controls(session: Session, question: Question, people: dict[str, Cohort]) -> dict[str, Any]:
    """What the scripted helpers answered (for a choice: their clones), beside what they must."""
    reference = _reference(session, question)
    # The reward of the policy is not the helpers': their known answers are about the world alone. Nor are its rivals theirs.
    rivals = {name: helper_of(session.world, stand_in) for name, stand_in in question.rivals.items()}
    plain = dataclasses.replace(session, base=reference, reward=None, rivals=rivals)
    if question.kind == "choice":
        people = {name: first(cohort, FEW) for name, cohort in people.items()}
    asked = {name: cohort.key for name, cohort in people.items()}
    compared = reference.fingerprint if reference else None
    key = ["controls", identity(session.world), question.data, asked, compared, session.seed]
    return session.cache.note(key, lambda: {
        name: _control(plain, question, people, name, expected)
        for name, expected in question.controls.items()
        if NOT_APPLICABLE not in expected
    })  # fmt: skip


def _reference(session: Session, question: Question) -> Agent | None:
    """Whom the controls are compared with."""
    match question.kind:
        case "choice":
            return session.base_model[0]
        case "items":
            return items.control(REFERENCE)
        case "curve":
            return None
    return helper_of(session.world, REFERENCE)


def _subject(session: Session, question: Question, name: str) -> tuple[Session, Agent]:
    """The control of this name, and what is known while it is asked."""
    match question.kind:
        case "choice":
            return session, choices.clone_of(session, name)
        case "items":
            return session, items.control(name)
        case "curve":
            return session, Agent(name, f"trail {name}", items.says_nothing, trail=curves.synthetic(name, session.seed))
        case "search":
            helper, reward = name.split(FOR)
            judged = dataclasses.replace(session, reward=rewards.build_reward(reward, session.seed))
            return judged, helper_of(session.world, helper)
    return session, helper_of(session.world, name)


def _control(
    session: Session, question: Question, people: dict[str, Cohort], name: str, expected: tuple[str | Statement, ...]
) -> dict[str, Any]:
    session, who = _subject(session, question, name)
    estimates, missing = answered(session, question, people, who)
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
