"""Best of n: what a reward would choose among n samples, and how the people fare whom it chooses for.

From N scored samples per prompt, the mean over *all* subsets of n of the best reward, and of any other measure at the
sample with the best reward. Sorted by reward, the sample at rank i (from 1) is the best of C(i-1, n-1) of the C(N, n)
subsets, which gives unbiased estimates for every n <= N at once (as for pass@k, Chen et al. 2021, 2107.03374; Gao et
al. 2022, 2210.10760).

Curves come as a long table (`table`), ready for `goodhart.fit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import gammaln

from smilerl.statistics.intervals import Estimate, mean_estimate

#: Columns of a long table. `group` is the run that a point is from; `d` is sqrt(kl); changes are against the base.
COLUMNS = ["source", "group", "kl", "kl_is", "d", "proxy", "gold", "proxy_change", "gold_change", "prompts", "of"]
#: A run whose first point is further than this from the base (nats) has no base to compare with.
AT_BASE = 1e-3


class Curves(NamedTuple):
    """Expected values by prompt and size.

    Attributes:
        n: the sizes, [K].
        proxy: expected reward of the best of n, [P, K]; NaN where a prompt has fewer than n scored samples.
        gold: expected measure at the sample with the best reward, [P, K].
        scored, of: samples with a reward, of all.
    """

    n: np.ndarray
    proxy: np.ndarray
    gold: np.ndarray
    scored: int
    of: int

    @property
    def d(self) -> np.ndarray:
        """sqrt of the bound on the KL for each n > 1, [K - 1]."""
        return np.sqrt([kl_bound(n) for n in self.n[1:]])

    @property
    def proxy_change(self) -> np.ndarray:
        """Change against n = 1, the base, by size and prompt, [K - 1, P], as `goodhart.fit` takes it."""
        return (self.proxy[:, 1:] - self.proxy[:, :1]).T

    @property
    def gold_change(self) -> np.ndarray:
        """The same of the measure."""
        return (self.gold[:, 1:] - self.gold[:, :1]).T


def kl_bound(n: int) -> float:
    """log n - (n - 1)/n nats: an upper bound on KL(best of n ‖ base), not the KL itself (Beirami et al. 2401.01879)."""
    return float(np.log(n) - (n - 1) / n)


def sizes(n: int) -> tuple[int, ...]:
    """1, 2, 4, ..., and n itself."""
    return tuple(sorted({*(2**power for power in range(int(n).bit_length()) if 2**power <= n), int(n)}))


def curves(rewards: Any, measure: Any) -> Curves:
    """Expected reward and measure of the best of n, for n = 1, 2, 4, ..., N.

    Samples with equal rewards share the choice evenly. A sample without a reward (None, NaN) is no candidate. A
    candidate without the measure is left out of the measure's mean, which is then over choices whose measure is known.

    Args:
        rewards: of N samples for each of P prompts, [P, N].
        measure: another number of the same samples, such as wellbeing, [P, N].

    Raises:
        ValueError: shapes differ, or a number is infinite.
    """
    scores, others = _table(rewards, "rewards"), _table(measure, "measure")
    if others.shape != scores.shape:
        raise ValueError(f"measure has shape {others.shape}, rewards has {scores.shape}")
    chosen = sizes(scores.shape[1])
    proxy, gold = np.full((2, len(scores), len(chosen)), np.nan)
    for row, own in enumerate(scores):
        known = np.isfinite(own)
        weights = _weights(own[known], chosen)
        proxy[row, : len(weights)] = weights @ own[known]
        gold[row, : len(weights)] = _means(weights, others[row, known])
    return Curves(np.array(chosen), proxy, gold, int(np.isfinite(scores).sum()), scores.size)


def slopes(found: Curves) -> np.ndarray:
    """Slope of the measure in log n of each prompt, by least squares, [P]; NaN for a prompt with fewer than two sizes.

    Below 0: the harder one searches for the reward, the less there is of the measure.
    """
    at, each = np.log(found.n), np.full(len(found.gold), np.nan)
    for row, values in enumerate(found.gold):
        known = np.isfinite(values)
        if known.sum() > 1:
            away = at[known] - at[known].mean()
            each[row] = away @ values[known] / (away @ away)
    return each


def slope(found: Curves, clusters: Sequence | None = None, *, seed: int = 0) -> Estimate:
    """The mean of `slopes` over prompts, with its interval.

    Args:
        clusters: which prompts are alike, [P]; without it each prompt is its own.
        seed: of the bootstrap.
    """
    each = slopes(found)
    return mean_estimate(each, np.arange(len(each)) if clusters is None else np.asarray(clusters), seed=seed)


def table(found: Curves, *, source: str = "best of n", group: Any = 0) -> pd.DataFrame:
    """The points of best of n for n > 1, as a long table. Changes are within prompts, over those with n scored samples.

    Returns:
        `COLUMNS`; `kl_is` is "upper bound".
    """
    rows = []
    for place, n in enumerate(found.n[1:]):
        gained, moved = found.proxy_change[place], found.gold_change[place]
        known = np.isfinite(gained) & np.isfinite(moved)
        now = [values[known, place + 1].mean() if known.any() else np.nan for values in (found.proxy, found.gold)]
        change = [values[known].mean() if known.any() else np.nan for values in (gained, moved)]
        rows.append(
            _point(source, group, kl_bound(n), "upper bound", *now)
            | {"proxy_change": float(change[0]), "gold_change": float(change[1])}
            | {"prompts": int(known.sum()), "of": len(known)}
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _point(source: str, group: Any, kl: float, kl_is: str, proxy: float, gold: float) -> dict[str, Any]:
    known = {"source": source, "group": group, "kl": kl, "kl_is": kl_is, "d": float(np.sqrt(kl))}
    return known | {"proxy": float(proxy), "gold": float(gold)}


def _table(given: Any, name: str) -> np.ndarray:
    """[P, N] as float64, None as NaN."""
    table = np.array(given, dtype=float)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"{name} needs N samples for each of P prompts, [P, N]; its shape is {table.shape}")
    if np.isinf(table).any():
        raise ValueError(f"{name} holds an infinite number; an unscored sample is None or NaN")
    return table


def _weights(rewards: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """How often each of M samples is the best of n, [K, M], for the n <= M among `chosen`."""
    _, same, count = np.unique(rewards, return_inverse=True, return_counts=True)
    by_rank = _rank_weights(len(rewards), tuple(n for n in chosen if n <= len(rewards)))
    ends = np.cumsum(count)
    summed = np.concatenate([np.zeros((len(by_rank), 1)), np.cumsum(by_rank, axis=1)], axis=1)
    return ((summed[:, ends] - summed[:, ends - count]) / count)[:, same]


@lru_cache(maxsize=256)
def _rank_weights(m: int, chosen: tuple[int, ...]) -> np.ndarray:
    """C(i - 1, n - 1) / C(m, n) for ranks i = 1..m, [K, m]."""
    below, n = np.arange(m)[None], np.array(chosen, dtype=float).reshape(-1, 1)
    possible = below >= n - 1
    at = np.where(possible, below, n - 1)
    ways = gammaln(at + 1) - gammaln(n) - gammaln(at - n + 2)
    total = gammaln(m + 1) - gammaln(n + 1) - gammaln(m - n + 1)
    return np.where(possible, np.exp(ways - total), 0.0)


def _means(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted means [K] of the values that are known; NaN where none is."""
    known = np.isfinite(values)
    total = weights[:, known].sum(axis=1)
    return np.divide(weights[:, known] @ values[known], total, out=np.full(len(weights), np.nan), where=total > 0)
