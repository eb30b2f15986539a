"""The forms of Goodhart curves and their fits, by least squares or with errors in d.

Each form is linear in its coefficients c: f(d) = basis(d) · c. With errors in d, f at the measured d is neither
unbiased nor equally precise everywhere. To second order in the standard error e of d,

    E f(d) = f(x) + ½ f″ e²,    var f(d) = f′² e² + ½ f″² e⁴,    x the true distance.

So residuals are y - f(d) + ½ f″(d) e², each over its own standard error √(s² + var f(d)), which depends on c: this is
orthogonal-distance regression (Deming regression where f is a line) with the true distances profiled out. The rest s²,
noise in y and lack of fit, is what makes the weighted sum of squares its expectation, N - p (Mandel & Paule 1970).
`scipy.odr` would do the first half; it is deprecated since SciPy 1.17.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.optimize import brentq, isotonic_regression, leastsq

#: Runs of neighbouring distances that are held out in turn.
BLOCKS = 10
#: Rounds in which coefficients and s² settle.
_ROUNDS = 20


class Points(NamedTuple):
    """Scored points of curves.

    Attributes:
        d: measured distances. [N]
        changes: by prompt; one column where only means are known. [N, P]
        runs: which run each point is of. [N]
        clusters: which prompts are alike. [P]
        error: standard errors of d; None where d has none. [N]
        moves: what each prompt adds to d, with mean 0 over prompts; None where that is not known. [N, P]
    """

    d: np.ndarray
    changes: np.ndarray
    runs: np.ndarray | None = None
    clusters: np.ndarray | None = None
    error: np.ndarray | None = None
    moves: np.ndarray | None = None

    @property
    def change(self) -> np.ndarray:
        """Means over prompts. [N]"""
        return np.nanmean(self.changes, axis=1)


class Form(NamedTuple):
    """A form and its first two derivatives by d, each from [N] to [N, coefficients]."""

    basis: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    bend: Callable[[np.ndarray], np.ndarray]


def _columns(*functions: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda d: np.stack([function(d) for function in functions], axis=1)


FORMS = {
    "linear": Form(_columns(lambda d: d), _columns(np.ones_like), _columns(np.zeros_like)),
    "bon": Form(
        _columns(lambda d: d, lambda d: -(d**2)),
        _columns(np.ones_like, lambda d: -2 * d),
        _columns(np.zeros_like, lambda d: np.full_like(d, -2.0)),
    ),
    "rl": Form(
        _columns(lambda d: d, lambda d: -d * np.log(d)),
        _columns(np.ones_like, lambda d: -np.log(d) - 1),
        _columns(np.zeros_like, lambda d: -1 / d),
    ),
}


class Solved(NamedTuple):
    """A fit: the c that solve instrumentᵀ weight (y - design · c) = 0.

    Attributes:
        coefficients: c. [C]
        design: the basis at the measured d, corrected for its errors. [N, C]
        instrument: the basis near the true d, times the weight; the design itself where d has no errors. [N, C]
        slope: f′ at d. [N]
        variance: of each residual; ones where d has no errors. [N]
        rest: s².
    """

    coefficients: np.ndarray
    design: np.ndarray
    instrument: np.ndarray
    slope: np.ndarray
    variance: np.ndarray
    rest: float


def solve(form: Form, d: np.ndarray, error: np.ndarray | None, change: np.ndarray, rest: float | None = None) -> Solved:
    """Fits a form to N points.

    Args:
        error: standard errors of d; without them this is ordinary least squares.
        rest: s², where it is known; otherwise estimated.
    """
    design = design_at(form, d, error)
    coefficients = np.linalg.lstsq(design, change, rcond=None)[0]
    if error is None:
        return Solved(coefficients, design, design, form.slope(d) @ coefficients, np.ones(len(d)), 0.0)
    slopes, bends = form.slope(d), form.bend(d)

    def of_d(c: np.ndarray) -> np.ndarray:
        return (slopes @ c) ** 2 * error**2 + (bends @ c) ** 2 * error**4 / 2

    s2 = _rest(change - design @ coefficients, of_d(coefficients), design.shape[1]) if rest is None else rest
    for _ in range(_ROUNDS if rest is None else 1):
        found, _ = leastsq(lambda c, s2=s2: (change - design @ c) / np.sqrt(s2 + of_d(c)), coefficients, xtol=1e-6)
        settled = np.allclose(found, coefficients, rtol=1e-3, atol=1e-9)
        coefficients = found
        if rest is None:
            s2 = _rest(change - design @ coefficients, of_d(coefficients), design.shape[1])
        if settled:
            break
    variance, slope = s2 + of_d(coefficients), slopes @ coefficients
    nearer = (change - design @ coefficients) / variance * slope * error**2
    return Solved(coefficients, design, (design + nearer[:, None] * slopes) / variance[:, None], slope, variance, s2)


def design_at(form: Form, d: np.ndarray, error: np.ndarray | None) -> np.ndarray:
    """The basis at measured distances, less what their errors add on average."""
    return form.basis(d) if error is None else form.basis(d) - form.bend(d) * error[:, None] ** 2 / 2


def _rest(residual: np.ndarray, of_d: np.ndarray, coefficients: int) -> float:
    """s², so that residual² / (s² + of_d) sums to its degrees of freedom; hardly anything where errors in d suffice."""
    freedom, most = len(residual) - coefficients, float((residual**2).sum()) + 1e-12
    least = 1e-6 * most / len(residual)

    def excess(s2: float) -> float:
        return float((residual**2 / (s2 + of_d)).sum()) - freedom

    return brentq(excess, least, most, rtol=1e-6) if freedom > 0 and excess(least) > 0 > excess(most) else least


def monotone(at: np.ndarray, d: np.ndarray, change: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The nondecreasing fit through (0, 0), constant beyond the last point and straight between points."""
    order = np.argsort(d, kind="stable")
    weighed = None if weights is None else weights[order]
    rising = np.maximum(isotonic_regression(change[order], weights=weighed).x, 0.0)
    return np.interp(at, np.concatenate([[0.0], d[order]]), np.concatenate([[0.0], rising]))


