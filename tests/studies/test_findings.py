"""Sentences: each must follow from the numbers it stands on."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import TTestIndPower

from smilerl.studies import comparisons, findings, report
from smilerl.studies.results import collect


def rows(*intervals: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(intervals, columns=["low", "value", "high"])


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        (rows((0.1, 0.2, 0.3), (0.01, 0.1, 0.2)), "up"),
        (rows((-0.3, -0.2, -0.1), (-0.2, -0.1, -0.01)), "down"),
        (rows((0.1, 0.2, 0.3), (-0.1, 0.1, 0.2)), "unclear"),
        (rows((0.1, 0.2, 0.3), (-0.3, -0.2, -0.1)), "split"),
        (rows((np.nan, np.nan, np.nan)), "unknown"),
        (rows(), "unknown"),
    ],
)
def test_a_direction_is_said_only_when_every_seed_shows_it(differences, said):
    assert comparisons.direction(differences) == said


def test_difference_of_independent_estimates_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    errors, truth, covered = (0.05, 0.08), 0.3, 0
    for _ in range(2000):
        a, b = (rng.normal(mean, error) for mean, error in zip((0.5, 0.2), errors, strict=True))
        estimates = [
            SimpleNamespace(value=v, low=v - 1.96 * e, high=v + 1.96 * e) for v, e in zip((a, b), errors, strict=True)
        ]
        _, low, high = comparisons.mover(*estimates)
        covered += low <= truth <= high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)


def test_change_against_random_is_taken_within_the_seed(study):
    results = collect(study())
    change = comparisons.of(comparisons.changes(results), "gold", "wellbeing", "random").set_index("seed")
    for seed in (0, 1):
        values = [results.measured(arm, "wellbeing").set_index("seed").value[seed] for arm in ("gold", "random")]
        assert change.value[seed] == pytest.approx(values[0] - values[1])


def test_headline_changes_when_the_numbers_do(study):
    folder = study()
    before = " ".join(findings.headline(results := collect(folder), comparisons.changes(results)))
    assert "fell in every seed under **reading**" in before
    for seed in (0, 1):
        path = folder / f"reading/seed-{seed}/evals/quick/results.json"
        found = json.loads(path.read_text())
        found["evaluations"]["held_out"]["estimates"]["wellbeing"] = {
            "value": 1.0,
            "low": 0.9,
            "high": 1.1,
            "scored": 512,
            "of": 512,
        }
        path.write_text(json.dumps(found))
    after = " ".join(findings.headline(results := collect(folder), comparisons.changes(results)))
    assert "wellbeing on held-out people rose in every seed under **reading** (+0.77, +0.77)" in after


def test_arms_are_held_against_the_controls_of_their_own_group(study):
    folder = study()
    about = json.loads((folder / "study.json").read_text())
    for arm in about["arms"]:
        arm["group"] = "q 0" if arm["name"] in ("reading", "gold") else "q 0.5"
    (folder / "study.json").write_text(json.dumps(about))
    differences = comparisons.changes(results := collect(folder))
    held_against = {arm: set(rows.versus) - {"base"} for arm, rows in differences.groupby("arm")}
    assert held_against["reading"] == held_against["gold"] == set()
    assert held_against["sentiment"] == {"random"}
    said = findings.headline(results, differences)
    assert [one for one in said if "**reading**" in one] == [one for one in said if one.startswith("At **q 0**: ")][:2]
    assert any(one.startswith("At **q 0.5**: Rewarded with random numbers") for one in said)


def test_the_headline_is_told_against_the_base_at_the_same_entropy(study):
    folder = study()
    for arm in ("reading", "sentiment"):
        for seed in (0, 1):
            path = folder / f"{arm}/seed-{seed}/evals/quick/results.json"
            found = json.loads(path.read_text())
            found["measures"]["gain_wellbeing"] = {"value": 0.02, "low": -0.05, "high": 0.09, "scored": 512, "of": 512}
            path.write_text(json.dumps(found))
    said = " ".join(findings.headline(results := collect(folder), comparisons.changes(results)))
    told = "Against the base at the same entropy of replies, wellbeing on held-out people has no clear direction under "
    assert f"{told}**reading** (+0.02, +0.02) and **sentiment** (+0.02, +0.02)." in said
    assert "fell in every seed under **reading**" not in said


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("seeds", "said"), [((0,), False), pytest.param((3,), False, marks=SLOW), pytest.param((0, 1), True, marks=SLOW)]
)
def test_every_seed_is_said_only_of_several(study, seeds, said):
    results = collect(folder := study(seeds=seeds))
    changes = comparisons.changes(results)
    text = " ".join([*findings.headline(results, changes), *findings.limits(results, changes)])
    assert ("every seed" in text) == said
    assert ("fell in the one seed there is under **reading**" in text) != said
    page = report.write(folder).with_suffix(".md").read_text()
    assert ("in every seed" in page) == said


def test_what_a_run_s_log_says_against_it_stands_in_the_report(study):
    folder = study(seeds=(0, 1))
    for seed in (0, 1):
        path = folder / f"gold/seed-{seed}/metrics.jsonl"
        clipped = json.dumps({"step": 1, "completions/clipped_ratio": 1.0, "kl": -0.1})
        path.write_text(clipped + "\n" + path.read_text())
    results = collect(folder)
    said = findings.limits(results, comparisons.changes(results))
    assert any(line.startswith("**gold**, seeds 0, 1: every completion was cut off") for line in said)
    assert any(line.startswith("**gold**, seeds 0, 1: the KL of training is below 0") for line in said)


def test_measures_that_part_are_named(study):
    results = collect(study())
    said = findings.disagreements(results, comparisons.changes(results))
    assert any(line.startswith("**reading**: own reward rose") and "while wellbeing fell" in line for line in said)
    assert not any(line.startswith("**gold**") for line in said)


def test_failed_controls_are_named(study):
    results = collect(study(controls_failed=["tamper"]))
    said = findings.disagreements(results, comparisons.changes(results))
    assert any(
        line.startswith("**tamper** gives no number") and "liar should be “fail” and came out “pass”" in line
        for line in said
    )


@pytest.mark.parametrize("n", [2, 3, 6, 12])
def test_detectable_difference_agrees_with_statsmodels(n):
    effect = TTestIndPower().solve_power(nobs1=n, alpha=0.05, power=0.8)
    assert comparisons.detectable(0.16, n) == pytest.approx(0.16 * effect, rel=1e-3)


def test_no_interval_over_seeds_below_five(study):
    assert comparisons.over_seeds(collect(study()), ["cgi"]).empty


def test_interval_over_seeds_from_five(study):
    results = collect(study(seeds=range(5)))
    row = comparisons.over_seeds(results, ["cgi"]).set_index("arm").loc["gold"]
    values = results.measured("gold", "cgi").value
    assert row["mean"] == pytest.approx(values.mean())
    assert row.low < values.mean() < row.high


def test_limits_speak_of_the_seeds_there_are(study):
    results = collect(study())
    said = " ".join(findings.limits(results, comparisons.changes(results)))
    assert "2 seeds" in said
    assert "p = 0.5" in said
    assert "exploratory" in said


@pytest.mark.parametrize(
    ("value", "signed", "said"),
    [(-0.194, False, "−0.19"), (0.5, True, "+0.50"), (-0.001, True, "0.00"), (float("nan"), True, "–")],
)
def test_numbers_have_true_signs(value, signed, said):
    assert comparisons.number(value, signed) == said
