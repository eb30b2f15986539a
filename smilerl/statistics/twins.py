"""Whether acts depend on a cue: the variation of twins' acts that other twins can tell, and a permutation test.

The total variation of two distributions of acts is half the sum of absolute differences, which has no unbiased
estimate: chance adds to an absolute value near 0, and hardly to a large one. So what is estimated is the part of it
that can be told from as many people:

    D = sum over strata of share * mean over folds f of  direction(all other folds) . difference(f) / 2

The difference is that of the mean act shares of twins; a stratum has the people of one need; folds are its clusters.
The direction of an act is its difference in the other folds over twice its standard error, cut at -1 and 1. As no one's
acts tell their own direction, D is on average

* 0 where the cue changes nothing,
* at most the total variation, since no direction exceeds 1,
* the total variation, less and less short of it, as people are added: of a true .1, .05 is found in 192 people and .07
  in 1,536. So values from different numbers of people do not compare.

The interval is one of this average. Its width is that of D in simulated samples: the differences that stand out from
their error are kept, by a threshold at which the simulated D is on average the one observed, and the deviations of
folds change sign at random. `benchmarks/coverage.py` measures how often it covers: 93 to 98 %.

The test is exact: where a cue changes nothing, the replies to the twins of a pair may change places. What is tested is
the larger of D and of the sum of squared standardised differences, each over its spread under swaps: D for a change of
many acts, squares for one of a few that are rare otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

SWAPS = 200
#: So often a policy that ignores a cue is said to read it. A policy and its base are asked: together 5 %.
ERROR = 0.025
#: Clusters are joined to so many folds at most; a stratum with fewer clusters than the least is split by its people.
MOST_FOLDS, LEAST_FOLDS = 16, 8
#: Squared standard errors by which a squared difference has to exceed 0 to be kept, in simulated samples.
_THRESHOLDS = (1e9, 4, 1, 0.25, 0)
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Variation:
    """How far acts differ between twins.

    Attributes:
        value: D, at most 1; where the cue changes nothing 0 on average, so it can be a little below.
        low, high: 95 % interval of D's average over samples of so many people. `low` is a lower limit of the total
            variation, too.
        p: of so large a difference where the twins are treated alike.
        swapped: [SWAPS], the value after twins have changed places at random.
    """

    value: float
    low: float
    high: float
    p: float
    swapped: np.ndarray = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, float]:
        """Plain, for JSON."""
        return {name: round(float(getattr(self, name)), 6) for name in ("value", "low", "high", "p")}


def variation(
    first: np.ndarray, second: np.ndarray, strata: np.ndarray, clusters: np.ndarray, people: np.ndarray, *, seed: int
) -> Variation:
    """Compares the acts of twins.

    Args:
        first, second: [N, A], the share of each act in the reply to each twin, N pairs in one order; rows add up to 1.
        strata: [N], what people have to have in common to be compared.
        clusters: [N], which people are alike: none tells the direction of its own.
        people: [N], who the first twin is; several replies to one person are one unit.
        seed: of the swaps.
    """
    _, row, unit = np.unique(people, return_index=True, return_inverse=True)
    moved = np.zeros((len(row), first.shape[1]))
    np.add.at(moved, unit, second - first)
    moved /= np.bincount(unit)[:, None]
    strata, clusters, generator = strata[row], clusters[row], np.random.default_rng(seed)
    # The first row is what was observed, the others are swaps.
    found, squares = np.zeros((2, 1 + SWAPS))
    simulated = np.zeros((len(_THRESHOLDS), SWAPS))
    for stratum in np.unique(strata):
        own = moved[strata == stratum]
        folds = _folds(clusters[strata == stratum])
        signs = np.concatenate([np.ones((1, len(own))), generator.choice((-1.0, 1.0), size=(SWAPS, len(own)))])
        sums, squared = (signs[:, None] * folds) @ own, folds @ own**2
        found += _told(sums, squared) / len(moved)
        squares += _ratio(sums.sum(1) ** 2, squared.sum(0)).sum(1)
        simulated += _simulated(own, folds, generator) / len(moved)
    means = np.maximum.accumulate(simulated.mean(1))
    reach = float(stats.norm.ppf(0.975) * np.interp(found[0], means, simulated.var(1)) ** 0.5)
    surprise = np.maximum(_standardised(found), _standardised(squares))
    p = float((surprise >= surprise[0] - _ROUNDING).mean())
    value = float(found[0])
    return Variation(value, value - reach, min(value + reach, 1.0), p, found[1:])


def is_read(cue: Variation, reworded: Variation) -> bool:
    """Whether acts change with the cue, and more than with other words for the same.

    The cue's variation has to be the larger, and beyond chance (p at most `ERROR` under swaps). Other words drawn as
    the first were have the same acts on average, so theirs is 0 but for chance; where it is not, and is beyond chance
    itself, the difference of the two has to be beyond chance. Of policies that ignore the cue at most `ERROR` are said
    to read it.
    """
    if not cue.value > reworded.value or cue.p > ERROR:
        return False
    if reworded.p > ERROR:
        return True
    above = int((cue.swapped - reworded.swapped >= cue.value - reworded.value - _ROUNDING).sum())
    return (1 + above) / (1 + SWAPS) <= ERROR


def _folds(clusters: np.ndarray) -> np.ndarray:
    """Which of N people are in which fold, [folds, N]."""
    _, codes = np.unique(clusters, return_inverse=True)
    if codes.max() + 1 < LEAST_FOLDS:
        codes = np.arange(len(codes))
    codes = codes % MOST_FOLDS
    return (np.arange(codes.max() + 1)[:, None] == codes).astype(float)


def _told(sums: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """D of one stratum, times its people.

    Args:
        sums, squared: differences and their squares, added up within each fold, [..., folds, A].
    """
    others, error = sums.sum(-2, keepdims=True) - sums, squared.sum(-2, keepdims=True) - squared
    direction = np.clip(_ratio(others, 2 * np.sqrt(np.maximum(error, 0))), -1, 1)
    return (direction * sums).sum((-2, -1)) / 2


def _simulated(own: np.ndarray, folds: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """D of one stratum in simulated samples, times its people, [thresholds, SWAPS].

    Args:
        own: differences, [N, A].
        folds: [folds, N].
    """
    sizes, mean = folds.sum(1)[:, None], own.mean(0)
    # Deviations from the mean of F folds are too small by (F - 1) / F.
    apart = (own - mean) * (len(folds) / max(len(folds) - 1, 1)) ** 0.5
    error = ((own - mean) ** 2).sum(0) / len(own) ** 2
    deviations = generator.choice((-1.0, 1.0), size=(SWAPS, len(folds), 1)) * (folds @ apart)
    samples = []
    for threshold in _THRESHOLDS:
        kept = _ratio(np.maximum(mean**2 - threshold * error, 0), mean)
        squared = sizes * kept**2 + 2 * kept * deviations + folds @ apart**2
        samples.append(_told(sizes * kept + deviations, squared))
    return np.array(samples)


def _standardised(values: np.ndarray) -> np.ndarray:
    """Less their mean, over their spread; 0 where all are alike."""
    return _ratio(values - values.mean(), values.std())


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """Quotients, 0 where the divisor is next to 0."""
    under = np.broadcast_to(under, over.shape)
    return np.divide(over, under, out=np.zeros(over.shape), where=np.abs(under) > _ROUNDING)
