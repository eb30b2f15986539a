"""Collecting: every run's files into tidy tables, whatever is missing."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from smilerl.studies.results import collect, save
from smilerl.studies.stamp import fingerprint


def test_every_policy_has_a_row_per_measure_with_its_interval(study):
    results = collect(study())
    wellbeing = results.measures[results.measures.measure == "wellbeing"]
    assert len(wellbeing) == 1 + 6 * 2
    assert wellbeing[wellbeing.arm == "base"].seed.isna().all()
    assert (wellbeing.low < wellbeing.value).all()
    assert (wellbeing.value < wellbeing.high).all()
    assert set(results.measured("gold", "cgi").seed) == {0, 1}


def test_unscored_replies_are_counted_and_not_scored(study):
    reading = collect(study()).measured("gold", "reading")
    assert (reading.scored == 384).all()
    assert (reading["of"] == 512).all()


def test_curves_hold_the_held_out_lines_and_skip_the_half_line_of_a_killed_run(study):
    curves = collect(study()).curves
    one = curves[(curves.arm == "gold") & (curves.seed == 1)]
    assert list(one.step) == list(range(0, 61, 5))
    assert one[["kl", "reading", "smile", "wellbeing", "reward"]].notna().all(axis=None)


def test_a_missing_and_a_failed_run_leave_the_others_whole(study):
    results = collect(study(failed=[("reading", 0)], missing=[("gold", 1)]))
    assert results.seeds_of("reading") == [1]
    assert results.seeds_of("gold") == [0]
    states = results.runs.set_index(["arm", "seed"]).state
    assert states["reading", 0] == "failed"
    assert states["gold", 1] == "missing"


def test_a_value_that_could_not_be_estimated_is_missing_and_not_zero(study):
    folder = study()
    path = folder / "gold/seed-0/evals/quick/results.json"
    found = json.loads(path.read_text())
    found["measures"]["cgi"] = {"value": None, "low": None, "high": None, "scored": 0, "of": 512}
    path.write_text(json.dumps(found))
    row = collect(folder).measured("gold", "cgi").iloc[0]
    assert pd.isna(row.value)
    assert (row.scored, row["of"]) == (0, 512)


def test_parquet_reads_back_as_it_was(study, tmp_path):
    results = collect(study(missing=[("gold", 1)]))
    for path in save(results, tmp_path / "tables"):
        expected = getattr(results, path.stem).drop(columns="parts", errors="ignore")
        pd.testing.assert_frame_equal(pd.read_parquet(path), expected, check_dtype=False)


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no study\.json"):
        collect(tmp_path)


def test_the_states_of_runs_are_those_on_the_disk(study):
    """`study.json` is written when a run ends; a study that was killed says nothing of those since."""
    folder = study(missing=[("gold", 0), ("gold", 1), ("random", 0)])
    before = {"step": 3, "error": None, "seconds": 1.0}
    for place, status in {
        "gold/seed-0": {**before, "state": "running"},  # and no process holds its lock
        "gold/seed-1": {**before, "state": "failed", "error": "RunError: the disk is full"},
        "reading/seed-0": {**before, "state": "finished"},
    }.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / "status.json").write_text(json.dumps(status))
    results = collect(folder)
    states = results.runs.set_index(["arm", "seed"]).state
    assert states["gold", 0] == "interrupted" and states["gold", 1] == "failed"
    assert states["random", 0] == "missing" and states["reading", 0] == "finished"
    assert results.runs.set_index(["arm", "seed"]).error["gold", 1] == "RunError: the disk is full"
    assert [run["state"] for run in results.about["runs"]] == list(results.runs.state)
    stamped = fingerprint(folder)
    (folder / "gold/seed-0/status.json").write_text(json.dumps({**before, "state": "failed"}))
    assert fingerprint(folder) != stamped
