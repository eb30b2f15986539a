"""Whether acts depend on a cue: total variation of the acts of twins, corrected for chance, and a permutation test.

In each stratum (people of one need) the mean act shares of all first twins are compared with those of all second ones;
their total variation is half the sum of the absolute differences. Strata count by their people. A finite sample varies
by chance, so what chance makes of nothing is subtracted: the mean of the same number after the twins of random pairs
have changed places, each difference taken from its stratum's mean (else the cue's own effect would count as chance).
What is left is 0 on average where the cue changes nothing, and a floor elsewhere, since chance adds less to a
difference than it makes of nothing: a true .2 comes out as about .12 at 512 people. The interval allows for it: its
lower end is made from the corrected number, its upper one from the plain number.

The test is exact: where a cue changes nothing, the replies to the twins of a pair may change places. `benchmarks/
coverage.py` measures its error rate and power.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

SWAPS = 200
#: So often a policy that ignores a cue is said to read it. A policy and its base are asked: together 5 %.
ERROR = 0.025
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Variation:
    """How far acts differ between twins.

    Attributes:
        value: total variation in [0, 1], less what chance makes of nothing (so it can be a little below 0).
        low, high: conservative 95 % interval of the true total variation.
        p: of so large a value where the twins are treated alike.
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
        clusters: [N], which people are alike, for the interval.
        people: [N], who the first twin is; several replies to one person are one unit.
        seed: of the swaps.
    """
    _, row, unit = np.unique(people, return_index=True, return_inverse=True)
    moved = np.zeros((len(row), first.shape[1]))
    np.add.at(moved, unit, second - first)
    moved /= np.bincount(unit)[:, None]
    strata, clusters, generator = strata[row], clusters[row], np.random.default_rng(seed)
    plain, chance, variance, swapped = 0.0, 0.0, 0.0, np.zeros(SWAPS)
    for stratum in np.unique(strata):
        own = moved[strata == stratum]
        mean, share = own.mean(0), len(own) / len(moved)
        apart = (own - mean) * (len(own) / max(len(own) - 1, 1)) ** 0.5
        plain += share * float(np.abs(mean).sum()) / 2
        signs = generator.choice((-1.0, 1.0), size=(SWAPS, len(own)))
        swapped += share * np.abs(signs @ own).sum(1) / (2 * len(own))
        chance += share * float(np.abs(signs @ apart).sum(1).mean()) / (2 * len(own))
        variance += share**2 * _variance((own - mean) @ np.sign(mean) / 2, clusters[strata == stratum])
    reach = float(stats.norm.ppf(0.975) * variance**0.5)
    above = int((swapped >= plain - _ROUNDING).sum())
    value = plain - chance
    return Variation(value, value - reach, min(plain + reach, 1.0), (1 + above) / (1 + SWAPS), swapped - chance)


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


def _variance(values: np.ndarray, clusters: np.ndarray) -> float:
    """Squared standard error of a mean of values that are alike within clusters; the values have mean 0."""
    _, codes = np.unique(clusters, return_inverse=True)
    sums = np.bincount(codes, values)
    return float((sums**2).sum() / len(values) ** 2 * len(sums) / max(len(sums) - 1, 1))
