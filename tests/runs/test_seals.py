"""Seals that are no seals: their reading ends, in bounded memory, and says so in a few words."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from smilerl.runs import seals


def large(seal: Path) -> None:
    os.truncate(seal, 2**28)


def deep(seal: Path) -> None:
    seal.write_text('{"files": ' * 200_000 + "1" + "}" * 200_000)


def a_list(seal: Path) -> None:
    seal.write_text(json.dumps(["sha256", "files"]))


def a_pipe(seal: Path) -> None:
    seal.unlink()
    os.mkfifo(seal)


def without_end(seal: Path) -> None:
    seal.unlink()
    seal.symlink_to("/dev/zero")


def digits(seal: Path) -> None:
    seal.write_text('{"sha256": "", "files": {}, "facts": ' + "9" * 100_000 + "}")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    seals.seal_beside(tmp_path / "model")
    return tmp_path / "model"


def test_a_whole_seal_is_read(sealed):
    assert seals.damage_beside(sealed) is None and seals.facts_of(seals.beside(sealed)) == {}
    assert not list(sealed.parent.glob("*.writing"))


@pytest.mark.parametrize("spoil", [large, deep, a_list, a_pipe, without_end, digits])
def test_one_that_is_none_is_damaged_and_costs_nothing(sealed: Path, spoil: Callable[[Path], None]):
    spoil(seals.beside(sealed))
    tracemalloc.start()
    try:
        assert seals.damage_beside(sealed) == "its model.sealed.json is damaged"
        assert tracemalloc.get_traced_memory()[1] < 160e6
    finally:
        tracemalloc.stop()
