"""Finds secrets in files that are to be published: in every byte, line of text and cell of a Parquet file.

A hit names the file, the place and what kind of secret it is, and never the secret. Searched for are known forms
(`forms`), also in UTF-16, base64 and hexadecimal digits and behind the escapes of JSON, HTML, Markdown and URLs, and
the very values of this process's own tokens. Weights are searched for values and for tokens with a known beginning
alone, which takes some twenty seconds for a gigabyte; the header of a safetensors file is text.
"""

from __future__ import annotations

import base64
import binascii
import html
import io
import os
import re
import struct
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from smilerl.publish import forms

_CHUNK = 8 << 20
_OVERLAP = 4096
#: Files that are numbers or pictures, and no text.
_BINARY = (".safetensors", ".bin", ".parquet", ".png", ".model", ".pt", ".npz")
#: A longer line is read in pieces that overlap, so that no pattern takes more than linear time.
_LINE, _LINE_OVERLAP = 4096, 1024
_HEADER = 100 << 20  # bytes that the header of a safetensors file may have
_NAMES_A_SECRET = re.compile(
    r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|APIKEY|API_KEY|ACCESS_KEY|PRIVATE_KEY|SECRET_KEY)(_|$)"
)
_SHORTEST = 8  # a shorter value of such a variable occurs by chance
_KEY_ENV = re.compile(r"key_env[\"']?\s*[:=]\s*[\"']?([A-Za-z_][A-Za-z0-9_]*)")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-]{20,}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){12,}")
_ESCAPE = re.compile(
    r"\\(?:u(?:([0-9a-fA-F]{4})|\{([0-9a-fA-F]{1,6})\})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|([nrt])|([^A-Za-z0-9\s]))"
)


@dataclass(frozen=True)
class Values:
    """Exact strings that must not occur, by what to call them: `{"the value of HF_TOKEN": ...}`. Never shown."""

    by_name: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"Values({', '.join(self.by_name)})"

    @cached_property
    def written(self) -> Mapping[str, tuple[bytes, ...]]:
        """Each value as it may stand in bytes: as it is, in UTF-16, hexadecimal digits and base64."""
        return {what: _ways_to_write(value) for what, value in self.by_name.items()}


class Hit(NamedTuple):
    """Something that must not be published: the file's name, the place in it, and what it is."""

    file: str
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}, {self.place}: {self.what}"


class Piece(NamedTuple):
    """Bytes of a file, from position `at` and line `line` on, or of a cell of a table; and whether they are text."""

    data: bytes
    at: int = 0
    cell: str = ""
    text: bool = False
    line: int = 1

    def place(self, offset: int) -> str:
        """Where in the file a position in this piece is."""
        return self.cell or f"byte {self.at + offset}"


def own_secrets(environment: Mapping[str, str] | None = None, *, named: Iterable[str] = ()) -> Values:
    """The tokens of this process: of its environment, by the variables' names, and the stored one of the Hub's client.

    Args:
        named: further variables that hold a key: those that an endpoint's `key_env` names.
    """
    from huggingface_hub import get_token

    environment = os.environ if environment is None else environment
    named = set(named)
    found = {
        f"the value of {name}": value.strip().encode()
        for name, value in environment.items()
        if (name in named or _NAMES_A_SECRET.search(name.upper())) and len(value.strip()) >= _SHORTEST
    }
    stored = get_token()
    if stored and len(stored) >= _SHORTEST:
        found.setdefault("the stored Hugging Face token", stored.encode())
    return Values(found)


def key_variables(text: str) -> set[str]:
    """The environment variables that a recipe, plan or report names as the places of keys (`key_env: NAME`)."""
    return set(_KEY_ENV.findall(text))


def scan(name: str, source: Path | bytes, values: Values) -> list[Hit]:
    """What must not be published in one file, its name included.

    Args:
        name: for the report.
        source: the file, or the bytes that would go in its place.
        values: exact strings that must not occur.

    Returns:
        The hits, at most one of a kind; empty is good.
    """
    hits: dict[str, Hit] = {}
    for _, what in _in_bytes(name.encode(), values):
        hits.setdefault(what, Hit("the name of a file", "which is not repeated here", what))
    for piece in pieces(name, source):
        wide = piece.text or not name.endswith(".safetensors")
        for offset, what in _in_bytes(piece.data, values, wide=wide):
            hits.setdefault(what, Hit(name, piece.place(offset), what))
        if piece.text:
            for line, what in _in_text(decoded(piece.data), values, program=name.endswith(".py")):
                hits.setdefault(what, Hit(name, piece.cell or f"line {piece.line + line}", what))
    return list(hits.values())


def pieces(name: str, source: Path | bytes) -> Iterator[Piece]:
    """All that there is to read in a file: its bytes, the header of weights, and every cell of text of a Parquet file,
    whose pages are compressed."""
    text, line = not name.endswith(_BINARY), 1
    for at, chunk in _chunks(source):
        yield Piece(chunk, at, text=text, line=line)
        line += chunk[: max(len(chunk) - _OVERLAP, 0)].count(b"\n") if text else 0
    if name.endswith(".safetensors"):
        yield from _header(source)
    if name.endswith(".parquet"):
        yield from (Piece(text, cell=cell, text=True) for cell, text in _cells(source))


