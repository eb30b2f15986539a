"""Goodhart fits recover what the curves were made from."""

from __future__ import annotations

import numpy as np
import pytest

from smilerl.evaluation.goodhart import best_form, curve, fit

D = np.linspace(0.2, 4.0, 20)
TRUTHS = {"bon": lambda a, b: D * (a - b * D), "rl": lambda a, b: D * (a - b * np.log(D))}


@pytest.mark.parametrize(
    ("form", "alpha", "beta", "peak"), [("bon", 0.89, 0.29, 0.89 / 0.58), ("rl", 0.9, 0.6, np.exp(0.5))]
)
def test_both_forms_are_recovered_and_told_apart(form, alpha, beta, peak):
    noise = np.random.default_rng(0).normal(0, 0.01, size=len(D))
    fits = fit(D, TRUTHS[form](alpha, beta) + noise)
    found = fits[form]
    assert best_form(fits) == form
    assert found.alpha[1] <= alpha <= found.alpha[2] and found.beta[1] <= beta <= found.beta[2]
    assert found.alpha[2] - found.alpha[1] < 0.05
    assert found.peak == pytest.approx(peak, abs=0.1) and not found.extrapolated
    assert curve(found, D) == pytest.approx(TRUTHS[form](alpha, beta), abs=0.02)


def test_a_peak_beyond_the_samples_is_an_extrapolation():
    fits = fit(D / 4, (D / 4) * (0.89 - 0.29 * D / 4))
    assert fits["bon"].peak == pytest.approx(0.89 / 0.58) and fits["bon"].extrapolated


def test_no_overoptimisation_has_no_peak_and_the_monotone_null_wins():
    steps = np.minimum(np.floor(D * 2) / 2, 1.5)  # rises in steps, then stays
    fits = fit(D, steps)
    assert best_form(fits) == "monotone" and fits["monotone"].peak is None
    assert fit(D, 0.3 * D)["bon"].peak is None or fit(D, 0.3 * D)["bon"].extrapolated


def test_runs_are_the_unit_when_there_are_three():
    rng = np.random.default_rng(1)
    d, group = np.tile(D, 6), np.repeat(np.arange(6), len(D))
    slopes = 0.9 + rng.normal(0, 0.1, size=6)  # runs differ, points of one run do not
    change = d * (slopes[group] - 0.3 * d)
    by_run, by_point = fit(d, change, group)["bon"], fit(d, change)["bon"]
    assert "runs" in by_run.intervals and "points" in by_point.intervals
    assert by_run.alpha[2] - by_run.alpha[1] > 1.5 * (by_point.alpha[2] - by_point.alpha[1])
    assert by_run.alpha[1] <= 0.9 <= by_run.alpha[2]


def test_too_few_distances_and_the_base_itself_are_refused():
    with pytest.raises(ValueError, match="too few"):
        fit([1, 1, 2, 3], [0, 0, 0, 0])
    with pytest.raises(ValueError, match="positive"):
        fit([0, 1, 2, 3, 4], [0, 0, 0, 0, 0])
