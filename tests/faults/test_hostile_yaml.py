"""YAML and JSON made to hang the reader, fill its memory or end it with a traceback: one line each, in seconds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.fixtures.recipes import TINY

pytestmark = [pytest.mark.slow, pytest.mark.attack("hostile YAML")]

#: Seconds that a refusal may take on a busy machine; most take one.
SOON = 30
GOOD = {
    "method": "rloo", "output_dir": "runs/x", "policy": {"config": TINY}, "data": {"n": 16}, "rewards": [{"name": "smile"}],
    "training": {"max_steps": 1, "use_cpu": True},
}  # fmt: skip


def bomb(levels: int = 9) -> str:
    """Nine aliases of nine aliases of ...: 10^9 values in a few hundred bytes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def changed(at: str, value: str) -> str:
    """The good recipe with another value, as YAML writes it, at a dotted key."""
    data, *path, last = json.loads(json.dumps(GOOD)), *at.split(".")
    place = data
    for part in path:
        place = place.setdefault(part, {})
    place[last] = "VALUE"
    return yaml.safe_dump(data).replace("VALUE", value)


TEXTS: dict[str, tuple[str | bytes, str]] = {
    "anchor bomb": (bomb() + yaml.safe_dump(GOOD), "more than 20000 values"),
    "anchor bomb under a key that is kept": (f"{bomb()}world: {{name: smileworld, args: *a8}}\n" + yaml.safe_dump(GOOD), "more than 20000 values"),
    "anchor that names itself": ("world: &w {name: smileworld, args: *w}\n" + yaml.safe_dump(GOOD), "an anchor that names itself"),
    "list that names itself": ("rewards: &r [*r]\n", "an anchor that names itself"),
    "merge keys": (bomb() + "story:\n  <<: *a8\n", "more than 20000 values"),
    "a bomb as a key": (bomb() + "? *a8\n: x\n", "recipe.yaml"),
    "10 MB of keys": ("".join(f"key{n}: 1\n" for n in range(700_000)), "bytes, but such a file has at most"),
    "200 kB of keys": ("".join(f"key{n}: 1\n" for n in range(15_000)), "unknown key 'key0'"),
    "one key of 200 kB": ("k" * 200_000 + ": 1\n", "recipe.yaml:1"),
    "deep lists": ("world: " + "[" * 50_000, "nest more than 32 deep"),
    "deep mappings": ("world: " + "{a: " * 5_000, "nest more than 32 deep"),
    "deep blocks": ("".join(" " * n + "a:\n" for n in range(600)), "nest more than 32 deep"),
    "deep questions": ("? " * 20_000, "nest more than 32 deep"),
    "NUL": ("method: rl\0oo\n", "recipe.yaml:1: the character U+0000"),
    "escape": ("method: rloo\noutput_dir: \x1b[2J\n", "recipe.yaml:2: the character U+001B"),
    "an escaped NUL": (changed("output_dir", r'"runs/a\0b"'), "the character U+0000"),
    "an escaped ESC": (changed("output_dir", r'"runs/\e[31mred"'), "the character U+001B"),
    "an escaped ESC in a key": ('method: rloo\n"\\e[2J": 1\n', "the character U+001B"),
    "half a surrogate": (changed("story.goal", r'"\ud800"'), "the character U+D800"),
    "not UTF-8": (b"method: \xff\xfe\n", "recipe.yaml:1: not a text file"),
    "a Python object": ("method: !!python/object/apply:os.system [touch MARK]\n", "the tag"),
    "a tag that does not fit": (changed("seed", "!!int no"), "no is no int"),
    "bytes": (changed("output_dir", "!!binary aGVsbG8="), "the tag"),
    "a set": ("method: !!set {a, b}\n", "the tag"),
    "two documents": ("method: rloo\n---\nmethod: rloo\n", "not valid YAML"),
    "data.n: 10^13": (changed("data.n", str(10**13)), "data.n is 10000000000000, but should be at most"),
    "seed 10^20": (changed("seed", str(10**20)), "seed is 100000000000000000000"),
    "seed 2^40": (changed("seed", str(2**40)), "seed is 1099511627776, but should be at most 2147483647"),
    "a number of 9000 digits": (changed("data.n", "9" * 9000), "9000 digits"),
    "held_out.n: 10^12": (changed("held_out.n", str(10**12)), "held_out.n is"),
    "10^9 completions": (changed("training.num_generations", str(10**9)), "training.num_generations is 1000000000, but should be at most"),
    "a batch of 10^13": (changed("training.per_device_train_batch_size", str(10**13)), "but should be at most 65536"),
    "10^15 steps": (changed("training.max_steps", str(10**15)), "training.max_steps is"),
    "1e400": (changed("training.learning_rate", "1e400"), "which no setting can be"),
    "infinity in the args of a world": (changed("world.args", "{conflict_fraction: .inf}"), "world.args.conflict_fraction is inf"),
    "not a number in the args of a reward": (changed("rewards", "[{name: gameable, args: {holes: {length: .nan}}}]"), "which no setting can be"),
    "a name of 5000 characters": (changed("policy", f"{{model_name_or_path: {'a' * 5000}}}"), "policy.model_name_or_path"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "says"), TEXTS.values(), ids=TEXTS)
def test_a_recipe(product, tmp_path, text, says):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    product("train", path, timeout=SOON).refused(says)
    assert not (tmp_path / "MARK").exists() and not (tmp_path / "runs").exists()


def circle(folder: Path, *names: str, how: Callable[[str], dict]) -> Path:
    """Recipes of which each names the next, and the last the first."""
    for name, following in zip(names, [*names[1:], names[0]], strict=True):
        (folder / name).write_text(yaml.safe_dump({**GOOD, **how(following)}))
    return folder / names[0]


