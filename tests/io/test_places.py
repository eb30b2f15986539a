"""Paths as they are typed, and which setting a library's refusal is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from smilerl.config.recipe import read_recipe
from smilerl.config.validation import key_named
from smilerl.io import paths, places
from smilerl.io.errors import UserError

RECIPE = "method: sft\noutput_dir: {}\nseed: 3\npolicy: {{config: {{model_type: llama}}}}\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("~/a", "/home/me/a"), ("$HOME/a", "/home/me/a"), ("${HOME}/{seed}", "/home/me/3"), ("runs/a~b", "runs/a~b"),
        ("cost$5/a", "cost$5/a"), ("a b/ü", "a b/ü"),
    ],
)  # fmt: skip
def test_an_output_is_expanded_once_when_the_recipe_is_read(typed, meant, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "r.yaml").write_text(RECIPE.format(f"'{typed}'"))
    recipe = read_recipe(tmp_path / "r.yaml")
    assert recipe.output_dir == meant
    assert read_recipe(tmp_path / "r.yaml", {"output_dir": typed}).output_dir == meant


@pytest.mark.parametrize(
    "typed", ["", " ", "$NOT_SET/a", "${NOT_SET}", "~nobody_at_all/a", "a\0b", "x" * 256, "ü" * 200, "a/" * 2500]
)
def test_what_can_be_no_path_is_told(typed: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    wrong = places.no_path(typed)
    assert wrong is not None and len(wrong) < 120
    assert paths.find(typed or "nothing") is None


def test_a_cache_is_expanded_and_a_wrong_one_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SMILERL_CACHE", "~/c")
    assert paths.cache_dir() == tmp_path / "c"
    (tmp_path / "c").write_text("")
    with pytest.raises(UserError, match=r"SMILERL_CACHE is '~/c', which is a file"):
        paths.cache_dir()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("--load_best_model_at_end requires the save and eval strategy to match", "load_best_model_at_end"),
        ("At most one of fp16 and bf16 can be True", "fp16"),
        ("Target modules {'q'} not found in the base model", "target_modules"),
        ("overflow is not a valid DebugOption", "debug"),
        ("no file 'gone.jsonl', seen from /here", "path"),
        ("got an unexpected keyword argument 'split_batch'", "accelerator_config"),
        ("nothing that is known", None),
    ],
)
def test_the_setting_that_a_refusal_names_is_found(text: str, name: str | None) -> None:
    settings = {
        "bf16": True, "fp16": True, "save": 1, "load_best_model_at_end": True, "target_modules": ["q"], "debug": "overflow",
        "path": "gone.jsonl", "accelerator_config": {"split_batch": True},
    }  # fmt: skip
    found = key_named(text, settings, ("at",))
    assert found[:2] == (("at", name) if name else ("at",))
