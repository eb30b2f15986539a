"""Text, JSON and YAML of others: bounded in size and depth before a parser sees them, told in one line."""

from __future__ import annotations

import os
import time

import pytest

from smilerl.config.nesting import DEEPEST, MOST, nested
from smilerl.config.yaml_lines import RecipeError, parse_value, read
from smilerl.io import bounded


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[" * 100_000, "nest too deeply"), (b'{"a":' * 100_000, "nest too deeply"), (b"1" * 4000, "4000 digits"), (b"{", "not JSON"),
        (b"[1]", "should be an object"), (b"\xff", "UTF-8"), (b"{}" + b" " * 2000, "2002 bytes"), (b"", "not JSON"),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_json_that_is_not_read(tmp_path, content, says):
    file = tmp_path / "it.json"
    file.write_bytes(content)
    with pytest.raises(bounded.Unreadable, match=says) as told:
        bounded.mapping(file, 1000 if says.endswith("bytes") else bounded.MOST_RESULTS)
    assert str(file) in str(told.value) and len(str(told.value)) < 300


def test_json_that_is(tmp_path):
    file = tmp_path / "it.json"
    file.write_text('{"a": [1, 2.5, null, "é"], "n": 12345678901234567890}')
    assert bounded.mapping(file) == {"a": [1, 2.5, None, "é"], "n": 12345678901234567890}


@pytest.mark.parametrize("kind", ["fifo", "link to a device", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path, kind):
    file = tmp_path / "it"
    {"fifo": lambda: os.mkfifo(file), "folder": file.mkdir, "link to a device": lambda: file.symlink_to("/dev/zero")}[
        kind
    ]()
    for reader in (bounded.text, bounded.json_value):
        with pytest.raises(bounded.Unreadable, match="not a text file"):
            reader(file)
    with pytest.raises(RecipeError, match="not a text file"):
        read(file)


def test_an_alias_is_read_as_what_it_stands_for(tmp_path):
    file = tmp_path / "it.yaml"
    file.write_text("a: &a {x: 1, y: [1, 2]}\nb: *a\nc: [*a, *a]\n")
    value, lines = read(file)
    assert value == {"a": {"x": 1, "y": [1, 2]}, "b": value["a"], "c": [value["a"], value["a"]]}
    assert lines.where(("c", 1, "x")) == f"{file}:1", "where it was written"


@pytest.mark.parametrize(
    "text", ["{a: 1, a: 2}", "[" * 40 + "]" * 40, "&a [*a]", '"\\0"', "1" * 500, "!!set {a}", "{1: a}", "!!float x"]
)
def test_a_value_of_the_command_line_is_told_in_two_lines(text):
    with pytest.raises(RecipeError, match=r"^command line: ") as told:
        parse_value(text)
    assert len(str(told.value).splitlines()) <= 2


@pytest.mark.parametrize(
    "text", ["[" * 31 + "]" * 31, "9223372036854775807", "-9223372036854775808", '"tab\\tand\\nline"', "é 🙂"]
)
def test_what_is_unusual_and_right_is_read(text):
    parse_value(text)


def test_the_largest_file_is_read_in_seconds(tmp_path):
    file = tmp_path / "it.yaml"
    file.write_text("".join(f"k{n}: {{a: 1}}\n" for n in range(9_000)))
    began = time.process_time()
    read(file)
    assert time.process_time() - began < 10


def test_recipes_in_a_circle_and_too_many(tmp_path):
    a, b = tmp_path / "a.yaml", tmp_path / "b.yaml"
    with (
        pytest.raises(RecipeError, match=r"a\.yaml → b\.yaml → a\.yaml"),
        nested(a, "hash"),
        nested(b, "hash"),
        nested(a, "hash"),
    ):
        pass
    with nested(a, "check"), nested(a, "hash"), nested(b, "hash"):
        """One recipe may be hashed while it is checked."""

    def deeper(n: int) -> None:
        with nested(tmp_path / f"{n}.yaml", "check"):
            deeper(n + 1)

    with pytest.raises(RecipeError, match=f"{DEEPEST} deep"):
        deeper(0)

    def more() -> None:
        with nested(a, "check"):
            for n in range(MOST + 1):
                with nested(tmp_path / f"{n}.yaml", "check"):
                    pass

    with pytest.raises(RecipeError, match=f"{MOST} in all"):
        more()
    with nested(a, "check"):
        """What went wrong before is forgotten."""
