"""What is logged of a reward model: accuracy on pairs of the other side, over pairs, with its interval and what was left out."""

from __future__ import annotations

import json

import pytest

from smilerl import worlds
from smilerl.evaluation.pairs import agreement
from smilerl.pipeline import run_recipe
from smilerl.rewards.preference import JOINED, TRAINED_ON, build


@pytest.fixture
def pairs(tmp_path) -> dict:
    """Sixty transcripts, some with a long reply, as the world of a recipe."""
    rows = []
    for i in range(60):
        asked = f"\n\nHuman: tell me about {'abcdefghij'[i % 10]} and {i}\n\nAssistant:"
        long = " and so on" * (40 if i % 6 == 0 else 0)
        rows.append({"chosen": f"{asked} gladly, it is {i * 7}", "rejected": f"{asked} no{long}"})
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"name": "dialogue", "args": {"path": str(file), "held_out_fraction": 0.4, "format": "text"}}


def test_accuracy_is_that_of_the_reward_on_held_out_pairs(make_recipe, checkpoint, pairs, capsys):
    world = worlds.build("dialogue", **pairs["args"])
    train, held_out = ([row for row in world.rows if (row.bucket < 0.4) == side] for side in (False, True))
    recipe = make_recipe(
        "reward",
        world=pairs,
        policy={"model_name_or_path": checkpoint("llama", chat=False)},
        data={"split": "train", "n": len(train)},
        held_out={"every": 0, "n": len(held_out)},
        training={"max_steps": 4, "max_length": 128, "per_device_eval_batch_size": 5},
    )
    run = run_recipe(recipe)
    [logged] = [row for row in run.metrics() if "eval_accuracy" in row]
    reward = build(model=str(run.model), max_length=128)
    prompts, chosen, rejected = (
        [getattr(row, name) for row in held_out] for name in ("prompt", "completion", "rejected")
    )
    scores = [reward(prompts=prompts, completions=said) for said in (chosen, rejected)]
    too_long = sum(value is None for value in scores[1])
    assert 0 < too_long < len(held_out)
    agreed = agreement(prompts, chosen, rejected, scores)
    assert logged["eval_accuracy"] == pytest.approx(agreed.accuracy.value)
    assert (logged["eval_accuracy_low"], logged["eval_accuracy_high"]) == pytest.approx(
        (agreed.accuracy.low, agreed.accuracy.high)
    )
    assert (logged["eval_pairs"], logged["eval_pairs_of"]) == (len(held_out) - too_long, len(held_out))
    assert logged["eval_shorter"] == pytest.approx(agreed.shorter.value)
    assert f"on {logged['eval_pairs']} of {len(held_out)} held-out pairs" in capsys.readouterr().err
    assert json.loads((run.model / "config.json").read_text())[TRAINED_ON] == JOINED


def test_where_every_pair_is_too_long_there_is_no_number(make_recipe, checkpoint, pairs, capsys):
    recipe = make_recipe(
        "reward",
        world=pairs,
        policy={"model_name_or_path": checkpoint("llama", chat=False)},
        data={"split": "train", "n": 20},
        held_out={"every": 0, "n": 4, "split": "held_out"},
        training={"max_steps": 1, "max_length": 128},
    )
    from smilerl.training import reward

    class Trainer:
        eval_dataset = []

    found = reward.evaluate(Trainer(), reward.dataset(recipe, worlds.build("dialogue", **pairs["args"])))
    assert (found["eval_accuracy"], found["eval_pairs"], found["eval_pairs_of"]) == (None, 0, 4)
