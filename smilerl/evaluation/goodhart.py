"""Goodhart curves: how proxy and gold change with the distance from the base, d = sqrt(KL).

Forms of Gao et al. (2210.10760), each the change against the base: best-of-n d (α - β d), RL d (α - β log d). Both are linear
in α and β. Beside them a monotone null: no overoptimisation at all. A peak that lies outside the sampled distances is an
extrapolation and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import isotonic_regression

RESAMPLES = 1000


@dataclass(frozen=True)
class Fit:
    """One form fitted to one curve.

    Attributes:
        form: `bon`, `rl` or `monotone`.
        alpha, beta: coefficients with intervals (value, low, high); None for the monotone null.
        peak: d of the fitted maximum; None where the form has none (β ≤ 0, monotone).
        extrapolated: whether that peak lies outside the sampled distances.
        error: root mean squared error at distances left out of the fit, one at a time.
        intervals: how the intervals were made.
    """

    form: str
    alpha: tuple[float, float, float] | None
    beta: tuple[float, float, float] | None
    peak: float | None
    extrapolated: bool
    error: float
    intervals: str


def fit(d: Sequence[float], change: Sequence[float], group: Sequence | None = None, *, seed: int = 0) -> dict[str, Fit]:
    """Fits all three forms.

    Args:
        d: sqrt of KL(policy ‖ base), nats per completion, each positive.
        change: proxy or gold minus its value at the base.
        group: which run each point is from; with three runs or more, intervals come from resampling runs (points of one run
            are not independent), else from ordinary least squares.

    Raises:
        ValueError: fewer than four different distances, or a d that is not positive.
    """
    at, rise = np.asarray(d, dtype=float), np.asarray(change, dtype=float)
    if not (at > 0).all():
        raise ValueError(
            f"every d = sqrt(KL) must be positive; the least is {at.min()}. Leave the base itself out: its change is 0"
        )
    if len(np.unique(at)) < 4:
        raise ValueError(f"{len(np.unique(at))} different distances are too few to tell the forms apart; at least 4")
    groups = np.asarray(group) if group is not None else None
    fits = {form: _parametric(form, basis, at, rise, groups, seed) for form, basis in _BASES.items()}
    fits["monotone"] = Fit("monotone", None, None, None, False, _held_out_error(_monotone, at, rise), "none")
    return fits


def best_form(fits: dict[str, Fit]) -> str:
    """The form with the least error at distances it has not seen."""
    return min(fits, key=lambda form: fits[form].error)


def curve(found: Fit, d: Sequence[float]) -> np.ndarray:
    """The fitted change at distances d.

    Raises:
        ValueError: the monotone null has no formula.
    """
    if found.alpha is None or found.beta is None:
        raise ValueError(f"the form '{found.form}' has no formula to draw")
    return _BASES[found.form](np.asarray(d, dtype=float)) @ np.array([found.alpha[0], found.beta[0]])


def _bon(d: np.ndarray) -> np.ndarray:
    return np.stack([d, -(d**2)], axis=1)


def _rl(d: np.ndarray) -> np.ndarray:
    return np.stack([d, -d * np.log(d)], axis=1)


_BASES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"bon": _bon, "rl": _rl}


def _parametric(form: str, basis, d: np.ndarray, change: np.ndarray, groups: np.ndarray | None, seed: int) -> Fit:
    coefficients = _least_squares(basis(d), change)
    alpha, beta = coefficients
    peak = None
    if beta > 0:
        top = alpha / (2 * beta) if form == "bon" else float(np.exp(np.clip(alpha / beta - 1, -50, 50)))
        peak = float(top) if top > 0 else None
    if groups is not None and len(np.unique(groups)) >= 3:
        limits, how = _by_runs(basis, d, change, groups, seed), "bootstrap over runs"
    else:
        limits, how = _by_points(basis(d), change, coefficients), "ordinary least squares over points"
    return Fit(
        form=form,
        alpha=(float(alpha), float(limits[0, 0]), float(limits[1, 0])),
        beta=(float(beta), float(limits[0, 1]), float(limits[1, 1])),
        peak=peak,
        extrapolated=peak is not None and not d.min() <= peak <= d.max(),
        error=_held_out_error(lambda at, known, y: basis(at) @ _least_squares(basis(known), y), d, change),
        intervals=how,
    )


def _least_squares(design: np.ndarray, change: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(design, change, rcond=None)[0]


def _by_points(design: np.ndarray, change: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Limits [2, 2] (low/high × α/β) from ordinary least squares."""
    free = len(change) - 2
    variance = ((change - design @ coefficients) ** 2).sum() / free
    errors = np.sqrt(np.diag(variance * np.linalg.inv(design.T @ design)))
    half = stats.t.ppf(0.975, free) * errors
    return np.stack([coefficients - half, coefficients + half])


def _by_runs(basis, d: np.ndarray, change: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Limits [2, 2] from resampling whole runs: mean ± t × bootstrap standard error, since runs are few."""
    runs = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([runs[r] for r in generator.integers(len(runs), size=len(runs))])
        drawn.append(_least_squares(basis(d[rows]), change[rows]))
    center = _least_squares(basis(d), change)
    # A bootstrap over R runs underestimates the variance by (R - 1) / R.
    half = stats.t.ppf(0.975, len(runs) - 1) * np.std(drawn, axis=0) * np.sqrt(len(runs) / (len(runs) - 1))
    return np.stack([center - half, center + half])


def _monotone(at: np.ndarray, d: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The nondecreasing fit through (0, 0), constant beyond the last point and straight between points."""
    order = np.argsort(d, kind="stable")
    rising = np.maximum(isotonic_regression(change[order]).x, 0.0)
    return np.interp(at, np.concatenate([[0.0], d[order]]), np.concatenate([[0.0], rising]))


def _held_out_error(predict, d: np.ndarray, change: np.ndarray) -> float:
    """Root mean squared error at each distance, predicted from all others."""
    squares = []
    for distance in np.unique(d):
        out = d == distance
        squares.extend((predict(d[out], d[~out], change[~out]) - change[out]) ** 2)
    return float(np.sqrt(np.mean(squares)))
