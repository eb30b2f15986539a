"""Replies that are kept and cannot be read are asked anew, and are written anew where that can be done."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from smilerl.chat_models._answers import Reply
from smilerl.chat_models._kept import Kept

REQUEST = {"model": "m", "messages": ["hello"]}


@pytest.fixture
def reply() -> Reply:
    return Reply("good day", 1, 2)


@pytest.fixture
def kept(tmp_path: Path, reply: Reply) -> tuple[Kept, Path]:
    kept = Kept(tmp_path / "kept")
    kept.put(REQUEST, reply)
    return kept, next((tmp_path / "kept").rglob("*.json"))


def test_a_reply_comes_back(kept, reply):
    assert kept[0].get(REQUEST) == reply and kept[0].get({**REQUEST, "model": "n"}) is None


@pytest.mark.parametrize(
    "content",
    ["[" * 200_000, '{"reply":' * 100_000 + "1" + "}" * 100_000, '{"reply": {"text": ' + "[" * 900 + "]" * 900 + "}}", "[]", "", '{"reply": ' + "9" * 9999 + "}",
     '{"reply": {"text": "bad day", "tokens_in": 1, "tokens_out": 2}}'],
    ids=["lists", "mappings", "a deep reply", "a list", "empty", "digits", "no hash"],
)  # fmt: skip
def test_what_is_spoilt_is_asked_anew(kept, reply, content):
    kept, file = kept
    file.write_text(content)
    assert kept.get(REQUEST) is None
    kept.put(REQUEST, reply)
    assert kept.get(REQUEST) == reply


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE])
def test_what_cannot_be_read_is_asked_anew(kept, monkeypatch, reason):
    def fails(*args, **more):
        raise OSError(reason, os.strerror(reason))

    for name in ("open", "stat"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, name, fails)
            assert kept[0].get(REQUEST) is None


def test_a_pipe_is_not_waited_for(kept, reply):
    kept, file = kept
    file.unlink()
    os.mkfifo(file)
    assert kept.get(REQUEST) is None
    kept.put(REQUEST, reply)
    assert kept.get(REQUEST) == reply


def test_threads_that_keep_the_same_leave_one_whole_file_that_others_may_read(tmp_path, reply):
    kept = Kept(tmp_path)
    threads = [threading.Thread(target=kept.put, args=(REQUEST, reply)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    mask = os.umask(0)
    os.umask(mask)
    assert json.loads(file.read_text())["request"] == REQUEST and file.stat().st_mode & 0o777 == 0o666 & ~mask
