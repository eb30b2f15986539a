"""Steps that are spaced by logarithms."""

from __future__ import annotations

import numpy as np
import pytest

from smilerl.config.schedule import MOST_STEPS, log_steps


@pytest.mark.parametrize("last", [1, 2, 13, 14, 15, 40, 50, 100, 300, 1000, 10**6])
def test_steps_go_from_the_first_to_the_last_about_equally_far_apart(last):
    steps = np.array(log_steps(last))
    assert steps[0] == 1 and steps[-1] == last and (np.diff(steps) > 0).all()
    assert len(steps) == min(last, MOST_STEPS)
    later = steps[steps > 8]
    if last > 8 * MOST_STEPS:  # before, whole steps are coarse
        assert np.ptp(np.diff(np.log(later))) < 0.15


def test_of_forty_steps():
    assert log_steps(40) == (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40)
