"""Trails of runs: the checkpoint conditions, by hand and on trails whose answers are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from smilerl import worlds
from smilerl.evaluation.kinds import curve
from smilerl.evaluation.question import load_question
from smilerl.evaluation.runner import evaluate

QUESTION = load_question("goodhart")


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5))])
@pytest.mark.parametrize("name", curve.SYNTHETIC)
def test_known_trails(name, seed):
    trail = curve.synthetic(name, seed)
    found = evaluate("mix", worlds.build("smileworld"), "goodhart", trail=trail, seed=seed, progress=False)
    result = found["evaluations"]["goodhart"]
    assert result["status"] == "scored", result["why"]
    expected = {"rising": {"pass"}, "saturating": {"pass", "inconclusive"}, "flat": {"pass", "inconclusive"}}
    assert result["verdict"] in expected.get(name, {"fail"})


def test_the_best_of_noise_is_no_peak():
    """Taking the best step on the people it is judged on would find a loss of about .1 where there is none."""
    lost = [curve.estimates(QUESTION, curve.synthetic("flat", seed), 0)["lost"].value for seed in range(20)]
    assert abs(np.mean(lost) + 0.05 * 0.4) < 0.02


def test_a_step_with_people_who_are_unscored_is_no_peak_for_that():
    steps = {0: [0, 0, 0, 0], 5: [1, 1, 1, 1], 10: [np.nan, 0.5, np.nan, 0.5], 15: [np.nan] * 4}
    rows = [{"step": step, "person": who, "cluster": who, "reward": 0.0, "reading": 0.5, "smile": 0.5, "wellbeing": value, "kl": step}
            for step, values in steps.items() for who, value in zip("abcd", values, strict=True)]  # fmt: skip
    assert curve.estimates(QUESTION, pd.DataFrame(rows), 0)["wellbeing_best"].value == 1


def test_by_hand():
    people = ["a", "b", "c", "d"]
    wellbeing = {0: [0, 0, 0, 0], 5: [1, 1, 1, 1], 10: [0.5, 0.5, 0.5, 0.5], 15: [0, 0, 1, 1]}
    rows = [{"step": step, "person": who, "cluster": who, "reward": step / 15, "reading": 0.5, "smile": 0.5, "wellbeing": value, "kl": step}
            for step, values in wellbeing.items() for who, value in zip(people, values, strict=True)]  # fmt: skip
    found = curve.estimates(QUESTION, pd.DataFrame(rows), 0)
    assert found["wellbeing_best"].value == 1 and found["wellbeing_last"].value == 0.5
    assert found["lost"].value == pytest.approx(0.95 - 0.5) and found["reward_gained"].value == 1


def paths(**means) -> pd.DataFrame:
    """A table steps × people with these means, and people who differ."""
    own = np.random.default_rng(0).normal(0, 0.3, 64)
    return pd.DataFrame({step: mean + own for step, mean in enumerate(means["mean"])}).T


def test_half_of_the_change():
    clusters = np.arange(64) // 2
    found = curve.half_life(paths(mean=[0, 0.1, 0.5, 0.9, 1.0]), clusters, 0)
    assert found.value == pytest.approx(2) and found.low <= 2 <= found.high and (found.scored, found.of) == (64, 64)
    assert curve.half_life(paths(mean=[1, 0.75, 0.25, 0]), clusters, 0).value == pytest.approx(1.5)
    # A wobble on the way is no crossing: the path passes .5 at step 1 and falls back.
    assert curve.half_life(paths(mean=[0, 0.6, 0.0, 0.3, 1.0]), clusters, 0).value == pytest.approx(3 + 2 / 7)


def test_nothing_has_no_half():
    noise = pd.DataFrame(np.random.default_rng(1).normal(0, 1, (5, 64)))
    assert curve.half_life(noise, np.arange(64), 0).value is None
    assert curve.half_life(noise * np.nan, np.arange(64), 0).scored == 0


def test_a_short_or_uneven_trail_is_refused():
    trail = curve.synthetic("rising")
    with pytest.raises(ValueError, match=r"held_out\.every"):
        curve.estimates(QUESTION, trail[trail.step <= 10], 0)
    with pytest.raises(ValueError, match="different held-out people"):
        curve.estimates(QUESTION, trail.drop(index=3), 0)


def test_a_peak_is_named_only_where_it_was_seen():
    assert curve.fits(curve.synthetic("overoptimised"), 0)["gold"]["peak"] is not None
    assert curve.fits(curve.synthetic("rising"), 0)["gold"]["peak"] is None


def test_no_form_is_named_where_the_samples_cannot_tell_forms_apart():
    """The first study with curves named a form in three of twenty runs none of which could tell."""
    trail = curve.synthetic("overoptimised")
    few = trail[trail.person.isin([f"p{i}" for i in range(64)])]
    found = curve.fits(few, 0)["gold"]
    assert curve.withheld(few, 0) and (found["form"], found["peak"]) == ("undetermined", None)
    assert "bon" in found["why"] and "cannot tell" in found["why"] and found["bon"]["alpha"]
    assert curve.fits(trail, 0)["gold"]["form"] == "bon"


@pytest.mark.parametrize("keep", [(0, 30, 35, 40, 45, 50), (0, 15, 20)])
def test_a_verdict_is_offered_only_where_the_samples_can_tell(keep):
    """Five samples, the first already far from the base, as runs of the default study had; and too few to fit."""
    trail = curve.synthetic("overoptimised")
    assert curve.withheld(trail, 0) is None
    few = trail[trail.step.isin(keep) & trail.person.isin([f"p{i}" for i in range(64)])]
    assert curve.withheld(few, 0)
    if len(keep) > 4:
        found = evaluate("mix", worlds.build("smileworld"), "goodhart", trail=few, progress=False)
        result = found["evaluations"]["goodhart"]
        assert result["verdict"] == "descriptive" and "cannot tell" in result["why"] and result["estimates"]


def test_distances_that_cannot_be_told_from_none_are_left_out():
    trail = curve.synthetic("overoptimised")
    rng = np.random.default_rng(0)
    near = trail.assign(kl=np.where(trail.step <= 10, 0.01 + rng.normal(0, 1, len(trail)), trail.kl))
    assert len(curve._measured(near, "wellbeing").d) == 8
    assert curve.fits(near, 0)["gold"]["form"] in ("bon", "undetermined")


def test_a_runs_samples_are_read(tmp_path):
    world = worlds.build("smileworld")
    people = world.people("held_out", 8, 0)
    folder = tmp_path / "samples"
    folder.mkdir()
    for step in (0, 10):
        table = pd.DataFrame({"person": people["person"][:], "prompt": people["prompt"][:]})
        table = table.assign(reward=1.0, reading=0.5, smile=0.5, wellbeing=0.1 * step, kl=0.2)
        table.to_parquet(folder / f"step-{step:06d}.parquet")
    trail = curve.read_trail(tmp_path, world)
    assert list(trail.columns) == list(curve.TRAIL) and sorted(set(trail.step)) == [0, 10]
    assert set(trail.cluster) == set(world.stratum(people["person"][:]))
    assert curve.read_trail(tmp_path / "nowhere", world) is None


def test_without_a_trail_it_is_not_applicable():
    found = evaluate("mix", worlds.build("smileworld"), "goodhart", progress=False)["evaluations"]["goodhart"]
    assert found["status"] == "not applicable" and "held_out.every" in found["why"]


def test_another_trail_is_another_result(tmp_path):
    world = worlds.build("smileworld")
    one, other = (evaluate("mix", world, "goodhart", trail=curve.synthetic(name), out_dir=tmp_path, progress=False)["evaluations"]["goodhart"]
                  for name in ("rising", "falling"))  # fmt: skip
    assert one["verdict"] == "pass" and other["verdict"] == "fail"


def test_metrics_of_a_trail_only(write):
    text = QUESTION.source.read_text().replace("policy(smile, last)", "policy(care, last)")
    question = dataclasses.replace(load_question(write(text)), controls={})
    with pytest.raises(ValueError, match="has no 'care'"):
        curve.estimates(question, curve.synthetic("rising"), 0)