def held_out(name: str, points: Points, rest: float, variance: np.ndarray) -> tuple[float, ...]:
    """Mean squared error at each block of neighbouring distances, predicted from all others.

    Args:
        name: of a form, or any other word for the monotone curve.
        rest: s² of the form.
        variance: by which squares are divided, the same for all forms. [N]
    """
    distances, squares, change = np.unique(points.d), [], points.change
    for block in np.array_split(distances, min(BLOCKS, len(distances))):
        out = np.isin(points.d, block)
        error = None if points.error is None else points.error[~out]
        if (form := FORMS.get(name)) is None:
            weights = None if error is None else 1 / variance[~out]
            predicted = monotone(points.d[out], points.d[~out], change[~out], weights)
        else:
            solved = solve(form, points.d[~out], error, change[~out], rest)
            there = None if points.error is None else points.error[out]
            predicted = design_at(form, points.d[out], there) @ solved.coefficients
        squares.append(float(((predicted - change[out]) ** 2 / variance[out]).mean()))
    return tuple(squares)


def falls(points: Points, peak: float) -> bool:
    """Whether the points beyond the peak fall by themselves: the slope of a straight line through them, within runs, is
    below 0 (one-sided, 97.5 %).
    """
    beyond = points.d > peak
    d, change = points.d[beyond], points.change[beyond]
    _, run = np.unique(points.runs[beyond] if points.runs is not None else np.zeros(len(d)), return_inverse=True)
    freedom = len(d) - (run.max() + 1 if len(run) else 0) - 1
    if freedom < 1:
        return False
    x, y = (values - (np.bincount(run, values) / np.bincount(run))[run] for values in (d, change))
    if not (x**2).sum() > 0:
        return False
    slope = (x @ y) / (x @ x)
    error = np.sqrt(((y - slope * x) ** 2).sum() / freedom / (x @ x))
    return bool(slope + stats.t.ppf(0.975, freedom) * error < 0)


def peaks(name: str, coefficients: np.ndarray) -> np.ndarray:
    """d of the maximum for coefficients [K, 2]: infinite where the curve rises for ever, 0 where it never rises."""
    alpha, beta = coefficients.T
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        at = np.maximum(alpha, 0) / (2 * beta) if name == "bon" else np.exp(alpha / beta - 1)
    return np.where(beta > 0, at, np.where(alpha > 0, np.inf, 0.0))
