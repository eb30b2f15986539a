"""Intervals over the prompts of one run.

Prompts of one (topic, need) are alike, so they are resampled together: a studentised cluster bootstrap (with few clusters a
percentile bootstrap covers too little), symmetric. Rare events, of which a bootstrap would see none, get Wilson's interval, and
its extension by MOVER (Zou & Donner 2008, doi:10.1002/sim.3095) to sums and differences of rates: for p1 - p2 that is Newcombe's
method 10, with the correlation of paired answers (Newcombe 1998, Stat. Med. 17:2635). Where events come in clusters, each rate
counts as if from fewer replies (Korn & Graubard 1998, Survey Methodology 24:193).

`smilerl.statistics.seeds` has the intervals over runs. `benchmarks/coverage.py` measures how often each interval covers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

#: Means of T terms to a value; arrays of means to an array of values.
Function = Callable[[Sequence[Any]], Any]

RESAMPLES = 1000
#: Fewer events (or non-events) than this are rare.
RARE = 10
#: A standard error below this is rounding (slopes are taken numerically).
_NOTHING = 1e-8
#: Power of .8 at a two-sided .05 needs an effect of this many standard errors.
DETECTABLE = float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value, low, high: estimate and two-sided 95 % interval; None where nothing could be scored.
        scored, of: replies scored, of all replies that the estimate is about.
        method: how the interval was made.
        detectable: the smallest true effect that this many replies would show with 80 % power.
        parts: what each cluster does to the value, scaled so that the squares add up to the squared standard error
            (delete-one-cluster jackknife); where asked for. Intervals over seeds are made from them.
    """

    value: float | None
    low: float | None
    high: float | None
    scored: int
    of: int
    method: str
    detectable: float | None = None
    parts: Mapping[str, float] | None = None

    def to_dict(self) -> dict:
        """Plain, for JSON; without `parts` where there are none."""
        return {key: value for key, value in asdict(self).items() if key != "parts" or value is not None}


@dataclass(frozen=True)
class Answered:
    """The replies behind one term.

    Attributes:
        values: [N], NaN where unscored.
        clusters: [N], which prompts are alike.
        rows: what makes rows comparable: terms with the same `rows` are about the same people in the same order.
        who: fingerprint of the one who answered; equal `who`, `rows` and metric are the same replies.
    """

    values: np.ndarray
    clusters: np.ndarray
    rows: str
    who: str = ""


class Formula(Protocol):
    """An arithmetic expression of means. `smilerl.evaluation.formula` parses them from text.

    Each term has `who`, `metric`, `condition`, `kind` (a range and whether it is binary), and `is_yardstick`: its replies are not counted.
    """

    @property
    def text(self) -> str: ...

    @property
    def terms(self) -> Sequence[Any]: ...

    def value(self, means: Sequence[Any]) -> Any: ...

    def coefficients(self) -> tuple[np.ndarray, float] | None: ...


def estimate(
    formula: Formula, answered: Sequence[Answered], *, seed: int, level: float = 0.95, parts: bool = False
) -> Estimate:
    """A formula's value and interval.

    Args:
        formula: of T terms.
        answered: the replies behind each term, in the same order.
        seed: of the bootstrap.
        parts: whether to give what each cluster does to the value, for `over_seeds` and `paired`.
    """
    scored, of = _counted(formula, answered)
    if not all(np.isfinite(term.values).any() for term in answered):
        return Estimate(None, None, None, scored, of, "nothing to score")
    means = np.array([np.nanmean(term.values) for term in answered])
    value = float(formula.value(list(means)))
    if not np.isfinite(value):
        return Estimate(None, None, None, scored, of, "division by zero")
    linear = formula.coefficients()
    if linear is not None and _cancels(formula, linear[0], answered):
        constant = linear[1] + 0.0  # the sum of the terms is 0 but for rounding, and -0.0 is no result
        return Estimate(constant, constant, constant, scored, of, "the same replies", 0.0, {} if parts else None)
    if linear is not None and all(term.kind.binary for term in formula.terms) and any(map(_is_rare, answered)):
        low, high, error = _mover(*linear, answered, level)
        method = {1: "Wilson", 2: "Newcombe"}.get(len(answered), "MOVER")
    else:
        low, high, error = _cluster_bootstrap(formula.value, answered, seed, level)
        method = "studentised cluster bootstrap"
    if formula.text == _as_term(formula):
        kind = formula.terms[0].kind
        low, high = max(low, kind.low), min(high, kind.high)
        bound = _bounded(answered[0], kind.low, kind.high, level)
        if bound is not None and bound[1] - bound[0] < high - low:
            # Where all but a few replies score the same, a studentised bootstrap divides by next to nothing.
            (low, high), method = bound, "Wilson, as a share of the range"
    each = contributions(formula.value, answered)[1] if parts else None
    return Estimate(value, float(low), float(high), scored, of, method, float(DETECTABLE * error), each)


