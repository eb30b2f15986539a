"""A real model from a GGUF file talks. It is read once, in half a minute, into the cache that the whole session has."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from smilerl.io import paths
from smilerl.models.sampling import sample
from smilerl.training import models

pytestmark = pytest.mark.slow
TALK = [{"role": "user", "content": "What is the capital of France?"}]


def test_its_tokens_and_template_are_those_of_the_file_and_it_says_paris(real_gguf):
    policy, file = models.load(real_gguf), paths.find(real_gguf)
    there = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    assert policy.tokenizer.chat_template == there.chat_template
    for text in ("What is the capital of France?", " naïve café\n\n 12345 <|im_end|>\t日本"):
        assert policy.tokenizer(text)["input_ids"] == there(text)["input_ids"]
    asked = {"add_generation_prompt": True, "tokenize": False}
    assert policy.tokenizer.apply_chat_template(TALK, **asked) == there.apply_chat_template(TALK, **asked)
    (said,) = sample(policy, [TALK], max_new_tokens=12, temperature=0.0, seed=0)
    assert "Paris" in said
