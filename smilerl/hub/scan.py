"""Secrets in files that are to be published: every byte of every file is looked at, and the decoded rows of Parquet files.

A hit names the file, the place and what kind of secret it is, and never the secret. Known forms of tokens are looked for, and
the very values of this process's own tokens, whatever they look like.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_CHUNK = 8 << 20
_OVERLAP = 4096
#: What a token begins with, which is found fast; the whole of it; what it is.
_FORMS = tuple(
    (mark, re.compile(form), what)
    for mark, form, what in (
        (b"hf_", rb"hf_[A-Za-z0-9]{30,}", "a Hugging Face token"),
        (b"api_org_", rb"api_org_[A-Za-z0-9]{30,}", "a Hugging Face organisation token"),
        (b"sk-", rb"sk-(?=[A-Za-z_-]*[0-9])(?=[0-9_-]*[A-Za-z])[A-Za-z0-9_-]{20,}", "an API key (sk-...), as OpenAI and Anthropic write them"),
        (b"AKIA", rb"AKIA[0-9A-Z]{16}(?![0-9A-Za-z])", "an AWS access key"),
        (b"ASIA", rb"ASIA[0-9A-Z]{16}(?![0-9A-Za-z])", "an AWS access key"),
        (b"aws_secret_access_key", rb"aws_secret_access_key[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+=]{40}", "an AWS secret key"),
        (b"github_pat_", rb"github_pat_[A-Za-z0-9_]{22,}", "a GitHub token"),
        *((mark, mark + rb"[A-Za-z0-9]{36,}", "a GitHub token") for mark in (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_")),
        (b"glpat-", rb"glpat-[A-Za-z0-9_-]{20,}", "a GitLab token"),
        (b"xox", rb"xox[abprs]-[A-Za-z0-9-]{10,}", "a Slack token"),
        (b"AIza", rb"AIza[A-Za-z0-9_-]{35}", "a Google API key"),
        (b"-----BEGIN ", rb"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY", "a private key"),
    )
)  # fmt: skip
_WORD = re.compile(rb"[A-Za-z0-9]")
_NAMES_A_SECRET = re.compile(
    r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|APIKEY|API_KEY|ACCESS_KEY|PRIVATE_KEY|SECRET_KEY)(_|$)"
)
_SHORTEST = 8  # a shorter value of such a variable occurs by chance


@dataclass(frozen=True)
class Values:
    """Exact strings that must not occur, by what to call them: `{"the value of HF_TOKEN": ...}`. Never shown."""

    by_name: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"Values({', '.join(self.by_name)})"


class Hit(NamedTuple):
    """Something that must not be published: the file's name, the place in it, and what it is."""

    file: str
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}, {self.place}: {self.what}"


class Piece(NamedTuple):
    """Bytes of a file: from position `at` on, or those of a cell of a table."""

    data: bytes
    at: int = 0
    cell: str = ""

    def place(self, offset: int) -> str:
        """Where in the file a position in this piece is."""
        return self.cell or f"byte {self.at + offset}"


def own_secrets(environment: Mapping[str, str] | None = None) -> Values:
    """The tokens of this process: of its environment, by the names of the variables, and the stored one of the Hub's client."""
    from huggingface_hub import get_token

    environment = os.environ if environment is None else environment
    found = {
        f"the value of {name}": value.strip().encode()
        for name, value in environment.items()
        if _NAMES_A_SECRET.search(name.upper()) and len(value.strip()) >= _SHORTEST
    }
    stored = get_token()
    if stored and len(stored) >= _SHORTEST:
        found.setdefault("the stored Hugging Face token", stored.encode())
    return Values(found)


def scan(name: str, source: Path | bytes, values: Values) -> list[Hit]:
    """What must not be published in one file.

    Args:
        name: for the report.
        source: the file, or the bytes that would go in its place.
        values: exact strings that must not occur.

    Returns:
        The hits, at most one of a kind; empty is good.
    """
    hits: dict[str, Hit] = {}
    for piece in pieces(name, source):
        for offset, what in _in_bytes(piece.data, values):
            hits.setdefault(what, Hit(name, piece.place(offset), what))
    return list(hits.values())


def pieces(name: str, source: Path | bytes) -> Iterator[Piece]:
    """All that there is to read in a file: its bytes, and of a Parquet file, whose pages are compressed, every cell of text."""
    for at, chunk in _chunks(source):
        yield Piece(chunk, at)
    if name.endswith(".parquet"):
        yield from (Piece(text, cell=cell) for cell, text in _cells(source))


def _in_bytes(data: bytes, values: Values) -> Iterator[tuple[int, str]]:
    for mark, form, what in _FORMS:
        at = data.find(mark)
        while at >= 0:
            before = data[at - 1 : at]
            if not (before and _WORD.match(before)) and form.match(data, at):
                yield at, what
                break
            at = data.find(mark, at + 1)
    for what, value in values.by_name.items():
        for encoded in (value, value.decode(errors="replace").encode("utf-16-le")):
            at = data.find(encoded)
            if at >= 0:
                yield at, what
                break


def _chunks(source: Path | bytes) -> Iterator[tuple[int, bytes]]:
    """Pieces of a file with where they begin, each reaching back into the one before, so that nothing hides at a seam."""
    if isinstance(source, bytes):
        yield 0, source
        return
    with source.open("rb") as file:
        at, kept = 0, b""
        while chunk := file.read(_CHUNK):
            yield at - len(kept), kept + chunk
            at += len(chunk)
            kept = (kept + chunk)[-_OVERLAP:]


def _cells(source: Path | bytes) -> Iterator[tuple[str, bytes]]:
    """The text of a Parquet file, whose pages are compressed, column by column and row by row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(source) if isinstance(source, bytes) else source)
    for column in table.column_names:
        if not _holds_text(table.schema.field(column).type):
            continue
        for row, value in enumerate(table[column].to_pylist()):
            yield f"column {column}, row {row}", "\n".join(_texts(value)).encode(errors="replace")


def _holds_text(kind) -> bool:
    import pyarrow as pa

    if pa.types.is_nested(kind):
        return any(_holds_text(kind.field(index).type) for index in range(kind.num_fields))
    return not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _texts(value) -> Iterable[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, bytes):
        return [value.decode(errors="replace")]
    return [] if value is None else [str(value)]