def mean_estimate(
    values: np.ndarray, clusters: np.ndarray, *, seed: int, level: float = 0.95, parts: bool = False
) -> Estimate:
    """Mean of one number per prompt, NaN where unscored, with a studentised cluster-bootstrap interval."""
    known = np.isfinite(values)
    if not known.any():
        return Estimate(None, None, None, 0, len(values), "nothing to score")
    answered = [Answered(values, clusters, "")]
    low, high, error = _cluster_bootstrap(_only, answered, seed, level)
    return Estimate(
        float(values[known].mean()),
        low,
        high,
        int(known.sum()),
        len(values),
        "studentised cluster bootstrap",
        DETECTABLE * error,
        contributions(_only, answered)[1] if parts else None,
    )


def rate_estimate(values: np.ndarray, clusters: np.ndarray, *, level: float = 0.95) -> Estimate:
    """The mean of 0s and 1s (½ for undecided), NaN where unscored, with Wilson's interval.

    Values that go together count as fewer independent ones (Korn & Graubard 1998), as in `estimate`.
    """
    known = np.isfinite(values)
    if not known.any():
        return Estimate(None, None, None, 0, len(values), "nothing to score")
    low, high = _rate_limits(Answered(values, clusters, ""), level)
    error = (high - low) / (2 * float(stats.norm.ppf((1 + level) / 2)))
    return Estimate(
        float(values[known].mean()), low, high, int(known.sum()), len(values), "Wilson, by cluster", DETECTABLE * error
    )


def bounded_estimate(
    values: np.ndarray, clusters: np.ndarray, *, low: float = 0.0, high: float = 1.0, seed: int, level: float = 0.95
) -> Estimate:
    """Mean of one number within [low, high] per reply, NaN where unscored.

    As `mean_estimate`, but where all (or nearly all, of 0 and 1) score the same, and a bootstrap would see no width, by Wilson's method.
    """
    known = np.isfinite(values)
    found = mean_estimate(values, clusters, seed=seed, level=level)
    if not known.any():
        return found
    answered = Answered(values[known], clusters[known], "")
    if np.isin(answered.values, (0, 1)).all() and _is_rare(answered) and (low, high) == (0, 1):
        ends = _rate_limits(answered, level)
        return replace(found, low=ends[0], high=ends[1], method="Wilson")
    assert found.low is not None and found.high is not None
    if found.high - found.low < _NOTHING and (bound := _bounded(answered, low, high, level)) is not None:
        return replace(found, low=bound[0], high=bound[1], method="Wilson, as a share of the range")
    return replace(found, low=max(low, found.low), high=min(high, found.high))


def smooth_estimate(
    function: Function,
    terms: Sequence[np.ndarray],
    clusters: np.ndarray,
    *,
    seed: int,
    limits: tuple[float, float] = (-np.inf, np.inf),
    level: float = 0.95,
) -> Estimate:
    """A smooth function of means, such as a correlation, with a studentised cluster-bootstrap interval.

    Args:
        function: of the means of T terms; NaN where it is not defined, which gives an estimate without a value.
        terms: T arrays [N] of one number per reply, NaN where unscored.
        limits: that the function cannot pass.
    """
    known = np.isfinite(np.array(terms)).all(0)
    scored, of = int(known.sum()), len(clusters)
    if not scored:
        return Estimate(None, None, None, 0, of, "nothing to score")
    answered = [Answered(np.asarray(term, dtype=float)[known], clusters[known], "") for term in terms]
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample in which nothing varies has no correlation
        value = float(function([term.values.mean() for term in answered]))
        if not np.isfinite(value):
            return Estimate(None, None, None, scored, of, "undefined: nothing varies")
        low, high, error = _cluster_bootstrap(function, answered, seed, level)
    low, high = max(low, limits[0]), min(high, limits[1])
    return Estimate(value, low, high, scored, of, "studentised cluster bootstrap", DETECTABLE * error)


def contributions(formula: Function, answered: Sequence[Answered]) -> tuple[float, dict[str, float] | None]:
    """The value of a formula and what each cluster does to it (`Estimate.parts`), without an interval.

    There are no parts where all replies of a term are of one cluster.
    """
    names, sums, counts = _by_cluster(answered)
    total, number = sums.sum(1, keepdims=True), counts.sum(1, keepdims=True)
    value = float(formula(list((total / number)[:, 0])))
    if not (number > counts).all():
        return value, None
    without = np.asarray(formula(list((total - sums) / (number - counts))), dtype=float)
    scaled = (value - without) * np.sqrt((len(names) - 1) / len(names))
    return value, {str(name): float(part) for name, part in zip(names, scaled, strict=True)}


