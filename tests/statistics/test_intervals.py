"""Intervals against closed forms and against simulated truth."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from smilerl.evaluation.formula import parse
from smilerl.statistics import bootstrap, intervals
from smilerl.statistics.bootstrap import Answered
from smilerl.statistics.intervals import Estimate, estimate, mean_estimate
from smilerl.statistics.rates import rate_limits, wilson
from smilerl.statistics.seeds import over_seeds, paired
from smilerl.studies import comparisons

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
    monkeypatch.setattr(bootstrap, "RESAMPLES", 400)
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


def run(value, parts=None):
    return Estimate(value, None, None, 1, 1, "", parts=parts)


def test_parts_are_a_delete_one_cluster_jackknife():
    rng = np.random.default_rng(6)
    clusters, values = np.arange(40) % 8, rng.normal(size=40)
    found = estimate(parse("policy(care, one)", TWINS), [Answered(values, clusters, "a", "x")], seed=0, parts=True)
    assert list(found.parts) == [str(name) for name in range(8)]
    without = np.array([values[clusters != name].mean() for name in range(8)])
    assert list(found.parts.values()) == pytest.approx((values.mean() - without) * math.sqrt(7 / 8))
    # For a mean over clusters of one size that is the usual standard error of cluster means.
    means = values.reshape(5, 8).mean(0)
    assert math.sqrt(sum(part**2 for part in found.parts.values())) == pytest.approx(stats.sem(means))
    assert mean_estimate(values, clusters, seed=0, parts=True).parts == pytest.approx(found.parts)


def test_parts_are_left_out_of_what_is_written_unless_asked_for():
    formula, data = parse("policy(care, one)", TWINS), [Answered(np.arange(10) / 10, np.arange(10) % 5, "a", "x")]
    assert "parts" not in estimate(formula, data, seed=0).to_dict()
    assert set(estimate(formula, data, seed=0, parts=True).to_dict()["parts"]) == set("01234")


def test_without_parts_it_is_the_t_interval():
    found = over_seeds([run(0.1), run(0.2), run(0.3)])
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.2, *stats.t.interval(0.95, 2, 0.2, 0.1 / math.sqrt(3)))
    )
    assert found.freedom == 2 and "these people" in found.method and found.seeds == (0.1, 0.2, 0.3)


def test_what_seeds_share_does_not_shrink_with_seeds():
    """Seeds that agree about clusters: the standard error is that of one run, however many there are."""
    rng = np.random.default_rng(7)
    parts = {str(name): part for name, part in enumerate(rng.normal(0, 0.02, 50))}
    own = math.sqrt(sum(part**2 for part in parts.values()))
    values = rng.normal(0.3, 0.01, size=20)
    few, many = (over_seeds([run(value, parts) for value in values[:n]]) for n in (5, 20))
    assert few.error > 0.99 * own and many.error > 0.99 * own
    assert over_seeds([run(value) for value in values]).error < 0.1 * own
    assert many.freedom < 50


def test_what_each_seed_has_to_itself_is_counted_once():
    """Errors that seeds do not share are in the spread of their values already."""
    rng = np.random.default_rng(8)
    errors = []
    for _ in range(200):
        parts = rng.normal(0, 0.02, size=(12, 60))
        runs = [run(row.sum(), {str(name): part for name, part in enumerate(row)}) for row in parts]
        errors.append(over_seeds(runs).error)
    truth = 0.02 * math.sqrt(60 / 12)
    assert truth < np.mean(errors) < 1.15 * truth


def test_pairs_forget_what_arm_and_control_share():
    rng = np.random.default_rng(9)
    shared = {str(name): part for name, part in enumerate(rng.normal(0, 0.1, 40))}
    arm = [run(0.5 + bump, shared) for bump in (0.01, -0.01, 0.02, 0.0, 0.01, -0.02)]
    control = [run(0.4, shared)] * 6
    found = paired(arm, control)
    assert found.value == pytest.approx(0.1 + np.mean([0.01, -0.01, 0.02, 0.0, 0.01, -0.02]))
    assert found.error == pytest.approx(stats.sem([0.01, -0.01, 0.02, 0.0, 0.01, -0.02]))
    assert over_seeds(arm).error > 20 * found.error
    assert found.p_value() < 0.001 and found.p_value(0.1) > 0.5
    with pytest.raises(ValueError, match="no pairs"):
        paired(arm, control[:3])


def test_unscored_seeds_are_left_out_and_counted():
    found = paired([run(0.5), run(None), run(0.7), run(0.6)], [run(0.1), run(0.1), run(None), run(0.1)])
    assert found.seeds == pytest.approx((0.4, 0.5)) and found.unscored == 2


@pytest.mark.parametrize("values", [[], [0.3], [0.0] * 6])
def test_seeds_that_say_nothing_of_the_next_have_no_interval(values):
    found = over_seeds([run(value) for value in values])
    assert (
        found.low is None and found.high is None and math.isnan(found.p_value()) and math.isnan(found.equivalence(0.1))
    )
    assert found.value == (values[0] if values else None)


def test_equivalence_over_seeds_is_two_one_sided_t_tests():
    differences = [0.001, -0.002, 0.0, 0.001, -0.001, 0.002]
    found = over_seeds([run(value) for value in differences])
    for margin in (0.05, 0.001):
        below = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
        above = stats.ttest_1samp(differences, margin, alternative="less").pvalue
        assert found.equivalence(margin) == pytest.approx(max(below, above))


def test_rare_events_in_few_clusters_count_for_less():
    """Six events among a thousand: one each in six clusters, or all in one."""
    clusters = np.arange(1000) % 50
    apart, together = np.zeros(1000), np.zeros(1000)
    apart[:6], together[:300:50] = 1, 1
    formula = parse("policy(tamper, one)", TWINS)
    found = [estimate(formula, [Answered(values, clusters, "a", "x")], seed=0) for values in (apart, together)]
    low, high = proportion_confint(6, 1000, method="wilson")
    assert (found[0].low, found[0].high) == pytest.approx((low, high))
    assert found[1].method == "Wilson" and found[1].high > 1.7 * high and found[1].value == 0.006


def test_rates_in_few_clusters_are_covered():
    """Five clusters whose rates differ: with a normal quantile in place of Student's, a ninth of the intervals would miss."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        own = rng.beta(2.4, 5.6, size=5)  # mean .3, standard deviation .15
        answered = Answered(rng.binomial(1, np.repeat(own, 40)).astype(float), np.repeat(np.arange(5), 40), "a", "x")
        low, high = rate_limits(answered, 0.95)
        covered += low <= 0.3 <= high
    assert covered >= 0.92 * 400


