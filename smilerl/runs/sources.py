"""Which source files a result depends on: everything of this package but a short list, and the user's own modules.

Every file enters the hash unless it is listed here, with the reason why it cannot change a result.
`tests/runs/test_sources.py` follows the imports of every method and proves that no run reaches what is on the list.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sysconfig
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from smilerl.io import paths

#: Rooms and files that no run and no evaluation executes, each with the reason.
ASIDE = {
    "cli.py": "reads the command line, and all that it says of a run stands in the recipe",
    "train.py": "the same, and prints how a finished run went",
    "chat.py": "talks to a model that is finished",
    "runs/remarks.py": "reads the log of a run that has ended",
    "models/hub/trust.py": "reads a recipe from elsewhere before anything is built",
    "publish/": "what is published",
    "reward_check/": "looks at a reward before a run",
    "studies/": "says which runs there are, and what they come to",
    "evaluation/judges/": "asked beside the questions; verdicts are kept under a hash of their own",
    "evaluation/adapters/": "hands the questions to another program",
    "evaluation/subject.py": "finds what a name on the command line means",
    "evaluation/make_pairs.py": "makes a file of data, whose contents count by themselves",
}
#: A run alone does not ask the questions.
ASIDE_OF_A_RUN = {"evaluation/": "asked of a finished run"}
#: Folders with a file or folder for each short name. Only those count that a recipe, or code in use, names.
FOLDERS = ("worlds", "rewards", "training/methods", "chat_models")

_BY_NAME = re.compile(r"^def build\(|^CONFIG\b|^from .* import .*\bbuild\b", re.MULTILINE)
_PACKAGES = "|".join(re.escape(folder.replace("/", ".")) for folder in FOLDERS)
_IMPORTED = re.compile(rf"\bsmilerl\.({_PACKAGES})(?:\.| import )(\([^)]*\)|[^#\n]*)")
_QUOTED = re.compile(r"[\"'](\w+)[\"']")
#: Most modules of their own that a user may have behind one reward; more are not read.
_MOST = 500


class _Source(NamedTuple):
    """A file's hash, whether a recipe may name it, and what it names: choices by import, any words in quotes."""

    digest: str
    is_by_name: bool
    imported: set[tuple[str, str]]
    quoted: set[str]


def of_run(words: Iterable[str]) -> dict[str, str]:
    """The hash of each file of this package that a run executes, by its path in the package.

    Args:
        words: every text in its recipe.
    """
    named = {(folder, word) for word in words for folder in FOLDERS}
    known = {name: _read(path) for name, path in _files() if _counts(name, {**ASIDE, **ASIDE_OF_A_RUN})}
    choices = {name: _choice(name, known) for name in known}
    used: set[str] = set()
    while more := {name for name, choice in choices.items() if choice is None or choice in named} - used:
        used |= more
        for name in more:
            named |= known[name].imported
            if choice := choices[name]:
                named |= {(choice[0], word) for word in known[name].quoted}
    return {name: known[name].digest for name in sorted(used)}


def of_evaluations() -> dict[str, str]:
    """The hash of each file of this package that an evaluation executes: which trains clones, and asks rewards."""
    return {name: _read(path).digest for name, path in _files() if _counts(name, ASIDE)}


def of_users(name: str) -> str | None:
    """A hash of the user's code that `path/to/file.py:name` or `package.module.name` leads to; imports nothing.

    What the file imports counts, too, where it is the user's own: not installed, and not of the standard library.
    """
    first = _users_file(name)
    if first is None:
        return None
    found: dict[Path, str] = {}
    waiting = [first]
    while waiting and len(found) < _MOST:
        path = waiting.pop()
        if path not in found:
            found[path] = _read(path).digest
            waiting += _users_imports(path)
    return hashlib.sha256(" ".join([found.pop(first), *sorted(found.values())]).encode()).hexdigest()[:16]


def _read(path: Path) -> _Source:
    state = path.stat()
    return _read_once(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=4096)
def _read_once(path: Path, modified: int, size: int, inode: int) -> _Source:
    data = path.read_bytes()
    text = data.decode("utf-8", "replace")
    found = ((folder.replace(".", "/"), re.findall(r"\w+", rest)) for folder, rest in _IMPORTED.findall(text))
    imported = {(folder, word) for folder, words in found for word in words}
    digest = hashlib.sha256(data).hexdigest()[:16]
    return _Source(digest, _BY_NAME.search(text) is not None, imported, set(_QUOTED.findall(text)))


def _files() -> Iterator[tuple[str, Path]]:
    for folder, inside, files in os.walk(paths.PACKAGE):
        inside[:] = sorted(name for name in inside if name not in ("__pycache__", "_share"))
        for path in (Path(folder, file) for file in sorted(files) if file.endswith(".py")):
            yield path.relative_to(paths.PACKAGE).as_posix(), path


def _counts(name: str, aside: Iterable[str]) -> bool:
    return not any(name == part or (part.endswith("/") and name.startswith(part)) for part in aside)


def _choice(name: str, known: dict[str, _Source]) -> tuple[str, str] | None:
    """The folder and the short name by which a recipe names this file; None for one that always counts."""
    folder = next((folder for folder in FOLDERS if name.startswith(f"{folder}/")), None)
    rest = name.removeprefix(f"{folder}/")
    if folder is None or rest.startswith("_"):
        return None
    entry = rest.partition("/")[0].removesuffix(".py")
    chosen = known.get(f"{folder}/{entry}.py") or known.get(f"{folder}/{entry}/__init__.py")
    return (folder, entry) if chosen is not None and chosen.is_by_name else None


def _users_file(name: str) -> Path | None:
    if ".py:" in name:
        return paths.find(name.rsplit(":", 1)[0])
    parts = name.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        return None
    return _module(parts) or _module(parts[:-1])  # a dotted path may end at a module that has build()


def _module(parts: list[str], beside: Iterable[str | Path] = ("",)) -> Path | None:
    """The file of a module by its dotted name, without importing it: as Python finds it, else in a folder `beside`."""
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        spec = None
    inside = [] if spec is None else list(spec.submodule_search_locations or [])
    roots = [Path(folder).parent for folder in inside] or [Path(spec.origin).parent if spec and spec.origin else Path()]
    return _file_in([*roots, *beside], parts)


def _file_in(folders: Iterable[str | Path], parts: list[str]) -> Path | None:
    places = (Path(folder, *parts) for folder in folders)
    files = (file for place in places for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"))
    return next((file.resolve() for file in files if file.is_file()), None)


def _users_imports(path: Path) -> list[Path]:
    """The user's own files that a file imports, their packages' `__init__.py` included."""
    found = []
    for parts, level in _imports(path, path.stat().st_mtime_ns):
        for end in range(1, len(parts) + 1):
            begins = list(parts[:end])
            file = _file_in([path.parents[level - 1]], begins) if level else _module(begins, ["", path.parent])
            if file is not None and _is_users(file):
                found.append(file)
    return found


@lru_cache(maxsize=1024)
def _imports(path: Path, modified: int) -> list[tuple[tuple[str, ...], int]]:
    """(parts of the dotted name, level) of everything that a file imports; nothing where it is not Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    found: list[tuple[tuple[str, ...], int]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(tuple(alias.name.split(".")), 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            found += [((*module, alias.name), node.level) for alias in node.names]
    return found


def _is_users(file: Path) -> bool:
    installed = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return not any(file.is_relative_to(folder.resolve()) for folder in (*installed, paths.PACKAGE))