def wilson(events: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a rate."""
    low, high = proportion_confint(events, trials, alpha=1 - level, method="wilson")
    return float(low), float(high)


def _bounded(answered: Answered, low: float, high: float, level: float) -> tuple[float, float] | None:
    """Wilson's interval for the mean of numbers within [low, high], None where the range is not finite.

    No number within a range varies more than a binary one with the same mean, and a cluster counts as one (fewer where sizes
    differ), as if all in it always answered alike: wide, and safe.
    """
    if not np.isfinite([low, high]).all():
        return None
    known = np.isfinite(answered.values)
    share = float((answered.values[known].mean() - low) / (high - low))
    _, sizes = np.unique(answered.clusters[known], return_counts=True)
    clusters = float(sizes.sum() ** 2 / (sizes**2).sum())
    ends = proportion_confint(share * clusters, clusters, alpha=1 - level, method="wilson")
    return low + float(ends[0]) * (high - low), low + float(ends[1]) * (high - low)


def _counted(formula: Formula, answered: Sequence[Answered]) -> tuple[int, int]:
    """Replies scored, of all replies in the formula that are no yardstick, each once."""
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for term, data in zip(formula.terms, answered, strict=True):
        if not term.is_yardstick:
            whose = (term.who, term.condition)
            known = int(np.isfinite(data.values).sum())
            counts[whose] = (min(known, counts.get(whose, (known, 0))[0]), len(data.values))
    return sum(known for known, _ in counts.values()), sum(of for _, of in counts.values())


def _as_term(formula: Formula) -> str | None:
    term = formula.terms[0]
    return f"{term.who}({term.metric}, {term.condition})" if len(formula.terms) == 1 else None


def _cancels(formula: Formula, coefficients: np.ndarray, answered: Sequence[Answered]) -> bool:
    """Whether the formula subtracts a policy's replies from themselves: the base minus the base is 0, not about 0."""
    total: dict[tuple[str, str, str], float] = {}
    for term, coefficient, data in zip(formula.terms, coefficients, answered, strict=True):
        same = (data.who, data.rows if data.who else term.condition, f"{term.metric}/{term.condition}")
        total[same] = total.get(same, 0.0) + coefficient
    return all(abs(coefficient) < 1e-12 for coefficient in total.values())


def _is_rare(term: Answered) -> bool:
    known = term.values[np.isfinite(term.values)]
    return min(known.sum(), len(known) - known.sum()) < RARE


def _mover(
    coefficients: np.ndarray, constant: float, answered: Sequence[Answered], level: float
) -> tuple[float, float, float]:
    """Interval and standard error of a sum of rates, from Wilson's limits of each."""
    rates = np.array([np.nanmean(term.values) for term in answered])
    limits = np.array([_rate_limits(term, level) for term in answered])
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


def _rate_limits(term: Answered, level: float) -> tuple[float, float]:
    """Wilson's limits of a rate, its replies counted as the number of independent ones that would tell as much.

    With no event, or one, there is nothing to see of clusters, and every reply counts.
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


def _cluster_bootstrap(
    formula: Function, answered: Sequence[Answered], seed: int, level: float
) -> tuple[float, float, float]:
    """Studentised bootstrap over clusters that all terms share; returns low, high and the standard error."""
    names, sums, counts = _by_cluster(answered)
    whole = np.ones((1, len(names)))
    value, error = (float(found[0]) for found in _resampled(formula, sums, counts, whole))
    if len(names) < 2 or not error > _NOTHING:
        return (value, value, 0.0) if len(names) > 1 else (float("-inf"), float("inf"), float("inf"))
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES).astype(float)
    weights = weights[((weights @ counts.T) > 0).all(1)]
    values, errors = _resampled(formula, sums, counts, weights)
    usable = errors > _NOTHING
    # Symmetric, as quantiles of both tails apart are erratic with a dozen clusters (Hall 1988, Ann. Stat. 16:927).
    reach = float(np.quantile(np.abs(values - value)[usable] / errors[usable], level)) * error
    return value - reach, value + reach, error


def _by_cluster(answered: Sequence[Answered]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names of the clusters [G], and sums and counts of each term in each, [T, G]."""
    names, codes = np.unique(np.concatenate([term.clusters for term in answered]), return_inverse=True)
    edges = np.cumsum([0, *(len(term.clusters) for term in answered)])
    sums, counts = np.zeros((2, len(answered), len(names)))
    for t, term in enumerate(answered):
        known = np.isfinite(term.values)
        own = codes[edges[t] : edges[t + 1]][known]
        sums[t] = np.bincount(own, term.values[known], minlength=len(names))
        counts[t] = np.bincount(own, minlength=len(names))
    return names, sums, counts


def _only(means: Sequence[Any]) -> Any:
    return means[0]


def _resampled(
    formula: Function, sums: np.ndarray, counts: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Value and cluster-robust standard error in each resample.

    Args:
        sums, counts: of each term in each cluster, [T, G].
        weights: how often each cluster was drawn, [B, G].
    """
    totals = weights @ counts.T
    means = weights @ sums.T / totals
    values = np.asarray(formula(list(means.T)), dtype=float)
    step = 1e-6
    influence = np.zeros(weights.shape)
    for t in range(len(sums)):
        nudged = [column + step * (u == t) for u, column in enumerate(means.T)]
        slope = (np.asarray(formula(nudged), dtype=float) - values) / step
        influence += (slope / totals[:, t])[:, None] * (sums[t] - means[:, t : t + 1] * counts[t])
    clusters = weights.shape[1]
    variance = clusters / max(clusters - 1, 1) * (weights * influence**2).sum(1)
    return values, np.sqrt(variance)
