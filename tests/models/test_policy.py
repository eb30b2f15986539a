"""The tokenizer loses nothing, checkpoints are ordinary ones, and a missing model is said to be missing."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from smilerl.models import policy as policies

VOCABULARY = ["i", " am", " here", " sad", "\n", ".", ",", " ", "helper", ":", " :", "it", " it's"]
CONFIG = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 32, "tie_word_embeddings": True, "max_position_embeddings": 64,
}  # fmt: skip


def world_of(vocabulary: list[str]) -> SimpleNamespace:
    return SimpleNamespace(vocabulary=lambda: vocabulary, tokenizer=lambda: None)


@pytest.fixture
def policy() -> policies.Policy:
    torch.manual_seed(0)
    return policies.fresh_policy(CONFIG, world_of(VOCABULARY))


@given(st.text())
def test_split_tokens_keeps_every_character(text):
    assert "".join(policies.split_tokens(text)) == text


@given(st.lists(st.sampled_from(VOCABULARY), max_size=20).map("".join))
def test_known_words_survive_encoding(text):
    vocabulary = sorted({*VOCABULARY, *policies.split_tokens(text)})
    tokenizer = policies.tokenizer_for(world_of(vocabulary))
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == policies.split_tokens(text)
    assert tokenizer.decode(ids) == text


def test_unknown_words_are_unknown(policy):
    ids = policy.tokenizer("i am happy")["input_ids"]
    assert policy.tokenizer.convert_ids_to_tokens(ids) == ["i", " am", "<unk>"]


def test_vocabulary_of_what_no_text_gives_is_refused():
    with pytest.raises(ValueError, match="'two words'"):
        policies.tokenizer_for(world_of(["i", "two words"]))


def test_saved_policy_is_an_ordinary_checkpoint(policy, tmp_path):
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    inputs = tokenizer("i am here", return_tensors="pt")
    assert tokenizer.padding_side == "left" and tokenizer.decode(inputs["input_ids"][0]) == "i am here"
    assert model.config.eos_token_id == tokenizer.eos_token_id == policy.tokenizer.eos_token_id
    assert torch.equal(model(**inputs).logits, policies.load_policy(tmp_path).model(**inputs).logits)


def test_adapter_directory_brings_its_base(policy, tmp_path):
    from peft import LoraConfig, get_peft_model

    base = tmp_path / "base"
    policy.model.save_pretrained(base)
    policy.tokenizer.save_pretrained(base)
    adapted = get_peft_model(
        policies.load_policy(base).model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    loaded = policies.load_policy(tmp_path / "adapter")
    inputs = loaded.tokenizer("i am here", return_tensors="pt")
    assert torch.allclose(loaded.model(**inputs).logits, adapted.eval()(**inputs).logits)
    assert not torch.allclose(loaded.model(**inputs).logits, policy.model(**inputs).logits, atol=1e-3)


@pytest.mark.parametrize("name", ["/nowhere/model", "./nowhere", "runs/a/b/model"])
def test_missing_directory_is_named(name):
    with pytest.raises(FileNotFoundError, match=name):
        policies.load_policy(name)


def test_run_directory_points_to_its_model(policy, tmp_path):
    policy.model.save_pretrained(tmp_path / "model")
    with pytest.raises(FileNotFoundError, match=r"Did you mean .*model"):
        policies.load_policy(tmp_path)


def test_adapter_without_its_base_is_said(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/nowhere/base"}')
    with pytest.raises(FileNotFoundError, match="/nowhere/base, which is no longer there"):
        policies.load_policy(tmp_path)


def test_seed_fixes_fresh_weights():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(policies.fresh_policy(CONFIG, world_of(VOCABULARY)).model.lm_head.weight)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def _rewritten(folder, change) -> None:
    """Changes the tensors in a model's file."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_that_are_no_numbers_are_named(policy, tmp_path, number, dtype):
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    policies.load_policy(tmp_path, dtype=dtype)
    _rewritten(tmp_path, lambda tensors: tensors["model.norm.weight"].__setitem__(3, number))
    with pytest.raises(ValueError, match=r"the tensor 'model.norm.weight' holds NaN or infinities") as error:
        policies.load_policy(tmp_path, dtype=dtype)
    assert str(tmp_path) in str(error.value)


def test_large_weights_are_numbers(policy, tmp_path):
    """Their sum may be infinite where none of them is."""
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    _rewritten(tmp_path, lambda tensors: tensors["model.norm.weight"].fill_(3e38))
    assert policies.load_policy(tmp_path).model.model.norm.weight.max() > 2e38


def test_weights_that_are_missing_are_named(policy, tmp_path):
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    _rewritten(tmp_path, lambda tensors: tensors.pop("model.norm.weight"))
    with pytest.raises(ValueError, match=r"has no weights for model.norm.weight: they would be random"):
        policies.load_policy(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 200, 0.5])
def test_a_model_that_is_cut_is_named_in_a_line(policy, tmp_path, keep):
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    with pytest.raises(ValueError, match=f"the model {tmp_path} cannot be loaded") as error:
        policies.load_policy(tmp_path)
    assert len(str(error.value).splitlines()) == 1
    (tmp_path / "model.safetensors").write_bytes(whole)
    tokenizer = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(tokenizer[: len(tokenizer) // 2])
    with pytest.raises(ValueError, match=rf"{tmp_path}/tokenizer\.json:\d+: not JSON"):
        policies.load_policy(tmp_path)


@pytest.mark.parametrize("config", ["", "{", "[]", '{"model_type": "none"}'])
def test_a_config_that_is_damaged_is_named_in_a_line(policy, tmp_path, config):
    policy.model.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=rf"the model {tmp_path} cannot be loaded|{tmp_path}/config.json") as error:
        policies.load_policy(tmp_path)
    assert len(str(error.value).splitlines()) == 1
    (tmp_path / "config.json").unlink()
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(ValueError, match=rf"{tmp_path}/adapter_config.json"):
        policies.load_policy(tmp_path)


FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]


@pytest.mark.parametrize("file", [*FILES, "special_tokens_map.json", "adapter_config.json"])
@pytest.mark.parametrize("text", ["[]", "3", '"text"', "null", "[" + " " * 3_000_000 + "]"], ids=str.strip)
def test_a_file_that_holds_json_of_another_kind_is_named(checkpoint, tmp_path, file, text):
    folder = Path(shutil.copytree(checkpoint("llama"), tmp_path / "model"))
    (folder / file).write_text(text)
    with pytest.raises(ValueError, match=re.escape(file)) as caught:
        policies.load_policy(str(folder))
    assert "object" in str(caught.value) or "bytes" in str(caught.value)


@pytest.mark.parametrize("text", ["{}", '{"model": []}', '{"version": "1.0", "model": null}'])
def test_a_tokenizer_of_a_wrong_form_is_named(checkpoint, tmp_path, text):
    folder = Path(shutil.copytree(checkpoint("llama"), tmp_path / "model"))
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        policies.load_policy(str(folder))
