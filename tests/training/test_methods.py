"""Every method trains: two steps change the parameters that it should change, and no others."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from smilerl import training
from smilerl.pipeline import run_recipe
from smilerl.policies import load_policy
from smilerl.run import Run

LORA = {"r": 2, "lora_alpha": 4, "target_modules": "all-linear"}


@pytest.fixture
def base(make_recipe, tmp_path) -> str:
    """The directory of a policy to start from."""
    return str(run_recipe(make_recipe("sft", name="base")).model)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("method", ["rloo", "grpo", "sft"])
def test_two_steps_change_every_parameter(make_recipe, base, method):
    run = run_recipe(make_recipe(method, policy={"model_name_or_path": base}, training={"weight_decay": 0.0}))
    before, after = weights(load_policy(base).model), weights(load_policy(run.model).model)
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert not same and run.finished and run.status["step"] == 2


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


@pytest.mark.parametrize("method", training.methods())
def test_a_method_says_what_it_is_made_of(method):
    module = training.method(method)
    assert all(callable(getattr(module, part)) for part in ("CONFIG", "policy", "dataset", "make_trainer"))
    assert module.__doc__


def test_fresh_policy_is_trained_by_rl_with_a_reference(make_recipe):
    run = run_recipe(make_recipe("rloo"))
    assert not torch.equal(*(load_policy(path).model.lm_head.weight for path in (run.path / "initial", run.model)))
    assert Run.open(run.path).state == "finished"
