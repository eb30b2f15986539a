"""Prompts that a model cannot take are named before anything is sampled: context, chat template, emptiness."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig

from smilerl.models.policy import fresh_policy, load_policy
from smilerl.models.prompts import PromptError, check, context_of, encode
from smilerl.models.sampling import completion_logprobs, encode_prompts, option_logprobs, sample_ids
from smilerl.worlds.base import World

U, A, S = ({"role": role, "content": "hi"} for role in ("user", "assistant", "system"))


class Words(World):
    """A world of ten words."""

    def vocabulary(self):
        return [f" {word}" for word in "a b c d e f g h i j".split()]


@pytest.fixture(scope="module", params=["llama", "gpt2"])  # rotary and learned positions
def policy(request):
    torch.manual_seed(0)
    sizes = {
        "llama": {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
        "gpt2": {"n_embd": 8, "n_layer": 1, "n_head": 2},
    }[request.param]
    return fresh_policy({"model_type": request.param, **sizes, "max_position_embeddings": 16}, Words())


def test_a_prompt_has_to_fit_with_what_follows(policy):
    ten, twelve = " a" * 10, " b" * 12
    assert len(sample_ids(policy, [ten, ten], max_new_tokens=6, seed=0)) == 2
    for ask in (
        lambda: sample_ids(policy, [ten, twelve, twelve], max_new_tokens=6, seed=0),
        lambda: completion_logprobs(policy, [ten, twelve, twelve], [" a" * 5] * 3),
        lambda: option_logprobs(policy, [ten, twelve, twelve], [[" a", " a" * 5]] * 3),
    ):
        with pytest.raises(PromptError) as error:
            ask()
        assert error.value.row == 1 and error.value.prompt == twelve
        assert "row 1 (' b b b" in str(error.value).replace('"', "'") or "row 1 ('b b b" in str(error.value)
        assert "12 tokens" in str(error.value) and "context of 16" in str(error.value) and "2 of 3" in str(error.value)


@pytest.mark.parametrize("prompts", [["a", ""], [[1], []]])
def test_an_empty_prompt_is_named(policy, prompts):
    with pytest.raises(PromptError, match=r"row 1 .*the prompt is empty.* 1 of 2 prompts"):
        encode_prompts(policy, prompts)


def test_a_place_is_better_than_a_number(policy):
    with pytest.raises(PromptError, match=r"^talks\.jsonl:7: the prompt is empty"):
        encode(policy.tokenizer, ["a", ""], lambda prompt: "talks.jsonl:7")


def test_what_a_template_refuses_is_counted_and_the_rest_is_not_blamed(checkpoint):
    policy = load_policy(checkpoint("qwen3"))
    head = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no\\x1b[2J system here') }}{% endif %}"
    policy.tokenizer.chat_template = head + policy.tokenizer.chat_template
    assert len(encode(policy.tokenizer, [[U], [U, A, U]])) == 2
    with pytest.raises(PromptError) as error:
        encode(policy.tokenizer, [[U], [S, U], [U], [S, U]])
    assert error.value.row == 1 and "system here" in str(error.value) and "2 of 4" in str(error.value)
    assert "\x1b" not in str(error.value) and "front of what the user says" in error.value.fix
    policy.tokenizer.chat_template = None
    with pytest.raises(PromptError, match="no chat template"):
        encode(policy.tokenizer, [[U]])


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        (AutoConfig.for_model("llama", max_position_embeddings=64), 64),
        (AutoConfig.for_model("gpt2", n_positions=32), 32),
        (AutoConfig.for_model("mamba"), None),
        (SimpleNamespace(max_position_embeddings=-1), None),
        (SimpleNamespace(max_position_embeddings=64, rope_parameters={"factor": 4.0, "original_max_position_embeddings": 64}), 256),
        (SimpleNamespace(max_position_embeddings=256, rope_parameters={"factor": 4.0, "original_max_position_embeddings": 64}), 256),
        (SimpleNamespace(max_position_embeddings=64, rope_parameters={"rope_type": "default"}), 64),
    ],
)  # fmt: skip
def test_contexts(config, limit):
    assert context_of(config) == limit


def test_thousands_are_looked_at_in_a_moment(policy):
    prompts = [" a b c d e f g h i j"] * 4096
    check(policy.tokenizer, policy.model.config, prompts[:8], 6)
    started = time.process_time()
    check(policy.tokenizer, policy.model.config, prompts, 6)
    assert time.process_time() - started < 1  # a quarter of it, where nobody else works
