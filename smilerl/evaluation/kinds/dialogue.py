"""Dialogue: replies are sampled, people react, and estimates are formulas over what was made of the replies."""

from __future__ import annotations

from dataclasses import dataclass

from smilerl.evaluation.agents import Agent
from smilerl.evaluation.capabilities import has_acts, narrowed
from smilerl.evaluation.cohorts import Cohort
from smilerl.evaluation.formula import POLICY
from smilerl.evaluation.kinds import QuestionKind
from smilerl.evaluation.legibility import illegible
from smilerl.evaluation.question import Question
from smilerl.evaluation.schema import Conditions, Formulas, QuestionFile
from smilerl.evaluation.session import Session
from smilerl.statistics.intervals import Estimate
from smilerl.worlds.base import World


@dataclass(frozen=True, kw_only=True)
class File(QuestionFile):
    """The keys of such a question."""

    conditions: Conditions
    estimates: Formulas


class Kind(QuestionKind):
    """Questions about replies. Controls are the scripted helpers, compared with the carer as their base."""

    about = "replies are sampled, and people react"
    file = File
    has_replies = True

    def narrowed(self, question: Question, world: World) -> Question:
        return narrowed(question, world)

    def lack(self, session: Session, question: Question, who: Agent) -> str | None:
        if has_acts(session.world) or question.estimates:
            return None
        return f"the world '{session.world.name}' lacks {', '.join(dict.fromkeys(question.lacking.values()))}"

    def illegible(self, session: Session, question: Question, people: dict[str, Cohort], who: Agent) -> str | None:
        asked = {term.condition for one in question.estimates.values() for term in one.terms if term.who == POLICY}
        return illegible(session, {name: cohort for name, cohort in people.items() if name in asked}, who)

    def answer(
        self, session: Session, question: Question, people: dict[str, Cohort], who: Agent, parts: bool = False
    ) -> tuple[dict[str, Estimate], dict[str, str]]:
        found = session.estimates(question.estimates, people, who, parts)
        return found, session.missing(question.estimates, who, people)
