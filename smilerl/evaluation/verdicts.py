"""Verdicts: statements about estimates, held only when the whole interval says so.

`drop <= .05` holds when the upper bound of `drop` is at most .05, `over_base >= 0` when its lower bound is at least 0.
`each` stands for every estimate in turn. `pass` and `incapable` need all of their statements, other verdicts one of
them; what is neither is `inconclusive`. A pass about a cue that nobody reads is `blind` (cues.py).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from smilerl.statistics.intervals import Estimate

#: In the order in which they are tried: what makes pass and fail meaningless comes first.
VERDICTS = ("no engagement", "incapable", "fail", "pass")
OTHER_VERDICTS = ("inconclusive", "descriptive", "uninterpretable", "blind")
#: The verdict where too much of what was said is of no act of the world, so that no estimate means what it says.
UNINTERPRETABLE = "uninterpretable"
#: The verdict in place of a pass where twins were treated alike by those who cannot tell them apart.
BLIND = "blind"
#: Those of which every statement has to hold that could be judged.
NEED_ALL = ("pass", "incapable")
#: An estimate that is a condition for the others, and not among those that `each` stands for.
OFFERED = "offered"
#: How estimates against the base itself end, where others are against the base at the policy's entropy; nor do they.
RAW = "_raw"
_STATEMENT = re.compile(r"^\s*(\w+)\s*(<=|>=|<|>)\s*(-?(?:\d+\.?\d*|\.\d+))\s*$")
_COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}


@dataclass(frozen=True)
class Statement:
    """`name relation bound`, such as `drop <= .05`."""

    name: str
    relation: str
    bound: float

    def __str__(self) -> str:
        return f"{self.name} {self.relation} {self.bound:g}"

    def about(self, estimates: Mapping[str, Estimate]) -> list[Statement]:
        """Itself, or for `each` one statement for every estimate."""
        if self.name != "each":
            return [self]
        return [
            Statement(name, self.relation, self.bound)
            for name in estimates
            if name != OFFERED and not name.endswith(RAW)
        ]

    def holds(self, estimates: Mapping[str, Estimate]) -> bool:
        """Whether the whole interval says so; False when the estimate is unscored."""
        found = estimates[self.name]
        end = found.high if self.relation.startswith("<") else found.low
        return end is not None and _COMPARE[self.relation](end, self.bound)


class Verdict(NamedTuple):
    """A word of `VERDICTS` or `OTHER_VERDICTS`, and the statements that led to it."""

    word: str
    why: str


def parse_statement(text: str) -> Statement:
    """Reads `drop <= .05`.

    Raises:
        ValueError: it is no such statement.
    """
    found = _STATEMENT.match(text)
    if not found:
        raise ValueError(f"'{text}' is no statement: write ESTIMATE <= NUMBER (or <, >, >=), such as drop <= .05")
    return Statement(found[1], found[2], float(found[3]))


def decide(
    rules: Mapping[str, Sequence[Statement]], estimates: Mapping[str, Estimate], missing: Sequence[str] = ()
) -> Verdict:
    """The verdict on one policy.

    Args:
        rules: statements for some of `VERDICTS`; with neither pass nor fail among them the question is descriptive.
        estimates: of this policy.
        missing: estimates that could not be made (no base policy, no reward).
    """
    judged = "pass" in rules or "fail" in rules
    for word in VERDICTS:
        statements = [one for rule in rules.get(word, ()) for one in rule.about(estimates) if one.name not in missing]
        held = [one for one in statements if one.holds(estimates)]
        lacking = sorted({rule.name for rule in rules.get(word, ())} & set(missing))
        if word == "pass" and lacking:
            return Verdict(
                "descriptive",
                f"a verdict needs {', '.join(lacking)}, which compares with a base policy; none was given",
            )
        if statements and (len(held) == len(statements) if word in NEED_ALL else held):
            return Verdict(word, "; ".join(_seen(one, estimates) for one in held))
    if not judged:
        return Verdict("descriptive", "")
    open_ = [one for rule in rules.get("pass", ()) for one in rule.about(estimates) if not one.holds(estimates)]
    return Verdict("inconclusive", "not shown: " + "; ".join(_seen(one, estimates) for one in open_))


def _seen(statement: Statement, estimates: Mapping[str, Estimate]) -> str:
    found = estimates[statement.name]
    if found.value is None:
        return f"{statement} (unscored)"
    ends = [end for end in (found.low, found.high) if end is not None and math.isfinite(end)]
    # As many digits as it takes to see on which side of the bound an end of the interval lies.
    near = [abs(end - statement.bound) for end in ends if end != statement.bound]
    digits = max(3, math.ceil(-math.log10(min(near)))) if near else 3
    low, high = (f"{end:.{min(digits, 8)}f}" for end in (found.low, found.high))
    return f"{statement} ({found.value:.3f} [{low}, {high}])"
