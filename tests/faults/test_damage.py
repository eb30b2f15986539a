"""Files that are not what was written: each of a checkpoint, of a finished run and of the cache, damaged in six ways.

Held means: named in at most ten lines, or passed over and made again with the very same weights. Never a traceback, and never
"finished" with other weights.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.faults.conftest import MOST_LINES, Process, Product, Server
from tests.fixtures.recipes import RL, SFT, TINY

pytestmark = pytest.mark.slow

REWARD = """\
import os
calls = 0
def score(prompts, completions, **columns):
    global calls
    calls += 1
    if str(calls) == os.environ.get("DIE_AT"):
        os.kill(os.getpid(), 9)
    return [float(len(str(one))) for one in completions]
"""
RUN = "runs/recipe"


def _flip(path: Path, other: Path) -> None:
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)


def _cut(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path, other: Path) -> None:
    path.write_bytes(b"")


def _delete(path: Path, other: Path) -> None:
    path.unlink()


def _folder(path: Path, other: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("else")


def _anothers(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)


DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "flipped": _flip, "cut": _cut, "emptied": _empty, "deleted": _delete, "a folder": _folder, "another's": _anothers,
}  # fmt: skip


def some(*kinds: str) -> pytest.MarkDecorator:
    """Parametrizes a test by damage: these kinds in every run of the tests, the others in the long one."""
    marks: dict[str, list] = {kind: [] if kind in kinds else [pytest.mark.long] for kind in DAMAGES}
    return pytest.mark.parametrize("damage", [pytest.param(kind, marks=marks[kind]) for kind in DAMAGES])


@pytest.fixture(scope="module")
def made(product_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`whole/` and `other/` (another seed) with a finished run that was evaluated, `killed/` with one that has two checkpoints."""
    top = tmp_path_factory.mktemp("made")
    for name, seed, env in (
        ("whole", 0, {}),
        ("other", 1, {}),
        ("killed", 0, {"DIE_AT": "4"}),
        ("other-killed", 1, {"DIE_AT": "4"}),
    ):
        folder = top / name
        folder.mkdir()
        (folder / "mine.py").write_text(REWARD)
        recipe = {
            "method": "rloo", "output_dir": RUN, "seed": seed, "policy": {"config": TINY}, "data": {"n": 16}, "rewards": [{"name": "mine.score"}],
            "training": {**RL, "max_steps": 5, "save_steps": 1, "save_total_limit": 2}, "held_out": {"every": 2, "n": 4},
        }  # fmt: skip
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        product = Product(product_server, folder, {"SMILERL_CACHE": str(top / "cache")})
        ended = product("train", "recipe.yaml", env=env)
        assert ended.code == (-9 if env else 0), ended.err
        if not env:
            shutil.rmtree(folder / RUN / "checkpoints")
            ended = product("eval", RUN, "--suite", "held_out", "--n", "16")
            assert ended.code == 0, ended.out + ended.err
        for said in folder.glob("said-*"):
            said.unlink()
    return top


@pytest.fixture
def stage(made: Path, product: Product, tmp_path: Path) -> Callable[[str], Path]:
    """Puts a fresh copy of one of the folders of `made` in the place where the product runs; returns its run."""
    product.env["SMILERL_CACHE"] = str(made / "cache")

    def put(name: str) -> Path:
        for entry in tmp_path.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        shutil.copytree(made / name, tmp_path, dirs_exist_ok=True)
        return tmp_path / RUN

    return put


def same(one: Path, other: Path) -> bool:
    """Whether a damage has left the file as it was: two runs may have the same tokenizer."""
    return one.is_file() and one.read_bytes() == other.read_bytes()


def told(ended: Process, *names: str) -> None:
    """Checks that it ended well, or with few lines that name one of these."""
    said = ended.out + ended.err
    assert "Traceback (most recent call last)" not in said, said[-3000:]
    if ended.code:
        assert ended.code in (1, 2), said
        assert 0 < len(ended.err.strip().splitlines()) <= MOST_LINES, ended.err
        assert any(name in ended.err for name in names), f"{names} is not named:\n{ended.err}"


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model/model.safetensors").read_bytes()).hexdigest()


