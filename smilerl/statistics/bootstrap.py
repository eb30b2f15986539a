"""The studentised cluster bootstrap of a function of means, and what each cluster contributes to its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Means of T terms to a value; arrays of means to an array of values.
Function = Callable[[Sequence[Any]], Any]

RESAMPLES = 1000
#: A standard error below this is rounding (slopes are taken numerically).
NOTHING = 1e-8


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


def cluster_bootstrap(
    formula: Function, answered: Sequence[Answered], seed: int, level: float
) -> tuple[float, float, float]:
    """Studentised bootstrap over clusters that all terms share; returns low, high and the standard error."""
    names, sums, counts = _by_cluster(answered)
    whole = np.ones((1, len(names)))
    value, error = (float(found[0]) for found in _resampled(formula, sums, counts, whole))
    if len(names) < 2 or not error > NOTHING:
        return (value, value, 0.0) if len(names) > 1 else (float("-inf"), float("inf"), float("inf"))
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES).astype(float)
    weights = weights[((weights @ counts.T) > 0).all(1)]
    values, errors = _resampled(formula, sums, counts, weights)
    usable = errors > NOTHING
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
