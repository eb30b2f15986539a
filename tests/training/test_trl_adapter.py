"""All private parts of TRL and Transformers that are relied on are there, are named in one table, and are read in one place."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from smilerl.io.paths import PACKAGE
from smilerl.training.trl_adapter import PRIVATE

NAMES = [(owner, name) for owner, names in PRIVATE.items() for name in names]
#: Where a private name may be read, each file with the reason.
READERS = {
    "training/trl_adapter/": "what this folder is for",
    "models/whole.py": "rewards load models, too, and stand below training",
    "models/packed.py": "evaluations read several texts in one row, too",
}
#: The rooms that hold a trainer or a model in their hands.
ROOMS = ("models", "data", "rewards", "training")
#: Private names of other libraries.
OTHERS = {"_local_tensor": "torch: the part of a split weight that this process has"}


@pytest.mark.slow
@pytest.mark.parametrize(("owner", "name"), NAMES)
def test_what_is_relied_on_is_there(owner: str, name: str) -> None:
    """A class has it where it defines a method or sets an attribute of `self` by that name, itself or above."""
    module, _, last = owner.rpartition(".")
    holder = getattr(importlib.import_module(module), last)
    there = hasattr(holder, name) or (inspect.isclass(holder) and name in attributes(holder))
    assert there, f"the installed {owner.partition('.')[0]} has no {owner}.{name}, which {_readers(name)} read"


def test_the_table_names_all_that_is_read() -> None:
    read = {name for file, _, name in private_reads(PACKAGE) if _may_read(file)}
    named = {name for _, name in NAMES}
    public = {name for name in named if not name.startswith("_")}
    assert read == named - public
    text = "".join(file.read_text() for file in (PACKAGE / "training" / "trl_adapter").glob("[!_]*.py"))
    assert all(name in text for name in public)


def test_nothing_else_reads_a_private_part() -> None:
    found = [*private_reads(PACKAGE), *trl_modules(PACKAGE)]
    wrong = [f"{file}:{line}: {name}" for file, line, name in found if not _may_read(file)]
    assert not wrong, "\n".join(wrong)


def test_a_read_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "a.py").write_text(
        "from trl.trainer.utils import pad\ndef f(trainer):\n    trainer._step\n    getattr(trainer, '_logs', {})\n    own._mine\n"
        "def _mine(): ...\n"
    )
    assert [name for *_, name in private_reads(tmp_path)] == ["_step", "_logs"]
    assert [module for *_, module in trl_modules(tmp_path)] == ["trl.trainer.utils"]


@cache
def attributes(holder: type) -> set[str]:
    """Names of the methods of a class and of what they set on `self`, with those of TRL's and Transformers' classes above it."""
    found: set[str] = set()
    for one in holder.__mro__:
        if one.__module__.split(".")[0] in ("trl", "transformers"):
            tree = ast.parse(textwrap.dedent(inspect.getsource(one)))
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef):
                    found.add(node.name)
                elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    found |= {node.attr} if ast.unparse(node.value) == "self" else set()
    return found


def private_reads(package: Path) -> Iterator[tuple[str, int, str]]:
    """(file, line, name) of each underscored attribute that is read of something else than `self` and that the file does not define.

    Also by `getattr`, and every text of `state._CARRIED`.
    """
    for file, tree in _trees(package):
        own = {*_defined(tree)}
        for node in ast.walk(tree):
            for name in _read(node):
                if name.startswith("_") and not name.startswith("__") and name not in own and name not in OTHERS:
                    yield file, node.lineno, name  # type: ignore[attr-defined]


def trl_modules(package: Path) -> Iterator[tuple[str, int, str]]:
    """(file, line, module) of each import from a module inside TRL: documented is only what `trl` itself exports."""
    for file, tree in _trees(package):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trl."):
                yield file, node.lineno, str(node.module)


def _trees(package: Path) -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(file for room in ROOMS for file in (package / room).rglob("*.py")):
        yield file.relative_to(package).as_posix(), ast.parse(file.read_text())


def _read(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
        return [node.attr]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
        return [one.value for one in node.args[1:2] if isinstance(one, ast.Constant)]
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_CARRIED":
        return [element.value for element in node.value.elts]  # type: ignore[attr-defined]
    return []


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def _may_read(file: str) -> bool:
    return any(file == reader or (reader.endswith("/") and file.startswith(reader)) for reader in READERS)


def _readers(name: str) -> str:
    """The files that read a name, for the message."""
    return (
        ", ".join(sorted({file for file, _, read in private_reads(PACKAGE) if read == name})) or "training/trl_adapter"
    )
