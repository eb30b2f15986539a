"""A model is asked where and as it was trained: on the GPU where there is one, in the precision of its recipe, base and run alike."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from smilerl import worlds
from smilerl.config.recipe import RecipeError, read_recipe
from smilerl.evaluation.subject import Subject, find
from smilerl.io import paths
from smilerl.models import policy as policies
from smilerl.models import reference
from smilerl.models.hub import fetch

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "qwen3-0.6b"


@pytest.fixture
def loaded(monkeypatch) -> list[dict]:
    """What is asked of `load_policy`, which loads nothing."""
    asked: list[dict] = []

    def load(name, **how):
        asked.append({"name": name, **how})
        return policies.Policy(None, SimpleNamespace(chat_template="{{ enable_thinking }}"), name)

    monkeypatch.setattr(reference, "load_policy", load)
    monkeypatch.setattr(reference, "model_dir", lambda name, build: Path(name))  # nothing is fetched
    return asked


def subject(recipe: str | None, told: dict | None = None) -> Subject:
    read = read_recipe(RECIPES / f"{recipe}.yaml") if recipe else None
    return Subject("a", worlds.build("smileworld"), Path("runs"), "some/model", "Qwen/Qwen3-0.6B", read, told=told)


@pytest.mark.parametrize(("gpu", "device"), [(True, "cuda"), (False, None)])
@pytest.mark.parametrize(
    ("recipe", "dtype"), [("rloo_sentiment", "float32"), ("rloo_sentiment_lora", "bfloat16"), (None, "float32")]
)
def test_run_and_base_are_loaded_alike(loaded, monkeypatch, gpu, device, recipe, dtype) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    who = subject(recipe)
    who.policy()
    who.base_policy()
    assert [(str(how["name"]), how["dtype"], how["device"]) for how in loaded] == [
        ("some/model", dtype, device),
        ("Qwen/Qwen3-0.6B", dtype, device),
    ]


def test_the_base_is_spoken_to_as_the_run_is(loaded) -> None:
    assert "default(false)" in subject("rloo_sentiment").base_policy().tokenizer.chat_template
    assert "default" not in subject(None).base_policy().tokenizer.chat_template


def test_what_the_command_line_tells_the_template_is_told_besides(loaded) -> None:
    for who in (subject(None, {"enable_thinking": True}), subject("rloo_sentiment", {"enable_thinking": True})):
        for policy in (who.policy(), who.base_policy()):
            assert "default(true)" in policy.tokenizer.chat_template and "false" not in policy.tokenizer.chat_template
    who = subject("rloo_sentiment", {})
    assert who.spoken.chat_template_kwargs == {"enable_thinking": False}, "a run cannot unlearn what its template says"


@pytest.fixture
def places(tmp_path, monkeypatch) -> None:
    """A study with one run, a folder with a model inside, an empty folder and a file."""
    monkeypatch.chdir(tmp_path)
    for file in ("runs/smile/study.json", "runs/smile/kind/seed-1/status.json", "outer/model/config.json", "notes.txt"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("{}")
    Path("empty").mkdir()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "runs/smile",
            "runs/smile is a study, of several policies.\n    Write one of its runs, such as runs/smile/kind/seed-1",
        ),
        ("runs/smlie/kind/seed-1", "nothing at 'runs/smlie/kind/seed-1'.\n    Did you mean runs/smile/kind/seed-1?"),
        ("outer", "Did you mean outer/model?"),
        ("./empty", "neither config.json nor adapter_config.json in it"),
        ("notes.txt", "notes.txt is a file"),
    ],
)
def test_what_is_no_model_is_told_before_anything_loads(places, name, says) -> None:
    with pytest.raises(RecipeError) as told:
        find(name)
    assert says in str(told.value)


def test_an_id_of_the_hub_is_no_mistyped_path(places, monkeypatch) -> None:
    Path("qwen/Qwen3-0.6B-mine").mkdir(parents=True)
    monkeypatch.setattr(fetch, "fetch", lambda name, weights: Path("empty"))
    assert paths.near("Qwen/Qwen3-0.6B") is not None
    assert find("Qwen/Qwen3-0.6B").model == "Qwen/Qwen3-0.6B"
    with pytest.raises(RecipeError, match="Did you mean runs/smile"):
        find("runs/smlie")
