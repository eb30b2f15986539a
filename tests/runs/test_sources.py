"""What counts as code of a result: all that a run or an evaluation imports, and the user's own modules behind a reward."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from smilerl import worlds
from smilerl.config.recipe import read_recipe
from smilerl.io.paths import PACKAGE
from smilerl.rewards import names as rewards
from smilerl.runs import sources
from smilerl.runs.identity import content_hash
from smilerl.training import methods

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def reached(*first: str, but: tuple[str, ...] = ()) -> set[str]:
    """Paths in the package of all modules that these import, inside functions too, without those in `but`."""
    found: set[str] = set()
    waiting = list(first)
    while waiting:
        module = waiting.pop()
        if module not in found and not module.startswith(but):
            found.add(module)
            waiting += _imports(MODULES[module])
    return {MODULES[module].relative_to(PACKAGE).as_posix() for module in found}


@cache
def _imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    types = {inner for node in ast.walk(tree) if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING" for inner in ast.walk(node)}  # fmt: skip
    named: list[str] = []
    for node in ast.walk(tree):
        if node in types:
            continue
        if isinstance(node, ast.Import):
            named += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            named += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    parts = [name.split(".") for name in named]
    return [".".join(one[:end]) for one in parts for end in range(1, len(one) + 1) if ".".join(one[:end]) in MODULES]


@pytest.mark.parametrize("method", methods.names())
def test_all_that_a_run_executes_is_in_its_hash(method: str) -> None:
    for world in worlds.names():
        for reward in rewards():
            executed = reached(
                "smilerl.training.run", f"smilerl.training.methods.{method}", f"smilerl.worlds.{world}", f"smilerl.rewards.{reward}",
                "smilerl.chat_models.local", "smilerl.chat_models.endpoint",
            )  # fmt: skip
            hashed = sources.of_run([method, world, reward, "local", "endpoint"])
            assert executed <= set(hashed), f"{method}, {world}, {reward}: {executed - set(hashed)}"


def test_all_that_an_evaluation_executes_is_in_its_hash() -> None:
    first = [
        "evaluation.runner",
        "evaluation.kinds.curve",
        "training.run",
        "training.models",
        "training.methods.best_of_n",
        "evaluation.own_reward",
    ]
    executed = reached(*(f"smilerl.{name}" for name in first))
    assert executed <= set(sources.of_evaluations()), executed - set(sources.of_evaluations())


def test_the_walk_finds_what_is_imported_inside_functions() -> None:
    """Else the two tests above would pass on little."""
    assert {"evaluation/own_reward.py", "rewards/_summed.py", "training/methods/sft.py"} <= reached("smilerl.evaluation.clones", "smilerl.evaluation.own_reward", "smilerl.training.methods.sft")  # fmt: skip


def test_every_reason_is_for_something_that_is_there() -> None:
    there = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*")}
    assert {name.removesuffix("/") for name in (*sources.ASIDE, *sources.ASIDE_OF_A_RUN)} <= there


SENTIMENT = """\
method: rloo
policy: {config: {model_type: llama, hidden_size: 32}}
rewards: [{name: sentiment, args: {model: somebody/classifier}}]
"""
#: Left out of the hash, or not named in the recipe above.
NOT_OF_IT = ("cli.py", "studies/report.py", "reward_check/look.py", "publish/card.py", "evaluation/runner.py", "training/methods/grpo.py", "rewards/gameable.py")  # fmt: skip
#: Once missing from the hash.
OF_IT = (
    "rewards/_checked.py", "rewards/__init__.py", "rewards/_classifier.py", "rewards/_loading.py", "training/observers/held_out.py", "training/trl_adapter/state.py",
    "training/resume.py", "models/sampling.py", "models/decoding.py", "models/chat_template.py", "training/run.py", "worlds/base.py", "rewards/sentiment.py",
)  # fmt: skip
FLIPPED = """\
import json, sys
from functools import cache
from pathlib import Path
from smilerl.runs.identity import content_hash
from smilerl.config.recipe import read_recipe

recipe, package = read_recipe(sys.argv[1]), Path(sys.argv[2])
before, moved = content_hash(recipe), []
for file in sorted(package.rglob("*.py")):
    whole = file.read_bytes()
    if whole:
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        if content_hash(recipe) != before:
            moved.append(file.relative_to(package).as_posix())
        file.write_bytes(whole)
print(json.dumps(moved))
"""


def test_one_flipped_bit_of_a_file_is_another_hash(tmp_path: Path) -> None:
    """In a copy of the package: of every file that is executed, and of no other."""
    shutil.copytree(PACKAGE, tmp_path / "smilerl", ignore=shutil.ignore_patterns("__pycache__"))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(SENTIMENT)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", FLIPPED, str(recipe), str(tmp_path / "smilerl")]
    said = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
    assert said.returncode == 0, said.stderr
    moved = set(json.loads(said.stdout))
    assert set(OF_IT) <= moved, set(OF_IT) - moved
    assert not moved & set(NOT_OF_IT)
    words = ["rloo", "smileworld", "sentiment"]
    assert moved == {name for name in sources.of_run(words) if (PACKAGE / name).stat().st_size}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's package: rewards that import a lexicon, which imports a table; and a file nobody imports."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my_pkg"
    (folder / "words").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "words" / "__init__.py").write_text("from my_pkg.words.table import TABLE\n")
    (folder / "words" / "table.py").write_text("TABLE = {'great': 1}\n")
    (folder / "lexicon.py").write_text("import json\nimport numpy\nfrom . import words\n")
    (folder / "rewards.py").write_text("from my_pkg.lexicon import json\ndef build(): ...\ndef fn(prompts, completions, **k): ...\n")  # fmt: skip
    (folder / "notes.py").write_text("")
    (tmp_path / "r.yaml").write_text(SENTIMENT)
    return folder


@pytest.mark.parametrize("name", ["my_pkg.rewards.fn", "my_pkg.rewards", "my_pkg/rewards.py:fn"])
@pytest.mark.parametrize("changed", ["rewards.py", "lexicon.py", "words/__init__.py", "words/table.py", "__init__.py"])
def test_what_a_users_reward_imports_is_in_the_hash(own: Path, name: str, changed: str) -> None:
    recipe = read_recipe("r.yaml", {"rewards": [{"name": "gameable", "args": {"base": {"name": name}}}]})
    before = content_hash(recipe)
    (own / "notes.py").write_text("x = 1\n")
    assert content_hash(recipe) == before
    (own / changed).write_text(f"{(own / changed).read_text()}\n# changed\n")
    assert content_hash(recipe) != before


def test_a_module_beside_a_file_is_in_the_hash(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    reward, beside = tmp_path / "mine" / "reward.py", tmp_path / "mine" / "lexicon.py"
    reward.write_text("import lexicon\ndef fn(prompts, completions, **k): ...\n")
    beside.write_text("import reward\n")  # a circle
    before = sources.of_users(f"{reward}:fn")
    beside.write_text("import reward, os.path\nx = 1\n")
    assert before is not None and sources.of_users(f"{reward}:fn") not in (None, before)


@pytest.mark.parametrize("name", ["reading", "Qwen/Qwen3-0.6B", "there.is.none", "", ".", "a..b", "nowhere.py:fn"])
def test_other_words_lead_to_no_code(name: str) -> None:
    assert sources.of_users(name) is None


def test_code_that_python_cannot_read_counts_all_the_same(tmp_path: Path) -> None:
    reward = tmp_path / "reward.py"
    reward.write_bytes(b"import \xff(((")
    assert sources.of_users(f"{reward}:fn")
