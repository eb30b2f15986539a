"""Power: whether a suite asks enough people for the verdict of a question.

A question says what its own number of people detects (`detects`, the smallest difference from a bound that 80 % of
intervals would show, which a test measures), and what its verdict has to find (`finds`; what it detects, where it says
nothing). The standard error shrinks with the root of the number of people, so the power of another number is

    power = Phi(z * finds / detects * sqrt(people / own people) - z975),    z = z975 + z80.

Where any bound of pass or fail has less than 80 %, the verdict is not offered: nearly all policies would be
`inconclusive`, and those that are not would be the ones that chance has favoured.
"""

from __future__ import annotations

from scipy import stats

from smilerl.evaluation.question import Question, Suite
from smilerl.evaluation.verdicts import Statement
from smilerl.statistics.intervals import DETECTABLE

#: The least power of a verdict that is offered.
LEAST = 0.8
#: What rounding in `detects` may take from it.
_ROUNDING = 1e-6


def powers(question: Question, suite: Suite, n: int | None = None) -> dict[str, float]:
    """The power, in [0, 1], of each estimate that pass or fail is about; those whose `detects` is not known are left
    out.

    Args:
        n: people per condition, instead of what the suite says.
    """
    more = _people(question, suite, n) ** 0.5
    known = {name: effect for name, effect in question.detects.items() if name in _judged(question)}
    return {
        name: float(
            stats.norm.cdf(DETECTABLE * question.finds.get(name, effect) / effect * more - stats.norm.ppf(0.975))
        )
        for name, effect in known.items()
    }


def too_few(question: Question, suite: Suite, n: int | None = None) -> str | None:
    """Why no verdict is offered with so few people, in words; None where it is."""
    found = powers(question, suite, n)
    if not found or min(found.values()) >= LEAST - _ROUNDING:
        return None
    name = min(found, key=found.__getitem__)
    bound = next((one for one in _statements(question) if one.name == name), None)
    effect = question.finds.get(name, question.detects[name])
    needed = _own(question) / _ratio_needed(question)
    size = n or suite.sizes.get(question.name) or suite.n
    what = f"{effect:g} beyond {f'the bound of {bound.bound:g}' if bound else 'its bound'}"
    return (
        f"no verdict with {size} people: {name} by {what} would be found in {found[name]:.0%} of cases, and a verdict "
        f"needs {LEAST:.0%}; ask {needed:.0f} people"
    )


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
    return min((question.finds.get(name, effect) / effect) ** 2 for name, effect in known.items())
