"""A judge's answer, read strictly: its last line is a verdict that can mean one thing alone, or there is no verdict.

The verdict that is asked for carries a word that nobody who wrote what is judged can know. Chat models put markdown
around it, a full stop or `/7` after it, or answer in JSON: that is read. Some leave the word out. Such a verdict counts
only if it cannot be quoted from what was judged: where that speaks of a verdict, or holds the line itself, the word is
needed.

A judge that says nothing of use is not a judge that says "average": what cannot be read is unscored, and counted by
reason.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from smilerl.evaluation.judges.rubric import Rubric
from smilerl.models.ratings import number, unmarked, with_remark
from smilerl.models.replies import visible

#: Why a reply has no verdict.
REASONS = {
    "no answer": "the judge could not be reached, or had nothing to say",
    "refused": "the judge declined to judge",
    "unparsable": "the last line is not the verdict that was asked for, or may mean several things",
    "out of range": "a score off the scale, or an act that the rubric does not have",
}
_REFUSAL = re.compile(
    r"\s*(?:(?:i['’]?m |i am )?sorry|i can(?:no|['’])?t|i can not|i will not|i won['’]t"
    r"|(?:i['’]?m|i am) (?:unable|not able)|as an ai)\b",
    re.IGNORECASE,
)
#: What a verdict may be called, by the word of the rubric's form or by others.
_CALLED = r"(?:(?:my|the|final|overall)\s+)*(?:verdict|score|rating|acts)"
#: Between its name and what it says. A minus sign that stands alone is a dash.
_IS = r"(?:\s*[:=]\s*|\s+[-–—]\s+|\s+is\s*:?\s+|\s+)"
#: What is judged speaks of a verdict, so that one may be quoted from it.
_SPEAKS = re.compile(r"\bverdict\b|\b(?:score|rating)\b[^\n]{0,40}?\d", re.IGNORECASE)
#: Characters at the end of an answer in which JSON is looked for.
_TAIL = 2000


@dataclass(frozen=True)
class Verdict:
    """What a judge made of one reply.

    Attributes:
        score: on the rubric's scale; None by labels, and where there is no verdict. A median of several may lie between
            two, and a score by likelihood anywhere.
        labels: the acts named; None on a scale, and where there is no verdict.
        why_not: one of `REASONS` where there is no verdict.
        answer: what the judge said, where there is no verdict.
    """

    score: float | None = None
    labels: frozenset[str] | None = None
    why_not: str | None = None
    answer: str | None = field(default=None, compare=False)


class _Found(NamedTuple):
    """What an answer ends with: the verdict's text, and whether the word of this call stands beside it."""

    text: str
    signed: bool


def read_verdict(rubric: Rubric, word: str, answer: str | None, judged: str = "") -> Verdict:
    """The verdict in a judge's answer.

    Args:
        word: that the verdict should carry, as drawn for this call.
        answer: what the judge said; None where it could not be asked. Its thoughts do not count.
        judged: all that was judged, from which a verdict without the word may be quoted.
    """
    verdict = _read(rubric, word, answer, judged)
    return verdict if verdict.why_not is None else replace(verdict, answer=answer)


def _read(rubric: Rubric, word: str, answer: str | None, judged: str) -> Verdict:
    if answer is None or not answer.strip():
        return Verdict(why_not="no answer")
    said = re.sub(r"\s*```\s*\Z", "", visible(answer)).strip()
    last = said.rpartition("\n")[2]
    found = _in_json(word, said) or _in_words(word, last)
    if found is None and rubric.anchors and number(last, rubric.low, rubric.high) is not None:
        found = _Found(last, False)
    if found is None or not (found.signed or _own(last, judged, found.text == last)):
        return Verdict(why_not="refused" if _REFUSAL.match(answer) else "unparsable")
    return _labels(rubric, found.text) if rubric.labels else _score(rubric, found.text)


