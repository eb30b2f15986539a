"""A data set with a card of its own (`README.md` with `configs:`), such as `data/`: the card and the files in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from smilerl.models.hub.ids import HubError
from smilerl.publish import contents
from smilerl.publish.contents import Item, Left, Parcel

_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
#: Links to files outside the folder, which a repository of the folder alone does not have.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)\s]+)\)")


def is_dataset(folder: Path) -> bool:
    """Whether a folder has a card that says which files are which configuration."""
    return folder.is_dir() and not (folder / "status.json").is_file() and "configs" in _front(folder)


def parcel(folder: Path) -> Parcel:
    """The card and every file that its `configs` name, without anything about this machine.

    Raises:
        HubError: the card names a file that is not there, or outside the folder.
    """
    named = sorted(set(_data_files(folder)))
    card = _OUTSIDE.sub(r"\1 (`\2` in smilerl's sources)", (folder / "README.md").read_text(encoding="utf-8"))
    items = [Item("README.md", card.encode()), *(Item(name, folder / name) for name in named)]
    there = {file.relative_to(folder).parts[0] for file in folder.rglob("*") if file.is_file()}
    others = sorted(there - {name.split("/")[0] for name in named} - {"README.md"})
    left = tuple(Left(name, "no configuration of the card names it") for name in others)
    contents.refuse_links(items, [folder])
    return Parcel(tuple(contents.without_places(items, {folder: "data"})), left)


def _data_files(folder: Path) -> Iterator[str]:
    for config in _front(folder)["configs"]:
        for path in _paths_in(config.get("data_files", [])):
            inside = ".." not in Path(path).parts and not path.startswith("/")
            found = [file for file in sorted(folder.glob(path)) if file.is_file()] if inside else []
            if not found:
                raise HubError(
                    f"{folder / 'README.md'}: the configuration '{config.get('config_name')}' names {path}, and there "
                    f"is no such file in {folder}.\n    Build the data (python data/build.py), or mend the card."
                )
            yield from (file.relative_to(folder).as_posix() for file in found)


def _paths_in(data_files: Any) -> Iterator[str]:
    if isinstance(data_files, str):
        yield data_files
    elif isinstance(data_files, dict):
        yield from _paths_in(data_files.get("path", []) if "path" in data_files else list(data_files.values()))
    else:
        for one in data_files:
            yield from _paths_in(one)


def _front(folder: Path) -> dict[str, Any]:
    readme = folder / "README.md"
    found = _FRONT.match(readme.read_text(encoding="utf-8")) if readme.is_file() else None
    front = yaml.safe_load(found[1]) if found else None
    return front if isinstance(front, dict) else {}
