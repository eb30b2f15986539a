"""Intervals over the prompts of one run.

Prompts of one (topic, need) are alike, so they are resampled together: a studentised cluster bootstrap (with few
clusters a percentile bootstrap covers too little), symmetric. Rare events, of which a bootstrap would see none, get
Wilson's interval, and its extension by MOVER (Zou & Donner 2008, doi:10.1002/sim.3095) to sums and differences of
rates: for p1 - p2 that is Newcombe's method 10, with the correlation of paired answers (Newcombe 1998, Stat. Med.
17:2635). Where events come in clusters, each rate counts as if from fewer replies (Korn & Graubard 1998, Survey
Methodology 24:193).

`smilerl.statistics.seeds` has the intervals over runs. `benchmarks/coverage.py` measures how often each interval
covers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy import stats

from smilerl.statistics.bootstrap import NOTHING, Answered, Function, cluster_bootstrap, contributions
from smilerl.statistics.rates import bounded, is_rare, mover, rate_limits

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


class Formula(Protocol):
    """An arithmetic expression of means. `smilerl.evaluation.formula` parses them from text.

    Each term has `who`, `metric`, `condition`, `kind` (a range and whether it is binary), and `is_yardstick`: its
    replies are not counted.
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
    if linear is not None and all(term.kind.binary for term in formula.terms) and any(map(is_rare, answered)):
        low, high, error = mover(*linear, answered, level)
        method = {1: "Wilson", 2: "Newcombe"}.get(len(answered), "MOVER")
    else:
        low, high, error = cluster_bootstrap(formula.value, answered, seed, level)
        method = "studentised cluster bootstrap"
    if formula.text == _as_term(formula):
        kind = formula.terms[0].kind
        low, high = max(low, kind.low), min(high, kind.high)
        bound = bounded(answered[0], kind.low, kind.high, level)
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
    low, high, error = cluster_bootstrap(_only, answered, seed, level)
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
    low, high = rate_limits(Answered(values, clusters, ""), level)
    error = (high - low) / (2 * float(stats.norm.ppf((1 + level) / 2)))
    return Estimate(
        float(values[known].mean()), low, high, int(known.sum()), len(values), "Wilson, by cluster", DETECTABLE * error
    )


def bounded_estimate(
    values: np.ndarray, clusters: np.ndarray, *, low: float = 0.0, high: float = 1.0, seed: int, level: float = 0.95
) -> Estimate:
    """Mean of one number within [low, high] per reply, NaN where unscored.

    As `mean_estimate`, but where all (or nearly all, of 0 and 1) score the same, and a bootstrap would see no width, by
    Wilson's method.
    """
    known = np.isfinite(values)
    found = mean_estimate(values, clusters, seed=seed, level=level)
    if not known.any():
        return found
    answered = Answered(values[known], clusters[known], "")
    if np.isin(answered.values, (0, 1)).all() and is_rare(answered) and (low, high) == (0, 1):
        ends = rate_limits(answered, level)
        return replace(found, low=ends[0], high=ends[1], method="Wilson")
    assert found.low is not None and found.high is not None
    if found.high - found.low < NOTHING and (bound := bounded(answered, low, high, level)) is not None:
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
        low, high, error = cluster_bootstrap(function, answered, seed, level)
    low, high = max(low, limits[0]), min(high, limits[1])
    return Estimate(value, low, high, scored, of, "studentised cluster bootstrap", DETECTABLE * error)


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


def _only(means: Sequence[Any]) -> Any:
    return means[0]
