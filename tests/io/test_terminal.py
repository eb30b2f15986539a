"""What reaches the screen can be read, and does nothing else."""

from __future__ import annotations

import pytest

from smilerl.io.terminal import brief, named, printable


@pytest.mark.parametrize("plain", ["a model's name", "Ärger, 微笑, 🙂", "two\nlines\tand a tab", ""])
def test_text_stays_what_it_is(plain):
    assert printable(plain) == plain


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb", "a\\rb"),
        ("bell\x07", "bell\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("nul\0", "nul\\x00"),
        ("txt.\u202egpj", "txt.\\u202egpj"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_what_moves_the_cursor_is_shown_instead(hostile, shown):
    assert printable(hostile) == shown


def test_an_error_is_bounded():
    assert brief("x" * 5_000_000).endswith("... (5000000 characters)") and len(brief("x" * 5_000_000)) < 2100
    assert brief("\n".join("abcdefghijklm")).splitlines() == [*"abcdefghi", "... (13 lines)"]
    assert brief(ValueError("short")) == "short"


def test_an_error_has_a_colon_only_where_it_has_a_text():
    assert named(ValueError("no")) == "ValueError: no" and named(StopIteration()) == "StopIteration"
    assert (
        named(KeyError()) == "KeyError"
        and named(ValueError(" \n")) == "ValueError"
        and named(OSError("a"), "") == "OSError"
    )
