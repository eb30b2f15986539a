"""Intervals against closed forms and against simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from smilerl.evaluation import statistics
from smilerl.evaluation.formula import parse
from smilerl.evaluation.statistics import Answered, estimate, seed_interval

TWINS = ["one", "two"]


def rates(text, *events, n=100, rows=("a", "b", "c", "d")):
    """Estimate of a formula over `tamper`, whose terms have so many events in n replies."""
    terms = [
        Answered((np.arange(n) < k).astype(float), np.arange(n) % 10, row, f"policy {number}")
        for number, (k, row) in enumerate(zip(events, rows, strict=False))
    ]
    return estimate(parse(text, TWINS), terms, seed=0)


def test_a_rare_rate_is_wilsons():
    found = rates("policy(tamper, one)", 0, n=1024)
    assert found.method == "Wilson" and found.value == 0
    z = stats.norm.ppf(0.975)
    assert found.high == pytest.approx(z**2 / (1024 + z**2)) and found.high < 0.004
    assert (found.low, found.scored, found.of) == (0, 1024, 1024)


def test_a_rare_difference_is_newcombes():
    found = rates("policy(tamper, one) - policy(tamper, two)", 56, 48, n=80)
    assert found.method != "Newcombe"  # not rare
    found = rates("policy(tamper, one) - policy(tamper, two)", 9, 3, n=100)
    low, high = confint_proportions_2indep(9, 100, 3, 100, compare="diff", method="newcomb")
    assert found.method == "Newcombe" and (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_a_paired_difference_uses_the_pairs():
    """Newcombe 1998, method 10, worked by hand for 2x2 counts a=2, b=6, c=1, d=91."""
    one = np.r_[np.ones(8), np.zeros(92)]
    two = np.r_[np.ones(2), np.zeros(6), np.ones(1), np.zeros(91)]
    found = estimate(
        parse("policy(tamper, one) - policy(tamper, two)", TWINS),
        [Answered(one, np.arange(100) % 10, "pairs", "x"), Answered(two, np.arange(100) % 10, "pairs", "x")],
        seed=0,
    )
    (l1, u1), (l2, u2) = (proportion_confint(k, 100, method="wilson") for k in (8, 3))
    phi = (2 * 91 - 6 * 1 - 50) / math.sqrt(8 * 92 * 3 * 97)
    low = 0.05 - math.sqrt((0.08 - l1) ** 2 + (u2 - 0.03) ** 2 - 2 * phi * (0.08 - l1) * (u2 - 0.03))
    high = 0.05 + math.sqrt((u1 - 0.08) ** 2 + (0.03 - l2) ** 2 - 2 * phi * (u1 - 0.08) * (0.03 - l2))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_two_policies_that_never_do_it_are_not_known_to_be_equal():
    found = rates("policy(tamper, one) - base(tamper, one)", 0, 0, n=50, rows=("a", "a"))
    assert found.low < 0 < found.high


def test_the_base_minus_itself_is_zero_not_about_zero():
    data = Answered(np.r_[1.0, np.zeros(49)], np.arange(50) % 5, "a", "base")
    found = estimate(parse("policy(tamper, one) - base(tamper, one)", TWINS), [data, data], seed=0)
    assert (found.low, found.value, found.high) == (0, 0, 0)


def test_a_sum_of_rates_and_a_constant():
    found = rates("policy(tamper, one) + policy(tamper, two) - 1", 99, 98)
    assert found.method == "Newcombe" and found.value == pytest.approx(0.97)
    assert 0.9 < found.low < 0.97 < found.high <= 1


def test_unscored_replies_are_left_out_and_counted():
    values = np.array([1.0, np.nan, 0.0, np.nan] * 25)
    found = estimate(parse("policy(care, one)", TWINS), [Answered(values, np.arange(100) % 7, "a", "x")], seed=0)
    assert (found.value, found.scored, found.of) == (0.5, 50, 100)


def test_nothing_scored_is_no_number():
    found = estimate(parse("policy(care, one)", TWINS), [Answered(np.full(5, np.nan), np.arange(5), "a", "x")], seed=0)
    assert (found.value, found.low, found.high, found.scored, found.of) == (None, None, None, 0, 5)


def test_many_even_clusters_give_the_t_interval():
    rng = np.random.default_rng(0)
    values = np.clip(rng.normal(0.3, 0.2, size=400), -1, 1)
    found = estimate(parse("policy(care, one)", TWINS), [Answered(values, np.arange(400), "a", "x")], seed=0)
    low, high = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)


def test_pairs_make_the_contrast_sharper():
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 0.3, size=300)
    one, two = (np.clip(shared + rng.normal(0, 0.05, size=300), -1, 1) for _ in range(2))
    clusters = np.arange(300) % 60
    paired = [Answered(one, clusters, "a", "x"), Answered(two, clusters, "a", "y")]
    apart = [Answered(one, clusters, "a", "x"), Answered(two, clusters + 100, "b", "y")]
    formula = parse("policy(care, one) - base(care, one)", TWINS)
    widths = [found.high - found.low for found in (estimate(formula, data, seed=0) for data in (paired, apart))]
    assert widths[0] < 0.4 * widths[1]


def test_clusters_make_the_interval_wider():
    rng = np.random.default_rng(2)
    values = np.clip(np.repeat(rng.normal(0, 0.3, size=20), 20), -1, 1)
    formula = parse("policy(care, one)", TWINS)
    by_cluster, by_row = (
        estimate(formula, [Answered(values, clusters, "a", "x")], seed=0)
        for clusters in (np.arange(400) // 20, np.arange(400))
    )
    assert by_cluster.high - by_cluster.low > 3 * (by_row.high - by_row.low)


def test_coverage_with_few_clusters(monkeypatch):
    """With 24 clusters of unequal size a nominal 95 % interval must cover the truth nearly that often."""
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    rng = np.random.default_rng(3)
    formula = parse("policy(wellbeing, one)", TWINS)
    covered = 0
    for study in range(300):
        sizes = rng.integers(3, 12, size=24)
        means = 0.2 + rng.normal(0, 0.2, size=24)
        values = np.concatenate([mean + rng.normal(0, 0.3, size=size) for mean, size in zip(means, sizes, strict=True)])
        found = estimate(formula, [Answered(values, np.repeat(np.arange(24), sizes), "a", "x")], seed=study)
        covered += found.low <= 0.2 <= found.high
    assert 0.92 <= covered / 300 <= 0.985


def test_a_ratio_of_means_has_an_interval_that_covers():
    rng = np.random.default_rng(4)
    clusters = np.arange(400) % 80
    numerator, denominator = rng.normal(0.5, 0.1, 400), rng.normal(1.0, 0.1, 400)
    data = [Answered(numerator, clusters, "a", "x"), Answered(denominator, clusters, "a", "y")]
    found = estimate(parse("policy(care, one) / base(care, one)", TWINS), data, seed=0)
    # Delta method: relative errors add up.
    error = 0.5 * math.sqrt((0.1 / 0.5) ** 2 + 0.1**2) / math.sqrt(400)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.25)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(5).uniform(size=60)
    data = [Answered(values, np.arange(60) % 12, "a", "x")]
    formula = parse("policy(care, one)", TWINS)
    assert estimate(formula, data, seed=7) == estimate(formula, data, seed=7) != estimate(formula, data, seed=8)


def test_seed_intervals():
    mean, low, high = seed_interval([0.1, 0.2, 0.3])
    assert (mean, low, high) == pytest.approx((0.2, *stats.t.interval(0.95, 2, 0.2, 0.1 / math.sqrt(3))))
    assert math.isnan(seed_interval([0.4])[1])


def test_equivalence_needs_evidence():
    assert statistics.equivalence([0.001, -0.002, 0.0, 0.001, -0.001, 0.002], 0.05) < 0.001
    assert statistics.equivalence([0.1, -0.12, 0.03, -0.09, 0.11, 0.02], 0.05) > 0.05


def test_scored_counts_replies_of_policy_and_base_once():
    formula = parse("policy(tamper, one) + policy(care, one) - base(care, one) - carer(care, two)", TWINS)
    known, half = np.ones(20), np.r_[np.ones(10), np.full(10, np.nan)]
    data = [Answered(values, np.arange(20) % 5, "a", f"x{i}") for i, values in enumerate((known, half, known, known))]
    found = estimate(formula, data, seed=0)
    assert (found.scored, found.of) == (30, 40)


def test_a_number_that_hardly_ever_varies_has_a_narrow_interval():
    """Three replies of 320 differ: the studentised bootstrap alone gives an interval of half the range."""
    values = np.full(320, 0.98)
    values[[3, 4, 200]] = [0.3, 0.5, 0.2]
    clusters = np.arange(320) % 60
    question = parse("policy(reading, one)", TWINS)
    found = estimate(question, [Answered(values, clusters, "people")], seed=0)
    assert found.low < values.mean() < found.high and found.high - found.low < 0.12


def test_where_clusters_answer_alike_the_interval_stays_as_wide_as_they_make_it():
    """Twenty clusters of sixteen, all or nothing: three hundred and twenty replies are worth twenty."""
    clusters = np.repeat(np.arange(20), 16)
    found = estimate(
        parse("policy(wellbeing, one)", TWINS), [Answered((clusters < 10) * 1.0, clusters, "people")], seed=0
    )
    assert found.high - found.low > 0.35
