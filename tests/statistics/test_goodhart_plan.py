"""The planner promises what simulated runs keep, and says what would be enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from smilerl.config.schedule import log_steps
from smilerl.statistics import goodhart
from smilerl.statistics.forms import FORMS
from smilerl.statistics.goodhart_plan import PEAKED, Sampling, coefficients, enough, plan

GOOD = Sampling(steps=range(1, 15), kl=[(0.3 * step) ** 2 for step in range(1, 15)], people=1024)
#: As the study's runs were sampled: five points, the first already far from the base.
FEW = Sampling(steps=(10, 20, 30, 40, 50), kl=(1, 10))


@pytest.mark.parametrize("sampling", [GOOD, FEW], ids=["good", "few"])
def test_giving_up_decides_alike_with_fewer_runs(sampling, monkeypatch):
    whole, fits = plan(sampling, studies=20), []
    fit = goodhart.fit
    monkeypatch.setattr(goodhart, "fit", lambda *given, **how: fits.append(0) or fit(*given, **how))
    early = plan(sampling, studies=20, give_up=True)
    assert early.is_enough == whole.is_enough
    assert early == whole if whole.is_enough else len(fits) < 20


def test_good_samples_tell_and_few_do_not():
    good, few = plan(GOOD, studies=20), plan(FEW, studies=20)
    assert good.is_enough and min(good.peaks.values()) >= 0.7
    assert not few.is_enough and few.determined <= 0.5
    assert max(*good.misnamed.values(), *few.misnamed.values()) <= 0.1


def test_more_people_less_noise_and_a_higher_peak_tell_more():
    middle = replace(GOOD, people=100)
    least = plan(middle, studies=20).determined
    for better in (replace(middle, people=1600), replace(middle, noise=0.1), replace(middle, gain=1.2)):
        assert plan(better, studies=20).determined > least


@pytest.mark.long
def test_what_is_enough_is_enough():
    assert enough(GOOD, studies=10) == GOOD
    found = enough(FEW, studies=10)
    assert found is not None and found.people > FEW.people and plan(found, studies=10).is_enough
    assert max(found.steps) == 50 and enough(replace(FEW, gain=0.01), studies=4) is None


@pytest.mark.parametrize("form", PEAKED)
def test_the_made_up_curve_has_its_peak_where_it_says(form):
    at = np.linspace(0.1, 4, 4000)
    curve = FORMS[form].basis(at) @ coefficients(form, 0.3, 1.3)
    assert at[curve.argmax()] == pytest.approx(1.3, abs=2e-3) and curve.max() == pytest.approx(0.3, abs=1e-4)


def test_kl_between_first_and_last_is_a_power_of_the_step():
    sampling = Sampling(steps=(1, 2, 4, 8), kl=(0.01, 0.64))
    assert sampling.d == pytest.approx(np.array([0.1, 0.2, 0.4, 0.8]))
    assert len(Sampling(log_steps(50), (0.02, 9)).d) == 14


@pytest.mark.parametrize(
    ("steps", "kl", "says"),
    [((1, 2, 3), (1, 2), "at least four"), ((1, 2, 2, 3), (1, 2), "rising"), ((0, 1, 2, 3), (1, 2), "above 0"),
     ((1, 2, 3, 4), (1, 2, 3), "first, last"), ((1, 2, 3, 4), (0, 1), "above 0")],
)  # fmt: skip
def test_what_cannot_be_sampled_is_refused(steps, kl, says):
    with pytest.raises(ValueError, match=says):
        plan(Sampling(steps, kl))
