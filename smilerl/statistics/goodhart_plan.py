"""Says before a run whether its samples can tell the form of a Goodhart curve, by simulation.

    plan(Sampling(steps=log_steps(50), kl=(0.05, 9), people=256, noise=0.4, kl_spread=1))

A curve of each form is made up: its gold rises by `gain` up to a peak at a share of the largest distance and then falls
as the form says. It is measured as the run would measure it, fitted and named by `goodhart`, again and again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from smilerl.config.schedule import log_steps
from smilerl.statistics import goodhart
from smilerl.statistics.forms import FORMS

#: The share of runs in which a form has to be named rightly, for each form.
POWER = 0.8
#: The forms that have a peak.
PEAKED = ("bon", "rl")
#: How many times as many people are tried in search of what would be enough.
MORE = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Sampling:
    """How a run is sampled, and what is expected of it.

    Attributes:
        steps: at which held-out people are sampled, after the base.
        kl: nats per completion at each of these steps; or (first, last), between which it is a power of the step.
        people: sampled at each step.
        noise: standard deviation of one person's gold around its mean at one step (wellbeing: -1 to 1).
        kl_spread: standard deviation of one person's KL at one step, as a share of the mean.
        gain: rise of the gold up to its peak.
        peak: d of the peak, as a share of the largest d.
    """

    steps: Sequence[int]
    kl: Sequence[float] | np.ndarray
    people: int = 256
    noise: float = 0.4
    kl_spread: float = 1.0
    gain: float = 0.3
    peak: float = 0.5

    @property
    def d(self) -> np.ndarray:
        """Distance at each step.

        Raises:
            ValueError: steps or KL that cannot be.
        """
        steps, kl = np.asarray(self.steps, dtype=float), np.asarray(self.kl, dtype=float)
        if len(steps) < 4 or not (np.diff(steps, prepend=0) > 0).all():
            raise ValueError(f"steps are {list(self.steps)}: give at least four, above 0 and rising")
        if len(kl) not in (2, len(steps)) or not (kl > 0).all():
            raise ValueError(f"kl is {list(self.kl)}: give (first, last), or one for each step, all above 0")
        if len(kl) == len(steps):
            return np.sqrt(kl)
        return np.sqrt(np.exp(np.interp(np.log(steps), np.log(steps[[0, -1]]), np.log(kl))))


@dataclass(frozen=True)
class Plan:
    """What a run that is sampled so would tell.

    Attributes:
        named: true form → share of runs in which it is named.
        peaks: true form → share of runs in which its peak is named with an interval that holds it.
        misnamed: true form → share of runs in which another form is named.
        studies: simulated runs of each form.
    """

    named: dict[str, float]
    peaks: dict[str, float]
    misnamed: dict[str, float]
    studies: int

    @property
    def determined(self) -> float:
        """Share of runs in which the form is named rightly, for the form that is named more rarely."""
        return min(self.named.values())

    @property
    def is_enough(self) -> bool:
        """Whether each form is named in at least `POWER` of the runs."""
        return self.determined >= POWER


def plan(sampling: Sampling, *, studies: int = 40, seed: int = 0, give_up: bool = False) -> Plan:
    """How often the form and the peak would be determined.

    Args:
        studies: simulated runs of each form; 40 take about a second.
        give_up: stop at the first form that so many runs have missed that it cannot be enough; shares are then of the
            runs until there, and other forms may be left out.

    Raises:
        ValueError: steps or KL that cannot be.
    """
    x = sampling.d
    named, held, misnamed = {}, {}, {}
    for number, form in enumerate(PEAKED):
        peak, found, tried = sampling.peak * x.max(), Counter[str](), 0
        gold = FORMS[form].basis(x) @ coefficients(form, sampling.gain, peak)
        lost = False
        while tried < studies and not lost:
            change, d, error = _measured(sampling, x, gold, np.random.default_rng([seed, number, tried]))
            tried += 1
            clear = goodhart.is_clear(d, error)
            if clear.sum() >= 4:
                chosen = goodhart.choose(goodhart.fit(d[clear], change[clear], d_error=error[clear], seed=seed))
                low, high = chosen.peak[1:] if chosen.peak is not None else (np.inf, -np.inf)
                found["named"] += chosen.form == form
                found["held"] += bool(chosen.form == form and low <= peak <= high)
                found["misnamed"] += chosen.form not in (form, goodhart.UNDETERMINED)
            lost = give_up and tried - found["named"] > (1 - POWER) * studies
        named[form], held[form], misnamed[form] = (float(found[what] / tried) for what in ("named", "held", "misnamed"))
        if lost:
            break
    return Plan(named, held, misnamed, studies)


def enough(sampling: Sampling, *, studies: int = 40, seed: int = 0) -> Sampling | None:
    """The least that would be enough: more people at the same steps, or at steps spaced by logarithms; None where up to
    sixteen times as many people are not.
    """
    steps, last = np.asarray(sampling.steps, dtype=float), int(max(sampling.steps))
    power, level = np.polyfit(np.log(steps), np.log(sampling.d**2), 1)
    spaced = log_steps(last)
    known = np.interp(np.log(spaced), np.log(steps), np.log(sampling.d**2))
    kl = np.exp(np.where(np.array(spaced) < steps[0], level + power * np.log(spaced), known))
    for more in MORE:
        for tried in (sampling, replace(sampling, steps=spaced, kl=kl.tolist())):
            now = replace(tried, people=more * sampling.people)
            if len(now.steps) >= 4 and plan(now, studies=studies, seed=seed).is_enough:
                return now
    return None


def coefficients(form: str, gain: float, peak: float) -> np.ndarray:
    """α and β of `bon` or `rl` with a peak at d = `peak`, `gain` high."""
    if form == "bon":
        return np.array([2 * gain / peak, gain / peak**2])
    return np.array([gain / peak * (1 + np.log(peak)), gain / peak])


def _measured(
    sampling: Sampling, x: np.ndarray, gold: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Change against the base, which is measured too; d; and its standard error."""
    people = np.sqrt(sampling.people)
    change = gold + (rng.normal(size=len(x)) - rng.normal()) * sampling.noise / people
    relative = sampling.kl_spread / people
    kl = x**2 * (1 + relative * rng.normal(size=len(x)))
    d = np.sqrt(np.maximum(kl, 1e-12))
    return change, d, relative * x**2 / (2 * d)
