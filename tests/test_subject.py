"""A model is asked where and as it was trained: on the GPU where there is one, in the precision of its recipe, base and run alike."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from smilerl import pipeline, policies, worlds
from smilerl.recipe import read_recipe
from smilerl.subject import Subject

RECIPES = Path(__file__).resolve().parents[1] / "recipes" / "qwen3-0.6b"


@pytest.fixture
def loaded(monkeypatch) -> list[dict]:
    """What is asked of `load_policy`, which loads nothing."""
    asked: list[dict] = []

    def load(name, **how):
        asked.append({"name": name, **how})
        return policies.Policy(None, SimpleNamespace(chat_template="{{ enable_thinking }}"), name)

    monkeypatch.setattr(policies, "load_policy", load)
    monkeypatch.setattr(pipeline, "load", load, raising=False)  # which resolves names on the Hub first
    return asked


def subject(recipe: str | None) -> Subject:
    read = read_recipe(RECIPES / f"{recipe}.yaml") if recipe else None
    return Subject("a", worlds.build("smileworld"), Path("runs"), "some/model", "Qwen/Qwen3-0.6B", read)


@pytest.mark.parametrize(("gpu", "device"), [(True, "cuda"), (False, None)])
@pytest.mark.parametrize(
    ("recipe", "dtype"), [("rloo_sentiment", "float32"), ("rloo_sentiment_lora", "bfloat16"), (None, "float32")]
)
def test_run_and_base_are_loaded_alike(loaded, monkeypatch, gpu, device, recipe, dtype) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    who = subject(recipe)
    who.policy()
    who.base_policy()
    assert [(how["name"], how["dtype"], how["device"]) for how in loaded] == [
        ("some/model", dtype, device),
        ("Qwen/Qwen3-0.6B", dtype, device),
    ]


def test_the_base_is_spoken_to_as_the_run_is(loaded) -> None:
    assert "default(false)" in subject("rloo_sentiment").base_policy().tokenizer.chat_template
    assert "default" not in subject(None).base_policy().tokenizer.chat_template
