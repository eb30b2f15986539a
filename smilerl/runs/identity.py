"""What determines a result, as one hash: the recipe, the contents of the files it names, and the code that it runs.

Two recipes with the same hash make the same run (on the same machine and library versions, which the manifest notes),
so a finished one is used again, and one whose world, reward, data or base model has changed is not. Every hash that
decides what is used again is made here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from smilerl.config.nesting import nested
from smilerl.config.recipe import Recipe, read_recipe
from smilerl.io import paths
from smilerl.runs import sources

#: Part of every hash: raised when what a hash is made of changes, so that no older result passes for one of today.
VERSION = 3

#: Where the result goes and what is said about it do not change it.
_NO_MATTER = ("output_dir", "story")
#: Nor does how often to save, and how much to keep.
_SAVING = ("save_strategy", "save_steps", "save_total_limit")
#: Nor does how long a reward is waited for, so that a run which stopped for that can go on with more.
_WAITING = ("timeout", "most_missing")
#: Keys under which a file or folder stands, even without a slash.
_DATA = {"path", "dataset", "held_out_from", "model", "model_name_or_path"}
_DATA |= {"deepspeed", "fsdp_config", "accelerator_config"}


def digest(value: Any) -> str:
    """The SHA-256 of plain data, 64 hex digits; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def content_hash(recipe: Recipe) -> str:
    """16 hex digits over all that determines the result of a recipe."""
    with nested(recipe.source, "hash"):
        return _content_hash(recipe)


def _content_hash(recipe: Recipe) -> str:
    said = _what_matters(recipe)
    # Rewards (those inside wrappers, too) and what plays people may be the user's own code.
    code = _code_of(said, [said["rewards"], recipe.world.args.get("people") or []])
    return _versioned(recipe=_with_contents(said, recipe.source), code=code)


def shipped_hash(recipe: Recipe, rows: str) -> str:
    """16 hex digits over what a recipe says and the files that it names, and not over code.

    Args:
        rows: the hash of rows that it trains on, in which code shows that makes them.
    """
    return _versioned(recipe=_with_contents(_what_matters(recipe), recipe.source), rows=rows)


def reward_hash(spec: Any) -> str:
    """16 hex digits over all that determines the scores of a reward: its spec, the models that it names, and code.

    Args:
        spec: a name, or a mapping with name and args.
    """
    return _versioned(reward=_with_contents(spec, ""), code=_code_of(spec, spec))


def evaluation_hash(parts: Any, code: tuple[str, ...] | None = None) -> str:
    """16 hex digits over plain data that determines an evaluation, and the code that makes numbers from it.

    Args:
        code: files and folders of the package; None: all that an evaluation executes.
    """
    return _versioned(parts=parts, code=_code_at(code))


def inputs(recipe: Recipe) -> dict[str, str]:
    """The hash of each file, folder and recipe that a recipe names, by the name it uses: base models and data."""
    return {
        name: _hash_of(found)
        for name, key in _names_in(_what_matters(recipe))
        if (found := _input(name, recipe.source, key))
    }


def hash_path(path: str | Path) -> str:
    """16 hex digits over the contents of a file, or of all files in a folder and their names."""
    path = Path(path)
    if path.is_file():
        return _hash_file(path, path.stat().st_mtime_ns, path.stat().st_size)
    total = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts):
        total.update(f"{file.relative_to(path).as_posix()} {hash_path(file)}\n".encode())
    return total.hexdigest()[:16]


def _versioned(**parts: Any) -> str:
    return digest({"version": VERSION, **parts})[:16]


def _what_matters(recipe: Recipe) -> dict[str, Any]:
    said = {key: value for key, value in recipe.to_dict().items() if key not in _NO_MATTER}
    said["training"] = {key: value for key, value in recipe.training.items() if key not in _SAVING}
    said["rewards"] = [{key: value for key, value in one.items() if key not in _WAITING} for one in said["rewards"]]
    return said


@lru_cache(maxsize=4096)
def _hash_file(path: Path, modified: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _hash_of(found: Path) -> str:
    return content_hash(read_recipe(found)) if found.suffix in (".yaml", ".yml") else hash_path(found)


def _with_contents(value: Any, source: str, key: str = "") -> Any:
    """The value with the name of every input replaced by the hash of what is in it."""
    if isinstance(value, dict):
        return {name: _with_contents(item, source, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_contents(item, source, key) for item in value]
    found = _input(value, source, key) if isinstance(value, str) else None
    return {"contents": _hash_of(found)} if found else value


def _names_in(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a value, with the key that it stands under."""
    if isinstance(value, str):
        yield value, key
    elif isinstance(value, dict | list | tuple):
        for name, item in value.items() if isinstance(value, dict) else ((key, item) for item in value):
            yield from _names_in(item, str(name))


def _code_of(said: Any, users: Any) -> dict[str, str]:
    """The hash of each file that runs what `said` names: of this package, and the user's own that `users` names."""
    named = dict.fromkeys(word for word, _ in _names_in(users))
    own = {word: found for word in named if (found := sources.of_users(word))}
    return {**sources.of_run(word for word, _ in _names_in(said)), **own}


@cache
def _code_at(code: tuple[str, ...] | None) -> Any:
    return sources.of_evaluations() if code is None else [hash_path(paths.PACKAGE / part) for part in code]


def _input(name: str, source: str, key: str) -> Path | None:
    """The file or folder that a name means. A bare word means one only under the keys of data and models."""
    is_place = os.sep in name or "/" in name or name.endswith((".yaml", ".yml"))
    return paths.find(name, source) if is_place or key in _DATA else None
