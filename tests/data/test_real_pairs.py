"""A reward model of real people's preferences, end to end: trained by a recipe, then asked by `smilerl reward check`.

The pairs are nobody's to ship: the tests look for them in $SMILERL_REAL_DATA and skip without them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from smilerl import cli
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe
from smilerl.worlds import build

HH = Path(os.environ.get("SMILERL_REAL_DATA") or "/nonexistent") / "hh-rlhf" / "harmless_base_test_1500.jsonl"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not HH.is_file(), reason="no real pairs: set SMILERL_REAL_DATA to the folder that holds hh-rlhf/"
    ),
]


def test_what_it_has_learnt_by_heart_it_prefers_and_is_asked_in_the_same_words(tmp_path, checkpoint, capsys):
    """A few short pairs can be learnt by heart; scored otherwise than trained (no EOS, other turns) they would not be known."""
    lines = [line for line in HH.read_text(encoding="utf-8").splitlines() if len(line) < 500][:24]
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("\n".join(lines) + "\n")
    args = {"path": str(pairs), "format": "text", "held_out_fraction": 0.25}
    world = build("dialogue", **args)
    sides = [
        [line for line, row in zip(lines, world.rows, strict=True) if (row.bucket < 0.25) == side]
        for side in (False, True)
    ]
    settings = {
        "world.args": args, "policy.model_name_or_path": checkpoint("llama", chat=False), "output_dir": str(tmp_path / "rm"),
        "data.n": len(sides[0]), "held_out.n": len(sides[1]), "training.num_train_epochs": 20, "training.learning_rate": 0.01,
        "training.lr_scheduler_type": "constant",
    }  # fmt: skip
    run = run_recipe(load_recipe("recipes/dialogue/rm_hh.yaml", settings), progress=False)
    [logged] = [row for row in run.metrics() if "eval_accuracy" in row]
    found = []
    for name, own in zip(("train", "held_out"), sides, strict=True):
        (tmp_path / name).write_text("\n".join(own) + "\n")
        spec, out = f"{{name: preference, args: {{model: {run.model}}}}}", tmp_path / f"{name}.json"
        command = ["reward", "check", spec, "--pairs", str(tmp_path / name), "--format", "text", "--out", str(out)]
        assert cli.main(command) == 0, capsys.readouterr().out
        found.append(json.loads(out.read_text()))
    assert found[0]["pairs"]["accuracy"]["value"] > 0.9
    assert found[0]["model"]["reads"] == "joined, then EOS"
    for ours, theirs in (("value", "eval_accuracy"), ("low", "eval_accuracy_low"), ("high", "eval_accuracy_high")):
        assert found[1]["pairs"]["accuracy"][ours] == pytest.approx(logged[theirs])
