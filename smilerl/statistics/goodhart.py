"""Goodhart curves: how proxy and gold change with the distance from the base, d = sqrt(KL).

Forms of Gao et al. (2210.10760), each the change against the base: best-of-n d (α - β d), RL d (α - β log d). Beside
them a line α d (nothing bends yet) and a monotone null (any curve that never falls: no overoptimisation at all).

`fit` fits all of them, `choose` says which one the data speak for. Refused, as `undetermined`:

* a peak, unless its whole interval lies within the sampled distances (a peak beyond them is an extrapolation, and the
  forms differ most just there) and the points beyond it fall by themselves, whatever the form (a curve that levels off
  is fitted well by `rl` and has no peak);
* one of the curved forms, for the same reason, or while another form predicts held-out distances as well;
* the line, unless any bend within the sampled distances is shown to be small.

d itself is measured, from as many people as the change is. Errors in it make a curve that bends look like another, so
give them (`d_error`); how they are accounted for: `forms`. For best of n, d comes from a bound on the KL (`best_of_n`),
so its α and β are not comparable with those of RL. Whether a run can determine a form at all: `goodhart_plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from smilerl.statistics import forms
from smilerl.statistics.forms import Points, Solved

#: From the simplest to the most flexible.
FORMS = ("linear", "bon", "rl", "monotone")
UNDETERMINED = "undetermined"
RESAMPLES = 1000
#: A line is called one when β d at the largest d is at most this share of α.
BEND = 0.1
#: Fewer runs than this are too few to resample.
FEWEST_RUNS = 3


@dataclass(frozen=True)
class Fit:
    """One form fitted to one curve.

    Attributes:
        form: one of `FORMS`.
        alpha, beta: coefficients with 95 % intervals (value, low, high); None where the form has none.
        peak: d of the fitted maximum; None where the form has none (β ≤ 0, or falling from the start).
        peak_range: 95 % interval of the peak (90 to 94 % in simulated studies of six runs); infinite where it may never
            come.
        falls: whether the points beyond the peak fall by themselves: the slope of a straight line through them, within
            runs, is below 0 (one-sided, 97.5 %).
        sampled: least and largest d.
        held_out: mean squared error at each block of neighbouring distances, predicted from all others; where d has
            errors, each square is divided by its variance.
        scored, of: points with a number, of all.
        intervals: how the intervals were made.
    """

    form: str
    alpha: tuple[float, float, float] | None
    beta: tuple[float, float, float] | None
    peak: float | None
    peak_range: tuple[float, float] | None
    falls: bool
    sampled: tuple[float, float]
    held_out: tuple[float, ...]
    scored: int
    of: int
    intervals: str

    @property
    def error(self) -> float:
        """Root mean squared error at held-out distances; in standard errors where d has errors."""
        return float(np.sqrt(np.mean(self.held_out)))

    @property
    def extrapolated(self) -> bool:
        """Whether the fitted peak lies outside the sampled distances."""
        return self.peak is not None and not self.sampled[0] <= self.peak <= self.sampled[1]

    @property
    def peak_reached(self) -> bool:
        """Whether the whole interval of the peak lies within the sampled distances, and points beyond it fall."""
        low, high = self.peak_range or (-np.inf, np.inf)
        return self.peak is not None and self.falls and self.sampled[0] <= low and high <= self.sampled[1]


class Choice(NamedTuple):
    """Which form the data speak for.

    Attributes:
        form: one of `FORMS`, or `undetermined`.
        peak: its peak with a 95 % interval (value, low, high); None where none is shown.
        why: in words.
    """

    form: str
    peak: tuple[float, float, float] | None
    why: str


def fit(
    d: Sequence[float] | np.ndarray,
    change: Sequence[float] | np.ndarray,
    group: Sequence | None = None,
    clusters: Sequence | np.ndarray | None = None,
    *,
    d_error: Sequence[float] | np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Fit]:
    """Fits all forms to N points.

    Intervals of α and β are about runs and prompts, as far as these are given: with three runs or more, runs are
    resampled (points of one run are not independent); with changes per prompt, clusters of prompts are, the same in all
    runs, as all are asked the same; with both, both at once, which is rather too wide. With neither they come from
    ordinary least squares, as if points were independent.

    Args:
        d: sqrt of KL(policy ‖ base), nats per completion, each positive. [N]
        change: proxy or gold minus its value at the base; [N], or [N, P] by prompt. NaN where unscored: left out and
            counted.
        group: which run each point is from. [N]
        clusters: which prompts are alike; without it each prompt is its own. [P]
        d_error: standard errors of d [N]; or, where the prompts of `change` are also those of d, how far each moves it
            [N, P], as `distances` tells. None: d is exact.
        seed: of the bootstrap.

    Raises:
        ValueError: fewer than four different distances, a d that is not positive, or errors in d of another shape.
    """
    given = np.asarray(change, dtype=float)
    given = given[:, None] if given.ndim == 1 else given
    scored = np.isfinite(given).any(axis=1)
    at = np.asarray(d, dtype=float)
    if not (at > 0).all():
        raise ValueError(
            f"every d = sqrt(KL) must be positive; the least is {at.min()}. Leave the base itself out: its change is 0"
        )
    at = at[scored]
    if len(np.unique(at)) < 4:
        raise ValueError(f"{len(np.unique(at))} different distances are too few to tell the forms apart; at least 4")
    runs = np.asarray(group)[scored] if group is not None else None
    alike = np.arange(given.shape[1]) if clusters is None else np.asarray(clusters)
    error, moves = _errors_of(d_error, given.shape, alike)
    error, moves = (None if one is None else one[scored] for one in (error, moves))
    points = Points(at, given[scored], runs, alike if given.shape[1] > 1 else None, error, moves)
    solved = {name: forms.solve(form, at, error, points.change) for name, form in forms.FORMS.items()}
    return {form: _fitted(form, points, solved, len(scored), seed) for form in FORMS}


def choose(fits: dict[str, Fit]) -> Choice:
    """The form that the data speak for, or `undetermined`.

    A form stays in the running while its error at held-out distances exceeds the least one by no more than one standard
    error of that excess (over blocks of neighbouring distances). Of those that stay,

    * the line is chosen when any bend is shown to be small: |β| d ≤ .1 |α| at the largest d, for both ends of β's
    interval;
    * `bon` or `rl` is chosen when it stays alone, and its peak is reached;
    * `monotone` is chosen when it stays alone by two standard errors: parsimony prefers every other form.
    """
    errors = {form: np.array(found.held_out) for form, found in fits.items()}
    least = min(FORMS, key=lambda form: errors[form].mean())
    running = [form for form in FORMS if _is_near(errors[form] - errors[least])]
    line, bent = fits["linear"], fits["bon"]
    if "linear" in running:
        if line.alpha and bent.beta and np.abs(bent.beta).max() * line.sampled[1] <= BEND * abs(line.alpha[0]):
            return Choice("linear", None, "a line to within a tenth, as far as it was sampled")
        return Choice(UNDETERMINED, None, "a bend is neither shown nor excluded")
    if running == ["monotone"]:
        if any(_is_near(errors[form] - errors[least], within=2) for form in forms.FORMS):
            return Choice(UNDETERMINED, None, "that it never falls is neither shown nor excluded")
        return Choice("monotone", None, "it does not fall, and no formula predicts it as well")
    if len(running) > 1:
        return Choice(UNDETERMINED, None, f"{' and '.join(running)} predict held-out distances about equally well")
    found = fits[running[0]]
    if not found.peak_reached or found.peak is None or found.peak_range is None:
        return Choice(UNDETERMINED, None, f"{found.form} fits best, and no peak is shown within the sampled distances")
    return Choice(found.form, (found.peak, *found.peak_range), "its peak lies within the sampled distances")


def summary(
    d: Sequence[float] | np.ndarray,
    change: Sequence[float] | np.ndarray,
    group: Sequence | None = None,
    clusters: Sequence | np.ndarray | None = None,
    *,
    d_error: Sequence[float] | np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Fits and choice, plain for JSON; arguments and errors as of `fit`.

    Returns:
        form, peak (value, low, high; None where none is shown) and why, of the choice; and `fits`: for each form its
        attributes with `error` and `extrapolated`, None for an end of an interval at infinity.
    """
    fits = fit(d, change, group, clusters, d_error=d_error, seed=seed)
    chosen = choose(fits)
    plain = {
        form: asdict(found)
        | {"peak_range": found.peak_range and [end if np.isfinite(end) else None for end in found.peak_range]}
        | {"error": found.error, "extrapolated": found.extrapolated}
        for form, found in fits.items()
    }
    return chosen._asdict() | {"fits": plain}


