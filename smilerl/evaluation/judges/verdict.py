"""A judge's answer, read strictly: its last line is a verdict of the agreed form, or there is no verdict.

A judge that says nothing of use is not a judge that says "average": what cannot be read is unscored, and counted by reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from smilerl.evaluation.judges.rubric import Rubric

#: Why a reply has no verdict.
REASONS = {
    "no answer": "the judge could not be reached, or had nothing to say",
    "refused": "the judge declined to judge",
    "unparsable": "the last line is not the verdict that was asked for",
    "out of range": "a score off the scale, or an act that the rubric does not have",
}
_REFUSAL = re.compile(
    r"\s*(?:i['’]?m sorry|i am sorry|sorry|i can(?:no|['’])?t|i can not|i will not|i won['’]t|i['’]?m (?:unable|not able)|i am (?:unable|not able)|as an ai)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Verdict:
    """What a judge made of one reply.

    Attributes:
        score: on the rubric's scale; None by labels, and where there is no verdict. A median of several may lie between two.
        labels: the acts named; None on a scale, and where there is no verdict.
        why_not: one of `REASONS` where there is no verdict.
        answer: what the judge said, where there is no verdict.
    """

    score: float | None = None
    labels: frozenset[str] | None = None
    why_not: str | None = None
    answer: str | None = field(default=None, compare=False)


def read_verdict(rubric: Rubric, word: str, answer: str | None) -> Verdict:
    """The verdict in a judge's answer.

    Args:
        word: that the verdict must carry, as drawn for this call.
        answer: what the judge said; None where it could not be asked.
    """
    verdict = _read(rubric, word, answer)
    return verdict if verdict.why_not is None else replace(verdict, answer=answer)


def _read(rubric: Rubric, word: str, answer: str | None) -> Verdict:
    if answer is None or not answer.strip():
        return Verdict(why_not="no answer")
    last = answer.strip().splitlines()[-1].strip()
    found = re.fullmatch(rf"verdict {re.escape(word)}: (\S.*)", last)
    if found is None:
        return Verdict(why_not="refused" if _REFUSAL.match(answer) else "unparsable")
    return _labels(rubric, found[1]) if rubric.labels else _score(rubric, found[1])


def _score(rubric: Rubric, text: str) -> Verdict:
    if not re.fullmatch(r"-?\d{1,6}", text):
        return Verdict(why_not="unparsable")
    score = int(text)
    return Verdict(score=score) if rubric.low <= score <= rubric.high else Verdict(why_not="out of range")


def _labels(rubric: Rubric, text: str) -> Verdict:
    if text == "nothing":
        return Verdict(labels=frozenset())
    named = [name.strip().lower() for name in text.split(",")]
    if not all(re.fullmatch(r"[\w -]+", name) for name in named):
        return Verdict(why_not="unparsable")
    return Verdict(labels=frozenset(named)) if set(named) <= set(rubric.labels) else Verdict(why_not="out of range")
