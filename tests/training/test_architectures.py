"""Every method trains the architectures that people use, plain and conversational, whole and by LoRA, on real reward models.

Not every combination, which would take minutes: each method meets both forms of prompts, both ways of training and both
policies once, each of those in another company.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from safetensors.torch import load_file

from smilerl.training import methods
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe

LORA = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]}
CPU = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "max_steps": 2, "learning_rate": 0.01}
SAMPLES = {"per_device_train_batch_size": 4, "num_generations": 2, "max_completion_length": 5}
READS = {"per_device_train_batch_size": 4, "max_length": 128}


class Case(NamedTuple):
    """A method and what it meets; `reward` is the architecture of the reward model, where there is one."""

    method: str
    policy: str
    chat: bool
    lora: bool
    reward: str | None = None


CASES = [
    Case("sft", "qwen3", chat=True, lora=False),
    Case("sft", "llama", chat=False, lora=True),
    Case("reward", "qwen3", chat=False, lora=True),
    Case("reward", "llama", chat=True, lora=False),
    Case("rloo", "qwen3", chat=False, lora=False, reward="roberta"),
    Case("rloo", "llama", chat=True, lora=True, reward="deberta"),
    Case("grpo", "qwen3", chat=True, lora=True, reward="roberta"),
    Case("grpo", "llama", chat=False, lora=False, reward="deberta"),
    Case("dpo", "qwen3", chat=True, lora=True),
    Case("dpo", "llama", chat=False, lora=False),
    Case("kto", "qwen3", chat=False, lora=True),
    Case("kto", "llama", chat=True, lora=False),
]


def test_every_method_meets_everything_once():
    """Else the table above would promise more than it holds."""
    for method in set(methods.names()) - {"best_of_n"}:
        own = [case for case in CASES if case.method == method]
        for part in ("policy", "chat", "lora"):
            assert len({getattr(case, part) for case in own}) == 2, (method, part)
    assert {case.reward for case in CASES} == {"roberta", "deberta", None}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}-{case.policy}-{'chat' if case.chat else 'plain'}-{'lora' if case.lora else 'full'}")  # fmt: skip
def test_two_steps_change_the_parameters(case, checkpoint, tmp_path):
    start = checkpoint(case.policy)
    run = run_recipe(load_recipe(write_recipe(tmp_path, case, start, checkpoint)), progress=False)
    assert run.finished and run.status["step"] == 2
    if case.lora:
        adapter = load_file(run.model / "adapter_model.safetensors")
        moved = {name: weight.abs().sum() > 0 for name, weight in adapter.items() if "lora_B" in name}  # starts at 0
        assert len(moved) == 4 and all(moved.values())
    else:
        before, after = (load_file(Path(folder) / "model.safetensors") for folder in (start, run.model))
        shared = before.keys() & after.keys()
        assert len(shared) >= 20 and not [name for name in shared if torch.equal(before[name], after[name])]
    held_out = [row for row in run.metrics() if "held_out/kl" in row]
    if case.method not in ("sft", "reward"):
        assert held_out[0]["held_out/kl"] == pytest.approx(0, abs=1e-5) and held_out[-1]["held_out/kl"] != 0
        assert case.reward is None or "held_out/reward" in held_out[-1]


def write_recipe(folder: Path, case: Case, start: str, checkpoint) -> Path:
    """A recipe of this case over a file of sixteen talks, and that file."""
    (folder / "talks.jsonl").write_text("\n".join(json.dumps(talk(number, case.chat)) for number in range(16)))
    recipe = {
        "method": case.method,
        "output_dir": str(folder / "run"),
        "world": {"name": "dialogue", "args": {"path": str(folder / "talks.jsonl"), "held_out_fraction": 0.2}},
        "policy": {"model_name_or_path": start, "peft": LORA if case.lora else None},
        "data": {"n": 8},
        "training": {**CPU, **(SAMPLES if case.reward else READS)},
        "held_out": {"every": 2, "n": 2},
    }
    if case.method in ("dpo", "kto"):
        recipe["data"]["args"] = {"max_completion_length": 5}
    if case.method == "rloo":
        recipe["training"]["beta"] = 0.0  # so that the first step's gradient is the reward's
    if case.reward == "roberta":
        model = checkpoint("roberta", labels=["negative", "positive"])
        recipe["rewards"] = [{"name": "sentiment", "args": {"model": model, "reads": "completion"}}]
    elif case.reward == "deberta":
        recipe["rewards"] = [{"name": "preference", "args": {"model": checkpoint("deberta")}}]
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def talk(number: int, chat: bool) -> dict:
    """A prompt with a better and a worse reply."""
    prompt, better, worse = f"I feel {number}. ", f"That is {number} too many.", "Cheer up!"
    if not chat:
        return {"prompt": f"person: {prompt}\nhelper:", "chosen": f" {better}", "rejected": f" {worse}"}
    said = [[{"role": "assistant", "content": text}] for text in (better, worse)]
    return {"prompt": [{"role": "user", "content": prompt}], "chosen": said[0], "rejected": said[1]}
