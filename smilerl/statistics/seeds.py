"""Intervals over the seeds of an arm.

The seed is the unit, but all seeds are asked about the same people: more seeds do not reduce the error of sampling
those people. `over_seeds` and `paired` therefore treat runs as crossed with clusters of people: the
variance over seeds, plus what the clusters do to all seeds alike (Owen 2007, doi:10.1214/07-AOAS122, without his upper
bound), with a t quantile by Satterthwaite's rule. Without `Estimate.parts` the interval is a plain t interval over
seeds, about these very people and no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from smilerl.statistics.intervals import Estimate


@dataclass(frozen=True)
class OverSeeds:
    """A mean over training seeds, or a mean of paired differences.

    Attributes:
        value, low, high: estimate and two-sided interval. No interval for fewer than two seeds, nor where nothing
            varies: seeds that all give the same number say nothing about the next.
        error, freedom: standard error and degrees of freedom of the t distribution.
        seeds: each seed's own value.
        unscored: seeds left out, as they had no value.
        method: how the interval was made.
    """

    value: float | None
    low: float | None
    high: float | None
    error: float | None
    freedom: float | None
    seeds: tuple[float, ...]
    unscored: int
    method: str

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided p value that the mean is `null`; NaN where there is no interval."""
        if self.value is None or self.error is None:
            return float("nan")
        return float(2 * stats.t.sf(abs(self.value - null) / self.error, self.freedom))

    def equivalence(self, margin: float) -> float:
        """p value of two one-sided tests (TOST) that the mean is not within ±margin; NaN where there is no interval."""
        if self.value is None or self.error is None:
            return float("nan")
        return float(stats.t.sf((margin - abs(self.value)) / self.error, self.freedom))


def over_seeds(runs: Sequence[Estimate], *, level: float = 0.95) -> OverSeeds:
    """The mean of one arm over training seeds.

    Args:
        runs: one estimate per seed. Where all have `parts`, the interval is about other seeds and other people of the
            same kind; else about other seeds and these people.
    """
    scored = [(run.value, run.parts) for run in runs if run.value is not None]
    return _crossed([value for value, _ in scored], [parts for _, parts in scored], len(runs) - len(scored), level)


def paired(arm: Sequence[Estimate], control: Sequence[Estimate], *, level: float = 0.95) -> OverSeeds:
    """The mean of arm - control over training seeds that both share.

    Args:
        arm, control: one estimate per seed, the same seeds in the same order; `parts` as in `over_seeds`.

    Raises:
        ValueError: arm and control have not the same number of seeds.
    """
    if len(arm) != len(control):
        raise ValueError(f"{len(arm)} seeds of the arm and {len(control)} of the control make no pairs")
    values, parts = [], []
    for one, other in zip(arm, control, strict=True):
        if one.value is not None and other.value is not None:
            values.append(one.value - other.value)
            parts.append(None if one.parts is None or other.parts is None else _minus(one.parts, other.parts))
    return _crossed(values, parts, len(arm) - len(values), level)


def _minus(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    return {name: a.get(name, 0.0) - b.get(name, 0.0) for name in sorted({*a, *b})}


def _crossed(
    given: Sequence[float], parts: Sequence[Mapping[str, float] | None], unscored: int, level: float
) -> OverSeeds:
    """Mean and interval of values whose errors have parts that seeds share."""
    values = np.array(given, dtype=float)
    seeds, n = tuple(values.tolist()), len(values)
    mean = float(values.mean()) if n else float("nan")
    if n < 2:
        return OverSeeds(mean if n else None, None, None, None, None, seeds, unscored, "too few seeds for an interval")
    variance, freedom = float(values.var(ddof=1) / n), float(n - 1)
    method = "t over seeds, about these people"
    known = [part for part in parts if part is not None]
    if len(known) == n:
        method = "t over seeds and clusters"
        shared, both, clusters = _shared(known)
        common = max(0.0, n / (n - 1) * (shared - both))
        spread = variance**2 / (n - 1) + (n / (n - 1) * shared) ** 2 / max(clusters - 1, 1)
        variance += common
        freedom = max(1.0, variance**2 / spread) if spread > 0 else freedom
    if not variance > 1e-24:
        return OverSeeds(mean, None, None, None, None, seeds, unscored, "no interval: nothing varies over seeds")
    error = float(np.sqrt(variance))
    reach = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return OverSeeds(mean, mean - reach, mean + reach, error, float(freedom), seeds, unscored, method)


def _shared(parts: Sequence[Mapping[str, float]]) -> tuple[float, float, int]:
    """Variance of the mean over seeds from clusters, what of it each seed has to itself, and the number of clusters."""
    names = sorted({name for part in parts for name in part})
    table = np.array([[part.get(name, 0.0) for name in names] for part in parts]).reshape(len(parts), len(names))
    return float((table.mean(0) ** 2).sum()), float((table**2).sum() / len(parts) ** 2), len(names)
