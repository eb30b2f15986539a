"""Records of a data file, each with its place: JSONL (also gzipped, UTF-16, or with a byte order mark), a JSON list, or
parquet.

Errors name file and line. A row that cannot be used goes to `BadRows`, which counts such rows, or leaves them out.
"""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from smilerl.io import paths, places
from smilerl.io.terminal import first_line, say

#: What to do with a row that cannot be used: refuse the file, or leave the row out and count it.
OnBadRow = Literal["stop", "skip"]
#: Bytes of one line, and of a whole file that is a JSON list.
_LONGEST_LINE, _LONGEST_LIST = 2**26, 2**31
#: Objects and lists inside one another.
_DEEPEST = 64
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
#: First bytes of files that are no text, and what to do with them.
_BINARY = (
    (b"PK\x03\x04", "a zip file", "Unpack it"), (b"\x28\xb5\x2f\xfd", "compressed by zstd", "Unpack it: zstd -d"),
    (b"BZh", "compressed by bzip2", "Unpack it: bunzip2"), (b"\xfd7zXZ", "compressed by xz", "Unpack it: unxz"),
    (b"ARROW1", "an Arrow file", "Write `dataset:` and the folder that it is in"),
)  # fmt: skip
#: What has been said of rows that are left out.
_TOLD: set[str] = set()
_HALF = re.compile("[\ud800-\udfff]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BadRows:
    """Rows that cannot be used: what is wrong with the first, and how many there are (`count`)."""

    def __init__(self, on_bad_row: OnBadRow = "stop") -> None:
        if on_bad_row not in ("stop", "skip"):
            raise ValueError(f"on_bad_row is {on_bad_row!r}; it is stop or skip")
        self.skip = on_bad_row == "skip"
        self.count = 0
        self.first: str | None = None
        self._others: list[str] = []

    def add(self, where: str, error: Exception | str) -> None:
        """Notes a row by its place, with an error that names the place and what is wrong."""
        self.count += 1
        if self.first is None:
            self.first = str(error)
        elif len(self._others) < 5:
            line = where.rpartition(":")[2]
            self._others.append(line if line.isdigit() else where)

    def check(self, good: int) -> None:
        """Raises ValueError where there were any beside `good` usable rows, unless they are to be left out."""
        if self.first is None:
            return
        of = f"{self.count} of {self.count + good} rows"
        if self.skip:
            said = f"{of} are left out; the first: {self.first}"
            if said not in _TOLD:  # a file is read more than once in a run
                _TOLD.add(said)
                say(said)
            return
        others = ", ".join(self._others + ["..."] * (self.count > len(self._others) + 1))
        raise ValueError(
            f"{self.first.rstrip('.')}.\n{of} cannot be used{f' (also {others})' if others else ''}. "
            "Mend them, or leave such rows out: on_bad_row: skip"
        )


def records(path: str | Path, bad: BadRows | None = None, beside: str | None = None) -> Iterator[tuple[str, Mapping]]:
    """Place (file:line) and content of each record of a file; empty lines are passed over. NaN is a missing value,
    None.

    Args:
        path: JSONL, which may be gzipped; a JSON list of objects; or parquet. Looked for from here and in the package.
        bad: takes lines that are no JSON object; the first one raises where it is None.
        beside: the file that names it.

    Raises:
        ValueError: no such file, or one that is none of these.
    """
    file = paths.find(str(path), beside)
    if file is None or not file.exists():
        raise ValueError(f"there is no file '{path}', seen from {Path.cwd()}")
    if file.is_dir():
        raise ValueError(f"'{path}' is a folder. Write `dataset: {path}`, or a file in it")
    if not file.is_file():
        raise ValueError(f"'{path}' is no ordinary file")
    try:
        with file.open("rb") as opened:
            yield from _of_file(opened, str(path), bad)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read: {first_line(error)}") from None


def _of_file(opened: IO[bytes], path: str, bad: BadRows | None) -> Iterator[tuple[str, Mapping]]:
    head = opened.read(8)
    opened.seek(0)
    if head[:4] == b"PAR1":
        yield from _of_parquet(opened, path)
        return
    for magic, what, fix in _BINARY:
        if head.startswith(magic):
            raise ValueError(f"{path}: {what}, and JSONL is expected. {fix}")
    source: Any = gzip.GzipFile(fileobj=opened) if head[:2] == b"\x1f\x8b" else opened
    text = io.BufferedReader(source)
    start = text.peek(512)[:512]
    encoding = next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8")
    if encoding in ("utf-16", "utf-32"):
        try:
            whole = text.read(_LONGEST_LIST).decode(encoding).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: begins as {encoding.upper()} and is not: {error.reason}") from None
        text = io.BufferedReader(io.BytesIO(whole))
    elif encoding == "utf-8-sig":
        text.read(len(codecs.BOM_UTF8))
    start = text.peek(512)[:512]
    if b"\0" in start:
        half = "UTF-16LE" if start[1:2] == b"\0" else "UTF-16BE" if start[:1] == b"\0" else None
        fix = f"It looks like {half}: iconv -f {half} -t UTF-8 '{path}' > new.jsonl" if half else "Give a text file"
        raise ValueError(f"{path}: not UTF-8 text, and JSONL is. {fix}")
    if path.lower().removesuffix(".gz").endswith((".csv", ".tsv")) and not start.lstrip().startswith(b"{"):
        fix = "Write `dataset:` and the folder that it is in"
        raise ValueError(f"{path}: a table of text, and JSONL is expected. {fix}")
    yield from _of_list(text, path) if re.match(rb"\s*\[\s*\{", start) else _of_lines(text, path, bad)


def _of_lines(text: IO[bytes], path: str, bad: BadRows | None) -> Iterator[tuple[str, Mapping]]:
    for number in itertools.count(1):
        line, where = text.readline(_LONGEST_LINE + 1), f"{path}:{number}"
        if not line:
            return
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"{where}: a line of more than {_LONGEST_LINE >> 20} MB; JSONL holds one row a line")
        if not line.strip():
            continue
        try:
            item = _object(line, where)
        except ValueError as error:
            if bad is None:
                raise
            bad.add(where, error)
            continue
        yield where, item


