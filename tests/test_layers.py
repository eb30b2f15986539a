"""Imports go down, and outcomes stay out of training. Reads the source, imports nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "smilerl"

#: From the bottom up. A module may import its own layer and those below it.
LAYERS = (
    # of files and text alone
    ("disk", "remarks", "terminal", "bounded", "ratings", "errors", "places", "own_files", "seals", "checkpoints"),
    (
        "paths",
        "ancestry",
        "yaml_lines",
        "yaml_types",
        "nesting",
        "elsewhere",
        "named_code",
        "signature",
        "recipe",
        "training_settings",
        "trainer_refusals",
        "sources",
        "fingerprint",
        "provenance",
        "ownership",
        "run",
    ),
    ("messages", "records", "replies", "randomness"),
    (
        *("worlds", "rewards", "speakers", "chat_template", "policies"),
        *("prompts", "cached", "decoding", "generation", "candidates", "preferences", "pairs"),
    ),
    ("supply",),  # is there enough data for a step
    ("recipe_check",),  # asks worlds, rewards and methods whether they take what a recipe gives them
    ("training", "evaluation"),
    ("fit",),  # whether a policy can take its prompts
    ("sharding", "launch"),  # what of training cannot be done where the weights are split over processes
    ("pipeline", "gold_log", "baseline", "studies", "hub"),
    # Whom the command line means, talking to them, sampling them, and looking at rewards before a run.
    ("subject", "chat", "sampling", "preflight"),
    ("train", "cli"),
)
#: What a reaction is before a sensor has seen it, and the ways to get one.
GOLD = {"Outcome", "Reaction", "react", "levels", "channel", "wellbeing"}
CHANNELS = "smilerl.worlds.channels"
SEALED = ("rewards", "training")


class Import(NamedTuple):
    """One import: the file it is in, the module, and the name taken from it, if one is."""

    file: Path
    line: int
    module: str
    name: str | None


def test_every_module_has_a_layer() -> None:
    modules = {path.stem if path.suffix else path.name for path in PACKAGE.iterdir() if _is_module(path)}
    assert modules - {"__init__"} <= {module for layer in LAYERS for module in layer}


def test_imports_go_down() -> None:
    layer_of = {module: depth for depth, layer in enumerate(LAYERS) for module in layer}
    wrong = []
    for found in _imports(PACKAGE):
        importer, imported = _room(found.file), _imported_room(found)
        if imported is None or importer == imported or importer == "__init__":
            continue
        if layer_of[imported] > layer_of[importer]:
            wrong.append(
                f"{found.file.relative_to(PACKAGE)}:{found.line}: {importer} imports {imported}, which is above it"
            )
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", SEALED)
def test_nothing_in_training_can_name_an_outcome(folder: str) -> None:
    wrong = [
        f"{found.file.relative_to(PACKAGE)}:{found.line}: {found.module}.{found.name}"
        for found in _imports(PACKAGE / folder)
        if found.module.startswith("smilerl.worlds") and found.name in GOLD
    ]
    for file in _files(PACKAGE / folder):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in GOLD | {"outcome"}:
                wrong.append(f"{file.relative_to(PACKAGE)}:{node.lineno}: .{node.attr}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", SEALED)
def test_only_rewards_that_declare_channels_import_them(folder: str) -> None:
    importers = {
        found.file for found in _imports(PACKAGE / folder) if CHANNELS in (found.module, f"{found.module}.{found.name}")
    }
    assert all(file.parent.name == "rewards" for file in importers), importers
    for file in importers:
        assert _declares_channels(file), f"{file.name} imports {CHANNELS} and does not say which in `channels`"


def test_the_gold_reward_is_seen_by_this_test() -> None:
    """Else the two tests above would pass on an empty list."""
    importers = [
        found.file.name for found in _imports(PACKAGE / "rewards") if "channels" in (found.name or found.module)
    ]
    assert "gold.py" in importers


def test_a_leak_would_be_seen(tmp_path: Path) -> None:
    leak = tmp_path / "rewards" / "leak.py"
    leak.parent.mkdir()
    leak.write_text(
        "from smilerl.worlds import channels\ndef f(world, p, c):\n    from smilerl.worlds.base import Outcome\n"
    )
    found = list(_imports(leak.parent))
    assert [(one.module, one.name) for one in found] == [
        ("smilerl.worlds", "channels"),
        ("smilerl.worlds.base", "Outcome"),
    ]
    assert not _declares_channels(leak)
    leak.write_text("def build():\n    def gold(p, c): ...\n    gold.channels = ('gold',)\n    return gold\n")
    assert _declares_channels(leak)


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").exists()


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.py"))
    assert files, f"no Python in {folder}"
    return files


def _imports(folder: Path) -> Iterator[Import]:
    """Every import of smilerl in a folder, inside functions too."""
    for file in _files(folder):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (
                    Import(file, node.lineno, alias.name, None)
                    for alias in node.names
                    if alias.name.split(".")[0] == "smilerl"
                )
            elif (
                isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "smilerl"
            ):
                yield from (Import(file, node.lineno, node.module or "", alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level:
                raise AssertionError(
                    f"{file}:{node.lineno}: write imports from smilerl in full, so that they can be read"
                )


def _room(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def _imported_room(found: Import) -> str | None:
    """The module or folder of smilerl that is imported; None for the package itself (`__version__`)."""
    parts = found.module.split(".")
    room = parts[1] if len(parts) > 1 else found.name
    return room if (room and _is_module(PACKAGE / room)) or (PACKAGE / f"{room}.py").exists() else None


def _declares_channels(file: Path) -> bool:
    """Whether the file sets a `channels` attribute on something, or defines it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(
            (isinstance(t, ast.Attribute) and t.attr == "channels") or (isinstance(t, ast.Name) and t.id == "channels")
            for t in targets
        ):
            return True
    return False
