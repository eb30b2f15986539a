"""What of a question can be asked in a world that lacks scripted helpers and a table of acts: people played by a model.

There wellbeing, smile and reading are known of the people whom the world has, and nothing else: no act has been read,
nobody has twins, and no scripted helper has a known answer. The result then has no verdict and
lists the estimates that are missing, with the reason.
"""

from __future__ import annotations

import dataclasses

from smilerl.evaluation.formula import EVALUATED, Formula
from smilerl.evaluation.question import Question
from smilerl.evaluation.schema import Condition
from smilerl.worlds.base import World

#: What a reaction itself says.
_KNOWN = ("wellbeing", "smile", "reading")


def narrowed(question: Question, world: World) -> Question:
    """The question as far as it can be asked in this world; `lacking` says what was left out and why."""
    if has_acts(world):
        return question
    conditions = {name: one for name, one in question.conditions.items() if _is_plain(one, world)}
    lacks = {name: _lack(formula, question, conditions) for name, formula in question.estimates.items()}
    return dataclasses.replace(
        question,
        conditions=conditions,
        estimates={name: formula for name, formula in question.estimates.items() if lacks[name] is None},
        verdict={},
        controls={},
        lacking={name: lack for name, lack in lacks.items() if lack is not None},
    )


def has_acts(world: World) -> bool:
    """Whether the world knows what a helper does, and has helpers who do it."""
    return bool(world.helpers)


def _is_plain(condition: Condition, world: World) -> bool:
    return condition.split in world.splits and not condition.where


def _lack(formula: Formula, question: Question, conditions: dict[str, Condition]) -> str | None:
    """What this world would have to have, for an estimate to be made in it."""
    for term in formula.terms:
        if term.who not in (*EVALUATED, *question.rivals):
            return f"the scripted helper '{term.who}'"
        if term.condition not in conditions:
            return f"the people of '{term.condition}'"
        if term.metric not in _KNOWN:
            return f"'{term.metric}', for which acts have to be read"
    return None
