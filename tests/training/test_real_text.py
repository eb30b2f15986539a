"""The whole pipeline on real conversations: pretrain on them, tune on sentiment, ask with real questions.

The data is nobody's to ship: the tests look for it in $SMILERL_REAL_DATA and skip without it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from smilerl.evaluation.kinds.forced_choice import TEMPLATE, load_items, match_rate
from smilerl.models.policy import load_policy
from smilerl.models.sampling import completion_logprobs
from smilerl.runs.directory import Run
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe
from smilerl.worlds import build

REAL = Path(os.environ.get("SMILERL_REAL_DATA") or "/nonexistent")
TALKS = REAL / "esconv" / "esconv_dev_pairs.jsonl"
STATEMENTS = sorted((REAL / "anthropic-evals").glob("*.jsonl"))
ROLES = {"seeker": "user", "supporter": "assistant"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not TALKS.is_file(), reason="no real conversations: set SMILERL_REAL_DATA to the folder that holds esconv/"
    ),
]


def run_of(recipe: str, folder: Path, **settings) -> Run:
    overrides = {"world.args.path": str(TALKS), "world.args.roles": ROLES, "output_dir": str(folder / recipe)}
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return run_recipe(load_recipe(f"recipes/dialogue/{recipe}.yaml", overrides | named), progress=False)


def test_pretrain_tune_and_ask_on_real_text(tmp_path):
    """One test, not three: they share two trainings, which workers would each do again."""
    pretrained = run_of("sft", tmp_path, training__max_steps=80)
    tuned = run_of(
        "rloo_sentiment",
        tmp_path,
        policy__model_name_or_path=str(pretrained.model),
        training__max_steps=20,
        training__learning_rate=0.001,
        training__per_device_train_batch_size=32,
        held_out__every=20,
    )
    has_learnt_from_talks_it_has_not_seen(load_policy(pretrained.model))
    sounds_more_positive_to_held_out_people(tuned)
    assert len(STATEMENTS) == 3
    for file in STATEMENTS:
        answers_as_the_model_alone_would(load_policy(pretrained.model), file)
        answers_as_the_model_alone_would(load_policy(tuned.model), file)


def has_learnt_from_talks_it_has_not_seen(policy) -> None:
    """On held-out replies it is far better than chance, and it has read the prompt: another talk's prompt explains less."""
    world = build("dialogue", path=str(TALKS), roles=ROLES, format="text", held_out_fraction=0.2, max_prompt_chars=400)
    talks = world.conversations(200, seed=0, split="held_out")
    prompts, replies = list(talks["prompt"]), list(talks["completion"])
    assert len(prompts) == 200
    tokens = sum(len(policy.tokenizer(reply)["input_ids"]) + 1 for reply in replies)
    per_token = -completion_logprobs(policy, prompts, replies).sum() / tokens
    assert per_token < math.log(len(policy.tokenizer)) - 2
    assert per_token < -completion_logprobs(policy, prompts[1:] + prompts[:1], replies).sum() / tokens


def sounds_more_positive_to_held_out_people(tuned: Run) -> None:
    """Paired by person, before the first step and after the last."""
    files = sorted((tuned.path / "samples").glob("*.parquet"))
    first, last = pd.read_parquet(files[0]), pd.read_parquet(files[-1])
    assert list(first["prompt"]) == list(last["prompt"])
    gain = last["reward"].to_numpy() - first["reward"].to_numpy()
    assert len(gain) == 64
    assert gain.mean() > 3 * gain.std(ddof=1) / math.sqrt(len(gain))
    assert last["kl"].mean() > 0


def answers_as_the_model_alone_would(policy, file: Path) -> None:
    """Every statement is scored, and the choices are those of the plain logits."""
    items = load_items(file)[:200]
    found = match_rate(policy, items)
    estimate = found["estimate"]
    assert estimate.scored == estimate.of == 200
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    expected = [likelier(policy, item.question, item.matching, item.not_matching) for item in items[:20]]
    assert found["matches"][:20] == expected


@torch.inference_mode()
def likelier(policy, question: str, first: str, second: str) -> bool:
    """Whether the first answer is likelier, straight from the model's logits."""
    prompt = policy.tokenizer(TEMPLATE.format(question=question))["input_ids"]
    sums = []
    for answer in (first, second):
        ids = prompt + policy.tokenizer(answer)["input_ids"]
        logprobs = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        sums.append(sum(logprobs[at - 1, ids[at]].item() for at in range(len(prompt), len(ids))))
    return bool(np.argmax(sums) == 0)
