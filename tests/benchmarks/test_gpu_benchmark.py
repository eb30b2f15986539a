"""The benchmark for a GPU runs from end to end on a machine that has none, and compares like with like."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("benchmark_gpu", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_gpu"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["benchmark_gpu"]


def test_its_model_is_qwen3_of_600_million_weights(gpu) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen3", **gpu.REAL.model))
    assert sum(weight.numel() for weight in model.parameters()) == 596_049_920


def test_the_reward_model_reads_as_many_tokens_as_the_policy_says(gpu, tmp_path) -> None:
    gpu.make_inputs(tmp_path, gpu.TINY, "float32")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "policy")
    ids = list(range(len(gpu.SPECIALS), gpu.TINY.model["vocab_size"]))
    assert tokenizer(tokenizer.decode(ids, skip_special_tokens=True))["input_ids"] == ids
    prompt = json.loads((tmp_path / "talks.jsonl").read_text().splitlines()[0])["prompt"]
    asked = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert len(asked) == gpu.TINY.prompt + 5 and tokenizer.unk_token_id not in asked


@pytest.mark.slow
@pytest.mark.parametrize("row", ["rloo_lora", "grpo"])
def test_both_sides_take_the_same_steps(gpu, row, tmp_path) -> None:
    """Same prompts, same seed, same tokens, where both sample as TRL does: what differs is whose code is around them."""
    gpu.make_inputs(tmp_path, gpu.TINY, "float32")
    given = argparse.Namespace(tiny=True, weights="float32", steps=3)
    recipe = gpu.make_recipe(tmp_path, row, gpu.TINY, given)
    plain = dataclasses.replace(recipe, training={**recipe.training, "shared_prompt": "off"})
    mine, theirs = gpu.ours(plain, gpu.TINY), gpu.bare(recipe, gpu.TINY)
    assert mine.tokens == theirs.tokens and len(mine.rates()) == len(theirs.rates()) == 2
    assert max(mine.tokens) <= gpu.TINY.completions * gpu.TINY.completion


@pytest.mark.slow
def test_it_prints_a_table(gpu, capsys) -> None:
    gpu.main(["--tiny", "--rows", "rloo", "--rounds", "1", "--steps", "2"])
    *_, row = capsys.readouterr().out.strip().splitlines()
    assert re.fullmatch(
        r"\| RLOO, full \| [\d,]+ \([\d,]+, [\d,]+\) \| [\d,]+ \([\d,]+, [\d,]+\) \| \*\*\d\.\d{3}\*\* \| – \| – \|",
        row,
    )


def test_without_a_gpu_it_says_what_to_write(gpu, capsys, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "--tiny" in capsys.readouterr().err
