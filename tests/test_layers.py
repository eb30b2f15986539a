"""Imports go down, outcomes stay out of training, and nothing is too long or unused. Reads the source, imports nothing."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
PACKAGE = Path(__file__).resolve().parent.parent / "smilerl"

#: The rooms of the house, from the bottom up. A module may import its own room and those below it.
ROOMS = (
    "io",
    "config",
    "runs",
    "models",
    "chat_models",
    "worlds",
    "rewards",
    "data",
    "statistics",
    "training",
    "evaluation",
    "reward_check",
    "studies",
    "publish",
)
#: What alone stands at the top, above all rooms.
COMMANDS = {"cli", "train", "chat"}
#: Modules of training that see outcomes, each with the reason.
SEES_OUTCOMES = {
    "training/gold_log.py": "logs how held-out people fare; training gets nothing back from it",
}
#: Lines that a file and a function may have.
MOST_OF_A_FILE, MOST_OF_A_FUNCTION = 450, 60
#: What is longer today. These lists may only shrink: what is mended, or was never too long, has to go from them.
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
#: Folders whose code counts as a caller of the package.
CALLERS = ("smilerl", "evals", "benchmarks", "docs", "data", "recipes")
#: Functions that are found by their name in a folder of extension points: the contract of each.
CONTRACTS = {
    "rewards": {"build"},
    "worlds": {"build", "observe", "react", "said", "found_at", "delayed_smile", "annotate"},
    "chat_models": {"build"},
    "training/methods": {"policy", "dataset", "channels", "make_trainer", "evaluate", "measure", "told", "names"},
    "training/observers": {"build"},
    "training": {"on_train_begin", "on_epoch_begin", "on_step_begin", "on_step_end", "on_epoch_end"},  # by transformers
}
#: Public functions that only tests call today. May only shrink.
UNUSED: set[str] = set()
#: What a reaction is before a sensor has seen it, and the ways to get one.
GOLD = {"Outcome", "Reaction", "react", "levels", "channel", "wellbeing"}
CHANNELS = "smilerl.worlds.channels"
SEALED = ("rewards", "training")


#: What an expression looks like that is a world, its class or module; and a method's module, a question or its kind.
WORLD = r"(world|built)\)*$|\bworlds\.(\w+\(|\{)|\b(kind|_module)\("
METHOD_OR_QUESTION = r"\bmethod\)*$|\bmethod\(|\bquestion(\.spec)?\)*$|\bkind\)*$|\bkinds\.load\("


class Import(NamedTuple):
    """One import: the file it is in, the module, and the name taken from it, if one is."""

    file: Path
    line: int
    module: str
    name: str | None


def test_nothing_stands_at_the_top_but_rooms_and_commands() -> None:
    modules = {path.stem if path.suffix else path.name for path in PACKAGE.iterdir() if _is_module(path)}
    assert modules - {"__init__"} == {*ROOMS, *COMMANDS}


def test_imports_go_down() -> None:
    height = {room: number for number, room in enumerate(ROOMS)} | dict.fromkeys(COMMANDS, len(ROOMS))
    wrong = [
        f"{found.file.relative_to(PACKAGE)}:{found.line}: {_room(found.file)} imports {room}, which is above it"
        for found in _imports(PACKAGE)
        if (room := _imported_room(found)) is not None
        and _room(found.file) != "__init__"
        and height[room] > height[_room(found.file)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_through_others() -> None:
    graph: dict[str, set[str]] = {}
    for found in _imports(PACKAGE):
        graph.setdefault(_name(found.file), set()).add(_imported_module(found))
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(reversed(error.args[1]))}")


def test_a_circle_would_be_seen(tmp_path: Path) -> None:
    """Also one that leads through a function and a package."""
    (tmp_path / "a.py").write_text("def f():\n    from smilerl.training import run\n")
    (found,) = _imports(tmp_path)
    assert _imported_module(found) == "smilerl.training.run"
    found = found._replace(module="smilerl.rewards", name="build_reward")
    assert _imported_module(found) == "smilerl.rewards"


def test_only_worlds_know_smileworld() -> None:
    wrong = [
        f"{found.file.relative_to(PACKAGE)}:{found.line}"
        for found in _imports(PACKAGE)
        if f"{found.module}.{found.name}".startswith("smilerl.worlds.smileworld") and _room(found.file) != "worlds"
    ]
    assert not wrong, "\n".join(wrong)


def test_only_worlds_name_smileworld() -> None:
    """No rule depends on the name of a world; one place says which world it is where nobody names one."""
    wrong = [
        f"{_path(file)}:{node.lineno}"
        for file in _files(PACKAGE)
        if _room(file) != "worlds" and _path(file) != "config/recipe.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value == "smileworld"
    ]
    assert not wrong, "\n".join(wrong)


def test_nobody_asks_whether_a_world_has_a_member() -> None:
    """What worlds can do is declared, with defaults, in worlds/base.py."""
    wrong = [
        f"{_path(file)}:{line}: {text}"
        for file in _files(PACKAGE)
        if _path(file) != "worlds/base.py"
        for line, text in _probes_of(WORLD, file.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "probe",
    [
        'hasattr(world, "said")', 'getattr(self.world, "helpers", {})', 'getattr(sitting.world, "reacts", True)', 'hasattr(built, "check")',
        'getattr(worlds.kind(name), "annotate", None)', 'hasattr(importlib.import_module(f"smilerl.worlds.{name}"), "annotate")',
        'hasattr(type(own_world), "twins")', '"said" in dir(world)', 'vars(world).get("said")',
    ],
)  # fmt: skip
def test_a_probe_of_a_world_would_be_seen(probe: str) -> None:
    assert [text for _, text in _probes_of(WORLD, f"def f():\n    return {probe}\n")]
    assert not list(
        _probes_of(WORLD, "hasattr(reward, 'lacks'), world.said(people, replies), getattr(recipe.world.args, 'x')")
    )


def test_nobody_asks_whether_a_method_or_a_question_has_a_member() -> None:
    """A method's optional parts are read by `methods.optional`; all that a kind of question can say, its base class has."""
    wrong = [
        f"{_path(file)}:{line}: {text}"
        for file in _files(PACKAGE)
        if _path(file) not in ("training/methods/__init__.py", "evaluation/kinds/__init__.py")
        for line, text in _probes_of(METHOD_OR_QUESTION, file.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "probe",
    [
        'hasattr(method, "measure")', 'getattr(methods.method(recipe.method), "evaluate", None)', '"spec" in dir(question)',
        'getattr(self.kind, "answer")', 'hasattr(kinds.load(question.kind), "also")', 'vars(question.spec)',
    ],
)  # fmt: skip
def test_a_probe_of_a_method_or_a_question_would_be_seen(probe: str) -> None:
    assert [text for _, text in _probes_of(METHOD_OR_QUESTION, f"def f():\n    return {probe}\n")]
    assert not list(_probes_of(METHOD_OR_QUESTION, "hasattr(values, 'kind'), getattr(recipe, 'method'), question.spec"))


def test_nobody_asks_whether_a_reward_has_a_member() -> None:
    """All that a reward has, it has by rewards/base.py, which wraps plain callables."""
    wrong = [
        f"{_path(file)}:{line}: {text}"
        for file in _files(PACKAGE)
        if _path(file) != "rewards/base.py"
        for line, text in _probes_of_rewards(file.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "probe",
    [
        'hasattr(reward, "state_dict")', 'getattr(self.reward, "channels", ())', 'getattr(rewards[0], "streams", None)',
        'hasattr(type(session.reward), "combine")', '"about" in dir(reward)', 'getattr(build_reward(spec), "about", dict)()',
        '[getattr(one, "channels", ()) for one in self.rewards]', '[n for one in self.inner for n in vars(one)]',
        '[hasattr(own, "x") for at, own in enumerate(rewards)]', 'getattr(reward.inner[0], "place")', 'hasattr(reward_func, "x")',
    ],
)  # fmt: skip
def test_a_probe_of_a_reward_would_be_seen(probe: str) -> None:
    assert [text for _, text in _probes_of_rewards(f"def f():\n    return {probe}\n")]
    assert [text for _, text in _probes_of_rewards("for place, one in enumerate(rewards):\n    hasattr(one, 'x')\n")]
    assert not list(_probes_of_rewards("hasattr(values, 'tolist'), getattr(found.rewards.size, 'x'), reward.channels"))


@pytest.mark.parametrize("folder", SEALED)
def test_nothing_in_training_can_name_an_outcome(folder: str) -> None:
    wrong = [
        f"{found.file.relative_to(PACKAGE)}:{found.line}: {found.module}.{found.name}"
        for found in _imports(PACKAGE / folder)
        if found.module.startswith("smilerl.worlds") and found.name in GOLD and _path(found.file) not in SEES_OUTCOMES
    ]
    for file in _files(PACKAGE / folder):
        if _path(file) in SEES_OUTCOMES:
            continue
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


def test_no_file_is_too_long() -> None:
    long = {_path(file) for file in _files(PACKAGE) if len(_lines(file)) > MOST_OF_A_FILE}
    assert long == LONG_FILES, f"over {MOST_OF_A_FILE} lines (or no longer so): {long ^ LONG_FILES}"


def test_no_function_is_too_long() -> None:
    long = {
        f"{_path(file)}:{node.name}"
        for file in _files(PACKAGE)
        for node in ast.walk(_tree(file))
        if isinstance(node, FUNCTIONS) and (node.end_lineno or 0) - node.lineno >= MOST_OF_A_FUNCTION
    }
    assert long == LONG_FUNCTIONS, f"over {MOST_OF_A_FUNCTION} lines (or no longer so): {long ^ LONG_FUNCTIONS}"


def test_every_public_function_has_a_caller_outside_the_tests() -> None:
    root = PACKAGE.parent
    callers = [file for folder in CALLERS if (root / folder).exists() for file in sorted((root / folder).rglob("*.py"))]
    unused = _unused(_files(PACKAGE), callers, root)
    assert unused == UNUSED, f"only tests call these (or no longer so): {sorted(unused ^ UNUSED)}"


def test_a_function_that_nothing_calls_would_be_seen(tmp_path: Path) -> None:
    """One that calls itself, or has a namesake that is called, is unused all the same."""
    package = tmp_path / "smilerl"
    package.mkdir()
    (package / "a.py").write_text(
        "def f():\n    f()\ndef g(): ...\nclass A:\n    def m(self): ...\n    def n(self): ...\n"
    )
    (package / "b.py").write_text("from smilerl import a\nfrom smilerl.a import A\ndef f(): ...\nf(), a.g(), A().m()\n")
    files = _files(package)
    assert _unused(files, files, tmp_path) == {"a.py:f", "a.py:A.n"}


def _probes_of(what: str, source: str) -> Iterator[tuple[int, str]]:
    """Calls of hasattr, getattr, dir or vars on what a pattern describes: line and text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            if node.func.id in ("hasattr", "getattr", "dir", "vars") and re.search(what, ast.unparse(node.args[0])):
                yield node.lineno, ast.unparse(node)


def _probes_of_rewards(source: str) -> Iterator[tuple[int, str]]:
    """Calls of hasattr, getattr, dir or vars on a reward, or on a loop's variable over rewards: line and text."""
    tree, rewards = ast.parse(source), r"\b(rewards|inner|reward_funcs)\)*$"
    loops = [one for one in ast.walk(tree) if isinstance(one, ast.For | ast.AsyncFor | ast.comprehension)]
    each = {
        name.id
        for loop in loops
        if re.search(rewards, ast.unparse(loop.iter))
        for name in ast.walk(loop.target)
        if isinstance(name, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            asked = ast.unparse(node.args[0])
            is_reward = re.search(r"\breward(_func)?\)*$|\b(rewards|inner)\[|\bbuild_reward\(", asked) or asked in each
            if node.func.id in ("hasattr", "getattr", "dir", "vars") and is_reward:
                yield node.lineno, ast.unparse(node)


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


def _path(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def _name(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def _imported_module(found: Import) -> str:
    """The module that an import runs: `from smilerl.rewards import base` names a module, `... import build_reward` its package."""
    inside = PACKAGE.parent / Path(*found.module.split("."), found.name or "")
    is_module = found.name and (inside.with_suffix(".py").exists() or (inside / "__init__.py").exists())
    return f"{found.module}.{found.name}" if is_module else found.module


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


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def _unused(files: Iterable[Path], callers: Iterable[Path], root: Path) -> set[str]:
    """Public functions and methods that no caller reads, as `file:function` or `file:Class.method`.

    A function is read by its name in its own module (but not in itself), by an import that is used, or as an attribute of its
    module. A method is read as an attribute of anything: whose, the source does not tell.
    """
    trees = {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): _tree(file)
        for file in callers
    }
    reads, attributes = _reads(trees)
    found = set()
    for file in files:
        path = file.relative_to(root / "smilerl").as_posix()
        module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        contract = {name for folder, names in CONTRACTS.items() if path.startswith(f"{folder}/") for name in names}
        for node in _tree(file).body:
            if not isinstance(node, FUNCTIONS) or node.name in contract or _is_command(node):
                pass
            elif (module, node.name) not in reads:
                found.add(f"{path}:{node.name}")
            if isinstance(node, ast.ClassDef):
                methods = [part.name for part in node.body if isinstance(part, FUNCTIONS) and part.name not in contract]
                found |= {f"{path}:{node.name}.{name}" for name in methods if name not in attributes}
    return {name for name in found if not re.search(r"[:.]_", name)}


def _is_command(node: ast.AST) -> bool:
    """Whether a decorator hands the function to the command line: `@app.command()`."""
    return any(".command(" in ast.unparse(one) for one in getattr(node, "decorator_list", []))


def _reads(trees: Mapping[str, ast.Module]) -> tuple[set[tuple[str, str]], set[str]]:
    """(module, name) of each name that is read, through imports and re-exports; and every attribute that is."""
    reads: set[tuple[str, str]] = set()
    attributes: set[str] = set()
    imports = {module: _imported_names(tree, trees) for module, tree in trees.items()}
    for module, tree in trees.items():
        for node, inside in _with_functions(tree):
            if isinstance(node, ast.Name):
                reads |= imports[module].get(node.id, set() if (node.id,) == inside[:1] else {(module, node.id)})
            elif isinstance(node, ast.Attribute):
                attributes |= {node.attr} - {*inside}
                of = ast.unparse(node.value)
                reads |= {(whole, node.attr) for whole, _ in imports[module].get(of, {(of, "")})}
    more = reads
    while more:
        more = set().union(*(imports.get(module, {}).get(name, ()) for module, name in more)) - reads
        reads |= more
    return reads, attributes


def _imported_names(tree: ast.Module, trees: Collection[str]) -> dict[str, set[tuple[str, str]]]:
    """What each imported name of a module may be: (module, name), or (module, "") for a module."""
    found: dict[str, set[tuple[str, str]]] = {}
    for node in ast.walk(tree):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            whole = f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
            of = (whole, "") if whole in trees or isinstance(node, ast.Import) else (node.module or "", alias.name)
            found.setdefault(alias.asname or alias.name, set()).add(of)
    return found


def _with_functions(node: ast.AST, inside: tuple[str, ...] = ()) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    """Every node below, with the names of the functions and classes that it is in."""
    for child in ast.iter_child_nodes(node):
        within = (*inside, child.name) if isinstance(child, (*FUNCTIONS, ast.ClassDef)) else inside
        yield child, within
        yield from _with_functions(child, within)
