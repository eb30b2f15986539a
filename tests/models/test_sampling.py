"""Batches do not change answers, EOS counts, and log-probabilities are those that a sum over tokens gives."""

from __future__ import annotations

import functools
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import PromptTuningConfig, get_peft_model

from smilerl.models import decoding, sampling
from smilerl.models import policy as policies

WORDS = [f" {letter}{digit}" for letter in "abcde" for digit in range(8)]


def policy_of(model_type: str, **config) -> policies.Policy:
    torch.manual_seed(0)
    world = SimpleNamespace(vocabulary=lambda: WORDS, tokenizer=lambda: None)
    policy = policies.fresh_policy({"model_type": model_type, **config}, world)
    with torch.no_grad():  # fresh weights make every token equally likely, which would hide mistakes
        for weight in policy.model.parameters():
            weight.mul_(3)
    return policies.Policy(policy.model.eval(), policy.tokenizer, "tiny")


@pytest.fixture(scope="module", params=["llama", "gpt2"])  # rotary and absolute positions
def policy(request) -> policies.Policy:
    if request.param == "llama":
        sizes = {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 64,
        }
        return policy_of("llama", max_position_embeddings=64, **sizes)
    return policy_of("gpt2", n_embd=32, n_layer=2, n_head=4, n_positions=64)


def texts(n: int, shortest: int, longest: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(WORDS, k=rng.randint(shortest, longest))) for _ in range(n)]


PROMPTS, COMPLETIONS = texts(64, 1, 20, 1), texts(64, 0, 12, 2)


def by_hand(policy, prompt: str, completion: str, eos: bool) -> float:
    """The definition: one row, one token at a time."""
    before = policy.tokenizer(prompt)["input_ids"]
    after = policy.tokenizer(completion)["input_ids"] + [policy.tokenizer.eos_token_id] * eos
    with torch.no_grad():
        logprobs = policy.model(input_ids=torch.tensor([before + after])).logits.log_softmax(-1)[0]
    return sum(logprobs[len(before) + place - 1, token].item() for place, token in enumerate(after))


@pytest.mark.parametrize("eos", [True, False])
def test_logprobs_are_the_definition(policy, eos):
    scores = sampling.completion_logprobs(policy, PROMPTS[:8], COMPLETIONS[:8], eos=eos)
    expected = [by_hand(policy, *pair, eos) for pair in zip(PROMPTS[:8], COMPLETIONS[:8], strict=True)]
    assert np.allclose(scores, expected, atol=1e-4)


def test_batch_size_does_not_change_logprobs(policy):
    alone, together = (sampling.completion_logprobs(policy, PROMPTS, COMPLETIONS, batch_size=size) for size in (1, 64))
    assert np.abs(alone - together).max() < 1e-5 * max(1, np.abs(alone).max())


def test_a_large_vocabulary_is_scored_in_smaller_batches_with_the_same_result(policy, monkeypatch):
    """A batch of logits of a real vocabulary would not fit; 64 of these sequences would hold 64 x 33 x 43 numbers."""
    whole = sampling.completion_logprobs(policy, PROMPTS, COMPLETIONS)
    options = [list(COMPLETIONS[place : place + 2]) for place in range(8)]
    several = sampling.option_logprobs(policy, PROMPTS[:8], options)
    most, seen = 3000, []
    monkeypatch.setattr(sampling, "_MOST_LOGITS", most)
    sum_logprobs = sampling._sum_logprobs
    monkeypatch.setattr(
        sampling, "_sum_logprobs", lambda logits, *rest: seen.append(logits.numel()) or sum_logprobs(logits, *rest)
    )
    np.testing.assert_allclose(sampling.completion_logprobs(policy, PROMPTS, COMPLETIONS), whole, atol=1e-5)
    np.testing.assert_allclose(sampling.option_logprobs(policy, PROMPTS[:8], options), several, atol=1e-5)
    assert max(seen) <= most and len(seen) > 8


