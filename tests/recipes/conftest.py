"""Real-model recipes made small: tiny checkpoints in place of their models, a few rows of the same form in place of their data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from smilerl.config.recipe import Recipe
from smilerl.training.recipe_check import load_recipe

U, A = ({"role": role} for role in ("user", "assistant"))
#: Data set → rows with its columns.
ROWS = {
    "Estwld/empathetic_dialogues_llm": [
        {
            "conv_id": f"hit:{number}", "situation": "s", "emotion": "sad",
            "conversations": [
                {**U, "content": f"I lost my dog on day {number}."}, {**A, "content": "I am sorry."},
                {**U, "content": "He was old."}, {**A, "content": f"It hurts all the same, {number} times."},
            ],
        }
        for number in range(40)
    ],
    "trl-lib/hh-rlhf-helpful-base": [
        {
            "prompt": [{**U, "content": f"How do I cook {number} eggs?"}],
            "chosen": [{**A, "content": "Boil them for eight minutes."}], "rejected": [{**A, "content": "No."}],
        }
        for number in range(60)
    ],
}  # fmt: skip
TRAINING = {
    "max_steps": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_generations": 4,
    "max_completion_length": 6, "learning_rate": 0.01, "warmup_steps": 0, "max_length": 256, "use_cpu": True, "bf16": False,
}  # fmt: skip


@pytest.fixture(scope="session")
def qwen3(checkpoint, tmp_path_factory) -> str:
    """A tiny Qwen3 with the chat template of the real one, as TRL has it."""
    import trl
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("models") / "qwen3"
    shutil.copytree(checkpoint("qwen3"), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def models(checkpoint, qwen3) -> dict[str, str]:
    """Hub id → directory of a tiny model of the same architecture."""
    return {
        "Qwen/Qwen3-0.6B": qwen3,
        "Qwen/Qwen3-8B": qwen3,
        "HuggingFaceTB/SmolLM2-360M-Instruct": checkpoint("llama"),
        "Skywork/Skywork-Reward-V2-Qwen3-0.6B": checkpoint("qwen3", classifier=True),
        "cardiffnlp/twitter-roberta-base-sentiment-latest": checkpoint(
            "roberta", labels=["negative", "neutral", "positive"]
        ),
    }


@pytest.fixture
def small(models, tmp_path) -> Callable[..., Recipe]:
    """The recipe in a file, with everything that makes it large or remote replaced, and nothing else."""

    def make(path: Path, **overrides) -> Recipe:
        read = load_recipe(path)
        args, method = read.world.args, read.method
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS[args["dataset"]]))
        kept = {key: value for key, value in args.items() if key not in ("dataset", "source_split")}
        from smilerl.config.trl import training_fields

        known = training_fields(method)
        said = {key: value for key, value in TRAINING.items() if key in known}
        return load_recipe(
            path,
            {
                "world.args": {**kept, "path": str(file), "held_out_fraction": 0.25},
                "policy.model_name_or_path": models[read.policy.model_name_or_path],
                "rewards": [_replaced(vars(reward), models) for reward in read.rewards],
                "training": {**read.training, **said},
                "data.n": 8,
                **({"data.args": {"max_completion_length": 6}} if method in ("dpo", "kto") else {}),
                "held_out": {"every": int(bool(read.held_out.every)), "n": 4},
                "output_dir": str(tmp_path / "run"),
                **overrides,
            },
        )

    return make


def _replaced(value, models: dict[str, str]):
    if isinstance(value, dict):
        return {key: _replaced(item, models) for key, item in value.items()}
    return models.get(value, value) if isinstance(value, str) else value
