"""Records are read from whatever people's files are, and what cannot be read has a line."""

from __future__ import annotations

import codecs
import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smilerl.io.records import BadRows, hub, records

ROWS = [{"prompt": "é", "n": 1}, {"prompt": "b\u2028c", "n": None}]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


@pytest.fixture
def read(tmp_path):
    """The records of a file with these bytes: `read(raw, name="talks.jsonl")`."""

    def read(raw: bytes, name: str = "talks.jsonl", bad: BadRows | None = None) -> list:
        (tmp_path / name).write_bytes(raw)
        return [(where.removeprefix(f"{tmp_path}/{name}"), dict(item)) for where, item in records(tmp_path / name, bad)]

    return read


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (JSONL, "a.jsonl"),
        (JSONL.rstrip(), "a.jsonl"),
        (JSONL.replace(b"\n", b"\r\n"), "a.jsonl"),
        (codecs.BOM_UTF8 + JSONL, "a.jsonl"),
        (JSONL.decode().encode("utf-16"), "a.jsonl"),
        (codecs.BOM_UTF16_BE + JSONL.decode().encode("utf-16-be"), "a.jsonl"),
        (JSONL.decode().encode("utf-32"), "a.jsonl"),
        (gzip.compress(JSONL, mtime=0), "a.jsonl.gz"),
        (gzip.compress(codecs.BOM_UTF8 + JSONL, mtime=0), "a.data"),
        (json.dumps(ROWS).encode(), "a.json"),
        (json.dumps(ROWS, indent=2).encode(), "a.json"),
        (gzip.compress(b"\n " + json.dumps(ROWS).encode() + b"\n", mtime=0), "a.json.gz"),
    ],
)
def test_all_that_people_write_is_read(read, raw, name):
    assert [item for _, item in read(raw, name)] == ROWS


def test_lines_are_counted_as_editors_count_them(read):
    assert [where for where, _ in read(b"\n" + JSONL + b'\n{"prompt": ""}')] == [":2", ":3", ":5"]
    assert [where for where, _ in read(b'[\n{"a":\n1},\n\n{"a": 2}, {"a": 3}\n]')] == [":2", ":5", ":5"]


def test_parquet_is_read(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert list(records(tmp_path / "a.parquet")) == [
        (f"{tmp_path}/a.parquet, row {at}", row) for at, row in enumerate(ROWS)
    ]


def test_what_is_no_number_is_missing(read):
    assert read(b'{"prompt": "a", "score": NaN}') == [(":1", {"prompt": "a", "score": None})]


def test_pairs_of_surrogates_are_characters(read):
    assert read(b'{"prompt": "\\ud83d\\ude00"}') == [(":1", {"prompt": "\U0001f600"})]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"a": "\\ud83d"}', r":1: a holds half of a character, \\ud83d"),
        (b'{"a": {"b": [1, "\\uDC00x"]}}', r":1: a\.b\[1\] holds half"),
        (b'{"\\ud83d": 1}', r":1: .*half of a character"),
        (b'{"a": [{"x": 1, "x": 2}]}', ":1: the key 'x' is written twice"),
        (b'{"a": -Infinity}', ":1: -Infinity is no number"),
        (b'{"a": ' + b'{"b":' * 70 + b"1" + b"}" * 71, ":1: a has objects and lists more than 64 deep"),
        (b'{"a": ' + b"[" * 5000, ":1: objects and lists lie too deep"),
        (b"\xff\xff", ":1: not UTF-8: byte 0 is 0xff"),
        (b"3", ":1: a int, not a JSON object"),
        (b'[{"a": 1}\n{"a": 2}]', "a comma or the end of the list is missing"),
        (b'[{"a": 1}, 3]', ":1: a int, not a JSON object"),
        (b"BZh91AY", "compressed by bzip2"),
        ("a\n".encode("utf-16-be") * 9, "iconv -f UTF-16BE"),
        (codecs.BOM_UTF16_LE + b"\x00\xd8\x00", "begins as UTF-16 and is not"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_where_and_what(read, raw, says):
    with pytest.raises(ValueError, match=says):
        read(raw)


def test_what_is_no_file_is_said(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, says in (
        ("gone", "there is no file"),
        (".", "is a folder. Write `dataset:"),
        ("pipe", "no ordinary file"),
    ):
        with pytest.raises(ValueError, match=says):
            list(records(tmp_path / name))
    (tmp_path / "t.csv").write_text("prompt,answer\n")
    with pytest.raises(ValueError, match=r"a table of text.* Write `dataset:`"):
        list(records(tmp_path / "t.csv"))


def test_bad_rows_are_counted_and_told_together_or_left_out(read, capsys):
    raw = b'{"a": 1}\n{"a": \n3\n"x"\n{"a": 2}\n'
    bad = BadRows("stop")
    assert len(read(raw, bad=bad)) == 2
    with pytest.raises(ValueError) as error:
        bad.check(2)
    assert ":2: not JSON" in str(error.value) and "3 of 5 rows cannot be used (also 3, 4)." in str(error.value)
    skipping = BadRows("skip")
    assert len(read(raw, bad=skipping)) == 2
    skipping.check(2)
    skipping.check(2)
    assert capsys.readouterr().err.count("3 of 5 rows are left out") == 1
    with pytest.raises(ValueError, match="it is stop or skip"):
        BadRows("ignore")  # type: ignore[arg-type]


def test_a_folder_whose_files_have_other_types_is_read_all_the_same(tmp_path):
    for name, value in (("a", None), ("b", {"x": 1}), ("c", "text")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"prompt": name, "answer": value}) + "\n")
    found = list(hub(str(tmp_path), None, "train"))
    assert [row["answer"] for _, row in found] == [None, {"x": 1}, "text"]
    assert found[1][0].endswith("b.jsonl:1")


@pytest.mark.parametrize("split", ["trian", "train[:1]"])
def test_a_folder_that_does_not_fit_together_is_an_error_with_words(tmp_path, split):
    (tmp_path / "a.csv").write_text("prompt\na\n")
    (tmp_path / "b.csv").write_text("other,more\na,b\n")
    with pytest.raises(ValueError, match="could not be loaded"):
        list(hub(str(tmp_path), None, split))


@pytest.mark.parametrize("values", [[{"a": 1}, {"b": 2}], [[{"a": 1}], [{"b": 2}]], [{"a": {"b": 1}}, {"a": {"c": 1}}]])
def test_rows_of_a_folder_keep_their_own_dicts(tmp_path, values):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"prompt": "p", "x": value}) + "\n" for value in values))
    assert [row["x"] for _, row in hub(str(tmp_path), None, "train")] == values


@pytest.mark.parametrize("row", ['{"prompt": "p", "x": {"a": -Infinity}}', '{"prompt": "p", "x": {"a": Infinity}}'])
def test_a_bad_row_of_such_a_folder_is_named_by_file_and_line(tmp_path, row):
    """And not said to be a data set that could not be loaded."""
    (tmp_path / "a.jsonl").write_text('{"prompt": "p", "x": {"a": 1}}\n' + row + "\n")
    with pytest.raises(ValueError, match=r"a\.jsonl:2") as caught:
        list(hub(str(tmp_path), None, "train"))
    assert "could not be loaded" not in str(caught.value)
