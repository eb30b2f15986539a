"""A full disk ends a run with one line and the state `failed`, and the run goes on once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smilerl.runs.directory import Run

pytestmark = [pytest.mark.slow, pytest.mark.attack("disk full")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system wants root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(disk: Path, left: int) -> Path:
    """Fills a disk but for so many bytes."""
    ballast = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast.write_bytes(bytes(max(0, free - left)))
    return ballast


@pytest.mark.parametrize("left", [0, 100_000, 350_000, 650_000])
def test_a_run_on_a_full_disk_is_failed_and_goes_on_when_there_is_room(product, tiny, small_disk, left):
    """Full at the first file, at a checkpoint, and later: wherever it strikes, the rest is the same."""
    recipe = tiny(output_dir=str(small_disk / "run"), training={"save_steps": 1, "max_steps": 4})
    ballast = filled(small_disk, left)
    ended = product("train", recipe)
    ended.refused("the disk is full", "give the same command again")
    run = Run(small_disk / "run")
    assert run.status.get("state", "failed") == "failed" and run.state != "running"
    ballast.unlink()
    ended = product("train", recipe)
    assert ended.code == 0, ended.err
    assert Run(small_disk / "run").finished