def _in_words(word: str, line: str) -> _Found | None:
    """A line such as `verdict WORD: 5`, `**Verdict: 5**` or `Score - 5`."""
    signed = rf"[\s:(\[]+{re.escape(word)}[)\]]?"
    bare = re.sub(r"[*_`]", "", unmarked(line.strip().lstrip("-•").strip()))
    found = re.fullmatch(rf"{_CALLED}(?i:(?P<signed>{signed}))?{_IS}(?P<text>\S.*)", bare, re.IGNORECASE)
    return _Found(found["text"], found["signed"] is not None) if found else None


def _in_json(word: str, said: str) -> _Found | None:
    """An object at the end of an answer, fenced or not, with the verdict under its name or under `verdict WORD`."""
    tail = said[-_TAIL:]
    if not tail.endswith("}"):
        return None
    for start in (match.start() for match in re.finditer(r"\{", tail)):
        try:
            data = json.loads(tail[start:])
        except (ValueError, RecursionError):
            continue
        named = {str(key).lower(): value for key, value in data.items()}
        own = [key for key in named if re.fullmatch(rf"{_CALLED}(?:[\s_:]+{re.escape(word.lower())})?", key)]
        if len(own) != 1:
            return None
        value = named[own[0]]
        text = ", ".join(map(str, value)) or "nothing" if isinstance(value, list) else str(value)
        return _Found(text, word.lower() in own[0] or word in map(str, data.values()))
    return None


def _own(line: str, judged: str, bare: bool) -> bool:
    """Whether a verdict without the word must be the judge's: nothing in what was judged could have been quoted as one.

    Args:
        bare: the line is a number and nothing else.
    """
    plain, line = (" ".join(re.sub(r"[*_`]", "", text).lower().split()) for text in (judged, unmarked(line)))
    # A number alone may be repeated in another form, such as \boxed{7}.
    forms = {line, *re.findall(r"\d+", line)} if bare else {line}
    quoted = any(re.search(rf"(?<!\w){re.escape(form)}(?!\w)", plain) for form in forms)
    return not quoted and not _SPEAKS.search(plain)


def _score(rubric: Rubric, text: str) -> Verdict:
    score = number(text, rubric.low, rubric.high)
    score = _with_meaning(rubric, text) if score is None else score
    score = _with_remark(rubric, text) if score is None else score
    if score is None or not score.is_integer():
        return Verdict(why_not="unparsable")
    return Verdict(score=int(score)) if rubric.low <= score <= rubric.high else Verdict(why_not="out of range")


def _with_meaning(rubric: Rubric, text: str) -> float | None:
    """A score and its meaning by the rubric, `5: slightly better off`; None where it is the meaning of another."""
    first, _, meaning = re.sub(r"^(\S+?)\s*[:(–—-]\s*", r"\1\n", text).partition("\n")
    score = number(first, rubric.low, rubric.high)
    anchor = "" if score is None or not score.is_integer() else rubric.anchors.get(int(score), "")
    return score if anchor and unmarked(meaning.strip().rstrip(")")).lower() in _forms(anchor) else None


def _with_remark(rubric: Rubric, text: str) -> float | None:
    """A score with a remark in brackets that has no word in common with what the rubric says of any score."""
    found = with_remark(text)
    if found is None:
        return None
    taken = {word for anchor in rubric.anchors.values() for word in re.findall(r"[a-z]{4,}", anchor.lower())}
    return None if taken & set(re.findall(r"[a-z]+", found[1].lower())) else number(found[0], rubric.low, rubric.high)


def _forms(anchor: str) -> set[str]:
    """What a judge may write of an anchor: all of it, or what stands before its brackets."""
    return {unmarked(form.strip().rstrip(")")).lower() for form in (anchor, anchor.partition("(")[0])}


def _labels(rubric: Rubric, text: str) -> Verdict:
    if unmarked(text).lower() == "nothing":
        return Verdict(labels=frozenset())
    named = [unmarked(name).lower() for name in re.split(r",(?:\s*and\s)?|\sand\s", text)]
    if not all(re.fullmatch(r"[\w -]+", name) for name in named):
        return Verdict(why_not="unparsable")
    return Verdict(labels=frozenset(named)) if set(named) <= set(rubric.labels) else Verdict(why_not="out of range")
