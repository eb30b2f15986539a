"""Options in one row, with what they have in common read once, score as each by itself; or they are not put in one."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import transformers as tf
from peft import LoraConfig, get_peft_model

from smilerl.models import option_tree, packed
from smilerl.models.option_tree import tree

SMALL = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 96, "initializer_range": 0.3}  # fmt: skip
FAMILIES = {
    "llama": lambda: tf.LlamaConfig(**SMALL),
    "qwen3": lambda: tf.Qwen3Config(**SMALL, head_dim=8),
    "gemma2": lambda: tf.Gemma2Config(**SMALL, head_dim=8, sliding_window=128, final_logit_softcapping=5.0),
    "gpt2": lambda: tf.GPT2Config(vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=96, initializer_range=0.3),
    "mistral": lambda: tf.MistralConfig(**SMALL, sliding_window=None),
}


def model(family: str, attention: str = "sdpa", **changed):
    torch.manual_seed(0)
    config, attention = FAMILIES[family](), "eager" if family == "gemma2" else attention
    for name, value in changed.items():
        setattr(config, name, value)
    return tf.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


def asked(n: int = 6) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Prompts of 1 to 20 tokens; options of none to 9, that begin alike, are equal, or go on from one another."""
    draw = random.Random(0)

    def some(least: int, most: int) -> list[int]:
        return [draw.randrange(40) for _ in range(draw.randint(least, most))]

    options = []
    for _ in range(n):
        begun = some(1, 4)
        own = [begun + some(1, 5), begun + some(1, 5), begun, [*begun, 3, 4], [*begun, 3], some(1, 9), some(1, 1), []]
        options.append([*own, own[0]][: draw.randint(4, 9)])
    return [some(1, 20) for _ in range(n)], options


@torch.inference_mode()
def by_themselves(model, prompts, options, temperature: float = 1.0) -> list[np.ndarray]:
    """The definition: one option a row."""

    def one(prompt: list[int], option: list[int]) -> float:
        logits = model(input_ids=torch.tensor([prompt + option])).logits[0].float() / temperature
        scores = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        return float(sum(scores[place, token] for place, token in enumerate(option)))

    return [np.array([one(prompt, option) for option in own]) for prompt, own in zip(prompts, options, strict=True)]


def plain_of(model):
    return lambda prompts, options: by_themselves(model, prompts, options)


@torch.inference_mode()
def in_one_row(policy, prompts, options, temperature: float = 1.0) -> list[np.ndarray]:
    several = option_tree.logprobs(policy, prompts, options, (1.0, temperature))
    assert all(own.shape == (len(given), 2) for own, given in zip(several, options, strict=True))
    return [own[:, 1] for own in several]


def assert_same(found, expected, within: float = 1e-4) -> None:
    for own, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, theirs, atol=within)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_each_option_by_itself(family, attention):
    policy, given = model(family, attention), asked()
    expected = by_themselves(policy, *given)
    assert np.ptp(np.concatenate(expected)) > 5
    with torch.inference_mode():
        assert option_tree.works(policy, *given, plain_of(policy))
    assert_same(in_one_row(policy, *given), expected)


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_at_a_temperature(temperature):
    policy, given = model("gemma2"), asked()
    assert_same(in_one_row(policy, *given, temperature), by_themselves(policy, *given, temperature), 1e-3)


def test_with_an_adapter():
    policy, given = model("llama"), asked()
    adapted = get_peft_model(policy, LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)).eval()
    expected = by_themselves(adapted, *given)
    with torch.inference_mode():
        assert option_tree.works(adapted, *given, plain_of(adapted))
    assert_same(in_one_row(adapted, *given), expected)


@pytest.mark.parametrize(("name", "most"), [("_MOST_LOGITS", 400), ("_MOST_TOKENS", 40)])
def test_no_limit_on_batches_changes_a_score(name, most, monkeypatch):
    policy, given = model("llama"), asked(12)
    expected = in_one_row(policy, *given)
    monkeypatch.setattr(option_tree, name, most)
    assert_same(in_one_row(policy, *given), expected, 1e-5)
    trees = [tree(*one) for one in zip(*given, strict=True)]
    batches = list(option_tree.scored(policy, trees))
    assert sorted(row for batch in batches for row in batch.rows) == list(range(12)) and len(batches) > 3


def test_what_is_common_stands_once_and_last_tokens_are_not_read():
    found = tree([7, 8], [[1, 2, 3], [1, 2, 4], [1], [5]])
    assert found.tokens == [7, 8, 1, 2] and found.parents == [-1, 0, 1, 2]
    assert found.edges == [(1, 1), (2, 2), (3, 3), (3, 4), (1, 5)]
    assert found.paths == [[0, 1, 2], [0, 1, 3], [0], [4]]


def test_equal_tokens_after_different_beginnings_are_not_taken_for_one():
    assert len(tree([7], [[1, 2, 3], [2, 2, 3]]).tokens) == 5


def broken(how: str):
    whole = option_tree.tree

    def wrong(prompt, options):
        found = whole(prompt, options)
        first = len(prompt)
        if how == "sees a sibling":
            return found._replace(parents=[place - 1 for place in range(len(found.tokens))])
        if how == "forgets its prompt" and len(found.tokens) > first:
            return found._replace(
                parents=[*found.parents[:first], *(max(one, 0) * (one >= first) for one in found.parents[first:])]
            )
        return found._replace(edges=[(place, (token + 1) % 40) for place, token in found.edges])

    return wrong


@pytest.mark.parametrize("how", ["sees a sibling", "forgets its prompt", "takes another token"])
def test_a_model_or_a_row_that_says_otherwise_is_found_out(how, monkeypatch):
    policy, (prompts, options) = model("llama"), asked()
    given = ([[5, 6, 7, 8], *prompts], [[[1, 2, 3], [4, 5, 6], [9, 2, 2]], *options])
    monkeypatch.setattr(option_tree, "tree", broken(how))
    with torch.inference_mode():
        assert not option_tree.works(policy, *given, plain_of(policy))


@pytest.mark.parametrize(
    ("family", "changed"),
    [
        ("mistral", {"sliding_window": 8}),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}),
    ],
)
def test_a_window_shorter_than_a_row_and_positions_by_length_are_left_alone(family, changed):
    policy, given = model(family, **changed), asked()
    assert not option_tree.works(policy, *given, lambda *given: pytest.fail("it was tried"))


def test_half_precision_is_allowed_its_rounding_and_no_more():
    policy, given = model("llama").to(torch.bfloat16), asked()
    with torch.inference_mode():
        assert option_tree.works(policy, *given, plain_of(policy))
    off = [scores + 1 for scores in by_themselves(policy, *given)]
    other = model("llama").to(torch.bfloat16)
    with torch.inference_mode():
        assert not option_tree.works(other, *given, lambda prompts, options: [off[0][: len(options[0])]])


def test_only_what_is_scored_reaches_the_head():
    policy, seen = model("llama"), []
    policy.lm_head.register_forward_hook(lambda module, given, output: seen.append(given[0].shape[1]))
    prompts, options = asked(3)
    in_one_row(policy, prompts, options)
    assert sum(seen) == sum(len(tree(*one).places) for one in zip(prompts, options, strict=True))
    assert packed.why_not(policy) is None
