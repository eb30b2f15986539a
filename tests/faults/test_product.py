"""The commands that the other files attack do work: else a refusal would prove nothing."""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.attack("nothing wrong at all")]


def test_a_tiny_recipe_trains(product, tiny, tmp_path):
    ended = product("train", tiny())
    assert ended.code == 0, ended.err
    status = json.loads((tmp_path / "runs/recipe/status.json").read_text())
    assert status["state"] == "finished" and status["step"] == 2


def test_it_trains_from_the_accelerate_entry(product, tiny):
    ended = product("--config", tiny())
    assert ended.code == 0, ended.err


def test_a_helper_is_evaluated(product):
    ended = product("eval", "carer", "--suite", "held_out", "--n", "8")
    assert ended.code == 0, ended.err
