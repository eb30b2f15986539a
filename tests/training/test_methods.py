"""Every method trains: two steps change the parameters that it should change, and no others."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from smilerl import worlds
from smilerl.data import pairs
from smilerl.models.policy import load_policy
from smilerl.runs.directory import Run
from smilerl.training import methods
from smilerl.training.run import run_recipe
from smilerl.worlds.base import OutcomeSealed
from tests.fixtures.recipes import TINY

LORA = {"r": 2, "lora_alpha": 4, "target_modules": "all-linear"}


@pytest.fixture
def base(make_recipe, tmp_path) -> str:
    """The directory of a policy to start from."""
    roomy = {"config": {**TINY, "max_position_embeddings": 512}}  # for replies that end late
    return str(run_recipe(make_recipe("sft", name="base", policy=roomy)).model)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rloo", "grpo", "sft", "dpo", "kto"])
def test_two_steps_change_every_parameter(make_recipe, base, method):
    run = run_recipe(make_recipe(method, policy={"model_name_or_path": base}, training={"weight_decay": 0.0}))
    before, after = weights(load_policy(base).model), weights(load_policy(run.model).model)
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert not same and run.finished and run.status["step"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rloo", "grpo", "sft"])
def test_lora_trains_the_adapter_alone(make_recipe, base, method):
    run = run_recipe(make_recipe(method, policy={"model_name_or_path": base, "peft": LORA}))
    adapter = load_file(run.model / "adapter_model.safetensors")
    assert all("lora_" in name for name in adapter)
    assert all(weight.abs().sum() > 0 for name, weight in adapter.items() if "lora_B" in name)  # B starts at zero
    inputs = load_policy(base).tokenizer("person:", return_tensors="pt")
    tuned, untuned = load_policy(run.model).model, load_policy(base).model
    assert not torch.equal(tuned(**inputs).logits, untuned(**inputs).logits)
    with tuned.disable_adapter():
        assert torch.equal(tuned(**inputs).logits, untuned(**inputs).logits)


@pytest.mark.slow
def test_an_adapter_is_trained_further_and_saved_without_its_copy(make_recipe, base):
    first = run_recipe(make_recipe("sft", name="first", policy={"model_name_or_path": base, "peft": LORA}))
    second = run_recipe(make_recipe("rloo", name="second", policy={"model_name_or_path": str(first.model)}))
    before, after = (load_file(run.model / "adapter_model.safetensors") for run in (first, second))
    assert before.keys() == after.keys() and not any(
        torch.equal(before[name], after[name]) for name in before if "lora_B" in name
    )
    assert not (second.model / "ref").exists()
    measured = [row["held_out/kl"] for row in second.metrics() if "held_out/kl" in row]
    assert measured[0] == 0 and measured[-1] != 0  # against the adapter it began with, not against the bare base


def test_reward_model_learns_a_head_of_one_number(make_recipe, base):
    run = run_recipe(make_recipe("reward", policy={"model_name_or_path": base}, data={"split": "pairs", "n": 16}))
    model = AutoModelForSequenceClassification.from_pretrained(run.model)
    assert model.num_labels == 1
    (accuracy,) = (row["eval_accuracy"] for row in run.metrics() if "eval_accuracy" in row)
    assert accuracy in [right / 8 for right in range(9)]
    body = load_policy(base).model.model.state_dict()
    assert not any(torch.equal(weight, model.model.state_dict()[name]) for name, weight in body.items())


@pytest.mark.parametrize("method", methods.names())
def test_a_method_says_what_it_is_made_of(method):
    module = methods.method(method)
    parts = {"CONFIG", "policy", "dataset", "make_trainer"} - ({"make_trainer"} if method == "best_of_n" else set())
    assert all(callable(getattr(module, part)) for part in parts)
    assert module.__doc__


def test_fresh_policy_is_trained_by_rl_with_a_reference(make_recipe):
    run = run_recipe(make_recipe("rloo"))
    assert not torch.equal(*(load_policy(path).model.lm_head.weight for path in (run.path / "initial", run.model)))
    assert Run.open(run.path).state == "finished"


RANDOM = [{"name": "random"}]
SPEAKS = {"max_completion_length": 200}  # an untrained policy ends a reply about once in 700 tokens


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_recipe_with_rewards_makes_its_data_from_the_policy_s_replies(make_recipe, base, method):
    data = {"n": 16, "args": {**SPEAKS, "k": 6}}
    recipe = make_recipe(method, policy={"model_name_or_path": base}, data=data, rewards=RANDOM)
    run = run_recipe(recipe)
    rows = [json.loads(line) for line in (run.path / "pairs.jsonl").read_text().splitlines()]
    about = json.loads((run.path / "pairs.jsonl.provenance.json").read_text())
    assert (
        about["counts"]["rows"] == len(rows) > 0
        and about["counts"]["replies"] == 96
        and about["rewards"][0]["name"] == "random"
    )
    people = set(worlds.build("smileworld").people("train", 16, 0)["person"])
    assert {row["person"] for row in rows} <= people
    if method == "dpo":
        assert all(row["score_chosen"] > row["score_rejected"] for row in rows)
    else:
        assert {row["label"] for row in rows} == {True, False}
    assert run.manifest["channels"] == []
    held_out = [row for row in run.metrics() if "held_out/kl" in row]
    assert len(held_out) == 3 and all("held_out/reward" in row for row in held_out)


def test_annotated_pairs_are_a_declared_channel_and_no_reward_is_logged(make_recipe, base):
    run = run_recipe(make_recipe("dpo", policy={"model_name_or_path": base}))
    assert run.manifest["channels"] == ["annotators"]
    assert not any(name.startswith("held_out/reward") for row in run.metrics() for name in row)


def test_a_file_s_channels_are_noted(make_recipe, base, tmp_path):
    pairs.write(
        tmp_path / "p.jsonl", [{"prompt": "person:", "chosen": " yes", "rejected": " no"}] * 4, {"channels": ["gold"]}
    )
    data = {"args": {"path": str(tmp_path / "p.jsonl"), "max_completion_length": 6}}
    run = run_recipe(make_recipe("dpo", policy={"model_name_or_path": base}, data=data))
    assert (run.manifest["channels"], run.manifest["learnt_from"]) == ([], ["gold"])


def test_the_reference_point_of_kto_is_not_called_a_kl(make_recipe, base):
    run = run_recipe(make_recipe("kto", policy={"model_name_or_path": base}))
    assert any("reference_point" in row for row in run.metrics())
    assert not any("kl" in row for row in run.metrics())


def test_best_of_n_makes_a_run_with_a_bound_and_no_kl(make_recipe, base):
    recipe = make_recipe("best_of_n", policy={"model_name_or_path": base}, rewards=RANDOM, held_out={"n": 8})
    run = run_recipe(recipe)
    rows = [row for row in run.metrics() if "best_of_n/n" in row]
    assert [row["best_of_n/n"] for row in rows] == [1, 2, 4] and run.finished and not run.model.exists()
    assert [row["best_of_n/kl_bound"] for row in rows] == pytest.approx([0, math.log(2) - 1 / 2, math.log(4) - 3 / 4])
    assert rows[0]["best_of_n/reward"] < rows[1]["best_of_n/reward"] < rows[2]["best_of_n/reward"]
    assert not any(name.endswith("kl") for row in run.metrics() for name in row)
    drawn = pd.read_parquet(run.path / "samples" / "candidates.parquet")
    best = drawn[drawn.chosen]
    assert len(drawn) == 32 and len(best) == 8 and best.reward.mean() == pytest.approx(rows[2]["best_of_n/reward"])
    assert not best.wellbeing.isna().any()


def test_gold_ranks_replies_only_where_a_reward_says_so(make_recipe, base, tmp_path):
    (tmp_path / "peek.py").write_text(
        "from smilerl import worlds\n\n"
        "def peek(prompts, completions, *, person=None, **columns):\n"
        "    return [one.outcome.wellbeing for one in worlds.build('smileworld').react(person, completions)]\n"
    )
    policy = {"model_name_or_path": base}
    for method in ("best_of_n", "dpo"):
        with pytest.raises(OutcomeSealed):
            run_recipe(make_recipe(method, name=method, policy=policy, rewards=[{"name": f"{tmp_path}/peek.py:peek"}]))
    run = run_recipe(make_recipe("best_of_n", name="gold", policy=policy, rewards=[{"name": "gold"}]))
    assert run.manifest["channels"] == ["gold"]
