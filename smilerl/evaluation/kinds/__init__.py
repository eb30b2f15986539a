"""Kinds of questions, one file each. A question's `kind` is the name of a file in this folder.

A kind owns what a question of it may say, how it is answered, and its controls. To add one, write `kinds/NAME.py` with
a class `Kind(QuestionKind)`; nothing else has to be edited. Questions, sessions and worlds are passed in, so that this
file needs none of them.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from smilerl.config.yaml_lines import Problem, did_you_mean
from smilerl.evaluation.agents import Agent, helper_of
from smilerl.evaluation.formula import BASE, MATCHED, Formula
from smilerl.evaluation.metrics import known_words, strange
from smilerl.evaluation.schema import QuestionFile
from smilerl.evaluation.verdicts import BLIND, UNINTERPRETABLE, Verdict, decide
from smilerl.statistics.intervals import Estimate
from smilerl.worlds.base import World

#: The helper that controls are compared with.
REFERENCE = "carer"


class QuestionKind(ABC):
    """One kind of question. The defaults suit questions about people, whose controls are the world's scripted helpers.

    Attributes:
        about: one line on what is asked.
        file: the schema of such a question's file.
        conditions: what a condition can be made of, see `schema.Condition`; empty: the kind has no conditions.
        has_replies: whether the policy's replies are sampled, and are written to `samples.parquet`.
        has_carer: whether a carer is among the controls that every question of this kind needs.
    """

    about: str
    file: type[QuestionFile] = QuestionFile
    conditions: tuple[str, ...] = ("split", "twins_of", "part_of")
    has_replies: bool = False
    has_carer: bool = True

    def read(self, file: Any, path: Path) -> Any:
        """What `Question.spec` should be: the file's keys that are this kind's own, looked up where they name
        something.

        Args:
            file: of the type `self.file`.
            path: of the question file.

        Raises:
            Mistake: what is wrong, what to write instead, and at which key.
        """
        return None

    def estimated(self, spec: Any, formulas: dict[str, Formula]) -> list[str]:
        """The names of all estimates, which verdicts and controls may be about."""
        return list(formulas)

    def narrowed(self, question: Any, world: Any) -> Any:
        """The question as far as it can be asked in this world."""
        return question

    def strange(self, question: Any, world: World) -> Iterator[Problem]:
        """Acts that the question is about and that the world does not know."""
        text = f"the world '{world.name}' has no act '{{}}'."
        for name, formula in question.estimates.items():
            for word in dict.fromkeys(word for term in formula.terms for word in strange(term.metric, world.acts)):
                yield Problem(("estimates", name), text.format(word), did_you_mean(word, known_words(world.acts)))

    def unanswerable(self, session: Any, question: Any, who: Agent) -> str | None:
        """Why the question cannot be put to this agent, in words; None where it can."""
        if not session.world.reacts:
            return f"nobody reacts in the world '{session.world.name}'"
        if (lack := self.lack(session, question, who)) is not None:
            return lack
        absent = [name for name in question.rivals if name not in session.rivals]
        if absent:
            return f"this compares with other policies: give {' '.join(f'--rival {name}=RUN' for name in absent)}"
        return None

    def lack(self, session: Any, question: Any, who: Agent) -> str | None:
        """What this kind needs and does not have here, in words; None where it lacks nothing."""
        return None

    @abstractmethod
    def answer(
        self, session: Any, question: Any, people: dict[str, Any], who: Agent, parts: bool = False
    ) -> tuple[dict[str, Estimate], dict[str, str]]:
        """The estimates of one agent, and what the others lack.

        Args:
            people: condition → `Cohort`.
            parts: as in `Session.estimates`.
        """

    def illegible(self, session: Any, question: Any, people: dict[str, Any], who: Agent) -> str | None:
        """Why what this agent said cannot be interpreted, in words; None where it can. No other verdict is due then."""
        return None

    def decided(
        self,
        session: Any,
        question: Any,
        people: dict[str, Any],
        who: Agent,
        estimates: dict[str, Estimate],
        missing: dict[str, str],
        control: bool = False,
    ) -> Verdict:
        """The verdict on one agent, from what `answer` gave. `control`: see `blind`."""
        if why := self.illegible(session, question, people, who):
            return Verdict(UNINTERPRETABLE, why)
        verdict = decide(question.verdict, estimates, list(missing))
        if verdict.word == "pass" and (why := self.blind(session, question, people, who, control)):
            return Verdict(BLIND, why)
        return verdict

    def also(self, session: Any, question: Any, people: dict[str, Any], who: Agent) -> dict[str, Any]:
        """What stands in the result beside the estimates."""
        return {}

    def blind(
        self, session: Any, question: Any, people: dict[str, Any], who: Agent, control: bool = False
    ) -> str | None:
        """Why a pass of this agent would show nothing, in words: what the question is about was not noticed.

        Args:
            control: whether the agent is a control, of which the estimate alone is judged.
        """
        return None

    def withheld(self, session: Any, question: Any, who: Agent) -> str | None:
        """Why no verdict is offered on this agent although there are estimates, in words; None where one is."""
        return None

    def inputs(self, question: Any, who: Agent) -> list[str]:
        """Hashes of what the answer depends on besides the question's text, the people and the policies."""
        return []

    def compares_with_base(self, question: Any) -> bool:
        """Whether the verdict is about a difference to the base."""
        judged = {statement.name for statements in question.verdict.values() for statement in statements}
        used = [formula for name, formula in question.estimates.items() if name in judged]
        return any(formula.needs(BASE) or formula.needs(MATCHED) for formula in used)

    def controls(self, world: Any) -> list[str]:
        """The names of controls that a question of this kind can have in a world; empty where that world has none."""
        return list(world.helpers)

    def reference(self, session: Any) -> Agent | None:
        """The agent that the controls are compared with."""
        return helper_of(session.world, REFERENCE)

    def control(self, session: Any, name: str) -> tuple[Any, Agent]:
        """The control of this name, and the session in which it is asked."""
        return session, helper_of(session.world, name)

    def asked_of_controls(self, people: dict[str, Any]) -> dict[str, Any]:
        """The people of whom the controls are asked."""
        return people


def names() -> list[str]:
    """The kinds there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


@cache
def load(name: str) -> QuestionKind:
    """The kind of this name, one of `names`.

    Raises:
        TypeError: its file has no class `Kind(QuestionKind)`.
    """
    module = importlib.import_module(f"{__name__}.{name}")
    kind = getattr(module, "Kind", None)
    if not (isinstance(kind, type) and issubclass(kind, QuestionKind)):
        raise TypeError(f"{module.__file__} is no kind of question: it needs a class Kind(QuestionKind)")
    return kind()


def keys(kind: QuestionKind) -> set[str]:
    """The keys that questions of this kind have and not all questions: those that its `file` declares itself."""
    return set(inspect.get_annotations(kind.file)) if kind.file is not QuestionFile else set()
