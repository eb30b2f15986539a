"""Wilson's interval for rates, for means within a range, and by MOVER for sums and differences of rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from smilerl.statistics.bootstrap import Answered

#: Fewer events (or non-events) than this are rare.
RARE = 10


def wilson(events: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a rate."""
    low, high = proportion_confint(events, trials, alpha=1 - level, method="wilson")
    return float(low), float(high)


def bounded(answered: Answered, low: float, high: float, level: float) -> tuple[float, float] | None:
    """Wilson's interval for the mean of numbers within [low, high], None where the range is not finite.

    No number within a range varies more than a binary one with the same mean, and a cluster counts as one (fewer where
    sizes differ), as if all in it always answered alike: wide, and safe.
    """
    if not np.isfinite([low, high]).all():
        return None
    known = np.isfinite(answered.values)
    share = float((answered.values[known].mean() - low) / (high - low))
    _, sizes = np.unique(answered.clusters[known], return_counts=True)
    clusters = float(sizes.sum() ** 2 / (sizes**2).sum())
    ends = proportion_confint(share * clusters, clusters, alpha=1 - level, method="wilson")
    return low + float(ends[0]) * (high - low), low + float(ends[1]) * (high - low)


def is_rare(term: Answered) -> bool:
    known = term.values[np.isfinite(term.values)]
    return min(known.sum(), len(known) - known.sum()) < RARE


def mover(
    coefficients: np.ndarray, constant: float, answered: Sequence[Answered], level: float
) -> tuple[float, float, float]:
    """Interval and standard error of a sum of rates, from Wilson's limits of each."""
    rates = np.array([np.nanmean(term.values) for term in answered])
    limits = np.array([rate_limits(term, level) for term in answered])
    correlation = _correlations(answered)
    value = float(coefficients @ rates) + constant
    away: dict[str, float] = {}
    for side, rising in (("low", 0), ("high", 1)):
        # A term with a negative coefficient is at its upper limit when the sum is at its lower one.
        ends = np.where(coefficients > 0, limits[:, rising], limits[:, 1 - rising])
        reach = coefficients * np.abs(ends - rates)
        away[side] = float(np.sqrt(max(0.0, reach @ correlation @ reach)))
    return (
        value - away["low"],
        value + away["high"],
        (away["low"] + away["high"]) / (2 * stats.norm.ppf((1 + level) / 2)),
    )


def rate_limits(term: Answered, level: float) -> tuple[float, float]:
    """Wilson's limits of a rate, its replies counted as the number of independent ones that would tell as much.

    With no event, or one, there is nothing to see of clusters, and every reply counts. In simulated studies it covers
    92 % with three clusters, which hardly show how alike their replies are, and 94 to 96 % with five or more (`python
    benchmarks/coverage.py --tables few`).
    """
    known = np.isfinite(term.values)
    values, n = term.values[known], float(known.sum())
    rate = float(values.mean())
    _, codes = np.unique(term.clusters[known], return_inverse=True)
    sizes = np.bincount(codes)
    if 0 < rate < 1 and len(sizes) > 1:
        clusters = len(sizes)
        squares = ((np.bincount(codes, values) - rate * sizes) ** 2).sum()
        effect = clusters / (clusters - 1) * squares / (n * rate * (1 - rate) * n / (n - 1))
        few = (stats.t.ppf((1 + level) / 2, clusters - 1) / stats.norm.ppf((1 + level) / 2)) ** 2
        n /= effect * few if effect > 1 + 1e-9 else 1.0
    low, high = proportion_confint(rate * n, n, alpha=1 - level, method="wilson")
    return float(low), float(high)


def _correlations(answered: Sequence[Answered]) -> np.ndarray:
    """Correlation of the terms' answers, 0 where they are not about the same people."""
    correlation = np.eye(len(answered))
    for i, one in enumerate(answered):
        for j in range(i):
            other = answered[j]
            if one.rows == other.rows and len(one.values) == len(other.values):
                correlation[i, j] = correlation[j, i] = _paired_phi(one.values, other.values)
    return correlation


def _paired_phi(first: np.ndarray, second: np.ndarray) -> float:
    """φ of two binary answers of the same people, shrunk toward 0 when positive as in Newcombe's method 10."""
    both = np.isfinite(first) & np.isfinite(second)
    one, other = first[both] > 0.5, second[both] > 0.5
    a, b, c, d = (one & other).sum(), (one & ~other).sum(), (~one & other).sum(), (~one & ~other).sum()
    margins = float((a + b) * (c + d) * (a + c) * (b + d))
    product = float(a * d - b * c)
    if margins == 0:
        return 0.0
    if product > 0:
        product = max(product - both.sum() / 2, 0.0)
    return product / np.sqrt(margins)
