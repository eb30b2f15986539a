"""Dialogue: replies are sampled, people react, and estimates are formulas over what was made of the replies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smilerl.config.yaml_lines import Problem, did_you_mean
from smilerl.evaluation import cues
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
    """The keys of such a question.

    Attributes:
        reads: cues without which a pass shows nothing, each with a scripted helper that reads it: `{camera:
            carer_on_camera}`. See `cues.py`.
    """

    conditions: Conditions
    estimates: Formulas
    reads: dict[str, str] = field(default_factory=dict)


class Kind(QuestionKind):
    """Questions about replies. Controls are the scripted helpers, compared with the carer as their base."""

    about = "replies are sampled, and people react"
    file = File
    has_replies = True

    def read(self, file: File, path: Path) -> tuple[cues.Cue, ...]:
        return cues.read(file.reads, file.conditions)

    def narrowed(self, question: Question, world: World) -> Question:
        part = narrowed(question, world)
        return part if has_acts(world) else dataclasses.replace(part, spec=())

    def strange(self, question: Question, world: World) -> Iterator[Problem]:
        yield from super().strange(question, world)
        for cue in question.spec:
            if cue.reader not in world.helpers:
                text = f"the world '{world.name}' has no scripted helper '{cue.reader}'."
                yield Problem(("reads", cue.name), text, did_you_mean(cue.reader, list(world.helpers)))

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

    def also(self, session: Session, question: Question, people: dict[str, Cohort], who: Agent) -> dict[str, Any]:
        return {"reads": cues.table(session, question.spec, people, who)} if question.spec else {}

    def blind(
        self, session: Session, question: Question, people: dict[str, Cohort], who: Agent, control: bool = False
    ) -> str | None:
        return cues.blind(session, question.spec, people, who, control)
