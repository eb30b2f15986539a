"""Files of one's own that are damaged: told in one line, and lost rows are counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smilerl.config.recipe import read_recipe
from smilerl.io import files
from smilerl.io.files import RunError, read_json, read_rows, read_study, read_table, reading
from smilerl.runs import seals
from smilerl.runs.directory import Run, finished_run

BROKEN = [
    b"",
    b"   ",
    b"{",
    b'{"state": "finis',
    b"[]",
    b"null",
    b"3",
    b'"text"',
    b"\xff\xfe\x00",
    b"\x00" * 40,
    b"[" * 100_000,
    b"NaN",
]


@pytest.mark.parametrize("data", BROKEN)
def test_json_that_is_no_object_is_told_in_two_lines(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(data)
    with pytest.raises(RunError) as error:
        read_json(path, "Delete it.")
    assert str(error.value).startswith(f"{path} is damaged: ") and str(error.value).endswith("\n    Delete it.")
    assert len(str(error.value)) < len(str(path)) + 250


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    for read in (read_json, read_rows, read_table):
        with pytest.raises(RunError, match=r"cannot be read|a folder|no file"):
            read(tmp_path)


@pytest.mark.parametrize(
    "said",
    [{}, {"state": 3, "step": 1}, {"state": "running", "step": "x"}, {"state": "running"}, {"state": [], "step": {}}],
)
def test_wrong_types_inside_valid_json_are_told(tmp_path: Path, said: dict) -> None:
    path = tmp_path / "status.json"
    path.write_text(json.dumps(said))
    with pytest.raises(RunError, match=r"is damaged: ('|there is no ')(state|step)"):
        read_json(path, types={"state": str, "step": int}, needed=("state", "step"))


@pytest.mark.parametrize(
    "raised", [KeyError("a"), TypeError(), IndexError(), ValueError("x\n" * 99), RecursionError(), ZeroDivisionError()]
)
def test_whatever_goes_wrong_with_what_is_read_is_the_files(tmp_path: Path, raised: Exception) -> None:
    with pytest.raises(RunError) as error, reading(tmp_path / "results.json", "Delete it."):
        raise raised
    assert (
        str(error.value).startswith(f"{tmp_path / 'results.json'} is damaged: ")
        and len(str(error.value).splitlines()) == 2
    )


def test_lost_rows_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "held_out/kl": 0.5} for step in range(40)]
    lines = [json.dumps(row).encode() for row in rows]
    lines[3], lines[7], lines[9], lines[11], lines[12] = (
        b"{",
        b"\xff\x00",
        b"[1]",
        b'{"step": "x"}',
        b'{"step": 1, "held_out/kl": "x"}',
    )
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert read_rows(path) == [row for number, row in enumerate(rows) if number not in (3, 7, 9, 11, 12)]
    assert capsys.readouterr().err == f"{path}: 5 of 40 lines could not be read, and are left out\n"


def test_half_a_line_at_the_end_is_what_a_kill_leaves(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert read_rows(path) == [{"step": 1}, {"step": 2}] and not capsys.readouterr().err


def test_a_table_that_is_cut_is_told(tmp_path: Path) -> None:
    import pandas as pd

    path = tmp_path / "samples.parquet"
    pd.DataFrame({"a": range(100)}).to_parquet(path)
    whole = path.read_bytes()
    assert len(read_table(path)) == 100
    for data in (b"", whole[:50], whole[: len(whole) // 2], b"PAR1", whole[:-9] + b"\xff" * 9, b"text"):
        path.write_bytes(data)
        with pytest.raises(RunError, match=f"{path} (is damaged|cannot be read)"):
            read_table(path)


@pytest.mark.parametrize(
    "change",
    [
        {"runs": 3},
        {"runs": [3]},
        {"runs": [{"arm": "a"}]},
        {"arms": [{}]},
        {"suite": None},
        {"title": []},
        {"seeds": "x"},
    ],
)
def test_a_study_that_says_nonsense_is_told(tmp_path: Path, change: dict) -> None:
    run = {"arm": "a", "seed": 0, "path": "a/seed-0", "state": "finished"}
    said = {"title": "t", "suite": "s", "seeds": [0], "arms": [{"name": "a", "role": "gold"}], "runs": [run]}
    (tmp_path / "study.json").write_text(json.dumps(said))
    assert read_study(tmp_path) == said
    (tmp_path / "study.json").write_text(json.dumps(said | change))
    with pytest.raises(RunError, match=r"study.json is damaged(.|\n)*run the study again"):
        read_study(tmp_path)


@pytest.fixture
def finished(tmp_path: Path) -> Run:
    path = tmp_path / "r.yaml"
    path.write_text(
        f"method: rloo\noutput_dir: {tmp_path}/run\npolicy: {{config: {{model_type: llama}}}}\nrewards: [{{name: reading}}]\n"
    )
    with Run.create(read_recipe(path)) as run:
        run.model.mkdir()
        (run.model / "model.safetensors").write_bytes(bytes(range(256)))
        run.log({"step": 1})
        run.finish()
    return run


def test_a_finished_run_with_another_model_is_not_finished(finished: Run, tmp_path: Path) -> None:
    recipe = read_recipe(tmp_path / "r.yaml")
    assert finished_run(recipe) is not None and finished.damage() is None
    (finished.model / "model.safetensors").write_bytes(bytes(256))
    assert finished_run(recipe) is None
    with pytest.raises(RunError, match=r"model/model.safetensors has other contents than were saved.\n    Delete"):
        Run.create(recipe)
    with pytest.raises(RunError, match=r"model/model.safetensors has other contents"):
        seals.check_model(finished.model)


def test_a_log_that_is_damaged_is_said_and_the_model_counts(finished: Run, tmp_path: Path, capsys) -> None:
    finished.metrics_path.write_text("{\n")
    assert finished_run(read_recipe(tmp_path / "r.yaml")) is not None
    finished.notice()
    assert "metrics.jsonl has 2 bytes" in capsys.readouterr().err


def test_a_run_without_a_seal_is_said_not_to_be_verified(finished: Run, tmp_path: Path, capsys) -> None:
    for seal in finished.path.glob("*sealed.json"):
        seal.unlink()
    finished.check()
    assert "not verified" in capsys.readouterr().err and finished_run(read_recipe(tmp_path / "r.yaml")) is not None


@pytest.mark.parametrize(
    "status",
    [
        "[]",
        '{"step": "x"}',
        "",
        '{"state": "finishfd", "step": 1, "seconds": 1}',
        '{"state": "finished", "step": 1, "seconds": "x"}',
    ],
)
def test_a_damaged_status_is_told_with_what_to_do(finished: Run, tmp_path: Path, status: str) -> None:
    (finished.path / "status.json").write_text(status)
    for use in (
        lambda: finished.finished,
        lambda: Run.create(read_recipe(tmp_path / "r.yaml")),
        lambda: finished.state,
    ):
        with pytest.raises(RunError, match=r"status.json is damaged: (.|\n)*Delete it: the same command"):
            use()


def test_large_files_are_recognised_by_size_and_time_and_read_when_loaded(tmp_path: Path, monkeypatch) -> None:
    import os

    monkeypatch.setattr(seals, "LARGE", 10)
    file = tmp_path / "model" / "weights"
    file.parent.mkdir()
    file.write_bytes(b"0" * 20)
    seals.seal_beside(file.parent)
    before = file.stat().st_mtime_ns
    file.write_bytes(b"1" * 20)
    assert "other contents" in str(seals.damage_beside(file.parent, thoroughly=False))
    os.utime(file, ns=(before, before))
    assert seals.damage_beside(file.parent, thoroughly=False) is None
    assert seals.damage_beside(file.parent) == "model/weights has other contents than were saved"


def test_what_was_verified_is_not_read_again_until_it_changes(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "model" / "weights"
    file.parent.mkdir()
    file.write_bytes(b"0" * 20)
    seals.seal_beside(file.parent)
    assert seals.damage_beside(file.parent) is None
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", lambda *given: pytest.fail("it is read again"))
        assert seals.damage_beside(file.parent) is None
    file.write_bytes(b"1" * 20)
    assert seals.damage_beside(file.parent) is not None


def test_json_by_line_is_json_with_a_line_for_each_key() -> None:
    data = {"seed": 1, "none": None, "empty": {}, "evaluations": {"caring": {"a": [1, {"b": "é\n"}]}, "tamper": 0.5}}
    written = files.by_line(data)
    assert json.loads(written) == data and len(written.splitlines()) == 11
    assert json.loads(files.by_line({})) == {}


def test_writing_is_whole_or_not_at_all(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json") == {"x": None}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
