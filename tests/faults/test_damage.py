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
from tests.training.conftest import RL, SFT, TINY

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
            ended = product("eval", RUN, "--suite", "held_out", "--n", "4")
            assert (folder / RUN / "evals/held_out/results.json").is_file(), ended.err
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
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_finished_run_that_is_damaged_does_not_count_as_finished(
    stage, made, product, damage, record_property
) -> None:
    names = list(files(made / "whole" / RUN, but=("evals/",)))
    right = weights(made / "whole" / RUN)
    for name in names:
        run = stage("whole")
        DAMAGES[damage](run / name, made / "other" / RUN / name)
        changed = not (run / name).is_file() or (run / name).read_bytes() != (made / "whole" / RUN / name).read_bytes()
        ended = product("train", "recipe.yaml")
        told(ended, name.split("/")[-1])
        if ended.code == 0:
            assert weights(run) == right, f"{name}: finished with other weights:\n{ended.err}"
        if name.startswith("model/") and changed:
            assert ended.code == 2, f"{name}: {ended.out}"
    assert len(names) >= 18
    record_property("tried", len(names))
