"""Best of n, against every subset there is."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from smilerl.statistics import goodhart
from smilerl.statistics.best_of_n import COLUMNS, curves, kl_bound, sizes, slope, slopes, table

NAN = float("nan")


def by_hand(rewards, gold, n):
    """Mean over all subsets of the best reward, and of gold at the best, ties shared."""
    best, at = [], []
    for subset in combinations([i for i, reward in enumerate(rewards) if not np.isnan(reward)], n):
        top = max(rewards[i] for i in subset)
        best.append(top)
        at.append(np.mean([gold[i] for i in subset if rewards[i] == top]))
    return np.mean(best), np.mean(at)


@pytest.mark.parametrize("ties", [False, True])
def test_it_is_the_mean_over_all_subsets(ties):
    rng = np.random.default_rng(0)
    rewards, gold = rng.normal(size=(5, 9)), rng.normal(size=(5, 9))
    if ties:
        rewards = np.round(rewards)
    found = curves(rewards, gold)
    assert found.n.tolist() == [1, 2, 4, 8, 9]
    for row in range(5):
        for place, n in enumerate(found.n):
            best, at = by_hand(rewards[row], gold[row], n)
            assert found.proxy[row, place] == pytest.approx(best)
            assert found.gold[row, place] == pytest.approx(at)


def test_it_is_unbiased_in_simulation():
    """Rewards and gold are jointly normal: E[max_n R] is known, and gold at the best is rho times it."""
    rng = np.random.default_rng(1)
    rewards = rng.normal(size=(6000, 8))
    gold = 0.5 * rewards + rng.normal(size=rewards.shape)
    found = curves(rewards, gold)
    truth = {1: 0.0, 2: 1 / np.sqrt(np.pi), 4: 1.02938, 8: 1.42360}  # order statistics of the normal
    for place, n in enumerate(found.n):
        for own, expectation in ((found.proxy[:, place], truth[n]), (found.gold[:, place], 0.5 * truth[n])):
            assert own.mean() == pytest.approx(expectation, abs=3.5 * own.std() / np.sqrt(len(own)))


def test_where_all_rewards_are_equal_nobody_is_chosen_rather():
    assert curves(np.ones((1, 6)), [[1, 2, 3, 4, 5, 9]]).gold == pytest.approx(np.full((1, 4), 4.0))


def test_unscored_samples_are_no_candidates_and_are_counted():
    found = curves([[1.0, None, 3.0, NAN, 2.0]], [[1.0, 100.0, 3.0, 100.0, 2.0]])
    assert (found.scored, found.of) == (3, 5)
    known = curves([[1.0, 3.0, 2.0]], [[1.0, 3.0, 2.0]])
    assert found.gold[0, :2] == pytest.approx(known.gold[0, :2])
    assert np.isnan(found.gold[0, 2:]).all() and found.n.tolist() == [1, 2, 4, 5]


def test_a_prompt_without_any_score_is_no_number():
    found = curves([[NAN, NAN], [1.0, 2.0]], [[1.0, 1.0], [5.0, 7.0]])
    assert np.isnan(found.proxy[0]).all() and found.gold[1].tolist() == [6.0, 7.0]


def test_a_choice_whose_measure_is_unknown_is_left_out_of_the_measure_only():
    found = curves([[1.0, 2.0, 3.0]], [[1.0, 2.0, NAN]])
    assert found.proxy[0].tolist() == pytest.approx([2.0, 8 / 3, 3.0])
    # Of three pairs two are won by the unknown, one by the sample with 2.
    assert found.gold[0, :2].tolist() == pytest.approx([1.5, 2.0]) and np.isnan(found.gold[0, 2])


def test_many_samples_are_no_trouble():
    rewards = np.random.default_rng(2).permutation(np.arange(4096.0))[None]
    found = curves(rewards, -rewards)
    # The expected maximum of n of 0..M-1 without replacement is n (M + 1) / (n + 1) - 1.
    assert found.proxy[0] == pytest.approx([n * 4097 / (n + 1) - 1 for n in found.n], rel=1e-6)
    assert found.gold[0] == pytest.approx(-found.proxy[0])


@pytest.mark.parametrize(
    ("rewards", "measure", "says"),
    [
        ([[1.0, np.inf]], [[1.0, 1.0]], "infinite"),
        ([1.0, 2.0], [1.0, 2.0], "shape"),
        ([[1.0, 2.0]], [[1.0]], "shape"),
        ([[]], [[]], "shape"),
    ],
)
def test_what_cannot_be_is_refused(rewards, measure, says):
    with pytest.raises(ValueError, match=says):
        curves(rewards, measure)


def test_sizes_and_the_bound():
    assert sizes(1) == (1,) and sizes(8) == (1, 2, 4, 8) and sizes(24) == (1, 2, 4, 8, 16, 24)
    assert kl_bound(1) == 0 and kl_bound(2) == pytest.approx(np.log(2) - 0.5)


def test_the_bound_is_above_the_kl_of_a_policy_with_few_replies():
    """Three replies; best of 4 by reward has known probabilities."""
    base = np.array([0.5, 0.3, 0.2])
    cumulative = np.cumsum(base)
    best = cumulative**4 - np.r_[0, cumulative[:-1]] ** 4
    assert 0 < (best * np.log(best / base)).sum() < kl_bound(4)


def test_the_slope_says_what_search_costs():
    rng = np.random.default_rng(3)
    clusters = np.arange(300) % 30
    rewards = rng.normal(size=(300, 16))
    cost = (0.3 + rng.normal(0, 0.1, size=30))[clusters][:, None]
    harmed = curves(rewards, -cost * rewards)
    assert slope(harmed, clusters).high < 0
    untouched = slope(curves(rewards, rng.normal(size=rewards.shape)), clusters)
    assert untouched.low < 0 < untouched.high
    together, alone = slope(harmed, clusters), slope(harmed)
    assert together.high - together.low > 1.2 * (alone.high - alone.low)


def test_slopes_of_prompts_with_one_size_are_unscored():
    found = curves([[1.0, NAN], [1.0, 2.0], [2.0, 4.0]], [[1.0, 1.0], [0.0, 1.0], [0.0, 2.0]])
    assert slopes(found) == pytest.approx(np.array([NAN, 0.5, 1.0]) / np.log(2), nan_ok=True)
    result = slope(found)
    assert (result.scored, result.of) == (2, 3) and result.value == pytest.approx(0.75 / np.log(2))


def test_the_long_table_is_what_fits_take():
    rng = np.random.default_rng(4)
    rewards = rng.normal(size=(400, 64))
    best = curves(rewards, rewards - 0.5 * rewards**2)
    points = table(best)
    assert list(points.columns) == COLUMNS and (points.kl_is == "upper bound").all() and len(points) == 6
    assert points.d.tolist() == pytest.approx(best.d.tolist())
    assert points.proxy_change.tolist() == pytest.approx(best.proxy_change.mean(1).tolist())
    by_point = goodhart.fit(points.d, points.gold_change, points.group)
    by_prompt = goodhart.fit(best.d, best.gold_change)
    assert by_point["bon"].alpha[0] == pytest.approx(by_prompt["bon"].alpha[0])
    assert "prompts" in by_prompt["bon"].intervals


def test_changes_are_within_prompts():
    """A prompt that cannot be searched far has no say in what searching far does."""
    points = table(curves([[0.0, 1.0, NAN, NAN], [10.0, 12.0, 14.0, 16.0]], np.zeros((2, 4))))
    assert points.prompts.tolist() == [2, 1] and points["of"].tolist() == [2, 2]
    assert points.proxy_change.iloc[1] == pytest.approx(16 - 13)
