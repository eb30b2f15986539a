"""Folders and paths: what smilerl did not make is never moved, overwritten or deleted; a path means what it means in a shell."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.fixtures.recipes import SFT, TINY

pytestmark = [pytest.mark.slow, pytest.mark.attack("folders and paths")]


def listing(folder: Path) -> dict[str, str]:
    """Each file and folder below a folder, with a hash of what is in it; without what the tests say beside it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.name.startswith("said-"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def put(folder: Path, *names: str, text: str = "years of work") -> Path:
    """A folder with these files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


FOREIGN = {
    "a repository": (".git/HEAD", "src/model.py", "thesis.txt"),
    "a recipe of one's own": ("recipe.yaml",),
    "a web page": ("manifest.json", "status.json"),
    "a package": ("lock", "package.json"),
    "a lock and work": ("lock", "thesis.txt"),
    "a model": ("model/config.json", "recipe.yaml", "manifest.json"),
}


def test_a_folder_of_somebody_is_refused_and_left_as_it_is(product, tiny, tmp_path, record_property):
    tiny()
    for number, names in enumerate(FOREIGN.values()):
        put(tmp_path / f"theirs-{number}", *names)
    record_property("tried", len(FOREIGN))
    before = listing(tmp_path)
    started = [product.start("train", "recipe.yaml", f"--output_dir=theirs-{number}") for number in range(len(FOREIGN))]
    for process in started:
        process.wait().refused("command line: --output_dir: ", "holds no run of smilerl")
    assert listing(tmp_path) == before


def test_the_folder_here_with_a_repository_in_it(product, tiny, tmp_path):
    tiny()
    put(tmp_path, ".git/HEAD", "src/model.py", "thesis.txt")
    before = listing(tmp_path)
    product("train", "recipe.yaml", "--output_dir=.").refused("command line: --output_dir: ", ".git")
    product("--config", "recipe.yaml", f"--output_dir={tmp_path}").refused("command line: --output_dir: ")
    assert listing(tmp_path) == before


def test_a_link_to_somebody_s_folder(product, tiny, tmp_path):
    tiny()
    (tmp_path / "link").symlink_to(put(tmp_path / "theirs", "thesis.txt"))
    before = listing(tmp_path)
    product("train", "recipe.yaml", "--output_dir=link").refused("command line: --output_dir: ", "holds no run")
    assert listing(tmp_path) == before


def test_the_inside_of_another_run(product, tiny, tmp_path, record_property):
    tiny()
    assert product("train", "recipe.yaml").code == 0
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(study()))
    (tmp_path / "link").symlink_to(tmp_path / "runs/recipe")
    before = listing(tmp_path)
    places = ("runs/recipe/model", "runs/recipe/new", "runs/recipe/earlier/1", "link/new")
    for place in places:
        product("train", "recipe.yaml", "--seed=1", f"--output_dir={place}").refused("command line: --output_dir: ")
    product("study", "plan.yaml", "--output_dir=runs/recipe/study").refused(
        "command line: --output_dir: ", "inside the run"
    )
    record_property("tried", len(places) + 1)
    assert listing(tmp_path) == before


def test_notes_beside_a_run_that_begins_again_stay(product, tiny, tmp_path):
    put(tmp_path, "rewards.py", text="def bad(completions, **columns):\n    raise KeyError('tone')\n")
    tiny(rewards=[{"name": "rewards.py:bad"}])
    ended = product("train", "recipe.yaml")
    ended.refused("rewards.py:2", "the reward 'bad' raised KeyError")
    run = tmp_path / "runs" / "recipe"
    assert "KeyError" in (run / "traceback.txt").read_text()
    put(run, "notes.md", "samples/mine.txt")
    tiny()
    assert product("train", "recipe.yaml").code == 0
    assert (run / "notes.md").read_text() == "years of work"
    assert (run / "earlier/1/traceback.txt").is_file() and not (run / "traceback.txt").exists()
    kept = [path for path in run.rglob("mine.txt") if path.read_text() == "years of work"]
    assert len(kept) == 1


STARTS = {
    "nothing": (),
    "a lock": ("lock",),
    "the diff half written": ("lock", "uncommitted.diff.writing"),
    "the recipe": ("lock", "uncommitted.diff", "recipe.yaml"),
    "the manifest half written": ("lock", "uncommitted.diff", "recipe.yaml", "manifest.json.writing"),
    "the manifest": ("lock", "uncommitted.diff", "recipe.yaml", "manifest.json"),
    "the status half written": ("lock", "recipe.yaml", "manifest.json", "status.json.writing"),
    "all": ("lock", "recipe.yaml", "manifest.json", "status.json"),
    "a second start after what was moved away": ("lock", "earlier/1/status.json"),
}


def test_a_start_that_was_cut_short_begins_again(product, tiny, tmp_path, record_property):
    tiny()
    assert product("train", "recipe.yaml").code == 0
    whole = tmp_path / "runs" / "recipe"
    for number, names in enumerate(STARTS.values()):
        folder = tmp_path / f"cut-{number}"
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            source = whole / Path(name).name.removesuffix(".writing")
            (folder / name).write_bytes(source.read_bytes() if source.is_file() else b"")
        if "status.json" in names:
            status = json.loads((folder / "status.json").read_text())
            (folder / "status.json").write_text(json.dumps({**status, "state": "running", "step": 0}))
    record_property("tried", len(STARTS))
    started = [product.start("train", "recipe.yaml", f"--output_dir=cut-{number}") for number in range(len(STARTS))]
    for process, name in zip(started, STARTS, strict=True):
        assert process.wait().code == 0, f"{name}: {process.err}"


def study() -> dict:
    recipe = {"name": "a", "recipe": "recipe.yaml"}
    return {
        "question": "?",
        "base": "base.yaml",
        "arms": [recipe],
        "seeds": [0],
        "set": {"policy.model_name_or_path": "base.yaml", "policy.config": None},
    }


def test_a_study_in_somebody_s_folder(product, tiny, tmp_path, record_property):
    base = {"method": "sft", "policy": {"config": TINY}, "data": {"n": 8}, "training": {**SFT, "max_steps": 1}}
    put(tmp_path, "base.yaml", text=yaml.safe_dump(base))
    put(tmp_path, "plan.yaml", text=yaml.safe_dump(study()))
    tiny(policy={"model_name_or_path": "base.yaml"})
    strange = ("thesis.txt", ".git/HEAD", "logs/app.log", "a/results.csv")
    for number, name in enumerate(strange):
        put(tmp_path / f"theirs-{number}", name)
    record_property("tried", len(strange))
    before = listing(tmp_path)
    started = [product.start("study", "plan.yaml", f"--output_dir=theirs-{number}") for number in range(len(strange))]
    for process in started:
        process.wait().refused("command line: --output_dir: ", "holds no study")
    assert listing(tmp_path) == before


CHECK = ("reward", "check", "smile", "--n", "8")
EVAL = ("eval", "carer", "--suite", "held_out", "--n", "8")
JUDGE = ("judge", "{name: local, args: {model: ./gone}}", "--n", "8")
PAIRS = ("pairs", "MODEL", "--reward", "smile", "--n", "4", "--max_completion_length", "4")
WRITTEN = {
    "results of somebody": (EVAL, "theirs", ("theirs/results.json",)),
    "a table of somebody": (EVAL, "theirs", ("theirs/samples.parquet",)),
    "verdicts of somebody": (EVAL, "theirs", ("theirs/judged.parquet",)),
    "a file instead of a folder": (EVAL, "theirs", ("theirs",)),
    "a file as a parent": (EVAL, "theirs/a/b", ("theirs",)),
    "a finding of somebody": (CHECK, "theirs.json", ("theirs.json",)),
    "a folder instead of a file": (CHECK, "theirs", ("theirs/a",)),
    "judgements of somebody": (JUDGE, "theirs", ("theirs/judge.txt",)),
    "pairs of somebody": (PAIRS, "theirs.jsonl", ("theirs.jsonl",)),
    "what is said of somebody's pairs": (PAIRS, "theirs.jsonl", ("theirs.jsonl.provenance.json",)),
    "pairs below a file": (PAIRS, "theirs/p.jsonl", ("theirs",)),
    "a copy over a folder": (("pull", "org/name"), "theirs", ("theirs/a",)),
}


@pytest.mark.parametrize(("command", "out", "names"), WRITTEN.values(), ids=WRITTEN)
def test_what_is_written_goes_over_nothing_of_somebody_s(command, out, names, product, checkpoint, tmp_path):
    put(tmp_path, *names, text='{"mine": 1}')
    before = listing(tmp_path)
    args = [checkpoint("llama", chat=False) if word == "MODEL" else word for word in command]
    product(*args, "--to" if command[0] == "pull" else "--out", out).refused(
        "theirs", "Name another" if command is PAIRS else "another"
    )
    assert listing(tmp_path) == before


def test_one_s_own_results_are_written_again(product, tmp_path):
    for _ in range(2):
        assert product(*EVAL, "--out", "mine").code == 0
        assert product(*CHECK, "--out", "mine.json").code == 0


def test_a_card_over_a_page_of_somebody_s(product, tiny, tmp_path):
    tiny()
    assert product("train", "recipe.yaml").code == 0
    first = product("push", "runs/recipe", "--dry-run", "--to", "org/name")
    assert first.code == 0, first.err
    assert product("push", "runs/recipe", "--dry-run", "--to", "org/name").code == 0
    put(tmp_path / "runs/cards/name", "README.md")
    before = listing(tmp_path)
    product("push", "runs/recipe", "--dry-run", "--to", "org/name").refused("README.md is there already")
    assert listing(tmp_path) == before


def test_an_output_means_what_it_means_in_a_shell(product, tiny, tmp_path, record_property):
    home = tmp_path / "home"
    home.mkdir()
    tiny()
    tiny("in_file", output_dir="~/in-file/{seed}")
    meant = {"~/a": "a", "$HOME/b": "b", "${HOME}/c/{seed}": "c/0"}
    env = {"HOME": str(home)}
    started = [
        product.start("train", "recipe.yaml", "--training.save_steps=1", f"--output_dir={typed}", env=env)
        for typed in meant
    ]
    started.append(product.start("train", "in_file.yaml", env=env))
    record_property("tried", len(started))
    for process, place in zip(started, [*meant.values(), "in-file/0"], strict=True):
        assert process.wait().code == 0, process.err
        assert json.loads((home / place / "status.json").read_text())["state"] == "finished"
    assert not {"~", "$HOME", "${HOME}"} & set(os.listdir(tmp_path))


def test_other_paths_do_too(product, tiny, tmp_path, record_property):
    home = put(tmp_path / "home", "talks.jsonl", text=json.dumps({"prompt": "I am sad."}) + "\n")
    base = {"method": "sft", "policy": {"config": TINY}, "data": {"n": 8}, "training": {**SFT, "max_steps": 1}}
    put(home, "base.yaml", text=yaml.safe_dump(base))
    tiny(policy={"model_name_or_path": "$HOME/base.yaml"})
    env = {"HOME": str(home), "SMILERL_CACHE": "~/kept"}
    ended = product("train", "recipe.yaml", env=env)
    assert ended.code == 0, ended.err
    assert list(home.glob("kept/models/base-*/model/config.json"))
    assert product(*EVAL, "--out=~/found", env=env).code == 0 and (home / "found/results.json").is_file()
    assert product(*CHECK, "--out=$HOME/found.json", env=env).code == 0 and (home / "found.json").is_file()
    record_property("tried", 4)
    assert "~" not in os.listdir(tmp_path)


def test_a_cache_that_holds_the_model_is_only_read(product, tiny, tmp_path):
    base = {"method": "sft", "policy": {"config": TINY}, "data": {"n": 8}, "training": {**SFT, "max_steps": 1}}
    put(tmp_path, "base.yaml", text=yaml.safe_dump(base))
    tiny(policy={"model_name_or_path": "base.yaml"})
    assert product("train", "recipe.yaml").code == 0
    for lock in (tmp_path / "cache").rglob("*lock"):
        lock.unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    ended = product("train", "recipe.yaml", "--seed=1", "--output_dir=runs/second")
    assert ended.code == 0, ended.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")} == before


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_an_output_that_may_not_be_written(product, tiny, tmp_path):
    tiny()
    locked = put(tmp_path / "locked", "a")
    locked.chmod(0o555)
    product("train", "recipe.yaml", "--output_dir=locked/run").refused(
        "command line: --output_dir: ", "cannot be written"
    )
    locked.chmod(0o755)


@pytest.mark.long
def test_an_accelerate_launch_that_runs_one_process_says_so(tiny, tmp_path):
    tiny()
    command = [
        shutil.which("accelerate", path=str(Path(sys.executable).parent)),
        "launch",
        "--cpu",
        "--num_processes",
        "2",
    ]
    command += ["-m", "smilerl.train", "--config", "recipe.yaml"]
    said = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert said.returncode == 0, said.stderr
    assert "was asked for 2 processes, and 1 runs" in said.stderr
    assert said.stdout.splitlines()[-1].strip().startswith("1 process on cpu, float32; 8 completions a step")
    found = json.loads((tmp_path / "runs/recipe/manifest.json").read_text())["launch"]
    assert (found["processes"], found["completions"], len(found["unmet"])) == (1, 8, 1)
