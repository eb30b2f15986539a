"""People to score, and models small enough to make on the spot."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from smilerl import worlds
from smilerl.models.policy import tokenizer_for

GENERATIONS = 2
#: Writes messages as the plain text that says the same, so that both must score the same.
PLAIN_TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}<eos>"


@pytest.fixture(scope="session")
def world():
    return worlds.build("smileworld")


@pytest.fixture(scope="session")
def batch(world) -> dict[str, list]:
    """Prompts, people and completions as a TRL trainer hands them over: the replies to one person side by side."""
    people = world.people("train", 24, seed=0)
    person = [one for one in people["person"] for _ in range(GENERATIONS)]
    prompts = [one for one in people["prompt"] for _ in range(GENERATIONS)]
    said = {name: world.helpers[name](person, 0) for name in ("carer", "flatterer", "spoofer", "stuffer")}
    completions = [said[name][row] for row, name in enumerate(list(said) * (len(person) // len(said)))]
    return {"prompts": prompts, "completions": completions, "person": person}


@pytest.fixture(scope="session")
def tokenizer(world) -> PreTrainedTokenizerFast:
    return tokenizer_for(world)


@pytest.fixture(scope="session")
def classifier_dir(tokenizer, tmp_path_factory):
    """Makes the directory of a random tiny classifier with the given labels."""

    def make(labels: list[str], model_type: str = "llama", **config) -> str:
        torch.manual_seed(len(labels))
        small = {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        }
        settings = AutoConfig.for_model(
            model_type, **small, num_key_value_heads=2, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id,
            max_position_embeddings=128, id2label=dict(enumerate(labels)), initializer_range=0.5, **config,
        )  # fmt: skip
        folder: Path = tmp_path_factory.mktemp("classifier")
        AutoModelForSequenceClassification.from_config(settings).save_pretrained(folder)
        chatty = copy.deepcopy(tokenizer)
        chatty.chat_template = PLAIN_TEMPLATE
        chatty.save_pretrained(folder)
        return str(folder)

    return make


@pytest.fixture(scope="session")
def reward_model(classifier_dir) -> str:
    """The directory of a random reward model."""
    return classifier_dir(["LABEL_0"])
