"""What is logged is what it says: KL in nats per completion, and watching changes nothing."""

from __future__ import annotations

import importlib
import inspect
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from smilerl.io.errors import UserError
from smilerl.models import sampling
from smilerl.models.policy import load_policy
from smilerl.models.randomness import unmoved_randomness
from smilerl.training import observers
from smilerl.training.observers.held_out import HeldOut
from smilerl.training.observers.metrics import Metrics
from smilerl.training.run import run_recipe
from smilerl.training.trl_adapter.shared_prompt import SharedRLOO

LORA = {"r": 2, "lora_alpha": 4, "target_modules": "all-linear"}


@pytest.mark.parametrize("name", observers.names())
def test_an_observer_says_what_it_watches(name):
    module = importlib.import_module(f"smilerl.training.observers.{name}")
    assert module.__doc__ and module.build.__doc__ and list(inspect.signature(module.build).parameters) == ["watched"]


def model_weights(run) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in load_policy(run.model).model.parameters()])


def kl(policy, base, prompts, ids):
    """log π(completion) − log π_base(completion) of each completion, in nats."""
    own, theirs = (sampling.completion_logprobs(one, prompts, ids) for one in (policy, base))
    return own - theirs


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rloo", "grpo"])
@pytest.mark.parametrize("reward", ["smile", "random"])
def test_watching_leaves_training_bit_identical(make_recipe, method, reward):
    runs = [
        run_recipe(
            make_recipe(method, name=f"every-{every}", rewards=[{"name": reward}], held_out={"every": every, "n": 4})
        )
        for every in (0, 1)
    ]
    assert torch.equal(*map(model_weights, runs))
    held_out = [sum("held_out/kl" in row for row in run.metrics()) for run in runs]
    assert held_out == [int(method == "grpo"), 3]  # GRPO has beta 0 here: its KL is measured once even unwatched


@pytest.mark.slow
@pytest.mark.parametrize("peft", [None, LORA])
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_held_out_kl_is_that_of_the_saved_model(make_recipe, peft, beta):
    recipe = make_recipe(
        "rloo", policy={"model_name_or_path": str(base_model(make_recipe)), "peft": peft}, training={"beta": beta}
    )
    run = run_recipe(recipe)
    rows = [row for row in run.metrics() if "held_out/kl" in row]
    assert rows[0]["step"] == 0 and rows[0]["held_out/kl"] == 0
    policy, base = load_policy(run.model), load_policy(recipe.policy.model_name_or_path)
    samples = pd.read_parquet(sorted((run.path / "samples").glob("*.parquet"))[-1])
    ids = sampling.sample_ids(policy, list(samples.prompt), max_new_tokens=6, seed=recipe.held_out.seed)
    assert policy.tokenizer.batch_decode(ids, skip_special_tokens=True) == list(samples.completion)
    expected = kl(policy, base, list(samples.prompt), ids)
    assert np.allclose(samples.kl, expected, atol=1e-4) and abs(expected.mean()) > 1e-4
    assert math.isclose(rows[-1]["held_out/kl"], expected.mean(), abs_tol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "peft", "training"),
    [("dpo", None, {"precompute_ref_log_probs": True}), ("dpo", LORA, {}), ("kto", None, {})],
)
def test_held_out_kl_of_offline_methods_is_that_of_the_saved_model(make_recipe, method, peft, training):
    recipe = make_recipe(
        method,
        policy={"model_name_or_path": str(base_model(make_recipe)), "peft": peft},
        training=training,
        held_out={"every": 0, "n": 4},
    )
    (row,) = (row for row in run_recipe(recipe).metrics() if "held_out/kl" in row)  # measured once, unwatched or not
    samples = pd.read_parquet(next((Path(recipe.output_dir) / "samples").glob("*.parquet")))
    policy, base = load_policy(Path(recipe.output_dir) / "model"), load_policy(recipe.policy.model_name_or_path)
    ids = sampling.sample_ids(policy, list(samples.prompt), max_new_tokens=6, seed=recipe.held_out.seed)
    expected = kl(policy, base, list(samples.prompt), ids)
    assert math.isclose(row["held_out/kl"], expected.mean(), abs_tol=1e-4) and abs(expected.mean()) > 1e-4