def files(run: Path, *, but: tuple[str, ...] = ()) -> Iterator[str]:
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_file() and path.stat().st_size and not name.startswith(but):
            yield name


@pytest.mark.attack("damaged runs")
@some("flipped", "deleted", "another's")
def test_a_finished_run_that_is_damaged_does_not_count_as_finished(
    stage, made, product, damage, record_property
) -> None:
    names = list(files(made / "whole" / RUN, but=("evals/",)))
    right = weights(made / "whole" / RUN)
    for name in names:
        run = stage("whole")
        DAMAGES[damage](run / name, made / "other" / RUN / name)
        changed = not same(run / name, made / "whole" / RUN / name)
        ended = product("train", "recipe.yaml")
        told(ended, name.split("/")[-1])
        if ended.code == 0:
            assert weights(run) == right, f"{name}: finished with other weights:\n{ended.err}"
        if name.startswith("model/") and changed:
            assert ended.code == 2, f"{name}: {ended.out}"
    assert len(names) >= 18
    record_property("tried", len(names))


@pytest.mark.attack("damaged runs")
@pytest.mark.parametrize(
    "command", [("eval", RUN, "--suite", "held_out", "--n", "16"), ("push", RUN, "--to", "org/x", "--dry-run")]
)
def test_nothing_is_said_of_a_damaged_run(stage, made, product, command, record_property) -> None:
    """Each file that an evaluation or a push reads, with one damage each in turn."""
    kinds = list(DAMAGES)
    read = (
        "model",
        "recipe.yaml",
        "manifest.json",
        "samples",
        "status.json",
        *(["evals/"] if command[0] == "push" else []),
    )
    names = [name for name in files(made / "whole" / RUN) if name.startswith(read)]
    if command[0] == "push":  # which takes seconds: every third
        names = names[::3]
    for number, name in enumerate(names):
        run = stage("whole")
        damage = kinds[number % len(kinds)]
        DAMAGES[damage](run / name, made / "other" / RUN / name)
        if same(run / name, made / "whole" / RUN / name):
            _cut(run / name, run)
        ended = product(*command)
        told(
            ended,
            name.split("/")[-1],
            "is no run directory",
            "neither a run directory",
            "has no final model",
            "was not made here",
        )
        if name != "status.json" and name != "evals/held_out/sealed.json":
            assert ended.code == 2, f"{name}, {damage}:\n{ended.out}"
    record_property("tried", len(names))


@pytest.mark.attack("damaged runs")
@some("cut")
def test_a_damaged_evaluation_is_made_again(stage, made, product, damage, record_property) -> None:
    def found(run: Path) -> dict:
        said = json.loads((run / "evals/held_out/results.json").read_text())["evaluations"]
        return {name: {key: value for key, value in one.items() if key != "seconds"} for name, one in said.items()}

    names = [name for name in files(made / "whole" / RUN) if name.startswith("evals/")]
    right = found(made / "whole" / RUN)
    for name in names:
        run = stage("whole")
        DAMAGES[damage](run / name, made / "other" / RUN / name)
        ended = product("eval", RUN, "--suite", "held_out", "--n", "16")
        told(ended, name)
        assert found(run) == right if damage != "a folder" else ended.code == 2, f"{name}:\n{ended.err}"
    record_property("tried", len(names))


