"""A dotted path leads to a reward or to what makes one; nothing else that it may lead to is called."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from os import system  # noqa: F401 - named below
from pathlib import Path

import pytest

from smilerl import chat_models, rewards
from smilerl.config import named_code

called = []


def reward(completions, **columns):
    return [0.0] * len(completions)


def make(scale: float = 1.0):
    return reward


def make_annotated(scale: float) -> Callable[..., list[float]]:
    return reward


def counts(path: str) -> int:
    called.append(path)
    return 1


def deletes(path: str) -> None:
    called.append(path)


class Rewards:
    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, completions, **columns):
        return [self.scale] * len(completions)


class Record:
    def __init__(self, path: str) -> None:
        called.append(path)


ready, half, alias = Rewards(), functools.partial(reward, answer=1), functools.partial(subprocess.run, "touch MARK")
HERE = __name__


@pytest.mark.parametrize(
    ("name", "args"),
    [("reward", {}), ("ready", {}), ("half", {}), ("make", {}), ("make", {"scale": 2.0}), ("make_annotated", {"scale": 2.0}), ("Rewards", {"scale": 2.0})],
)  # fmt: skip
def test_rewards_and_what_makes_them(name, args):
    assert rewards.build_reward({"name": f"{HERE}.{name}", "args": args})(prompts=["a"], completions=["b"])


def test_a_library_s_factory_is_called_where_it_says_that_it_returns_a_reward():
    name = "trl.rewards.get_soft_overlong_punishment"
    made = rewards.build_reward({"name": name, "args": {"max_completion_len": 4, "soft_punish_cache": 2}})
    assert callable(made)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("os.system", {"command": "touch MARK"}), ("subprocess.run", {"args": "touch MARK"}), ("subprocess.run", {}), ("subprocess.Popen", {"args": "touch MARK"}),
        ("builtins.exec", {"source": "1"}), ("builtins.eval", {"source": "1"}), ("os.getenv", {"key": "HOME"}), ("shutil.rmtree", {"path": "x"}),
        ("pathlib.Path", {}), ("functools.partial", {"func": "x"}), ("posix.system", {"command": "touch MARK"}), ("antigravity.geohash", {}),
        (f"{HERE}.system", {"command": "touch MARK"}), (f"{HERE}.alias", {}), (f"{HERE}.counts", {"path": "x"}), (f"{HERE}.deletes", {"path": "x"}),
        (f"{HERE}.Record", {"path": "x"}), (f"{HERE}.called", {}), ("pandas.read_pickle", {"filepath_or_buffer": "x"}), ("torch.load", {}),
        ("torch.load", {"f": "x"}), ("numpy.load", {"file": "x"}), ("smilerl.models.hub.fetch.pull", {"name": "org/name"}), ("smilerl.cli.main", {}),
    ],
)  # fmt: skip
def test_nothing_else_is_called(name, args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    called.clear()
    with pytest.raises(rewards.RewardError, match=r"(and no reward|neither a reward|not a callable|, and no)"):
        rewards.build_reward({"name": name, "args": args})
    with pytest.raises(chat_models.ChatModelError, match="no class or function that makes a chat model"):
        chat_models.build({"name": name, "args": args})
    assert not called and not Path("MARK").exists()


def test_a_module_of_python_itself_is_not_even_imported():
    assert "antigravity" not in sys.modules and named_code.why_not_module("antigravity.geohash")


def test_a_kernel_from_the_hub_is_no_attention():
    with pytest.raises(chat_models.ChatModelError, match="attn_implementation"):
        chat_models.build(
            {"name": "local", "args": {"model": "org/name", "attn_implementation": "kernels-community/flash-attn"}}
        )


@pytest.mark.parametrize("stem", ["code", "select", "mine"])
def test_a_file_may_be_called_as_a_module_of_python(tmp_path, stem):
    """It is the user's own all the same, whether it holds a reward or what makes a chat model."""
    file = tmp_path / f"{stem}.py"
    file.write_text(
        "def paid(completions, **columns):\n    return [1.0] * len(completions)\n\n"
        "class Speaker:\n    name = 'mine'\n    def __call__(self, prompts, **settings): ...\n"
    )
    assert rewards.build_reward(f"{file}:paid")(prompts=["a"], completions=["b"]) == [1.0]
    assert chat_models.build(f"{file}:Speaker").name == "mine"