def base_model(make_recipe):
    return run_recipe(make_recipe("sft", name="base")).model


def test_training_kl_is_in_nats_per_completion(make_recipe):
    run = run_recipe(make_recipe("rloo", training={"beta": 0.05, "max_steps": 3}))
    rows = [row for row in run.metrics() if "kl" in row]
    assert [row["step"] for row in rows] == [1, 2, 3] and rows[0]["kl"] == 0
    for row in rows:
        assert math.isclose(row["kl"], row["kl_per_token"] * row["completions/mean_length"], rel_tol=1e-6, abs_tol=1e-9)


def test_rloo_takes_that_kl_off_the_reward(make_recipe, monkeypatch):
    """The definition, against what TRL computed: mean log-ratio of whole completions in a batch."""
    seen = []
    score = SharedRLOO._get_per_token_logps_and_entropies

    def spy(self, *args, **kwargs):
        result = score(self, *args, **kwargs)
        if not torch.is_grad_enabled():  # the current policy and then the reference, before each update
            seen.append((result[0].detach(), args[2][:, -args[3] :]))
        return result

    monkeypatch.setattr(SharedRLOO, "_get_per_token_logps_and_entropies", spy)
    run = run_recipe(make_recipe("rloo", training={"beta": 0.05, "max_steps": 3}))
    logged = [row["kl"] for row in run.metrics() if "kl" in row]
    for value, (policy, reference) in zip(logged, zip(seen[::2], seen[1::2], strict=True), strict=True):
        expected = ((policy[0] - reference[0]) * policy[1]).sum(1).mean().item()
        assert math.isclose(value, expected, abs_tol=1e-5)
    assert abs(logged[-1]) > 1e-6


def test_held_out_lines_and_samples(make_recipe):
    run = run_recipe(make_recipe("rloo", held_out={"every": 2, "n": 6}, training={"max_steps": 3}))
    rows = [row for row in run.metrics() if "held_out/kl" in row]
    assert [row["step"] for row in rows] == [0, 2, 3]
    assert {"held_out/reading", "held_out/smile", "held_out/wellbeing", "held_out/reward", "held_out/length"} <= rows[
        0
    ].keys()
    assert [path.name for path in sorted((run.path / "samples").iterdir())] == [
        f"step-{step:06d}.parquet" for step in (0, 2, 3)
    ]
    samples = pd.read_parquet(run.path / "samples" / "step-000003.parquet")
    assert len(samples) == 6 and math.isclose(samples.wellbeing.mean(), rows[-1]["held_out/wellbeing"], abs_tol=1e-9)
    assert math.isclose(samples.reward.mean(), samples.smile.mean())  # its own reward is the smile


def test_metrics_leave_other_logs_alone():
    written = []
    state = type("State", (), {"global_step": 4, "is_world_process_zero": True})()
    Metrics(written.append).on_log(None, state, None, logs={"loss": 1.5, "note": "text", "kl": 0.25})
    assert written == [{"step": 4, "loss": 1.5, "kl": 0.25}]


def test_unmoved_randomness():
    import random

    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    with unmoved_randomness():
        random.random(), np.random.rand(), torch.rand(3)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_slices_of_weights_are_refused_in_words_for_users():
    model = torch.nn.Linear(1, 1)
    model.weight.ds_id = 0  # as DeepSpeed marks what ZeRO-3 has split
    watch = HeldOut(None, every=1, tokenizer=None, max_new_tokens=1, base=None, score=None, write=None)
    with pytest.raises(UserError, match="held-out people cannot be sampled"):
        watch.on_train_begin(None, None, None, model=model)