def _object(line: bytes, where: str) -> Mapping:
    """The JSON object in a line.

    Raises:
        ValueError: there is none; begins with its place.
    """
    try:
        text = line.decode("utf-8")
        item = _DECODER.decode(text.strip())
    except UnicodeDecodeError as error:
        wrong = f"not UTF-8: byte {error.start} is {line[error.start]:#04x}. Convert the file: iconv -f LATIN1 -t UTF-8"
    except json.JSONDecodeError as error:
        wrong = f"not JSON: {error.msg} at character {error.pos}. JSONL holds one JSON object a line"
    except RecursionError:
        wrong = f"objects and lists lie too deep in one another, more than {_DEEPEST}"
    except ValueError as error:
        wrong = str(error)
    else:
        return _checked(item, text, where)
    raise ValueError(f"{where}: {wrong}")


def _checked(item: Any, text: str, where: str) -> Mapping:
    if not isinstance(item, dict):
        raise ValueError(f'{where}: a {type(item).__name__}, not a JSON object such as {{"prompt": "..."}}')
    # Looked at closely only where its text can hold such a thing: most does not.
    if text.count("{") + text.count("[") > _DEEPEST or _SURROGATE.search(text):
        if wrong := _odd(item, "", 0):
            raise ValueError(f"{where}: {wrong}")
    return item


def _odd(value: Any, place: str, depth: int) -> str | None:
    """What a value holds that no model, table or file can: half a character, or too many levels."""
    if isinstance(value, str):
        half, cut = _HALF.search(value), "its other half was cut off. Cut text between characters"
        return half and f"{place} holds half of a character, \\u{ord(half[0]):04x}: {cut}"
    if depth > _DEEPEST:
        return f"{re.split('[.[]', place)[0]} has objects and lists more than {_DEEPEST} deep"
    if isinstance(value, list):
        return next(filter(None, (_odd(item, f"{place}[{at}]", depth + 1) for at, item in enumerate(value))), None)
    for name, item in value.items() if isinstance(value, dict) else ():
        own = f"{place}.{name}" if place else name
        if wrong := _odd(name, f"the name {own!a}", depth) or _odd(item, own, depth + 1):
            return wrong
    return None


