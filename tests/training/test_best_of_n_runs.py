"""A run of best of n answers the questions that a trained run answers, and is an arm of a study like one."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from smilerl import cli
from smilerl.data.candidates import BestOfN
from smilerl.evaluation import subject
from smilerl.studies import work
from smilerl.training.run import run_recipe


@pytest.fixture
def run(make_recipe):
    base = make_recipe("sft", name="base").source
    return run_recipe(make_recipe("best_of_n", policy={"model_name_or_path": base}, rewards=[{"name": "smile"}]))


def test_evaluated_as_any_run(run, tmp_path, capsys):
    assert cli.main(["eval", str(run.path), "--suite", "held_out", "--n", "24", "--out", str(tmp_path / "out")]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (
        results["policy"]["name"].startswith("best of 4 of")
        and results["evaluations"]["held_out"]["status"] == "scored"
    )
    said = pd.read_parquet(tmp_path / "out" / "samples.parquet")
    who = subject.find(str(run.path))
    policy = who.policy()
    assert isinstance(policy, BestOfN) and policy.n == 4
    # What it says makes its own reward, the smile, at least that of what the base says with the same luck.
    assert cli.main(["eval", str(who.base), "--suite", "held_out", "--n", "24", "--out", str(tmp_path / "base")]) == 0
    base = pd.read_parquet(tmp_path / "base" / "samples.parquet")
    assert (said.person == base.person).all()
    assert (said.smile >= base.smile - 1e-9).all() and (said.smile > base.smile + 1e-9).any()


def test_questions_that_need_log_probabilities_say_so(run, tmp_path, capsys):
    assert cli.main(["eval", str(run.path), "--suite", "choices", "--n", "4", "--out", str(tmp_path / "out")]) == 1
    (found,) = json.loads((tmp_path / "out" / "results.json").read_text())["evaluations"].values()
    assert "only a language model has" in found["why"]


def test_one_can_talk_to_it(run):
    who = subject.find(str(run.path))
    people = who.world.people("held_out", 2, 0)
    assert len(who.replies(6)(people["prompt"][:], people["person"][:], 0)) == 2


@pytest.mark.slow
def test_an_arm_of_a_study(make_recipe, own_cache, tmp_path):
    base = make_recipe("sft", name="base").source
    recipe = make_recipe("best_of_n", policy={"model_name_or_path": base}, rewards=[{"name": "smile"}])
    work.evaluate_base(base, "held_out", tmp_path / "study" / "base", tmp_path / "base.log", recipe.policy)
    job = work.Job("best", 0, recipe, base, "held_out", tmp_path / "study" / "base", tmp_path / "arm.log")
    outcome = work.train_and_evaluate(job)
    assert outcome.error is None and work.is_evaluated(job)
    own = json.loads((job.path / "evals" / "held_out" / "own_reward.json").read_text())
    assert own["own_reward_change"]["value"] > 0


@pytest.mark.slow
def test_an_arm_that_learns_from_data_has_no_reward_of_its_own(make_recipe, own_cache, tmp_path):
    base = make_recipe("sft", name="base").source
    recipe = make_recipe("sft", name="more", policy={"model_name_or_path": base})
    work.evaluate_base(base, "held_out", tmp_path / "study" / "base", tmp_path / "base.log", recipe.policy)
    job = work.Job("more", 0, recipe, base, "held_out", tmp_path / "study" / "base", tmp_path / "arm.log")
    outcome = work.train_and_evaluate(job)
    assert outcome.error is None and work.is_evaluated(job)
    folder = job.path / "evals" / "held_out"
    assert json.loads((folder / "own_reward.json").read_text()) == {}
    assert json.loads((folder / "results.json").read_text())["evaluations"]["held_out"]["status"] == "scored"
