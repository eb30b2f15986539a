"""What holds of every file in smilerl/rewards: a new reward is tested here with no edit."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import random

import pytest
from transformers import TrainerState

from smilerl import rewards
from smilerl.rewards.preference import MODEL_VARIABLE
from smilerl.worlds.base import OutcomeSealed, sealed

CHANNELS = {"gold", "delayed_smile", "annotators"}


@pytest.fixture(params=rewards.names())
def module(request, reward_model, monkeypatch):
    monkeypatch.setenv(MODEL_VARIABLE, reward_model)
    return importlib.import_module(f"smilerl.rewards.{request.param}")


def trl_columns(batch: dict) -> dict:
    """All that TRL passes beside prompts and completions."""
    return {
        "completion_ids": [[5, 6, 7] for _ in batch["completions"]],
        "person": batch["person"],
        "trainer_state": TrainerState(),
        "log_extra": lambda column, values: None,
        "log_metric": lambda name, value: None,
    }


def test_it_is_one_callable_and_its_builder(module):
    name = module.__name__.rpartition(".")[2]
    assert module.reward.__name__ == name == module.build().__name__
    assert module.__doc__.startswith(f"{name}: ")
    assert inspect.getdoc(module.build)
    assert set(getattr(module.reward, "channels", ())) <= CHANNELS


def test_it_scores_a_batch_as_trl_hands_it_over(module, batch):
    before = copy.deepcopy(batch)
    values = module.reward(prompts=batch["prompts"], completions=batch["completions"], **trl_columns(batch))
    assert batch == before
    assert len(values) == len(batch["completions"])
    assert all(value is None or type(value) is float for value in values)
    assert any(value is not None for value in values)


def test_messages_score_as_text(module, batch):
    messages = {
        "prompts": [[{"role": "user", "content": prompt}] for prompt in batch["prompts"]],
        "completions": [[{"role": "assistant", "content": said}] for said in batch["completions"]],
        "person": batch["person"],
    }
    assert module.build()(**messages) == module.build()(**batch)


def test_outcomes_reach_it_through_its_declared_channels_only(module, batch):
    reward = module.build()
    declared = getattr(reward, "channels", ())
    with sealed("this test", declared):
        reward(**batch)
    if declared:
        with sealed("this test"), pytest.raises(OutcomeSealed, match=declared[0]):
            reward(**batch)


def test_checked_and_restored_it_goes_on_as_if_never_stopped(module, batch):
    first, second = rewards.checked(module.build()), rewards.checked(module.build())
    first(**batch)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert first(**batch) == second(**batch)


def test_it_leaves_the_global_generators_alone(module, batch):
    random.seed(0)
    before = random.getstate()
    module.build()(**batch)
    assert random.getstate() == before


@pytest.mark.slow
def test_it_trains_in_a_bare_trl_script(module, world, tokenizer, tmp_path):
    """`trl rloo --reward_funcs smilerl.rewards.<name>.reward` on an exported people dataset, without the command line."""
    from datasets import load_dataset
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl import RLOOConfig, RLOOTrainer

    world.people("train", 16, seed=0).to_json(tmp_path / "people.jsonl")
    config = AutoConfig.for_model(
        "llama", hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    trainer = RLOOTrainer(
        model=str(tmp_path / "model"),
        processing_class=tokenizer,
        reward_funcs=[module.reward],
        train_dataset=load_dataset("json", data_files=str(tmp_path / "people.jsonl"), split="train", cache_dir=str(tmp_path)),
        args=RLOOConfig(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=8, num_generations=2, max_completion_length=8,
            logging_steps=1, report_to="none", save_strategy="no", use_cpu=True, bf16=False, gradient_checkpointing=False,
        ),
    )  # fmt: skip
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(logged) == 2
    assert f"rewards/{module.reward.__name__}/mean" in logged[0]
