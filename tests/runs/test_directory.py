"""The run directory: what it holds, who may write in it, when it is used again."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from smilerl.config.recipe import Recipe, read_recipe
from smilerl.runs.directory import Interrupted, Run, RunError, finished_run
from smilerl.runs.identity import content_hash


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "r.yaml"
    path.write_text(
        f"method: rloo\noutput_dir: {tmp_path}/run\npolicy: {{config: {{model_type: llama}}}}\nrewards: [{{name: reading}}]\n"
    )
    return read_recipe(path)


def _changed(recipe: Recipe, **overrides) -> Recipe:
    return read_recipe(recipe.source, overrides)


def test_a_run_holds_what_is_needed_to_repeat_it(recipe: Recipe) -> None:
    with Run.create(recipe, ["smilerl", "train", "r.yaml", "--story.goal", "more smiles"]) as run:
        run.note(data_hash="abc")
    again = Run.open(run.path)
    assert again.recipe.to_dict() == recipe.to_dict()
    assert content_hash(again.recipe) == content_hash(recipe) == again.manifest["content_hash"]
    assert again.manifest["command"] == "smilerl train r.yaml --story.goal 'more smiles'"
    assert {"torch", "trl", "transformers"} <= again.manifest["packages"].keys()
    assert again.manifest["python"] == ".".join(map(str, sys.version_info[:3]))
    assert again.manifest["data_hash"] == "abc"
    assert "timeout: 300" in (run.path / "recipe.yaml").read_text(), "also what is as it is when nothing is said"


def test_nothing_that_is_written_names_the_home_folder(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with (
        pytest.raises(ValueError, match="spoilt"),
        Run.create(recipe, [str(tmp_path / "bin/smilerl"), str(tmp_path / "r.yaml")]) as run,
    ):
        raise ValueError(f"{tmp_path}/x is spoilt")
    assert str(tmp_path) not in (run.path / "manifest.json").read_text() + (run.path / "status.json").read_text()
    assert run.status["error"] == "ValueError: ~/x is spoilt"


def test_status_follows_the_run(recipe: Recipe) -> None:
    with Run.create(recipe) as run:
        assert (run.status["state"], run.status["step"], run.finished) == ("running", 0, False)
        run.log({"step": 3, "reward": 0.5})
        assert run.status["step"] == 3
        run.finish()
    assert (run.state, run.finished, run.status["error"]) == ("finished", True, None)
    assert run.status["seconds"] >= 0


@pytest.mark.parametrize("code", [0, None, 3, "bye"])
def test_nobody_ends_a_run_by_leaving(recipe: Recipe, code: object) -> None:
    with pytest.raises(RunError, match=r"something called sys\.exit"), Run.create(recipe):
        raise SystemExit(code)
    assert Run.open(recipe.output_dir).state == "failed"


def test_but_a_run_that_was_asked_to_stop_leaves_with_its_status(recipe: Recipe) -> None:
    with pytest.raises(Interrupted) as left, Run.create(recipe):
        raise Interrupted(signal.SIGTERM)
    assert left.value.code == 75 and Run.open(recipe.output_dir).state == "interrupted"


class Odd(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    "error", [ValueError("x" * 2_000_000), ValueError("\x1b[2J\n" * 1000), Odd()], ids=["long", "escapes", "odd"]
)
def test_what_is_kept_of_an_error_is_short_and_printable(recipe: Recipe, error: Exception) -> None:
    with pytest.raises(type(error)), Run.create(recipe):
        raise error
    kept = Run.open(recipe.output_dir).status["error"]
    assert kept.startswith(f"{type(error).__name__}: ") and len(kept) < 2100 and "\x1b" not in kept


def test_metrics_are_json_whatever_is_logged(recipe: Recipe) -> None:
    import numpy as np

    with Run.create(recipe) as run:
        run.log({"step": 1, "kl": float("nan"), "reward": np.float32(0.5), "each": np.array([1, 2])})
        with pytest.raises(ValueError, match="'step'"):
            run.log({"reward": 1.0})
    assert json.loads(run.metrics_path.read_text(), parse_constant=pytest.fail) == {
        "step": 1,
        "kl": None,
        "reward": 0.5,
        "each": [1, 2],
    }
    assert run.metrics() == [{"step": 1, "kl": None, "reward": 0.5, "each": [1, 2]}]


def test_samples_are_parquet_by_step(recipe: Recipe) -> None:
    with Run.create(recipe) as run:
        path = run.save_samples(20, [{"prompt": "hello", "reading": 0.5}, {"prompt": "oh", "reading": None}])
    assert path == run.path / "samples/step-000020.parquet"
    assert pd.read_parquet(path)["prompt"].tolist() == ["hello", "oh"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_finished_run_is_used_again_and_not_touched(recipe: Recipe) -> None:
    assert finished_run(recipe) is None
    with Run.create(recipe) as run:
        run.log({"step": 1})
        run.finish()
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.name != "lock"}
    with Run.create(_changed(recipe, **{"story.goal": "said later"})) as again:
        assert again.finished
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.name != "lock"} == before
    assert finished_run(recipe) is not None
    assert finished_run(_changed(recipe, seed=1)) is None


def test_an_unfinished_run_starts_afresh_and_loses_nothing(recipe: Recipe) -> None:
    for attempt in (1, 2):
        with Run.create(recipe) as run:
            run.log({"step": attempt})
        assert run.state == "interrupted"
    with Run.create(recipe) as run:
        assert run.metrics() == []
    kept = {path.parent.name: path.read_text() for path in run.path.glob("earlier/*/metrics.jsonl")}
    assert kept == {"1": '{"step": 1}\n', "2": '{"step": 2}\n'}


def test_another_recipe_in_the_same_directory_is_refused(recipe: Recipe) -> None:
    with Run.create(recipe) as run:
        run.log({"step": 1})
    with pytest.raises(RunError, match=r"another recipe(.|\n)*training.beta: None → 0.1(.|\n)*--output_dir") as error:
        Run.create(_changed(recipe, **{"training.beta": 0.1}))
    assert len(str(error.value).splitlines()) <= 10
    assert run.metrics() == [{"step": 1}]
    Run.create(recipe).close()


def test_a_run_that_failed_before_its_first_step_gives_way_to_the_mended_recipe(recipe: Recipe) -> None:
    with pytest.raises(MemoryError), Run.create(recipe):
        raise MemoryError
    with Run.create(_changed(recipe, seed=5)) as run:
        assert run.manifest["seed"] == 5


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_with_what_to_do(recipe: Recipe, reason: int) -> None:
    with (
        pytest.raises(RunError, match=r"disk is full, or a quota is used up(.|\n)*the same command again"),
        Run.create(recipe) as run,
    ):
        raise OSError(reason, os.strerror(reason))
    assert run.status["state"] == "failed" and "disk is full" in run.status["error"]


@contextmanager
def no_larger_files(path: Path):
    """Within this block no file may grow beyond the size of this one, as beyond a quota. (No fixture: pytest writes its own output before it ends those.)"""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_status_that_has_no_room_is_written_over_the_old_one(recipe: Recipe) -> None:
    """Its state is never left `running`, whatever the rest of it looks like."""
    run = Run.create(recipe)
    with no_larger_files(run.path / "status.json"), pytest.raises(ValueError, match="spoilt"), run:
        raise ValueError("spoilt " * 100)
    assert run.state == "failed"


def test_two_processes_never_share_a_run(recipe: Recipe) -> None:
    with Run.create(recipe) as run:
        code = f"from smilerl.config.recipe import read_recipe; from smilerl.runs.directory import Run; Run.create(read_recipe({recipe.source!r}))"
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert second.returncode != 0
        assert "another process (pid" in second.stderr
        assert Run.open(run.path).state == "running"
    assert Run.open(run.path).state == "interrupted"


def test_only_the_process_that_made_a_run_writes_its_status(recipe: Recipe) -> None:
    Run.create(recipe).close()
    with pytest.raises(RunError, match="read only"):
        Run.open(recipe.output_dir).finish()


def test_a_folder_without_a_run_is_said_to_have_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run directory"):
        Run.open(tmp_path)


def test_the_status_is_never_half_written(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run.create(recipe) as run:
        before = run.status

        def full_disk(descriptor: int) -> None:
            raise OSError("no space left")

        monkeypatch.setattr("os.fsync", full_disk)
        with pytest.raises(OSError, match="no space"):
            run.finish()
        assert run.status == before
