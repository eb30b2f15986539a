"""What determines a result: one hash over a recipe, the files it names and the code that it runs.

Two recipes with the same hash make the same run (on the same machine and library versions, which the manifest notes), so
a finished one is used again, and one whose world, reward, data or base model has changed is not.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from smilerl import paths
from smilerl.recipe import Recipe, read_recipe
from smilerl.training_settings import FORM_OF

#: Where the result goes and what is said about it do not change it.
_NO_MATTER = ("output_dir", "story")
#: Nor does how often to save, and how much to keep.
_SAVING = ("save_strategy", "save_steps", "save_total_limit")
#: Nor does how long a reward is waited for, so that a run which stopped for that can go on with more.
_WAITING = ("timeout", "most_missing")
#: Files of a world that no training depends on: the scripted helpers are there for evaluations.
_ASIDE = ("helpers.py",)
#: Keys under which a file or folder of data stands, even without a slash.
_DATA = ("path", "dataset", "held_out_from")
#: Code that draws replies and has rewards choose among them.
_DRAWING = ("candidates.py", "rewards/_summed.py")


def content_hash(recipe: Recipe) -> str:
    """16 hex digits over all that determines the result of a recipe."""
    parts = {"recipe": _with_contents(_what_matters(recipe), recipe.source), "code": _code_of(recipe)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


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
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts):
        digest.update(f"{file.relative_to(path).as_posix()} {hash_path(file)}\n".encode())
    return digest.hexdigest()[:16]


def _what_matters(recipe: Recipe) -> dict[str, Any]:
    said = {key: value for key, value in recipe.to_dict().items() if key not in _NO_MATTER}
    said["training"] = {key: value for key, value in recipe.training.items() if key not in _SAVING}
    said["rewards"] = [{key: value for key, value in one.items() if key not in _WAITING} for one in said["rewards"]]
    if recipe.data.turns == 1:  # so that what was trained before there were turns is known again
        said["data"] = {key: value for key, value in said["data"].items() if key != "turns"}
    return said


@lru_cache(maxsize=4096)
def _hash_file(path: Path, modified: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _hash_of(found: Path) -> str:
    return read_recipe(found).content_hash() if found.suffix in (".yaml", ".yml") else hash_path(found)


def _with_contents(value: Any, source: str, key: str = "") -> Any:
    """The value with the name of every input replaced by the hash of what is in it."""
    if isinstance(value, dict):
        return {name: _with_contents(item, source, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_contents(item, source, key) for item in value]
    found = _input(value, source, key) if isinstance(value, str) else None
    return {"contents": _hash_of(found)} if found else value


def _names_in(value: Any, key: str = "") -> list[tuple[str, str]]:
    """Every text in a value, with the key that it stands under."""
    if isinstance(value, dict):
        return [named for name, item in value.items() for named in _names_in(item, str(name))]
    if isinstance(value, list | tuple):
        return [named for item in value for named in _names_in(item, key)]
    return [(value, key)] if isinstance(value, str) else []


def _words_in(value: Any) -> list[str]:
    return [word for word, _ in _names_in(value)]


def _input(name: str, source: str, key: str) -> Path | None:
    """The file or folder that a name means. A bare word means none, even where a folder happens to be called so; but for data and recipes."""
    is_place = os.sep in name or "/" in name or name.endswith((".yaml", ".yml"))
    return paths.find(name, source) if is_place or key in _DATA else None


def _code_of(recipe: Recipe) -> dict[str, str]:
    """The hash of each file of code that decides what this recipe does: ours, and the user's own rewards."""
    parts = [f"worlds/{recipe.world.name}.py", f"training/{recipe.method}.py"]
    parts += [f"worlds/{recipe.world.name}/{file.name}" for file in (paths.PACKAGE / "worlds" / recipe.world.name).glob("*.py")
              if file.name not in _ASIDE]  # fmt: skip
    if recipe.data.turns > 1:
        parts += ["training/rollouts.py", "worlds/turns.py"]
    if recipe.policy.config:
        parts.append("policies.py")  # makes the fresh model and its tokenizer
    if recipe.method in FORM_OF:
        parts += ["preferences.py", "pairs.py", *_DRAWING]
    if recipe.method == "reward":
        parts.append("preferences.py")  # draws the world's pairs
    if recipe.method == "best_of_n":
        parts += ["baseline.py", *_DRAWING]
    talkers = _words_in(recipe.world.args.get("people") or [])
    if talkers:
        parts += [f"speakers/{file.name}" for file in (paths.PACKAGE / "speakers").glob("*.py")]
    words = _words_in(recipe.to_dict()["rewards"])  # rewards inside wrappers are named in the wrappers' arguments
    parts += [f"rewards/{word}.py" for word in words if word.isidentifier()]
    code = {part: hash_path(paths.PACKAGE / part) for part in parts if (paths.PACKAGE / part).exists()}
    return code | {word: hash_path(file) for word in [*words, *talkers] if (file := _users_file(word))}


def _users_file(name: str) -> Path | None:
    """The file of a user's reward, `path/to/file.py:fn` or `package.module.fn`, found without importing it."""
    if ".py:" in name:
        return paths.find(name.rsplit(":", 1)[0])
    if not all(part.isidentifier() for part in name.split(".")) or "." not in name:
        return None
    module = Path(*name.split(".")[:-1]).with_suffix(".py")
    return next((Path(folder) / module for folder in ["", *sys.path] if (Path(folder) / module).is_file()), None)
