"""Intervals against simulated studies with known truth: `benchmarks/coverage.py` in small, with the tolerance that so few allow."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from smilerl.statistics import bootstrap, goodhart

STUDIES = 200


def _benchmark():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))  # as for a script: what lies beside it can be imported
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


coverage = _benchmark()


def fewest(share: float, studies: int = STUDIES) -> int:
    """What a true share of at least `share` falls below once in a thousand times."""
    return int(stats.binom.ppf(1e-3, studies, share))


def most(share: float, studies: int = STUDIES) -> int:
    """What a true share of at most `share` exceeds once in a thousand times."""
    return int(stats.binom.ppf(1 - 1e-3, studies, share))


@pytest.mark.parametrize(
    ("measure", "seeds"),
    [
        (coverage.caring(0.05), 12),
        (coverage.caring(0.16), 6),
        (coverage.vulnerable(people=512), 9),
        (coverage.revealed(), 6),
    ],
    ids=lambda given: getattr(given, "name", str(given)),
)
def test_over_seeds_intervals_cover_and_statements_at_their_threshold_do_not_hold(measure, seeds):
    for tally in coverage.over_seeds(measure, seeds, STUDIES, bootstrap=False).values():
        assert fewest(0.93) <= tally.covered[-1] <= most(0.97)
        for claims in (tally.passed, tally.failed, tally.equivalent):
            assert claims <= most(0.05)


def test_a_plain_t_over_seeds_forgets_whom_we_asked():
    """All seeds are asked about the same people: more seeds do not help. (If this holds no more, the test above has no teeth.)"""
    arm = coverage.over_seeds(coverage.caring(0.05), 12, STUDIES, bootstrap=False)[coverage.WHAT[0]]
    assert arm.covered[1] < fewest(0.93)


@pytest.mark.parametrize("clusters", [72, 12])
@pytest.mark.parametrize(
    ("measure", "least"),
    [
        (coverage.caring, 0.93),
        (coverage.revealed, 0.93),
        (lambda _, clusters: coverage.tampering(0.02, clusters=clusters), 0.92),
    ],
    ids=["CGI", "revealed values", "tampering"],
)
def test_within_a_run(monkeypatch, measure, least, clusters):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 300)
    covered, passed, failed = coverage.within_a_run(measure(0, clusters=clusters), 150) * 150
    assert fewest(least, 150) <= covered
    assert max(passed, failed) <= most(0.05, 150)


@pytest.mark.parametrize("form", ["bon", pytest.param("rl", marks=pytest.mark.long)])
def test_goodhart_curves_whose_distances_have_errors(monkeypatch, form):
    monkeypatch.setattr(goodhart, "RESAMPLES", 300)
    found = coverage.goodhart_curves(form, 256, 0.3, 60)
    assert min(found[:3]) >= fewest(0.93, 60) / 60 and found.misnamed <= most(0.02, 60) / 60


@pytest.mark.parametrize(
    "measure",
    [
        pytest.param(coverage.addressed, marks=pytest.mark.long),
        lambda people: coverage.index(0, -0.5, people=people),
        lambda people: coverage.honesty(0.97, 0.02, people=people),
        pytest.param(lambda people: coverage.matched_gain(0.5, people=people), marks=pytest.mark.long),
    ],
    ids=["addressed care", "CGI at its kink", "honesty", "gain at matched entropy"],
)
def test_new_estimates_within_a_run(monkeypatch, measure):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 300)
    covered, passed, failed = coverage.within_a_run(measure(192), 60) * 60
    assert fewest(0.93, 60) <= covered and max(passed, failed) <= most(0.05, 60)


def test_cues_that_move_nothing_are_not_read_and_those_that_move_a_fifth_are():
    found = {moved: coverage.cue_readings(192, moved, 60) for moved in (0.0, 0.2)}
    assert found[0.0].read <= most(0.025, 60) / 60 and abs(found[0.0].value) < 0.01
    assert found[0.2].read >= fewest(0.99, 60) / 60 and 0.1 < found[0.2].value < found[0.2].truth
    assert min(one.covered for one in found.values()) >= fewest(0.93, 60) / 60
    assert min(one.floor for one in found.values()) >= fewest(0.97, 60) / 60


def test_the_simulated_people_are_as_those_of_the_world():
    study = coverage.caring(0.05).draw(np.random.default_rng(0), 2)
    policy, gamer, carer = study.arm[0]
    assert len(study.arm) == len(study.control) == 2 and len(np.unique(policy.clusters)) > 60
    assert policy.values.std() == pytest.approx(0.95, abs=0.15)
    assert gamer.values.mean() == pytest.approx(-1, abs=0.05) and carer.values.mean() == pytest.approx(0.95, abs=0.05)
    assert (study.control[1][0].clusters == policy.clusters).all()


def test_truths_are_those_of_the_simulation():
    """Over many seeds and studies the mean is the truth that coverage is counted against."""
    for measure in (coverage.caring(0.05), coverage.vulnerable(people=512), coverage.revealed()):
        formula, values = measure.formula().value, []
        for number in range(60):
            study = measure.draw(np.random.default_rng([7, number]), 4)
            arm, control = ([coverage.estimated(formula, run).value for run in runs] for runs in study)
            values.append((np.mean(arm), np.mean(arm) - np.mean(control)))
        errors = np.std(values, axis=0) / np.sqrt(len(values))
        assert np.abs(np.mean(values, axis=0) - (measure.mean, measure.difference)) == pytest.approx(
            0, abs=3.5 * errors.max()
        )
