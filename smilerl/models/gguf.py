"""GGUF files: which file a name means, whether it can be read, and what it says of itself.

A model may be named by `path/to/file.gguf`, by a folder that holds one such file and no config.json, or by
`package:NAME/FILE.gguf`. `dequantised` makes a checkpoint of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from smilerl.io import errors, packages, paths
from smilerl.io.errors import UserError
from smilerl.io.terminal import first_line, one_line
from smilerl.models import sizes

ENDING = ".gguf"
#: What marks a folder as a model, a run or a pushed run, whatever GGUF files lie beside.
_ANOTHER = ("config.json", "adapter_config.json", "status.json", "model")
#: Where a file says which repository it was made from, and those that this one was made from.
_REPOSITORY, _SOURCE = "general.source.huggingface.repository", ("general.source.repo_url", "general.source.url")
_MADE_FROM = re.compile(r"general\.base_model\.\d+\.repo_url")
_HUB = "https://huggingface.co"
_ON_HUB = re.compile(rf"{_HUB}/(?!datasets/|spaces/)(\w[\w.-]*/\w[\w.-]*)(/.*)?")
_INSTALL = "Install it: pip install gguf (in a checkout: make real-setup)"


class GgufError(UserError, ValueError):
    """A name that means a GGUF file which is not there or cannot be read.

    Attributes:
        why: what is wrong, in a clause.
        fix: what to do about it, in a sentence.
    """

    def __init__(self, name: str | Path, why: str, fix: str) -> None:
        super().__init__(f"{name}: {why}.\n    {fix}")
        self.why, self.fix = why, fix


def file_of(name: str | Path, beside: str | Path | None = None) -> Path | None:
    """The GGUF file that a model's name means; None where it means another kind of model.

    Args:
        beside: the file that names it.

    Raises:
        GgufError: there is no such file or package, there are several, or it is no GGUF file.
    """
    name = str(name)
    if packages.is_name(name):
        try:
            return _begun(packages.locate(name), name)
        except packages.PackageError as error:
            raise GgufError(name, error.why, error.fix) from None
    found = paths.find(name, beside)
    if found is None and name.endswith(ENDING):
        near = paths.near(name)
        fix = f"Did you mean '{near}'?" if near else "Write the path of a GGUF file, or another model."
        raise GgufError(name, "there is no such file", fix)
    if found is None or (found.is_file() and found.suffix != ENDING):
        return None
    if found.is_file():
        return _begun(found, name)
    if any((found / other).exists() for other in _ANOTHER):
        return None
    files = sorted(found.glob(f"*{ENDING}"))
    if len(files) > 1:
        fix = f"Name one of them: {', '.join(file.name for file in files)}"
        raise GgufError(name, f"it holds {len(files)} GGUF files", one_line(fix, 300))
    return _begun(files[0], name) if files else None


def check(file: Path, name: str | Path) -> None:
    """Reads what a file says of itself, and not its weights.

    Args:
        name: what it is called in errors.

    Raises:
        GgufError: the package gguf is not installed, the file is damaged, transformers does not know its kind, or
            it is larger than any model.
    """
    facts(file, name)
    from transformers import AutoConfig

    with told(name, "transformers cannot read it", "Name another model, or a newer transformers may know it."):
        config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    if wrong := sizes.too_large(config.to_dict()):
        raise GgufError(name, f"its {wrong}", "Name another model.")


def facts(file: Path, name: str | Path | None = None) -> dict[str, Any]:
    """What is known of a file: `file` (its name), `sha256`, `quantisation` (such as `Q4_1`), `architecture`, and in the
    file's own words `name`, `organisation`, `licence`, `source` and `made_from` (ids on the Hub); None where it says
    nothing.

    Raises:
        GgufError: as `check`.
    """
    name = name or file
    if find_spec("gguf") is None:
        raise GgufError(
            name, "a GGUF file is read by the package gguf, and the package gguf is not installed", _INSTALL
        )
    state = file.stat()
    with told(name, "it is cut short or damaged", "Get the file again."):
        said, quantisation = _read(file, state.st_mtime_ns, state.st_size)
        with file.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    sources = [f"{_HUB}/{said.get(_REPOSITORY)}", *map(said.get, _SOURCE)]
    return {
        "file": file.name,
        "sha256": sha256,
        "quantisation": quantisation,
        "architecture": said.get("general.architecture"),
        "name": said.get("general.name"),
        "organisation": said.get("general.organization"),
        "licence": said.get("general.license"),
        "source": next(filter(None, map(_id, sources)), None),
        "made_from": [id for key, text in said.items() if _MADE_FROM.fullmatch(key) and (id := _id(text))],
    }


@contextmanager
def told(name: str | Path, why: str, fix: str) -> Iterator[None]:
    """Turns any error of the libraries that read a file into a GgufError with its cause."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or errors.is_memory(error) or errors.is_of_machine(error):
            raise
        raise GgufError(name, f"{why}: {type(error).__name__}: {first_line(error, 200).rstrip('.')}", fix) from error


def _begun(file: Path, name: str) -> Path:
    """The file, which begins as a GGUF file does."""
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            why = "it is no GGUF file, which begins with the letters GGUF"
            raise GgufError(name, why, "Write the path of a GGUF file, or another model.")
    return file


@lru_cache(maxsize=16)
def _read(file: Path, modified: int, size: int) -> tuple[dict[str, str], str]:
    """The texts of a file's `general` part, cut to 200 characters, and how most of its weights are quantised."""
    from gguf import GGUFReader, LlamaFileType

    reader = GGUFReader(file)
    said = {
        key: one_line(field.contents(), 200)
        for key, field in reader.fields.items()
        if key.startswith("general.") and isinstance(field.contents(), str)
    }
    kind = reader.get_field("general.file_type")
    known = {one.value: one.name.removeprefix("MOSTLY_").removeprefix("ALL_") for one in LlamaFileType}
    most = max(reader.tensors, key=lambda tensor: int(tensor.n_elements)).tensor_type.name
    return said, most if kind is None else known.get(int(kind.contents()), most)


def _id(text: str | None) -> str | None:
    """The id on the Hub in the address of a model there; None for another text."""
    found = _ON_HUB.fullmatch(text or "")
    return found[1] if found else None
