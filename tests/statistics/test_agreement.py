"""Agreement with people's preferences: ties, the unscored, pairs that go together, and length."""

from __future__ import annotations

import numpy as np
import pytest

from smilerl.statistics.agreement import agreement, opening, preferred
from smilerl.statistics.intervals import rate_estimate
from smilerl.statistics.rates import wilson


def test_ties_count_half_and_the_unscored_not_at_all():
    right = preferred([1.0, 2.0, 3.0, None, 0.0], [0.0, 2.0, 4.0, 1.0, None])
    assert right[:3].tolist() == [1.0, 0.5, 0.0]
    assert np.isnan(right[3:]).all()
    found = agreement(
        ["a", "b", "c", "d", "e"], ["x"] * 5, ["yy"] * 5, ([1.0, 2.0, 3.0, None, 0.0], [0.0, 2.0, 4.0, 1.0, None])
    )
    assert (found.accuracy.value, found.accuracy.scored, found.accuracy.of, found.ties) == (0.5, 3, 5, 1)
    assert found.shorter.value == 1.0
    assert found.against_length.value is None  # there is no pair whose chosen reply is the longer one


def test_apart_from_clusters_the_interval_is_wilsons():
    values = np.array([1.0] * 60 + [0.0] * 40)
    found = rate_estimate(values, np.arange(100))
    assert (found.low, found.high) == pytest.approx(wilson(60, 100), abs=1e-3)


def test_pairs_that_go_together_count_as_fewer():
    values = np.array([1.0, 0.0] * 50)
    alone = rate_estimate(values, np.arange(100))
    together = rate_estimate(np.repeat([1.0, 0.0], 50), np.repeat(np.arange(20), 5))
    assert together.high - together.low > 1.8 * (alone.high - alone.low)


@pytest.mark.parametrize("all_right", [0.0, 1.0])
def test_where_all_are_alike_the_interval_still_has_a_width(all_right):
    found = rate_estimate(np.full(50, all_right), np.arange(50))
    assert 0.05 < found.high - found.low < 0.1


def test_a_judge_of_length_alone_is_at_chance_with_length_held_fixed():
    generator = np.random.default_rng(0)
    chosen = ["x" * n for n in generator.integers(1, 60, 400)]
    rejected = ["x" * n for n in generator.integers(40, 99, 400)]
    scores = [[-float(len(said)) for said in own] for own in (chosen, rejected)]
    found = agreement([str(i) for i in range(400)], chosen, rejected, scores)
    assert found.accuracy.value > 0.9
    assert found.accuracy.value == found.shorter.value
    assert found.against_length.value == pytest.approx(0.5, abs=0.02)


def test_talks_that_begin_alike_go_together():
    assert opening("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:") == opening("\n\nHuman: a\n\nAssistant:")
    assert (
        opening("person: a\nhelper: b\nperson: c\nhelper:")
        == opening("person: a\nhelper:")
        != opening("person: z\nhelper:")
    )
    first, reply, more = ({"role": role, "content": "x"} for role in ("user", "assistant", "user"))
    assert opening([first, reply, more]) == opening([first]) != opening([{**first, "content": "y"}])
