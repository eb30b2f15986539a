"""Checks a model's directory before a library reads it: libraries name no file in errors, and may run code it names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smilerl.io import bounded, packages
from smilerl.io.terminal import printable
from smilerl.models import dequantised, sizes
from smilerl.runs import seals

#: Files of a model that are JSON objects.
_OBJECTS = (
    "generation_config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "model.safetensors.index.json",
)  # fmt: skip
#: The most bytes of a config.json; those of classifiers list their labels.
_MOST_CONFIG = 4 * 1024 * 1024


def check(name: str) -> str | None:
    """Checks the directory that a model's name leads to; returns the directory or id of an adapter's base, else None.

    Raises:
        FileNotFoundError: a path with nothing there, or an adapter whose base model is gone.
        RunError: a model that was sealed here is not what was saved.
        ValueError: as `base_in`, `base_of` and `check_configuration`.
    """
    path = Path(name)
    if not path.exists() and (path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1):
        raise FileNotFoundError(f"no model at {name}. Give a directory with a config.json, an adapter, or a Hub id.")
    if path.is_dir() and not any((path / file).is_file() for file in ("config.json", "adapter_config.json")):
        inside = path / "model"
        hint = f" Did you mean {inside}?" if inside.is_dir() else ""
        raise FileNotFoundError(f"{name} holds neither config.json nor adapter_config.json.{hint}")
    seals.check_model(path)
    check_configuration(path)
    base = base_in(path)
    if base is None:
        return None
    if Path(base).is_absolute() and not Path(base).exists():
        raise FileNotFoundError(f"the adapter {name} belongs to the model {base}, which is no longer there.")
    seals.check_model(base)
    return base


def base_in(folder: str | Path) -> str | None:
    """As `base_of`, with the directory of a base that lies in an installed package.

    Raises:
        GgufError: the package is not installed, or its file cannot be read.
    """
    base = base_of(folder)
    return str(dequantised.checkpoint(base)) if base is not None and packages.is_name(base) else base


def base_of(folder: str | Path) -> str | None:
    """The base that an adapter directory names, a directory or Hub id; None where the directory holds no adapter.

    Raises:
        ValueError: it names none, or something else than a model, such as a recipe.
    """
    file = Path(folder) / "adapter_config.json"
    if not file.is_file():
        return None
    said = bounded.mapping(file, bounded.MOST_SETTINGS)
    base = said.get("base_model_name_or_path")
    if said.get("megatron_config"):  # peft imports the module that stands beside it
        raise ValueError(f"{printable(file)}: adapters for Megatron are not loaded. Save it without megatron_config.")
    if not isinstance(base, str) or not base:
        raise ValueError(f"{printable(file)}: base_model_name_or_path names no model, so the adapter has no base.")
    beside = Path(folder) / base
    if "://" in base or Path(base).suffix in (".yaml", ".yml") or Path(base).is_file() or beside.is_file():
        raise ValueError(
            f"{printable(file)}: base_model_name_or_path is '{printable(base[:200])}', which is no directory with a "
            "model and no Hub id.\n    A base is never built from a recipe that an adapter names."
        )
    return base


def check_configuration(folder: str | Path) -> None:
    """Raises ValueError where a directory's JSON files cannot be read, or its config is too large or names a kernel.

    transformers would load an `attn_implementation` of `org/name` from the Hub as a kernel, and run it.
    """
    for file in (Path(folder) / name for name in _OBJECTS):
        if not file.is_file():
            continue
        if file.stat().st_size <= bounded.MOST_SETTINGS:
            bounded.mapping(file, bounded.MOST_SETTINGS)
        elif not _starts(file).startswith(b"{"):
            raise ValueError(f"{printable(file)}: should be a JSON object, and does not begin with one.")
    file = Path(folder) / "config.json"
    if not file.is_file():
        return
    said = bounded.mapping(file, _MOST_CONFIG)
    if wrong := sizes.too_large(said):
        raise ValueError(f"{printable(file)}: {wrong}.")
    named = next((name for name in _implementations(said) if "/" in name), None)
    if named is not None:
        raise ValueError(
            f"{printable(file)}: '{printable(named[:200])}' would be loaded from the Hub and run. Write \"sdpa\" there "
            "if you want the model."
        )


def _starts(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(4096).lstrip()


def _implementations(said: Any, inside: bool = False) -> Iterator[str]:
    """The names of kernels in a configuration and its parts."""
    if isinstance(said, dict):
        for name, value in said.items():
            yield from _implementations(value, inside or "_implementation" in name)
    elif isinstance(said, str) and inside:
        yield said