def test_options_share_the_prompt_and_not_the_score(policy):
    options = [texts(1 + row % 4, 0, 9, row) for row in range(16)]
    for size in (1, 64):
        scores = sampling.option_logprobs(policy, PROMPTS[:16], options, batch_size=size)
        for prompt, own, score in zip(PROMPTS, options, scores, strict=False):
            assert np.allclose(score, sampling.completion_logprobs(policy, [prompt] * len(own), own), atol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_batch_size_and_order_do_not_change_samples(policy, temperature):
    settings = {"max_new_tokens": 8, "temperature": temperature, "seed": 3}
    alone, together = (sampling.sample(policy, PROMPTS, batch_size=size, **settings) for size in (1, 64))
    assert alone == together


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_samples_are_those_of_generate(policy, temperature, monkeypatch):
    """Some rows end at once and others never, and some prompts come several times."""
    asked = [*PROMPTS[:20] * 3, *PROMPTS]
    settings = {"max_new_tokens": 12, "temperature": temperature, "seed": 5, "batch_size": 48}
    ours = sampling.sample_ids(policy, asked, **settings)
    calls = []
    monkeypatch.setattr(sampling, "decode", lambda *given: calls.append(1) or decoding.generated(*given))
    assert sampling.sample_ids(policy, asked, **settings) == ours
    assert len(calls) == 3 and (temperature == 0 or len({len(ids) for ids in ours}) > 3)


SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}
KEPT_OTHERWISE = {
    "mamba": {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4},
    "lfm2": {**SMALL, "layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "falcon_h1": {
        **SMALL, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8,
        "mamba_d_conv": 4, "mamba_chunk_size": 8,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", [*KEPT_OTHERWISE, "virtual tokens"])
def test_a_model_that_keeps_what_it_read_in_another_way_is_sampled_by_generate(kind, monkeypatch):
    policy = policy_of("llama", **SMALL) if kind == "virtual tokens" else policy_of(kind, **KEPT_OTHERWISE[kind])
    if kind == "virtual tokens":
        prefixed = get_peft_model(policy.model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
        policy = policies.Policy(prefixed.eval(), policy.tokenizer, "tiny")
    calls, generated = [], decoding.generated
    monkeypatch.setattr(decoding, "generated", lambda *given: calls.append(1) or generated(*given))
    asked, settings = [*PROMPTS[:3] * 3, *PROMPTS[:5]], {"max_new_tokens": 6, "seed": 0}
    ids = sampling.sample_ids(policy, asked, **settings)
    assert calls == [1] and len({tuple(own) for own in ids}) > 3
    monkeypatch.setattr(sampling, "decode", generated)
    assert sampling.sample_ids(policy, asked, **settings) == ids


def test_options_of_such_a_model_are_read_with_their_prompts():
    policy = policy_of("falcon_h1", **KEPT_OTHERWISE["falcon_h1"])
    options = [texts(1 + row % 3, 1, 6, row) for row in range(4)]
    scores = sampling.option_logprobs(policy, PROMPTS[:4], options)
    for prompt, own, score in zip(PROMPTS, options, scores, strict=False):
        assert np.allclose(score, sampling.completion_logprobs(policy, [prompt] * len(own), own), atol=1e-3)


def test_rows_that_have_ended_are_not_carried_along(policy, monkeypatch):
    seen = []
    forward = type(policy.model).forward

    @functools.wraps(forward)
    def counted(self, *args, **how):
        seen.append(len(how["input_ids"]))
        return forward(self, *args, **how)

    monkeypatch.setattr(type(policy.model), "forward", counted)
    ids = sampling.sample_ids(policy, PROMPTS[:1] * 256, max_new_tokens=40, seed=0)
    assert seen[0] == 1, "one prompt is read once"
    assert seen[1] > 200 and sum(seen) < 1.5 * sum(map(len, ids)) + 40


def test_seed_changes_samples(policy):
    first, second = (sampling.sample(policy, PROMPTS, max_new_tokens=8, seed=seed) for seed in (0, 1))
    assert first != second


def test_sampling_leaves_the_random_state_alone(policy):
    state = torch.get_rng_state()
    sampling.sample(policy, PROMPTS[:4], max_new_tokens=4, seed=0)
    assert torch.equal(state, torch.get_rng_state())


def test_samples_follow_the_distribution(policy):
    n = 4000
    ids = sampling.sample_ids(policy, PROMPTS[:1] * n, max_new_tokens=1, seed=0, batch_size=n)
    counts = np.bincount([own[0] for own in ids], minlength=len(policy.tokenizer)) / n
    with torch.no_grad():
        inputs = policy.tokenizer(PROMPTS[0], return_tensors="pt")["input_ids"]
        expected = policy.model(input_ids=inputs).logits[0, -1].softmax(-1).numpy()
    # Standard error of each share is at most .008.
    assert np.abs(counts - expected).max() < 0.04 and expected.max() < 0.99


def test_top_p_keeps_to_the_nucleus(policy):
    likeliest = sampling.sample(policy, PROMPTS, max_new_tokens=6, temperature=0, seed=0)
    assert sampling.sample(policy, PROMPTS, max_new_tokens=6, top_p=1e-6, seed=0) == likeliest


def test_sampled_ids_end_with_eos_or_at_the_limit(policy):
    eos = policy.tokenizer.eos_token_id
    with torch.no_grad():  # make ending likely enough to see both
        sample = sampling.sample_ids(policy, PROMPTS * 4, max_new_tokens=12, seed=0)
    assert all(eos not in ids[:-1] for ids in sample)
    assert all(ids[-1] == eos or len(ids) == 12 for ids in sample)


def kl(policy, base, ids):
    own, theirs = (sampling.completion_logprobs(one, PROMPTS, ids) for one in (policy, base))
    return own - theirs


def test_kl_of_a_policy_to_itself_is_zero_and_counts_sampled_tokens(policy):
    ids = sampling.sample_ids(policy, PROMPTS, max_new_tokens=6, seed=0)
    assert np.allclose(kl(policy, policy, ids), 0)
    scores = sampling.completion_logprobs(policy, PROMPTS[:1], [ids[0]])
    without_end = sampling.completion_logprobs(policy, PROMPTS[:1], [ids[0][:-1]])
    assert scores[0] < without_end[0]


def test_kl_is_positive_for_another_policy(policy):
    other = policy_of("llama", hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
    ids = sampling.sample_ids(policy, PROMPTS, max_new_tokens=6, seed=0)
    assert kl(policy, other, ids).mean() > 0


@pytest.mark.parametrize("batch_size", [7, 64])
def test_sampling_knows_the_log_probabilities_of_its_replies(policy, batch_size, monkeypatch):
    """Also of rows that ended while others went on, and where the model's `generate` decodes."""
    settings = {"max_new_tokens": 8, "seed": 3, "batch_size": batch_size}
    ids, known = sampling.sample_measured(policy, PROMPTS, decoding.logprob, **settings)
    assert len({len(one) for one in ids}) > 2
    np.testing.assert_allclose(known, sampling.completion_logprobs(policy, PROMPTS, ids), atol=1e-4)
    monkeypatch.setattr(decoding, "_read", lambda *given: None)
    again, generated = sampling.sample_measured(policy, PROMPTS, decoding.logprob, **settings)
    assert again == ids
    np.testing.assert_allclose(generated, known, atol=1e-4)


def test_no_logits_are_made_of_prompts(policy, monkeypatch):
    """The head of a large vocabulary takes more memory than all else."""
    widths, forward = [], type(policy.model).forward

    def noted(model, *args, **kwargs):
        output = forward(model, *args, **kwargs)
        widths.append(output.logits.shape[1])
        return output

    monkeypatch.setattr(type(policy.model), "forward", functools.wraps(forward)(noted))
    prompts = [one for one in PROMPTS if len(one.split()) == 12]
    sampling.completion_logprobs(policy, prompts, [" a1 a2"] * len(prompts))
    assert prompts and set(widths) == {3}


def test_messages_need_a_chat_template_and_use_it(policy):
    chat = [[{"role": "user", "content": text}] for text in PROMPTS[:3]]
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer = policies.tokenizer_for(SimpleNamespace(vocabulary=lambda: WORDS, tokenizer=lambda: None))
    tokenizer.chat_template = template
    talking = policies.Policy(policy.model, tokenizer, "chat")
    answers = [[{"role": "assistant", "content": text}] for text in COMPLETIONS[:3]]
    assert np.allclose(
        sampling.completion_logprobs(talking, chat, answers),
        sampling.completion_logprobs(policy, PROMPTS[:3], COMPLETIONS[:3]),
        atol=1e-5,
    )


def test_published_settings_do_not_leak_into_sampling(policy):
    plain = sampling.sample(policy, PROMPTS[:8], max_new_tokens=8, seed=0)
    settings = policy.model.generation_config
    before = (settings.repetition_penalty, settings.top_k)
    settings.repetition_penalty, settings.top_k = 5.0, 1
    try:
        assert sampling.sample(policy, PROMPTS[:8], max_new_tokens=8, seed=0) == plain
    finally:
        settings.repetition_penalty, settings.top_k = before


def test_nothing_to_do(policy):
    assert sampling.sample(policy, [], max_new_tokens=3, seed=0) == []
    assert sampling.option_logprobs(policy, [], []) == []
    assert sampling.completion_logprobs(policy, [], []).shape == (0,)


def test_empty_prompt_is_refused(policy):
    with pytest.raises(ValueError, match="prompt is empty"):
        sampling.sample(policy, [""], max_new_tokens=3, seed=0)
