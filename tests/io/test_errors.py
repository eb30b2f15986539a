"""How commands end: no traceback on the screen, at most ten lines, an exit status; the traceback is in a file."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from smilerl.chat_models import ChatModelError
from smilerl.config.recipe import RecipeError
from smilerl.config.yaml_lines import parse_value
from smilerl.io import errors
from smilerl.models.hub.ids import HubError
from smilerl.rewards import RewardError
from smilerl.runs import checkpoints
from smilerl.runs.directory import Run, RunError
from smilerl.worlds.base import OutcomeSealed


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def said(capsys, raises: BaseException | type) -> tuple[int, str]:
    def command() -> int:
        raise raises

    status = errors.run(command)
    text = capsys.readouterr().err
    assert "Traceback (most recent call last)" not in text
    assert 0 < len(text.splitlines()) <= 10, text
    return status, text


@pytest.mark.parametrize("kind", [RecipeError, RunError, RewardError, ChatModelError, HubError, OutcomeSealed])
def test_an_error_for_users_is_shown_as_it_is(kind: type[Exception], capsys) -> None:
    assert said(capsys, kind("recipe.yaml:3: wrong.\n    Write it right.")) == (
        2,
        "recipe.yaml:3: wrong.\n    Write it right.\n",
    )


def test_a_long_error_with_escapes_is_short_and_plain(capsys) -> None:
    status, text = said(capsys, RewardError("\x1b[2Jgone\n" * 50))
    assert status == 2 and "\x1b" not in text and "(50 lines)" in text


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (errno.ENOSPC, 1, "no space is left"), (errno.EMFILE, 1, "too many files"), (errno.EACCES, 2, "permission denied"),
        (errno.EROFS, 2, "read-only"), (errno.EISDIR, 2, "a folder"), (errno.ENAMETOOLONG, 2, "too long"),
    ],
)  # fmt: skip
def test_what_the_system_refuses_is_one_line_with_the_path(number: int, status: int, words: str, capsys) -> None:
    found, text = said(capsys, OSError(number, "refused", "/somewhere/a\x1bfile"))
    assert found == status and text.startswith("/somewhere/a\\x1bfile: ") and words in text
    assert len(text.splitlines()) == 1


def test_a_full_disk_told_by_a_library_is_one_too(capsys) -> None:
    status, text = said(
        capsys, RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    )
    assert (status, len(text.splitlines())) == (1, 1) and text.startswith("no space is left")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_want_of_memory_says_what_to_lower(error: Exception, capsys) -> None:
    status, text = said(capsys, error)
    assert status == 1 and "per_device_train_batch_size" in text and "traceback.txt" in text


def test_a_bug_is_told_with_its_place_and_its_traceback_is_kept(capsys, tmp_path: Path) -> None:
    try:
        json.loads("{")
    except ValueError as bug:
        status, text = said(capsys, bug)
    assert status == 1 and text.startswith("JSONDecodeError: Expecting property name")
    assert "json/decoder.py:" in text and "test_errors.py:" in text and errors.SHOW in text
    (kept,) = tmp_path.glob("smilerl-*/traceback.txt")
    assert str(kept) in text and "Traceback (most recent call last)" in kept.read_text()


def test_the_traceback_is_shown_where_it_is_asked_for(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(errors.SHOW, "1")

    def command() -> int:
        raise TypeError("a bug")

    assert errors.run(command) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_value_error_of_ours_is_for_users_and_one_of_a_function_that_we_call_is_not() -> None:
    with pytest.raises(ValueError, match="needs 'step'") as ours:
        Run(Path("runs/none")).log({"reward": 1.0})
    assert errors.is_for_users(ours.value)
    with pytest.raises(ValueError, match="invalid literal") as bug:
        checkpoints.step_of(Path("checkpoint-none"))
    assert not errors.is_for_users(bug.value)


def test_the_first_of_several_processes_speaks(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")

    def command() -> int:
        raise RecipeError("recipe.yaml:3: wrong.")

    assert [errors.run(command), errors.run(command)] == [2, 2]
    assert capsys.readouterr().err == "recipe.yaml:3: wrong.\n"


def test_ctrl_c_and_a_reader_who_leaves_are_no_errors(capsys) -> None:
    def stopped() -> int:
        raise KeyboardInterrupt

    assert errors.run(stopped) == 130
    assert capsys.readouterr().err == ""


def test_a_piece_of_yaml_with_a_mistake_is_the_users(capsys) -> None:
    assert errors.run(lambda: parse_value("{")) == 2