def _of_list(text: IO[bytes], path: str) -> Iterator[tuple[str, Mapping]]:
    """The objects of a JSON list, each with the line that it begins in. A broken one raises: it hides the next."""
    try:
        said = text.read(_LONGEST_LIST).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    at, line, counted = said.index("[") + 1, 1, 0
    while True:
        begin = _SPACE.match(said, at).end()  # type: ignore[union-attr]
        line, counted = line + said.count("\n", counted, begin), begin
        where = f"{path}:{line}"
        try:
            item, end = _DECODER.raw_decode(said, begin)
        except json.JSONDecodeError as error:
            wrong = f"not JSON: {error.msg}, in the list's row that begins in line {line}"
            raise ValueError(f"{path}:{error.lineno}: {wrong}") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: {first_line(error)}") from None
        yield where, _checked(item, said[begin:end], where)
        after = _SPACE.match(said, end).end()  # type: ignore[union-attr]
        if said[after : after + 1] != ",":
            if said[after : after + 1] != "]" or said[after + 1 :].strip():
                line += said.count("\n", counted, after)
                raise ValueError(f"{path}:{line}: not JSON: a comma or the end of the list is missing")
            return
        at = after + 1


def _of_parquet(opened: IO[bytes], path: str) -> Iterator[tuple[str, Mapping]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = (row for batch in pq.ParquetFile(opened).iter_batches() for row in batch.to_pylist())
        for number, row in enumerate(rows):
            yield f"{path}, row {number}", row
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: no whole parquet file: {first_line(error)}") from None


def hub(name: str, config: str | None, split: str, bad: BadRows | None = None) -> Iterator[tuple[str, Mapping]]:
    """Place and content of each row of a HF dataset: a Hub id, a local folder, or what `save_to_disk` wrote.

    Raises:
        ValueError: it is not there, or not for you, or the Hub cannot be reached, or its files do not fit together.
    """
    rows, files = _loaded(places.expanded(name), config, split)
    for file in files:
        yield from records(file, bad)
    for number, item in enumerate(rows):
        yield f"{name}, row {number}", item


def _loaded(name: str, config: str | None, split: str) -> tuple[Iterable, list[str]]:
    """The rows of a HF dataset; or none of them, and the JSON files that hold them, where a table would change them."""
    import pyarrow as pa
    from datasets import load_dataset, load_from_disk
    from datasets.exceptions import DatasetGenerationError, DatasetsError

    try:
        if (Path(name) / "state.json").is_file() or (Path(name) / "dataset_dict.json").is_file():
            saved = load_from_disk(name)
            return (saved[split] if isinstance(saved, dict) else saved), []
        rows = load_dataset(name, config, split=split)
        # In a table each dict has all keys of the others.
        nested = any(isinstance(kind, dict) or "{" in str(kind) for kind in rows.features.values())
        files = _json_files(name, config, split) if nested else []
        return ([], files) if files else (rows, [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DatasetsError, pa.ArrowException) as error:
        # not there, gated, offline; no such config or split; files that do not fit together
        not_alike = isinstance(error, DatasetGenerationError)
        if not_alike and (files := _json_files(name, config, split)):
            return [], files  # datasets wants one type a column over all files; here a value that is missing is None
        cause = error.__cause__ if not_alike and error.__cause__ else error
        raise ValueError(
            f"the data set '{name}' could not be loaded: {first_line(cause)}\n"
            "Give dataset: an id on the Hub (org/name) or a folder, with config and source_split. A gated one has to"
            " be asked for on its page and wants `hf auth login`; without a network, path: a JSONL file"
        ) from error


def _json_files(name: str, config: str | None, split: str) -> list[str]:
    """The files of a split of a local folder, if all are JSON: those that `datasets` would read."""
    from datasets import load_dataset_builder

    if not Path(name).is_dir():
        return []
    found = (load_dataset_builder(name, config).config.data_files or {}).get(split, [])
    names = [str(file) for file in found]
    return names if all(re.search(r"\.(jsonl?|ndjson)(\.gz)?$", file) for file in names) else []


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key '{twice}' is written twice in one object")
    return found


def _constant(name: str) -> None:
    if name != "NaN":  # which pandas writes for what is missing
        raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_constant)
_SPACE = re.compile(r"\s*")
