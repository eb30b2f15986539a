"""A recipe for a policy of a few thousand weights, and rewards that need no world."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from smilerl.config.recipe import Recipe
from smilerl.training.recipe_check import load_recipe

TINY = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 32, "tie_word_embeddings": True, "max_position_embeddings": 128,
}  # fmt: skip
CPU = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
RL = {
    **CPU, "max_steps": 2, "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 6, "learning_rate": 0.01,
}  # fmt: skip
CHOICE = {"use_cpu": True, "num_generations": 4, "max_completion_length": 6}
SFT = {**CPU, "max_steps": 2, "per_device_train_batch_size": 4, "max_length": 96, "learning_rate": 0.01}


@pytest.fixture
def make_recipe(tmp_path):
    """Writes a recipe file and loads it: `make_recipe("rloo", training={"beta": 0.0})`."""

    def make(method: str = "rloo", name: str = "recipe", training: dict | None = None, **sections) -> Recipe:
        base = {
            "method": method,
            "output_dir": str(tmp_path / "runs" / name),
            "policy": {"config": TINY},
            "data": {"n": 16},
            "training": {
                **(RL if method in ("rloo", "grpo") else CHOICE if method == "best_of_n" else SFT),
                **(training or {}),
            },
            "held_out": {"every": 1, "n": 4} if method != "reward" else {"every": 0, "n": 8},
        }
        if method in ("dpo", "kto"):
            base["data"]["args"] = {"max_completion_length": 6}
        if method in ("rloo", "grpo", "best_of_n"):
            base["rewards"] = [{"name": "smile"}]
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(base | sections))
        return load_recipe(path)

    return make


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    """Models built on first use go to a folder of the test."""
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
