"""Where no process has the whole model: what is left out is said, what would be lost is refused, and nothing waits for ever."""

from __future__ import annotations

import json
import os
import weakref
from types import SimpleNamespace

import pytest
import torch
import yaml
from transformers.distributed.fsdp import is_fsdp_enabled
from transformers.integrations import deepspeed

from smilerl.config.recipe import Recipe, RecipeError
from smilerl.training import sharding
from smilerl.training.observers.held_out import HeldOut
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe
from smilerl.training.trl_adapter.adapters import is_whole

FSDP = {"ACCELERATE_USE_FSDP": "true"}
ZERO2 = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}
ZERO3 = {
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
    "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true",
}
TINY = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 32, "tie_word_embeddings": True, "max_position_embeddings": 128,
}  # fmt: skip
CPU = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "max_steps": 1,
    "per_device_train_batch_size": 4,
}
RL = {"num_generations": 4, "max_completion_length": 4}


@pytest.fixture
def recipe(tmp_path):
    """A recipe of RLOO on a policy of a few thousand weights, with changes."""

    def make(method: str = "rloo", training: dict | None = None, **sections) -> Recipe:
        said = {
            "method": method, "output_dir": str(tmp_path / "run"), "policy": {"config": TINY}, "data": {"n": 8},
            "training": {**CPU, **(RL if method == "rloo" else {}), **(training or {})}, "held_out": {"every": 1, "n": 4},
        }  # fmt: skip
        if method == "rloo":
            said["rewards"] = [{"name": "smile"}]
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(said | sections))
        return load_recipe(path)

    return make


@pytest.fixture
def launched(monkeypatch):
    """As `accelerate launch` leaves the environment."""

    def set_to(environment: dict[str, str]) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return set_to


@pytest.mark.parametrize(
    ("environment", "by"), [({}, None), (FSDP, "FSDP"), (ZERO2, None), (ZERO3, "DeepSpeed ZeRO-3")], ids=str
)
def test_the_launcher_says_whether_weights_are_split(recipe, launched, environment, by) -> None:
    launched(environment)
    assert sharding.sharded(recipe()) == by


@pytest.mark.parametrize("stage", [2, 3])
def test_a_file_of_deepspeed_says_it_too(recipe, launched, tmp_path, stage) -> None:
    file = tmp_path / "zero.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
    assert (sharding.sharded(recipe(training={"deepspeed": str(file)})) is not None) == (stage == 3)
    launched({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(file)})
    assert (sharding.sharded(recipe()) is not None) == (stage == 3)


@pytest.mark.parametrize("environment", [FSDP, ZERO3], ids=["fsdp", "zero3"])
def test_why_nobody_is_sampled_is_said(recipe, launched, environment) -> None:
    launched(environment)
    reason = sharding.why_unwatched(recipe(training={"beta": 0.1}))
    assert reason and reason.startswith("held-out people are not sampled under")


def test_a_sharded_run_samples_nobody_and_notes_why(recipe, capsys, monkeypatch) -> None:
    """On one process with whole weights, where sampling would work: so it is the launcher's word that is heard."""
    monkeypatch.setattr(sharding, "sharded", lambda recipe: "FSDP")
    run = run_recipe(recipe(training={"beta": 0.1}), progress=False)
    assert run.finished and not [row for row in run.metrics() if "held_out/kl" in row]
    assert run.manifest["unwatched"].startswith("held-out people are not sampled under FSDP")
    assert "held-out people are not sampled under FSDP" in capsys.readouterr().err
    assert [row["kl"] for row in run.metrics() if "kl" in row], "TRL's own KL is there"


def test_where_nothing_would_measure_the_kl_the_run_is_refused(recipe, launched) -> None:
    launched(FSDP)
    with pytest.raises(RecipeError, match=r"recipe.yaml:\d+: with beta 0 TRL measures no KL, and under FSDP"):
        sharding.why_unwatched(recipe(training={"beta": 0.0}))


def test_what_could_not_be_saved_is_refused_before_it_is_trained(recipe, launched) -> None:
    launched({**ZERO3, "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "false"})
    with pytest.raises(RecipeError, match="zero3_save_16bit_model: true"):
        sharding.why_unwatched(recipe(training={"beta": 0.1}))


def test_whoever_samples_nobody_has_nothing_to_say(recipe, launched) -> None:
    launched(FSDP)
    assert sharding.why_unwatched(recipe("sft")) is None
    assert sharding.why_unwatched(recipe(training={"beta": 0.1}, held_out={"every": 0})) is None


def test_rewards_load_their_models_whole(launched, monkeypatch) -> None:
    class ThreeStages:
        def is_zero3(self) -> bool:
            return True

    settings, seen = ThreeStages(), []
    monkeypatch.setattr(deepspeed, "_hf_deepspeed_config_weak_ref", weakref.ref(settings))
    launched({**FSDP, "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"})
    monkeypatch.setattr("transformers.distributed.fsdp._is_torch_distributed_initialized", lambda: True)

    def reward(completions, **columns):
        seen.append((deepspeed.is_deepspeed_zero3_enabled(), is_fsdp_enabled()))
        return [1.0]

    reward.channels = ("gold",)
    whole = sharding.WithWholeModels(reward)
    assert (deepspeed.is_deepspeed_zero3_enabled(), is_fsdp_enabled()) == (True, True)
    assert whole(prompts=["p"], completions=["a"]) == [1.0] and seen == [(False, False)]
    assert (deepspeed.is_deepspeed_zero3_enabled(), is_fsdp_enabled()) == (True, True), "the policy is as it was"
    assert (whole.__name__, whole.channels) == ("reward", ("gold",))
    assert os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "true"


def test_slices_are_seen_for_what_they_are() -> None:
    """A real FSDP2 module, of one process."""
    from torch.distributed.fsdp import fully_shard

    model = torch.nn.Linear(2, 2)
    assert is_whole(model)
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=torch.distributed.HashStore())
    try:
        mesh = torch.distributed.init_device_mesh("cpu", (1,))
        sliced = fully_shard(torch.nn.Linear(2, 2), mesh=mesh)
        assert not is_whole(sliced)
        watch = HeldOut([], every=1, tokenizer=None, max_new_tokens=1, base=None, score=None, write=None)
        with pytest.raises(RuntimeError, match="split over the processes"):
            watch.on_train_begin(None, SimpleNamespace(global_step=0), None, model=sliced)
    finally:
        torch.distributed.destroy_process_group()
    emptied = torch.nn.Linear(2, 2)
    emptied.weight.ds_id = 0  # as ZeRO-3 marks what it takes apart
    assert not is_whole(emptied)
