"""Total variation of acts between twins: 0 where nothing differs, found where something does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from smilerl.statistics.twins import ERROR, Variation, is_read, variation

ACTS = 8
STUDIES = 200


def acts(rng, n, moved=0.0):
    """Shares of two acts a reply, of which a share `moved` is the last one."""
    drawn = rng.integers(ACTS - 1, size=(n, 2))
    return np.eye(ACTS)[np.where(rng.uniform(size=(n, 2)) < moved, ACTS - 1, drawn)].mean(1)


def compared(first, second, seed=0, people=None):
    n = len(first)
    of = np.arange(n) % 6
    return variation(first, second, of, np.arange(n) % 24, np.arange(n) if people is None else people, seed=seed)


def test_two_samples_of_one_distribution_differ_by_nothing_on_average():
    rng = np.random.default_rng(0)
    values = np.array([compared(acts(rng, 192), acts(rng, 192), seed).value for seed in range(STUDIES)])
    assert abs(values.mean()) < 3 * values.std() / STUDIES**0.5
    plain = [np.abs((acts(rng, 192) - acts(rng, 192)).mean(0)).sum() / 2 for _ in range(20)]
    assert np.mean(plain) > 0.04  # what is subtracted


@pytest.mark.parametrize("moved", [pytest.param(0.0, marks=pytest.mark.long), 0.6])
def test_permuted_labels_are_hardly_ever_read(moved):
    """Of 200 policies whose twins have changed places at random, strong readers among them."""
    rng = np.random.default_rng(1)
    first, second, other = acts(rng, 256), acts(rng, 256, moved), acts(rng, 256)
    read = 0
    for seed in range(STUDIES):
        swap = rng.uniform(size=(256, 1)) < 0.5
        cue = compared(np.where(swap, second, first), np.where(swap, first, second), 2 * seed)
        read += is_read(cue, compared(first, other, 2 * seed + 1))
    assert read <= stats.binom.ppf(0.999, STUDIES, ERROR) and read <= 0.05 * STUDIES


def moved_by(share, studies, n):
    rng = np.random.default_rng(8)
    return [compared(acts(rng, n), acts(rng, n, share), seed) for seed in range(studies)]


def test_a_variation_of_a_fifth_is_found_in_512_people():
    for cue, other in zip(moved_by(0.2, 20, 512), moved_by(0.0, 20, 512), strict=True):
        assert is_read(cue, other) and 0.08 < cue.value <= 0.25 and cue.low <= 0.2


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_the_interval_holds_the_average_of_the_value(share):
    found = moved_by(share, 100, 192)
    values = np.array([cue.value for cue in found])
    held = sum(cue.low <= values.mean() <= cue.high for cue in found)
    assert held >= stats.binom.ppf(1e-3, len(found), 0.93)
    assert np.mean([cue.high - cue.low for cue in found]) == pytest.approx(2 * 1.96 * values.std(), rel=0.2)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_value_is_a_floor_that_rises_with_people(share):
    few, more = (np.mean([cue.value for cue in moved_by(share, 20, n)]) for n in (96, 768))
    assert 0 < few < more < share * 1.02


def test_a_few_acts_that_are_rare_otherwise_are_found():
    """One act of a thousand becomes one of twelve: too little of the total variation to stand out in it."""
    rng, read = np.random.default_rng(6), 0
    for seed in range(40):
        first, second, other = (acts(rng, 384, share) for share in (0.001, 0.08, 0.001))
        read += is_read(compared(first, second, seed), compared(first, other, seed + 1))
    assert read >= 30


def test_folds_are_clusters_and_people_where_clusters_are_few():
    """Eight people of one cluster who do the same are one witness: they do not tell one another's direction."""
    rng = np.random.default_rng(7)
    alike = np.repeat(rng.integers(ACTS, size=(24, 2)), 8, axis=0)
    first, second = (np.eye(ACTS)[alike[:, one]] for one in (0, 1))
    args = (first, second, np.zeros(192), np.repeat(np.arange(24), 8), np.arange(192))
    assert abs(variation(*args, seed=0).value) < 0.2
    single = variation(*args[:3], np.zeros(192), args[4], seed=0)
    assert single.value > variation(*args, seed=0).value and single.low < single.value < single.high


@pytest.mark.parametrize(("moved", "value"), [(0.0, 0.0), (1.0, 1.0)])
def test_twins_alike_and_twins_who_share_no_act(moved, value):
    rng = np.random.default_rng(3)
    first = acts(rng, 600)
    found = compared(first, first if not moved else acts(rng, 600, moved))
    assert found.value == pytest.approx(value, abs=0.12) and found.high == pytest.approx(value)
    assert (found.p == 1) == (not moved)


def test_replies_to_one_person_are_one_unit():
    """Else each reply counted as a person, and chance would look like a difference."""
    rng = np.random.default_rng(4)
    first, second = acts(rng, 64), acts(rng, 64, 0.1)
    once, often = (
        compared(*(np.tile(one, (k, 1)) for one in (first, second)), people=np.tile(np.arange(64), k)) for k in (1, 9)
    )
    assert often.value == pytest.approx(once.value) and often.p == once.p and often.low == pytest.approx(once.low)


def test_opposite_changes_in_two_strata_do_not_cancel():
    rng = np.random.default_rng(5)
    first, second = acts(rng, 240, 0.5), acts(rng, 240)
    half = (np.arange(240) % 2 == 0)[:, None]
    found = variation(
        np.where(half, first, second), np.where(half, second, first), half[:, 0], np.arange(240) % 24, np.arange(240),
        seed=0,
    )  # fmt: skip
    assert found.p <= ERROR and found.value > 0.2


def test_a_cue_that_changes_no_more_than_other_words_do_is_not_read():
    """Where other words change acts by themselves, the difference has to be beyond chance."""
    null = np.linspace(-0.05, 0.05, 200)
    strong = Variation(0.2, 0.15, 0.3, 0.005, null)
    assert is_read(strong, Variation(0.0, -0.02, 0.1, 0.5, null))
    assert not is_read(strong, Variation(0.21, 0.15, 0.3, 0.005, null[::-1]))
    assert not is_read(strong, Variation(0.19, 0.15, 0.3, 0.005, null[::-1]))
    assert is_read(strong, Variation(0.05, 0.02, 0.1, 0.005, null[::-1]))
    assert not is_read(Variation(0.2, -0.1, 0.3, 0.03, null), Variation(0.0, -0.02, 0.1, 0.5, null))
