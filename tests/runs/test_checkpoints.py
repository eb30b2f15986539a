"""A checkpoint counts when every byte of it is what was saved, and else the one before it does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smilerl.runs import checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three whole checkpoints, of steps 2, 9 and 10."""
    for step in (2, 9, 10):
        checkpoint = tmp_path / f"checkpoint-{step}"
        (checkpoint / "ref").mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(bytes(range(256)) * 40 + str(step).encode())
        (checkpoint / "ref" / "adapter.bin").write_bytes(b"reference")
        (checkpoint / "empty").write_bytes(b"")
        checkpoints.seal(checkpoint, step=step, processes=1)
    return tmp_path


def test_the_newest_by_number_is_taken(folder):
    assert checkpoints.newest(folder) == (folder / "checkpoint-10", {})
    assert [checkpoints.step_of(one) for one in checkpoints.in_order(folder)] == [2, 9, 10]
    assert checkpoints.facts_of(folder / "checkpoint-9") == {"step": 9, "processes": 1}


def _flip(path: Path, place: int) -> None:
    contents = bytearray(path.read_bytes())
    contents[place] ^= 1
    path.write_bytes(contents)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda at: _flip(at / "model.safetensors", 5000), "model.safetensors has other contents"),
        (lambda at: _flip(at / "ref" / "adapter.bin", 0), "ref/adapter.bin has other contents"),
        (lambda at: (at / "model.safetensors").write_bytes(b"\0" * 100), "model.safetensors has 100 bytes"),
        (lambda at: (at / "empty").unlink(), "empty is missing"),
        (lambda at: (at / checkpoints.MANIFEST).unlink(), "not written to its end"),
        (lambda at: (at / checkpoints.MANIFEST).write_bytes(b""), "checkpoint.json is damaged"),
        (lambda at: (at / checkpoints.MANIFEST).write_text('["no", "manifest"]'), "checkpoint.json is damaged"),
    ],
)
def test_a_damaged_one_is_passed_over_for_the_one_before(folder, spoil, says):
    spoil(folder / "checkpoint-10")
    found, passed_over = checkpoints.newest(folder)
    assert found == folder / "checkpoint-9"
    assert list(passed_over) == [folder / "checkpoint-10"] and says in passed_over[folder / "checkpoint-10"]


def test_every_bit_of_a_manifest_matters(folder):
    manifest = folder / "checkpoint-10" / checkpoints.MANIFEST
    whole = manifest.read_bytes()
    unnoticed = []
    for place in range(len(whole)):
        _flip(manifest, place)
        if checkpoints.damage(folder / "checkpoint-10") is None and json.loads(manifest.read_bytes()) != json.loads(
            whole
        ):
            unnoticed.append(place)
        manifest.write_bytes(whole)
    assert not unnoticed


def test_where_none_is_whole_none_is_taken(folder):
    for checkpoint in checkpoints.in_order(folder):
        (checkpoint / "model.safetensors").write_bytes(b"")
    found, passed_over = checkpoints.newest(folder)
    assert found is None and len(passed_over) == 3
    assert checkpoints.newest(folder / "nowhere") == (None, {})


def test_the_last_are_kept_and_what_is_no_checkpoint_too(folder):
    (folder / "completions").mkdir()
    checkpoints.keep_last(folder, 1, str(folder / "checkpoint-2"))
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-10", "checkpoint-2", "completions"]
    checkpoints.keep_last(folder, 0)
    assert [path.name for path in folder.iterdir()] == ["completions"]


def test_the_manifest_comes_last(tmp_path, monkeypatch):
    """A power cut before all files are on the disk leaves a checkpoint that does not count."""
    checkpoint = tmp_path / "checkpoint-1"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(b"weights")

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full_disk)
        with pytest.raises(OSError, match="no space"):
            checkpoints.seal(checkpoint, step=1)
    assert checkpoints.damage(checkpoint) == "it was not written to its end"