BASE = {"policy": lambda name: {"policy": {"model_name_or_path": name}}}["policy"]


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (("a.yaml", "b.yaml"), BASE),
        (("a.yaml", "b.yaml", "c.yaml"), BASE),
        (("a.yaml", "b.yaml"), lambda name: {"rewards": [{"name": "preference", "args": {"model": name}}]}),
        (("a.yaml", "b.yaml"), lambda name: {"rewards": [{"name": "gameable", "args": {"base": {"name": "preference", "args": {"model": name}}}}]}),
    ],
    ids=["two", "three", "a reward model", "a reward model in a wrapper"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["train", "study", "eval"])
def test_a_circle_of_recipes(product, tmp_path, names, how, command):
    first = circle(tmp_path, *names, how=how)
    if command == "study":
        plan = {"question": "Why?", "base": names[1], "arms": [{"name": "one", "recipe": str(first)}]}
        if how is not BASE:
            plan["set"] = {"policy.model_name_or_path": names[1], "policy.config": None}
        first = tmp_path / "plan.yaml"
        first.write_text(yaml.safe_dump(plan))
    product(command, first, timeout=SOON).refused("a circle")


def test_recipes_that_name_so_many_others(product, tmp_path):
    """Twenty files, each of which names the next one twice: 10^6 ways through them."""
    for n in range(20):
        named = {
            "rewards": [{"name": "preference", "args": {"model": f"{n + 1}.yaml"}}] * 2,
            "policy": {"model_name_or_path": f"{n + 1}.yaml"},
        }
        (tmp_path / f"{n}.yaml").write_text(yaml.safe_dump({**GOOD, **(named if n < 19 else {})}))
    product("train", tmp_path / "0.yaml", timeout=60).refused("deep or 200 in all")


@pytest.mark.parametrize("command", ["train", "study"])
@pytest.mark.parametrize("kind", ["fifo", "zero", "folder", "stdin", "proc", "socket"])
def test_what_is_no_file(product, tmp_path, kind, command):
    path = {"zero": Path("/dev/zero"), "stdin": Path("/dev/tty"), "proc": Path("/proc/self/mem")}.get(
        kind, tmp_path / "it.yaml"
    )
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        import socket

        socket.socket(socket.AF_UNIX).bind(str(path))
    product(command, path, timeout=SOON).refused()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("recipe.yaml", bomb() + yaml.safe_dump(GOOD)), ("recipe.yaml", "world: " + "[" * 50_000), ("recipe.yaml", changed("data.n", str(10**13))),
        ("recipe.yaml", None), ("manifest.json", None), ("manifest.json", "[" * 100_000), ("manifest.json", "1" * 10_000), ("manifest.json", "[]"),
        ("adapter_config.json", "{" * 100_000), ("adapter_config.json", '{"base_model_name_or_path": 3}'), ("adapter_config.json", None),
        ("config.json", "[" * 100_000), ("config.json", '"x"'),
    ],
)  # fmt: skip
def test_a_repository(product, tmp_path, file, content):
    """Of none of these a model loads. None: a fifo."""
    folder = tmp_path / "repo"
    folder.mkdir()
    for name, text in {"recipe.yaml": yaml.safe_dump(GOOD), "manifest.json": "{}", file: content}.items():
        if text is not None:
            (folder / name).write_text(text)
        else:
            (folder / name).unlink(missing_ok=True)
            os.mkfifo(folder / name)
    product("eval", folder, "--suite", "held_out", "--n", "8", timeout=SOON).refused()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("eval", "carer", "--n", str(10**13)), "at most"), (("eval", "carer", "--n", "-3"), "at least 1"), (("eval", "carer", "--seed", "-1"), "at least 0"),
        (("eval", "carer", "--seed", str(10**20)), "at most"), (("eval", "carer", "--seed", "9" * 5000), "at most"), (("chat", "carer", "--seed", "x"), "whole number"),
        (("judge", "{name: local, args: {model: x}}", "--robust", str(10**13)), "at most"), (("reward", "check", "smile", "--n", str(10**12)), "at most"),
        (("pairs", "carer", "--reward", "smile", "--out", "x", "--n", str(10**12)), "at most"), (("pairs", "carer", "--reward", "smile", "--out", "x", "--k", str(10**12)), "at most"),
        (("eval", "carer", "--world", "[" * 5000), "deep"), (("eval", "carer", "--world", bomb()), "20000 values"), (("eval", "carer", "--reward", "{a: &a [*a]}"), "itself"),
        (("reward", "check", "\x1b[31mred"), "U+001B"), (("eval", "carer", "--world", "{name: smileworld, name: smileworld}"), "twice"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_the_command_line(product, arguments, says):
    ended = product(*arguments, timeout=SOON)
    assert says in ended.err, ended.err
    ended.refused()


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--output_dir=runs/\x1b[31mred", "U+001B"), ("--data.n=1" + "0" * 12, "data.n is"), ("--seed=" + "9" * 30, "seed is 999999"),
        ("--training.x=" + "[" * 9000, "deep"), ("--story.goal=&a [*a]", "itself"), ("--\x1b[2J=1", "unknown key"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_an_override(product, tiny, option, says):
    product("train", tiny(), option, timeout=SOON).refused(says)


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [("seeds", [10**20], "no setting can be"), ("seeds", [2**40], "at most 2147483647"), ("seeds", [-1], "at least 0"), ("workers", 10**9, "at most 1024")],
)  # fmt: skip
def test_a_study(product, tiny, tmp_path, at, value, says):
    plan = {"question": "Why?", "base": "x", "arms": [{"name": "one", "recipe": str(tiny())}], at: value}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    product("study", tmp_path / "plan.yaml", timeout=SOON).refused(says)
