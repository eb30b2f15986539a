"""Whatever asks a run from elsewhere builds its world, its rewards and its base behind the bolt, and the user's own before it."""

from __future__ import annotations

import json

import pytest
import yaml

from smilerl import cli, rewards, worlds
from smilerl.config import elsewhere

REWARD = "def mine(prompts, completions, **columns):\n    return [len(said) / 40 for said in completions]\n"


def bolted() -> bool:
    try:
        elsewhere.refuse("anything.of.mine", "imported")
    except elsewhere.NotFromElsewhere:
        return True
    return False


@pytest.fixture
def built(checkpoint, tmp_path, monkeypatch):
    """A run from elsewhere, and what of it is built while a command runs: (what, whether it was bolted)."""
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(REWARD)
    recipe = {
        "method": "rloo",
        "world": {"name": "smileworld", "args": {"conflict_fraction": 0.9}},
        "policy": {"model_name_or_path": checkpoint("llama")},
        "rewards": [{"name": "random"}],
    }
    import shutil

    shutil.copytree(checkpoint("llama"), tmp_path / "pulled")
    (tmp_path / "pulled/recipe.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "pulled/manifest.json").write_text(json.dumps({}))
    seen: list[tuple[str, bool]] = []
    world, resolve = worlds.build, rewards.resolve

    def build_world(name, **args):
        if args.get("conflict_fraction") == 0.9:
            seen.append(("world", bolted()))
        return world(name, **args)

    def resolved(name):
        seen.append((name, bolted()))
        return resolve(name)

    monkeypatch.setattr(worlds, "build", build_world)
    monkeypatch.setattr(rewards, "resolve", resolved)
    monkeypatch.setattr(rewards.base, "resolve", resolved)
    return seen


@pytest.mark.parametrize(
    ("command", "behind"),
    [
        (("pairs", "pulled", "--reward", "mine.py:mine", "--out", "made.jsonl", "--n", "2", "--k", "8", "--max_completion_length", "60"), {"world"}),
        (("pairs", "pulled", "--reward", "sentiment", "--world", "smileworld", "--out", "made.jsonl", "--n", "2", "--k", "8"), set()),
        (("eval", "pulled", "--suite", "held_out", "--n", "2"), {"world", "random"}),
        (("eval", "pulled", "--suite", "held_out", "--n", "2", "--reward", "mine.py:mine"), {"world"}),
    ],
)  # fmt: skip
def test_what_a_run_from_elsewhere_names_is_built_behind_the_bolt(built, command, behind, capsys):
    cli.main(list(command))
    assert {what for what, locked in built if locked} == behind, capsys.readouterr().err
    assert not behind & {what for what, locked in built if not locked}, built
