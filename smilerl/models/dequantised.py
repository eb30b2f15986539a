"""Checkpoints that were read from GGUF files, once each, and kept in the cache under the hash of the file."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from smilerl.io import disk, lock, paths
from smilerl.io.terminal import say
from smilerl.models import gguf
from smilerl.models.whole import loading_whole
from smilerl.runs import seals
from smilerl.runs.identity import hash_path


def checkpoint(name: str | Path, beside: str | Path | None = None) -> Path | None:
    """The directory of an ordinary checkpoint, float32, made from the GGUF file that a name means.

    Args:
        beside: the file that names it.

    Returns:
        A folder of the cache, sealed; None where the name means another kind of model.

    Raises:
        GgufError: the file is not there or cannot be read.
    """
    file = gguf.file_of(name, beside)
    if file is None:
        return None
    folder = _place(file)
    if _wrong_with(folder) is None:  # looked at without a lock first: the cache may be read-only
        return folder
    with lock.in_cache(folder.with_name(f"{folder.name}.lock")):
        wrong = _wrong_with(folder)  # another process may have made it meanwhile
        if wrong is not None:
            if os.path.lexists(folder):
                disk.clear(folder, wrong)
            if sys.stderr.isatty():
                say(f"{name}: read on first use, which takes half a minute or more, and kept in {folder}")
            _build(file, name, folder)
    return folder


def facts(name: str | Path, beside: str | Path | None = None) -> dict[str, Any] | None:
    """What is known of the GGUF file that a name means, see `gguf.facts`; None where it means another kind of model."""
    folder, file = checkpoint(name, beside), gguf.file_of(name, beside)
    if folder is None or file is None:
        return None
    return {**seals.facts_of(seals.beside(folder)), "file": file.name}  # it may have had another name when it was read


def check(name: str, beside: str | Path | None = None) -> bool:
    """Whether a name means a GGUF file; one that has not been read yet is checked without its weights.

    Raises:
        GgufError: the file is not there or cannot be read.
    """
    file = gguf.file_of(name, beside)
    if file is not None and not os.path.lexists(seals.beside(_place(file))):
        with _hushed():
            gguf.check(file, name)
    return file is not None


def _place(file: Path) -> Path:
    # Releases of transformers differ in how they read tokenizers.
    return paths.cache_dir() / "gguf" / f"{hash_path(file)}-transformers-{transformers.__version__}"


def _wrong_with(folder: Path) -> str | None:
    """What is wrong with a checkpoint in the cache; None for a whole one."""
    return seals.damage_beside(folder) if os.path.lexists(seals.beside(folder)) else "it is not sealed"


def _build(file: Path, name: str | Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, _hushed():
        gguf.check(file, name)
        built = Path(scratch) / "model"
        read: dict[str, Any] = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
        with gguf.told(name, "its tokenizer cannot be read", "Name another model, or a file that holds a tokenizer."):
            tokenizer = transformers.AutoTokenizer.from_pretrained(**read)
            tokenizer.save_pretrained(built)
        with gguf.told(name, "its weights cannot be read", "Name another model, or get the file again."):
            _plain(read).save_pretrained(built)
        shutil.move(built, folder)
    seals.seal(folder.parent, seals.beside(folder), folder.rglob("*"), **gguf.facts(file, name))


def _plain(read: dict[str, Any]) -> transformers.PreTrainedModel:
    """The model as one that was never quantised: transformers does not save one that was read from GGUF."""
    auto = transformers.AutoModelForCausalLM
    with loading_whole():
        model, found = auto.from_pretrained(**read, dtype=torch.float32, output_loading_info=True)
    if lacking := sorted(found["missing_keys"]):
        raise ValueError(f"it has no weights for {', '.join(lacking[:3])}")
    config = copy.deepcopy(model.config)
    del config.quantization_config
    with torch.device("meta"):  # no memory for weights that are about to be replaced
        plain = auto.from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    return plain


@contextmanager
def _hushed() -> Iterator[None]:
    """Takes in the bars and advice of the libraries, some of which cannot be switched off."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