def distances(kl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """d = sqrt(mean KL) of N points, and how far each prompt moves it, for `fit`.

    Args:
        kl: by prompt, nats per completion; NaN where unknown. [N, P]

    Returns:
        d [N], 0 where the mean is not positive; and the moves [N, P], with mean 0 over prompts.
    """
    mean = np.nanmean(kl, axis=1)
    d = np.sqrt(np.maximum(mean, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return d, np.nan_to_num((kl - mean[:, None]) / (2 * d[:, None]), posinf=0.0, neginf=0.0)


def is_clear(d: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Whether the KL is two standard errors above 0; nearer to it, d = sqrt(KL) has no standard error to speak of."""
    return (d > 0) & (d > 4 * error)


def standard_error(moves: np.ndarray, clusters: Sequence | np.ndarray | None = None) -> np.ndarray:
    """Standard errors [N] of means over P prompts, from deviations [N, P]; `clusters` says which prompts are alike."""
    names, codes = np.unique(np.arange(moves.shape[1]) if clusters is None else clusters, return_inverse=True)
    sums = moves @ (codes[:, None] == np.arange(len(names)))
    return np.sqrt((sums**2).sum(1) * len(names) / max(1, len(names) - 1)) / moves.shape[1]


def _errors_of(
    given: Sequence[float] | np.ndarray | None, shape: tuple[int, ...], clusters: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Standard errors of d and how far each prompt moves it, each None where it is not known."""
    if given is None:
        return None, None
    known = np.asarray(given, dtype=float)
    if known.shape not in (shape[:1], shape) or not np.isfinite(known).all():
        raise ValueError(f"d_error has shape {known.shape}: give finite numbers of shape {shape[:1]} or {shape}")
    error, moves = (known, None) if known.ndim == 1 else (standard_error(known, clusters), known)
    if (error < 0).any():
        raise ValueError("a standard error of d is negative")
    return (error, moves) if error.any() else (None, None)


def _fitted(name: str, points: Points, solved: dict[str, Solved], of: int, seed: int) -> Fit:
    alpha, beta, peak, peak_range, how = None, None, None, None, "none"
    found = solved.get(name)
    if found is not None:
        coefficients = found.coefficients
        covariance, freedom, how = _uncertainty(found, points, seed)
        half = stats.t.ppf(0.975, freedom) * np.sqrt(np.diag(covariance))
        ends = np.stack([coefficients, coefficients - half, coefficients + half], axis=1).tolist()
        alpha, beta = tuple(ends[0]), tuple(ends[1]) if len(ends) > 1 else None
        if beta is not None:
            peak, peak_range = _peak(name, coefficients, covariance, freedom, seed)
    variance = np.mean([solved["bon"].variance, solved["rl"].variance], axis=0)
    return Fit(
        form=name,
        alpha=alpha,
        beta=beta,
        peak=peak,
        peak_range=peak_range,
        falls=peak is not None and forms.falls(points, peak),
        sampled=(float(points.d.min()), float(points.d.max())),
        held_out=forms.held_out(name, points, found.rest if found is not None else 0.0, variance),
        scored=len(points.d),
        of=of,
        intervals=how,
    )


def _peak(
    form: str, coefficients: np.ndarray, covariance: np.ndarray, freedom: float, seed: int
) -> tuple[float | None, tuple[float, float]]:
    """d of the maximum, None where there is none, and its interval from draws of the coefficients."""
    drawn = stats.multivariate_t(coefficients, covariance, freedom, allow_singular=True, seed=seed).rvs(4000)
    low, high = np.quantile(forms.peaks(form, drawn), [0.025, 0.975], method="nearest")
    at = float(forms.peaks(form, coefficients[None])[0])
    return at if 0 < at < np.inf else None, (float(low), float(high))


def _uncertainty(solved: Solved, points: Points, seed: int) -> tuple[np.ndarray, float, str]:
    """Covariance of the coefficients, degrees of freedom, and how they were found."""
    design, instrument = solved.design, solved.instrument
    generator = np.random.default_rng(seed)
    weights, freedom, resampled = np.ones((RESAMPLES, len(design))), [], []
    if points.runs is not None and len(names := np.unique(points.runs)) >= FEWEST_RUNS:
        drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
        weights = drawn[:, np.searchsorted(names, points.runs)].astype(float)
        freedom.append(len(names) - 1)
        resampled.append("runs")
    changes = np.broadcast_to(points.change, weights.shape)
    if points.clusters is not None and len(names := np.unique(points.clusters)) >= 2:
        drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
        drawn = drawn[:, np.searchsorted(names, points.clusters)].astype(float)
        changes = _reweighted(points.changes, drawn)
        if points.moves is not None:
            changes = changes - _reweighted(points.moves, drawn) * solved.slope
        elif points.error is not None:
            changes = changes - generator.normal(0, points.error, size=changes.shape) * solved.slope
        freedom.append(len(names) - 1)
        resampled.append("prompts")
    if not resampled:
        free = len(design) - design.shape[1]
        bread = np.linalg.inv(instrument.T @ design)
        if points.error is not None:
            meat = instrument.T @ (instrument * solved.variance[:, None])
            return bread @ meat @ bread.T, free, "orthogonal distances over points"
        variance = ((points.change - design @ solved.coefficients) ** 2).sum() / free
        return variance * bread, free, "ordinary least squares over points"
    usable = np.isfinite(changes).all(axis=1) & (np.array([len(np.unique(points.d[row > 0])) for row in weights]) > 1)
    weights, changes = weights[usable], changes[usable]
    gram = np.einsum("bn,ni,nj->bij", weights, instrument, design)
    drawn = np.linalg.solve(gram, np.einsum("bn,ni,bn->bi", weights, instrument, changes)[..., None])[..., 0]
    # A bootstrap over R units underestimates the variance by (R - 1) / R.
    few = min(freedom)
    covariance = np.cov(drawn, rowvar=False).reshape(2 * (design.shape[1],)) * (few + 1) / few
    return covariance, few, f"bootstrap over {' and '.join(resampled)}"


def _reweighted(changes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means over prompts [B, N] with weights [B, P], NaN where a point has none left."""
    known = np.isfinite(changes)
    with np.errstate(invalid="ignore", divide="ignore"):
        return weights @ np.where(known, changes, 0.0).T / (weights @ known.T.astype(float))


def _is_near(excess: np.ndarray, within: float = 1) -> bool:
    """Whether a form's excess error over the best one, by block, is on average within so many standard errors of
    nothing.
    """
    return bool(excess.mean() <= within * excess.std(ddof=1) / np.sqrt(len(excess)))