@pytest.mark.attack("damaged checkpoints")
@some("flipped")
def test_a_run_with_a_damaged_checkpoint_ends_with_the_same_weights(
    stage, made, product, damage, record_property
) -> None:
    """Every file of the newest checkpoint: it is passed over for the one before."""
    whole, right = made / "killed" / RUN, weights(made / "whole" / RUN)
    newest = max((whole / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    names = [name for name in files(whole) if name.startswith(f"checkpoints/{newest.name}/")]
    for name in names:
        run = stage("killed")
        DAMAGES[damage](run / name, made / "other-killed" / RUN / name)
        changed = not same(run / name, whole / name)
        ended = product("train", "recipe.yaml")
        told(ended)
        assert ended.code == 0 and weights(run) == right, f"{name}:\n{ended.err}"
        assert ("is passed over" in ended.err) == changed, f"{name}:\n{ended.err}"
    assert len(names) >= 10
    record_property("tried", len(names))


@pytest.mark.attack("damaged checkpoints")
@some("cut")
def test_what_lies_beside_the_checkpoints_is_named_or_made_again(stage, made, product, damage, record_property) -> None:
    whole, right = made / "killed" / RUN, weights(made / "whole" / RUN)
    names = list(files(whole, but=("checkpoints/", "earlier/")))
    for name in names:
        run = stage("killed")
        DAMAGES[damage](run / name, made / "other-killed" / RUN / name)
        ended = product("train", "recipe.yaml")
        told(ended, name.split("/")[-1], "holds the run of another recipe", "initial/")
        assert ended.code or weights(run) == right, f"{name}:\n{ended.err}"
    record_property("tried", len(names))


@pytest.mark.attack("damaged checkpoints")
def test_a_checkpoint_that_is_no_folder_is_passed_over(stage, made, product, record_property) -> None:
    kinds = [lambda path: path.write_text("a file"), lambda path: path.symlink_to("nowhere"), lambda path: path.mkdir()]
    for make in kinds:
        run = stage("killed")
        newest = max((run / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
        shutil.rmtree(newest)
        make(newest)
        ended = product("train", "recipe.yaml")
        assert ended.code == 0 and weights(run) == weights(made / "whole" / RUN), ended.err
        assert f"{newest.name} is passed over" in ended.err
    record_property("tried", len(kinds))


@pytest.fixture(scope="module")
def cached(product_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe whose base was built into `cache/`, and its finished run."""
    top = tmp_path_factory.mktemp("cached")
    base = {"method": "sft", "policy": {"config": TINY}, "data": {"n": 16}, "training": SFT, "held_out": {"every": 0}}
    arm = {
        "method": "rloo", "output_dir": RUN, "policy": {"model_name_or_path": "base.yaml"}, "data": {"n": 16},
        "rewards": [{"name": "smile"}], "training": RL, "held_out": {"every": 0, "n": 4},
    }  # fmt: skip
    (top / "base.yaml").write_text(yaml.safe_dump(base))
    (top / "recipe.yaml").write_text(yaml.safe_dump(arm))
    ended = Product(product_server, top, {"SMILERL_CACHE": str(top / "cache")})("train", "recipe.yaml")
    assert ended.code == 0, ended.err
    for said in top.glob("said-*"):
        said.unlink()
    return top


@pytest.mark.attack("damaged caches")
@some("flipped")
def test_a_damaged_model_in_the_cache_is_built_again(cached, product, tmp_path, damage, record_property) -> None:
    right = weights(cached / RUN)
    (built,) = [path for path in (cached / "cache/models").iterdir() if path.is_dir()]
    names = [
        name
        for name in files(built, but=("earlier/", "lock"))
        if name.startswith(("model", "initial", "manifest", "status", "recipe", "sealed"))
    ]
    for name in names:
        for entry in tmp_path.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        shutil.copytree(cached, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("runs"))
        path = tmp_path / built.relative_to(cached) / name
        DAMAGES[damage](path, cached / "base.yaml")
        ended = product("train", "recipe.yaml")
        told(ended)
        assert ended.code == 0 and weights(tmp_path / RUN) == right, f"{name}:\n{ended.err}"
        if name != "status.json":
            assert "It is built again" in ended.err, f"{name}:\n{ended.err}"
    record_property("tried", len(names))
