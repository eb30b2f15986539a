"""Goodhart fits recover what the curves were made from, and say nothing where nothing can be said."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from smilerl.statistics import goodhart
from smilerl.statistics.goodhart import FORMS as ALL
from smilerl.statistics.goodhart import choose, distances, fit, standard_error, summary

D = np.linspace(0.2, 4.0, 20)
FORMS = {
    "bon": (lambda d, a, b: d * (a - b * d), 0.89, 0.29, 0.89 / 0.58),
    "rl": (lambda d, a, b: d * (a - b * np.log(d)), 0.9, 0.6, np.exp(0.5)),
}
#: Simulated studies: six runs of eight points, whose slopes differ by .03; each point has noise of .03.
RUNS, POINTS, NOISE, STUDIES = 6, 8, 0.03, 60


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(goodhart, "RESAMPLES", 300)


def truth(form, d):
    bend, alpha, beta, _ = FORMS[form]
    return bend(d, alpha, beta)


def study(gold, furthest, seed):
    """d, change and run of a simulated study with checkpoints up to `furthest`."""
    rng = np.random.default_rng(seed)
    d = np.linspace(furthest / POINTS, furthest, POINTS) * np.exp(rng.normal(0, 0.1, size=(RUNS, POINTS)))
    change = gold(d) + d * rng.normal(0, 0.03, size=(RUNS, 1)) + rng.normal(0, NOISE, size=d.shape)
    return d.ravel(), change.ravel(), np.repeat(np.arange(RUNS), POINTS)


def words(gold, furthest):
    return Counter(choose(fit(*study(gold, furthest, seed))).form for seed in range(STUDIES))


@pytest.mark.parametrize("form", FORMS)
def test_in_simulated_studies_a_form_is_recovered_and_told_from_the_others(form):
    _, alpha, beta, peak = FORMS[form]
    hits = Counter()
    for seed in range(STUDIES):
        fits = fit(*study(lambda d: truth(form, d), 4.0, seed))
        found, chosen = fits[form], choose(fits)
        hits["alpha"] += found.alpha[1] <= alpha <= found.alpha[2]
        hits["beta"] += found.beta[1] <= beta <= found.beta[2]
        hits["form"] += chosen.form == form
        hits["peak"] += chosen.peak is not None and chosen.peak[1] <= peak <= chosen.peak[2]
    shares = {name: count / STUDIES for name, count in hits.items()}
    assert shares["alpha"] >= 0.9 and shares["beta"] >= 0.9
    assert shares["form"] >= 0.95 and shares["peak"] >= 0.85


@pytest.mark.parametrize("form", FORMS)
def test_before_its_peak_no_form_is_chosen(form):
    assert words(lambda d: truth(form, d), 0.6 * FORMS[form][3])["undetermined"] >= 0.97 * STUDIES


def test_a_single_short_run_is_not_called_monotone_by_chance():
    """One standard error alone would let the null, which fits anything, win in one of twenty."""
    d = np.linspace(0.06, 0.6, 10)
    found = Counter(
        choose(fit(d, truth("bon", d) + np.random.default_rng(seed).normal(0, 0.04, size=10))).form
        for seed in range(200)
    )
    assert found["undetermined"] >= 198


def test_a_peak_whose_interval_leaves_the_samples_is_not_reached():
    found = fit(D, truth("bon", D) + np.random.default_rng(0).normal(0, 0.01, size=len(D)))["bon"]
    assert found.peak_reached and not replace(found, peak_range=(1.5, 4.1)).peak_reached
    assert not replace(found, peak_range=(0.1, 1.6)).peak_reached and not replace(found, falls=False).peak_reached


def test_a_curve_that_levels_off_is_given_no_peak():
    """`rl` fits it well, with a peak near the end."""
    found = words(lambda d: 0.8 * (1 - np.exp(-d / 0.7)), 4.0)
    assert found["bon"] + found["rl"] + found["linear"] <= 0.02 * STUDIES


def test_a_line_is_a_line_only_where_a_bend_is_excluded():
    found = words(lambda d: 0.3 * d, 4.0)
    assert found["undetermined"] > found["linear"] and found["undetermined"] + found["linear"] == STUDIES
    rng = np.random.default_rng(0)
    chosen = choose(fit(D, 0.3 * D + rng.normal(0, 0.002, size=len(D))))
    assert chosen.form == "linear" and chosen.peak is None


def test_no_change_at_all_has_no_form():
    rng = np.random.default_rng(1)
    assert choose(fit(D, rng.normal(0, 0.02, size=len(D)))).form == "undetermined"


@pytest.mark.parametrize("form", FORMS)
def test_a_long_run_by_itself(form):
    fits = fit(D, truth(form, D) + np.random.default_rng(0).normal(0, 0.01, size=len(D)))
    found, chosen = fits[form], choose(fits)
    assert chosen.form == form and chosen.peak[1] < FORMS[form][3] < chosen.peak[2]
    assert found.alpha[2] - found.alpha[1] < 0.05 and "points" in found.intervals


def test_a_peak_beyond_the_samples_is_an_extrapolation():
    fits = fit(D / 4, truth("bon", D / 4))
    assert fits["bon"].peak == pytest.approx(0.89 / 0.58) and fits["bon"].extrapolated and not fits["bon"].peak_reached
    assert choose(fits).form == "undetermined" and choose(fits).peak is None


def test_steps_that_never_fall_are_the_monotone_null():
    fits = fit(D, np.where(D > 1, 1.0, 0.0))
    assert choose(fits).form == "monotone" and fits["monotone"].peak is None


def test_a_curve_that_only_rises_has_no_peak():
    found = fit(D, 0.3 * D + 0.01 * D**2)["bon"]
    assert found.peak is None and found.peak_range == (np.inf, np.inf) and not found.extrapolated


def test_runs_are_the_unit_when_there_are_three():
    rng = np.random.default_rng(1)
    d, group = np.tile(D, 6), np.repeat(np.arange(6), len(D))
    slopes = 0.9 + rng.normal(0, 0.1, size=6)  # runs differ, points of one run do not
    change = d * (slopes[group] - 0.3 * d)
    by_run, by_point = fit(d, change, group)["bon"], fit(d, change)["bon"]
    assert "runs" in by_run.intervals and "points" in by_point.intervals
    assert by_run.alpha[2] - by_run.alpha[1] > 1.5 * (by_point.alpha[2] - by_point.alpha[1])
    assert by_run.alpha[1] <= 0.9 <= by_run.alpha[2]


def test_whom_we_asked_is_in_the_interval_when_changes_come_by_prompt():
    """Sixty prompts in twelve clusters that differ in slope, the same for all points: points look far too sure."""
    covered = Counter()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        clusters = np.arange(60) % 12
        slopes = 0.89 + rng.normal(0, 0.3, size=12)[clusters]
        change = D[:, None] * (slopes - 0.29 * D[:, None]) + rng.normal(0, 0.2, size=(len(D), 60))
        by_prompt = fit(D, change, clusters=clusters)["bon"]
        by_point = fit(D, change.mean(1))["bon"]
        for name, found in (("prompts", by_prompt), ("points", by_point)):
            covered[name] += found.alpha[1] <= 0.89 <= found.alpha[2]
    assert by_prompt.intervals == "bootstrap over prompts"
    assert covered["prompts"] >= 54 and covered["points"] <= 30


def test_runs_and_prompts_are_resampled_together():
    rng = np.random.default_rng(2)
    d, group = np.tile(D, 4), np.repeat(np.arange(4), len(D))
    change = d[:, None] * (0.89 + rng.normal(0, 0.3, size=30) - 0.29 * d[:, None])
    both, runs = (fit(d, given, group)["bon"] for given in (change, change.mean(1)))
    assert both.intervals == "bootstrap over runs and prompts"
    assert both.alpha[2] - both.alpha[1] > 5 * (runs.alpha[2] - runs.alpha[1])


def test_unscored_points_are_left_out_and_counted():
    change = truth("bon", D)
    change[[3, 7]] = np.nan
    found = fit(D, change)["bon"]
    assert (found.scored, found.of) == (18, 20) and found.alpha[0] == pytest.approx(0.89)


def test_too_few_distances_and_the_base_itself_are_refused():
    with pytest.raises(ValueError, match="too few"):
        fit([1, 1, 2, 3], [0, 0, 0, 0])
    with pytest.raises(ValueError, match="positive"):
        fit([0, 1, 2, 3, 4], [0, 0, 0, 0, 0])


def test_the_summary_is_plain():
    found = json.loads(json.dumps(summary(D, 0.3 * D + 0.01 * D**2), allow_nan=False))
    assert tuple(found["fits"]) == ALL and found["peak"] is None and found["why"]
    assert found["fits"]["bon"]["peak_range"] == [None, None] and found["fits"]["rl"]["scored"] == len(D)
    noisy = truth("bon", D) + np.random.default_rng(0).normal(0, 0.01, size=len(D))
    assert summary(D, noisy)["form"] == "bon" and summary(D, noisy)["peak"][0] == pytest.approx(0.89 / 0.58, abs=0.05)


#: Designs in which errors in d mislead most: points, runs, spacing, largest d, and standard error of d, as a share of d
#: or of the largest d.
MISMEASURED = {
    "40 points to 10": (np.linspace(0.25, 10, 40), 1, lambda d: 0.1 * d),
    "8 points of 6 runs to 10": (np.linspace(1.25, 10, 8), 6, lambda d: np.full(d.shape, 1.0)),
    "40 points to 4": (np.linspace(0.1, 4, 40), 1, lambda d: np.full(d.shape, 0.4)),
    "14 points to 4, log-spaced": (np.geomspace(0.25, 4, 14), 1, lambda d: 0.1 * d),
}


def mismeasured(form, design, seed, share=1.0):
    """d with errors, change, run, and standard errors of d."""
    at, runs, spread = MISMEASURED[design]
    x, rng = np.tile(at, runs), np.random.default_rng(seed)
    change, error = truth(form, x) + rng.normal(0, NOISE, len(x)), share * spread(x)
    d = np.maximum(x + error * rng.normal(size=len(x)), 0.01)
    return d, change, np.repeat(np.arange(runs), len(at)), error


@pytest.mark.parametrize("design", MISMEASURED)
def test_a_best_of_n_curve_whose_distances_have_errors_is_not_called_rl(record_property, design):
    """Ignoring errors of 10 % names the wrong form in up to half of the studies (asked below, so that this has teeth)."""
    found, ignoring = Counter(), Counter()
    for seed in range(20):
        for share in (0.4, 1.0):
            d, change, run, error = mismeasured("bon", design, seed, share)
            found[share, choose(fit(d, change, run, d_error=error)).form] += 1
        ignoring[choose(fit(d, change, run)).form] += 1
    record_property("tried", 40)
    assert found[0.4, "rl"] == 0 and found[1.0, "rl"] == 0 and found[0.4, "bon"] >= 18
    if "log" not in design:
        assert ignoring["rl"] >= 5


def test_with_errors_in_d_coefficients_are_those_of_the_true_curve():
    """A line has a known bias without: Σx² / Σ(x² + e²)."""
    x, rng = np.linspace(0.1, 1, 60), np.random.default_rng(0)
    found = Counter()
    for _ in range(40):
        d = np.abs(x + rng.normal(0, 0.15, 60))
        y = 2 * x + rng.normal(0, 0.1, 60)
        found["with"] += fit(d, y, d_error=np.full(60, 0.15))["linear"].alpha[0] / 40
        found["without"] += fit(d, y)["linear"].alpha[0] / 40
    assert found["with"] == pytest.approx(2, abs=0.03) and found["without"] < 1.92


def test_d_is_the_root_of_the_mean_kl():
    """KL is additive over prompts and its root is not; a prompt moves d by half its own excess over d."""
    d, moves = distances(np.array([[1.0, 7.0], [4.0, np.nan]]))
    assert d.tolist() == [2.0, 2.0] and moves.tolist() == [[-0.75, 0.75], [0.0, 0.0]]


def test_errors_in_d_by_prompt_are_in_the_interval():
    """The same prompts tell d and the change, so one bootstrap has both."""
    rng, covered, widths = np.random.default_rng(0), Counter(), []
    x = np.geomspace(0.25, 4, 14)
    for _ in range(40):
        kl = x[:, None] ** 2 * (1 + rng.normal(0, 1.0, (14, 100)))
        change = truth("bon", x)[:, None] + rng.normal(0, 0.3, (14, 100))
        d, moves = distances(kl)
        assert np.allclose(d**2, kl.mean(1)) and np.allclose(moves.mean(1), 0)
        with_, without = fit(d, change, d_error=moves)["bon"], fit(d, change)["bon"]
        covered["with"] += with_.alpha[1] <= 0.89 <= with_.alpha[2]
        covered["without"] += without.alpha[1] <= 0.89 <= without.alpha[2]
        widths.append(standard_error(moves) / d)
    assert np.mean(widths) == pytest.approx(0.05, abs=0.005)
    assert covered["with"] >= 35 and covered["without"] < covered["with"]


def test_no_errors_in_d_are_as_none_given_and_errors_of_another_shape_are_refused():
    change = truth("bon", D) + np.random.default_rng(0).normal(0, 0.01, size=len(D))
    assert fit(D, change, d_error=np.zeros(len(D))) == fit(D, change)
    for wrong in (np.ones(3), np.full(len(D), np.nan), -np.ones(len(D))):
        with pytest.raises(ValueError, match=r"d_error|negative"):
            fit(D, change, d_error=wrong)