def _in_bytes(data: bytes, values: Values, *, wide: bool = True) -> Iterator[tuple[int, str]]:
    yield from forms.in_bytes(data, wide=wide)
    for what, ways in values.written.items():
        for written in ways:
            at = data.find(written)
            if at >= 0:
                yield at, what
                break


def _in_text(text: str, values: Values, *, program: bool) -> Iterator[tuple[int, str]]:
    """The lines (from 0) in which a secret stands, plain or decoded, and what it is."""
    shapes = forms.in_text(text)
    for number, line in enumerate(text.split("\n")):
        for part in _parts(line):
            yield from ((number, what) for _, what in forms.in_line(part, shapes, program=program))
            for view in _views(part):
                yield from ((number, what) for _, what in _in_bytes(view.encode(errors="replace"), values, wide=False))
                found = forms.in_line(view, forms.in_text(view), program=program)
                yield from ((number, what) for _, what in found)


def _parts(line: str) -> Iterator[str]:
    step = _LINE - _LINE_OVERLAP
    yield from (line[at : at + _LINE] for at in range(0, max(len(line) - _LINE_OVERLAP, 1), step))


def _views(line: str, depth: int = 2) -> Iterator[str]:
    """A line as it reads without its escapes, and what its base64 and hexadecimal digits spell, if that is text."""
    plain = without_escapes(line)
    found = [plain] if plain != line else []
    for one in (line, *found):
        found += [text for run in _BASE64.findall(one) for text in _from_base64(run)]
        found += [text for run in _HEX.findall(one) if (text := _readable(bytes.fromhex(run)))]
    for text in found:
        yield text
        if depth > 1:
            yield from _views(text, depth - 1)


def without_escapes(line: str) -> str:
    """A line without the escapes of JSON, Markdown, HTML and URLs."""
    return urllib.parse.unquote(html.unescape(_ESCAPE.sub(_unescaped, line)))


def _unescaped(found: re.Match) -> str:
    short, braced, long, byte, space, mark = found.groups()
    digits = short or braced or long or byte
    if digits:
        return chr(int(digits, 16)) if int(digits, 16) < 0x110000 else ""
    return {"n": "\n", "r": "\r", "t": "\t"}[space] if space else mark


def _from_base64(run: str) -> Iterator[str]:
    """What a run of base64 spells, from any of its first four letters on: some may be no part of it."""
    run = run.replace("-", "+").replace("_", "/")
    for start in range(4):
        given = run[start : start + (len(run) - start) // 4 * 4]
        rest = run[start + len(given) :]
        given += rest + "=" * (4 - len(rest)) if len(rest) > 1 else ""
        try:
            text = _readable(base64.b64decode(given))
        except binascii.Error:
            continue
        if text:
            yield text


def _readable(data: bytes) -> str:
    """The text that these bytes are; empty if they are none."""
    if len(data) < _SHORTEST:
        return ""
    if data.count(0) * 3 > len(data):
        data = data.replace(b"\0", b"")  # UTF-16 of plain letters
    shown = sum(32 <= byte < 127 or byte in b"\t\n\r" for byte in data)
    return data.decode("ascii", "replace") if shown >= 0.9 * len(data) else ""


def decoded(data: bytes) -> str:
    """The bytes as text: UTF-8, or UTF-16 where every other byte is zero."""
    if data.count(0) * 3 > len(data) > 3:
        even = data[:4096:2].count(0) > len(data[:4096]) / 4
        return data.decode("utf-16-be" if even else "utf-16-le", "replace")
    return data.decode("utf-8", "replace")


def _ways_to_write(value: bytes) -> tuple[bytes, ...]:
    text = value.decode(errors="replace")
    ways = [value, text.encode("utf-16-le"), text.encode("utf-16-be")]
    ways += [value.hex().encode(), value.hex().upper().encode()]
    for shift in range(3):  # the letters of base64 that depend on nothing but the value
        first, last = -(-shift * 8 // 6), (shift + len(value)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            ways.append(encode(b"\0" * shift + value)[first:last])
    return tuple(dict.fromkeys(ways))


def _header(source: Path | bytes) -> Iterator[Piece]:
    """The header of a safetensors file, which is JSON."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        header = file.read(length) if length <= _HEADER else b""
    if len(header) == length:  # else it is none, and nobody can load it
        yield Piece(header, 8, cell="its header", text=True)


def _chunks(source: Path | bytes) -> Iterator[tuple[int, bytes]]:
    """Pieces of a file and where they begin. They overlap, so that nothing hides at a seam."""
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
    yield "its metadata", b"\n".join((table.schema.metadata or {}).values())
    for column in table.column_names:
        yield f"the name of column {table.column_names.index(column)}", column.encode(errors="replace")
        if not _holds_text(table.schema.field(column).type):
            continue
        for row, value in enumerate(table[column].to_pylist()):
            yield f"column {column}, row {row}", "\n".join(_texts(value)).encode(errors="replace")


def _holds_text(kind) -> bool:
    import pyarrow as pa

    if pa.types.is_nested(kind):
        return any(_holds_text(kind.field(index).type) for index in range(kind.num_fields))
    return not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _texts(value) -> Sequence[str]:
    if isinstance(value, dict):
        return [f"{key}={text}" for key, item in value.items() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, bytes):
        return [value.decode(errors="replace")]
    return [] if value is None else [str(value)]
