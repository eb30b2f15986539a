"""Scripted policies of the user's own, gone bad: refused in words that name the file and line, and nothing is left behind."""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.attack("bad scripted policies")]

HEAD = "def mine(people, seed):\n    "
#: name → (file, what is said).
REFUSED = {
    "no such function": ("def other(people, seed): ...\n", ("no 'mine' in 'bad.py'", "other")),
    "no Python": ("def mine(:\n", ("bad.py:1: ", "raised SyntaxError")),
    "the shell": ("from os import system as mine\n", ("is a function in C",)),
    "other arguments": ("def mine(one, two): ...\n", ("bad.py:1: ", "takes 'one'")),
    "raises": (HEAD + "return 1 / 0\n", ("bad.py:2: ", "raised ZeroDivisionError")),
    "writes to the terminal": (HEAD + r"raise ValueError('\x1b[2J\x07' + 'x' * 2_000_000)" + "\n", ("bad.py:2: ", r"\x1b[2J")),
    "exits": (HEAD + "exit(0)\n", ("bad.py:2: ", "called sys.exit(0)")),
    "too few": (HEAD + "return people[1:]\n", ("bad.py:1: ", "3 replies for 4 people")),
    "no text": (HEAD + "return [None] * len(people)\n", ("None (NoneType) for person 0 of 4",)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_before_anything_loads(product, tmp_path, case):
    """The base is no model; nothing says so, as it is not loaded."""
    text, says = REFUSED[case]
    (tmp_path / "bad.py").write_text(text)
    (tmp_path / "no-model").mkdir()
    product("eval", "bad.py:mine", "--suite", "held_out", "--base", "no-model").refused(*says)
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_not_there(product, tmp_path):
    (tmp_path / "kind.py").write_text("")
    product("eval", "kimd.py:mine").refused("no file 'kimd.py'", "Did you mean kind.py?")


def test_one_that_fails_when_many_are_asked_gives_no_number(product, tmp_path):
    (tmp_path / "bad.py").write_text(
        HEAD + "assert len(people) < 9, 'too many for me'\n    return [''] * len(people)\n"
    )
    done = product("eval", "bad.py:mine", "--suite", "held_out", "--n", "512")
    assert done.code == 1 and "bad.py:2" in done.out and "too many for me" in done.out, done.out + done.err
    (found,) = json.loads((tmp_path / "runs/evals/bad.mine/held_out/results.json").read_text())["evaluations"].values()
    assert found["status"] == "error" and found["estimates"] == {}