def study(seeds, parts=True):
    """Invented results of two arms; people of ten clusters are an error that all seeds share."""
    rng = np.random.default_rng(10)
    shared = {str(name): part for name, part in enumerate(rng.normal(0, 0.05, 10))}
    rows = [
        {"arm": arm, "seed": seed, "measure": "cgi", "value": level + rng.normal(0, 0.01)}
        | ({"parts": shared} if parts else {})
        for arm, level in (("smile", 0.3), ("random", 0.1))
        for seed in range(seeds)
    ]
    return SimpleNamespace(measures=pd.DataFrame(rows).astype({"seed": "Int64"}))


def test_a_study_with_parts_speaks_of_people_and_one_without_of_these_people():
    wide, narrow = (comparisons.over_seeds(study(6, parts), ["cgi"]).set_index("arm") for parts in (True, False))
    assert (wide.about == "seeds and people").all() and (narrow.about == "seeds, these people").all()
    assert (wide["mean"] == narrow["mean"]).all() and (wide.high - wide.low > 3 * (narrow.high - narrow.low)).all()


def test_a_bounded_mean_has_a_width_where_all_score_the_same():
    clusters = np.arange(40).astype(str)
    none, rare, half = np.zeros(40), np.r_[1.0, np.zeros(39)], np.tile([0.0, 1.0], 20)
    assert intervals.bounded_estimate(none, clusters, seed=0).high == pytest.approx(wilson(0, 40)[1])
    assert intervals.bounded_estimate(rare, clusters, seed=0).low > 0
    middling = intervals.bounded_estimate(half, clusters, seed=0)
    assert middling.method.startswith("studentised") and 0.3 < middling.low < 0.5 < middling.high < 0.7
    full = intervals.bounded_estimate(np.full(40, 2.0), clusters, low=-2, high=2, seed=0)
    assert full.value == full.high == 2 and 1.5 < full.low < 1.8
    assert intervals.bounded_estimate(np.full(3, np.nan), clusters[:3], seed=0).value is None


def test_a_smooth_function_of_means_has_an_interval_and_may_be_undefined():
    rng = np.random.default_rng(0)
    x, y = rng.normal(2, 1, 400), rng.normal(4, 1, 400)
    clusters = np.arange(400).astype(str)
    ratio = intervals.smooth_estimate(lambda means: means[1] / means[0], [x, y], clusters, seed=0)
    error = 2 * np.sqrt((1 / 2**2 + 1 / 4**2) / 400)  # by the delta method
    assert ratio.value == pytest.approx(2, abs=0.2) and (ratio.high - ratio.low) / 3.92 == pytest.approx(error, rel=0.2)
    x[:100] = np.nan
    assert intervals.smooth_estimate(lambda means: means[1] / means[0], [x, y], clusters, seed=0).scored == 300
    undefined = intervals.smooth_estimate(lambda means: means[0] / 0, [y], clusters, seed=0)
    assert undefined.value is None and undefined.method.startswith("undefined")
