"""What only a GPU shows: bfloat16 recipes as they are written, the base on the same card, and the memory that scoring takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from smilerl.models import sampling
from smilerl.models.policy import load_policy
from smilerl.training import run as running
from smilerl.training.run import run_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
PROMPTS = [[{"role": "user", "content": f"I lost my dog {days} days ago."}] for days in range(32)]


@pytest.mark.parametrize(
    "name", ["rloo_sentiment", "rloo_preference_lora", "grpo_preference", "grpo_sentiment_lora", "sft", "rm"]
)
def test_a_recipe_trains_in_bfloat16(name: str, small) -> None:
    recipe = small(RECIPES / "qwen3-0.6b" / f"{name}.yaml", **{"training.use_cpu": False, "training.bf16": True})
    run = run_recipe(recipe, progress=False)
    assert run.finished and run.status["step"] == 2
    measured = [row["held_out/kl"] for row in run.metrics() if "held_out/kl" in row]
    if measured:  # the base and the policy are one model before the first step, in bfloat16 too
        assert measured[0] == 0 and measured[-1] != 0


def test_with_beta_0_the_base_is_a_copy_on_the_same_card(small, monkeypatch) -> None:
    seen = []
    frozen = running.frozen_base

    def watched(trainer, initial):
        base = frozen(trainer, initial)
        with base() as model:
            seen.append((model.device.type, trainer.model.device.type))
        return base

    monkeypatch.setattr(running, "frozen_base", watched)
    said = {"training.use_cpu": False, "training.bf16": True, "training.beta": 0.0}
    assert run_recipe(small(RECIPES / "qwen3-0.6b" / "grpo_sentiment.yaml", **said), progress=False).finished
    assert seen == [("cuda", "cuda")]


def test_log_probabilities_are_those_of_the_cpu(qwen3) -> None:
    here, there = load_policy(qwen3), load_policy(qwen3, device="cuda")
    ids = sampling.sample_ids(here, PROMPTS, max_new_tokens=12, seed=0)
    assert sampling.sample_ids(there, PROMPTS, max_new_tokens=12, seed=0) == ids
    on_cpu, on_gpu = (sampling.completion_logprobs(policy, PROMPTS, ids) for policy in (here, there))
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)


def test_scoring_a_large_vocabulary_stays_within_its_memory(checkpoint) -> None:
    """64 sequences of 400 tokens over 150,000 words are 15 GB of logits in single precision, if all were taken at once."""
    policy = load_policy(checkpoint("qwen3", vocab_size=150_000), device="cuda", dtype="bfloat16")
    torch.cuda.reset_peak_memory_stats()
    sampling.completion_logprobs(policy, ["a" * 200] * 64, [[5] * 200] * 64)
    assert torch.cuda.max_memory_allocated() < 10 * 2**30
