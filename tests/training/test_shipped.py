"""The embedded model travels with the package, and is what its recipe makes."""

from __future__ import annotations

import json
import statistics
from types import SimpleNamespace

import numpy as np
import pytest
from transformers import TrainerCallback

from smilerl import worlds
from smilerl.io import paths
from smilerl.models import cached
from smilerl.models.policy import load_policy
from smilerl.models.sampling import completion_logprobs, sample
from smilerl.runs.directory import Run, RunError
from smilerl.training import methods, shipped
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe
from smilerl.worlds.smileworld.world import SmileWorld

RECIPE = "recipes/smileworld/pretrain.yaml"
FOLDER = paths.share() / "data" / "smileworld" / "base"


def never(recipe):
    pytest.fail(f"{recipe.source} was trained")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))


def test_the_recipe_gets_the_model_that_travels_with_the_package(cache):
    run = cached.built(load_recipe(RECIPE), never, shipped.adopt)
    assert (run.model / "model.safetensors").read_bytes() == (FOLDER / "model.safetensors").read_bytes()
    assert run.finished and cached.damage(run.path) is None and not (run.model / shipped.MADE_FROM).exists()
    made = json.loads((FOLDER / shipped.MADE_FROM).read_text())
    assert run.manifest["shipped"] == made["hash"] and run.manifest["learnt_from"] == made["manifest"]["learnt_from"]
    assert cached.built(load_recipe(RECIPE), never, never).path == run.path  # the second time it is in the cache


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"data.n": 91000}, {"policy.config.hidden_size": 64}, {"training.learning_rate": 0.001}]
)
def test_another_recipe_is_trained(cache, change, tmp_path):
    recipe = load_recipe(RECIPE, {**change, "output_dir": str(tmp_path / "run")})
    assert shipped.adopt(recipe) is None and not (tmp_path / "run").exists()
    trained = SimpleNamespace(path="trained")
    assert cached.built(recipe, lambda _: trained, shipped.adopt, progress=False) is trained


def test_other_conversations_make_another_model(monkeypatch):
    recipe, before = load_recipe(RECIPE), SmileWorld.conversations

    def others(world, n, seed):
        return before(world, n, seed).map(lambda row: {"completion": row["completion"].replace(" i ", " we ")})

    own = shipped.identity(recipe)
    monkeypatch.setattr(SmileWorld, "conversations", others)
    assert shipped.identity(recipe) != own


def test_the_place_of_the_recipe_does_not_matter(cache, tmp_path):
    copy = tmp_path / "mine.yaml"
    copy.write_text((paths.share() / RECIPE).read_text())
    assert shipped.identity(load_recipe(copy)) == shipped.identity(load_recipe(RECIPE))


def test_several_processes_need_not_build_it_first(cache, monkeypatch):
    monkeypatch.setattr(cached, "PartialState", lambda: SimpleNamespace(num_processes=2))
    assert cached.built(load_recipe(RECIPE), never, shipped.adopt).finished
    with pytest.raises(RunError, match="has to be built first"):
        cached.built(load_recipe(RECIPE, {"seed": 1}), never, shipped.adopt)


class Stop(TrainerCallback):
    def on_log(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= 60


@pytest.mark.slow
def test_its_first_steps_are_those_of_the_recipe(tmp_path, monkeypatch):
    """The losses of the first sixty steps, which another model, other data or another order would change."""
    make = methods.make_trainer

    def stopping(*given, **parts):
        trainer = make(*given, **parts)
        trainer.add_callback(Stop())
        return trainer

    monkeypatch.setattr(methods, "make_trainer", stopping)
    with pytest.raises(RunError, match="training ended at step 60 of 2875"):
        run_recipe(load_recipe(RECIPE, {"output_dir": str(tmp_path / "run")}), progress=False)
    found = {str(row["step"]): row["loss"] for row in Run(tmp_path / "run").metrics() if "loss" in row}
    made = json.loads((FOLDER / shipped.MADE_FROM).read_text())["losses"]
    assert list(made) == ["20", "40", "60"] and found == pytest.approx(made, rel=2e-3)


@pytest.mark.long
def test_it_is_what_the_recipe_makes(tmp_path):
    """Bit by bit on the machine that made it; by its behaviour on others."""
    run = run_recipe(load_recipe(RECIPE, {"output_dir": str(tmp_path / "run")}), progress=False)
    world, models = worlds.build("smileworld"), [load_policy(FOLDER), load_policy(run.model)]
    said = world.conversations(512, 99)[:]
    nats = [completion_logprobs(one, said["prompt"], said["completion"]) for one in models]
    words = [len(text.split()) + 1 for text in said["completion"]]
    assert abs(nats[0].sum() - nats[1].sum()) / sum(words) < 0.03
    people = world.people("held_out", 600, 5)[:]
    outcomes = [
        world.react(people["person"], sample(one, people["prompt"], max_new_tokens=32, seed=0)) for one in models
    ]
    acts = [[act for reaction in reactions for act in reaction.outcome.acts or ("",)] for reactions in outcomes]
    shares = [{act: one.count(act) / len(one) for act in one} for one in acts]
    names = {*shares[0], *shares[1]}
    assert sum(abs(shares[0].get(act, 0) - shares[1].get(act, 0)) for act in names) / 2 < 0.08
    means = [statistics.mean(reaction.outcome.wellbeing for reaction in reactions) for reactions in outcomes]
    assert np.ptp(means) < 0.12
