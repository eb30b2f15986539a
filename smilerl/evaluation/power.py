"""Power: whether a suite asks enough people for the verdict of a question.

A question says what its own number of people detects (`detects`, the smallest difference from a bound that 80 % of
intervals would show, which a test measures), and what each verdict has to find (`finds`, how far on its side of the
bound; what it detects, where it says nothing): a fail a gap of .15 beyond the .05 that is allowed, a pass that there is
no gap at all, .05 on the other side. The power is

    power = Phi(z * finds / detects - z975),    z = z975 + z80.

The two sides differ in how wide an interval is.

* fail is about policies whose replies change with what is asked. Twins are then sampled apart, and intervals are at
  their widest, which is what `detects` states; it shrinks with the root of the number of people. Where some bound has
  less than 80 %, the suite offers no verdict: a question that nobody is sure to fail should not be passed, either.
* pass is about policies that treat twins alike, and those are sampled with the same luck: their intervals are up to
  four times narrower, or as wide, which nobody knows in advance. So where `finds` states a pass, what is detected is
  taken from the policy's own interval (`Estimate.detectable`). Pass needs all of its bounds, and is offered where they
  are found together in 80 % (1 - the sum of what each misses); else what would be a pass is `inconclusive`, since such
  passes would be the ones that chance has favoured. Where `finds` states none, both sides are alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from scipy import stats

from smilerl.evaluation.question import Question, Suite
from smilerl.evaluation.verdicts import Statement
from smilerl.statistics.intervals import DETECTABLE, Estimate

#: The least power of a verdict that is offered.
LEAST = 0.8
_Z = float(stats.norm.ppf(0.975))
#: What rounding in `detects` may take from it.
_ROUNDING = 1e-6


def powers(
    question: Question, suite: Suite, n: int | None = None, estimates: Mapping[str, Estimate] | None = None
) -> dict[str, dict[str, float]]:
    """The power, in [0, 1], of `fail` and of `pass` at each estimate that they are about, as far as it is known.

    Args:
        n: people per condition, instead of what the suite says.
        estimates: of the policy; without them no power of `pass` is known.
    """
    more = _people(question, suite, n) ** 0.5
    own = {name: _own_pass(question, name, one) for name, one in (estimates or {}).items()}
    found = {}
    for name in [name for name in question.detects if name in _judged(question)]:
        found[name] = {"fail": _power(question.effect(name, "fail"), question.detects[name] / more)}
        if not _states_pass(question, name):
            found[name]["pass"] = found[name]["fail"]
        elif (known := own.get(name)) is not None:
            found[name]["pass"] = known
    return found


def no_pass(question: Question, estimates: Mapping[str, Estimate]) -> str | None:
    """Why a pass is not offered to this policy, in words; None where it is."""
    every = {
        one.name: _own_pass(question, one.name, estimates.get(one.name)) for one in question.verdict.get("pass", ())
    }
    found = {name: one for name, one in every.items() if one is not None}
    together = 1 - sum(1 - one for one in found.values())
    if together >= LEAST - _ROUNDING:
        return None
    name = min(found, key=found.__getitem__)
    within = f"{name} by {question.effect(name, 'pass'):g} within {_bound(question, name)}"
    cases = f"{found[name]:.0%} of cases ({max(together, 0):.0%} with all that a pass needs)"
    return f"no pass with so wide an interval: {within} would be found in {cases}, and a pass needs {LEAST:.0%}"


def too_few(question: Question, suite: Suite, n: int | None = None) -> str | None:
    """Why no verdict is offered with so few people, in words; None where one is."""
    found = {name: one["fail"] for name, one in powers(question, suite, n).items()}
    if not found or min(found.values()) >= LEAST - _ROUNDING:
        return None
    name = min(found, key=found.__getitem__)
    needed = _own(question) / _ratio_needed(question)
    size = n or suite.sizes.get(question.name) or suite.n
    what = f"{question.effect(name, 'fail'):g} beyond {_bound(question, name)}"
    return (
        f"no verdict with {size} people: {name} by {what} would be found in {found[name]:.0%} of cases, and a verdict "
        f"needs {LEAST:.0%}; ask {needed:.0f} people"
    )


def _states_pass(question: Question, name: str) -> bool:
    return "pass" in question.finds.get(name, {})


def _own_pass(question: Question, name: str, found: Estimate | None) -> float | None:
    """The power of a pass at one bound, from the policy's own interval; None: not stated, or not known."""
    if found is None or found.detectable is None or not _states_pass(question, name):
        return None
    return _power(question.effect(name, "pass"), found.detectable)


def _power(effect: float, detectable: float) -> float:
    return float(stats.norm.cdf(DETECTABLE * effect / detectable - _Z)) if detectable > 0 else 1.0


def _bound(question: Question, name: str) -> str:
    bound = next((one for one in _statements(question) if one.name == name), None)
    return f"the bound of {bound.bound:g}" if bound else "its bound"


def _statements(question: Question) -> list[Statement]:
    return [one for word in ("pass", "fail") for one in question.verdict.get(word, ())]


def _judged(question: Question) -> set[str]:
    names = {one.name for one in _statements(question)}
    return set(question.detects) if "each" in names else names


def _own(question: Question) -> int:
    return max((one.n for one in question.conditions.values() if one.split is not None), default=0)


def _people(question: Question, suite: Suite, n: int | None) -> float:
    """Replies per condition, as a share of what the question itself asks for; 1 where it draws no people."""
    size = n or suite.sizes.get(question.name) or suite.n
    drawn = [one for one in question.conditions.values() if one.split is not None]
    return min(((size or one.n) * (suite.replies or one.replies) / (one.n * one.replies) for one in drawn), default=1.0)


def _ratio_needed(question: Question) -> float:
    """By how many times the question's own people are more than its verdict needs."""
    known = {name: effect for name, effect in question.detects.items() if name in _judged(question)}
    return min((question.effect(name, "fail") / detects) ** 2 for name, detects in known.items())
