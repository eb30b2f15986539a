"""What is logged of a reward model: accuracy on pairs of the other side, over pairs, with its interval and what was left out."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copyfile, copytree, ignore_patterns

import pytest

from smilerl import worlds
from smilerl.publish import contents
from smilerl.rewards._loading import TRAINED_LENGTH, TRAINED_ON
from smilerl.rewards.preference import JOINED, build
from smilerl.statistics.agreement import agreement
from smilerl.training.run import run_recipe


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
    reward = build(model=str(run.model))  # its length limit is that of its training
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
    said = json.loads((run.model / "config.json").read_text())
    assert (said[TRAINED_ON], said[TRAINED_LENGTH]) == (JOINED, 128)


@pytest.mark.slow
@pytest.mark.parametrize("closes", [True, False])
def test_a_lora_reward_model_reads_as_it_was_trained(make_recipe, checkpoint, pairs, tmp_path, closes):
    base = Path(copytree(checkpoint("llama", chat=False), tmp_path / "base"))
    if closes:  # a tokenizer that ends each text itself, as encoders' do: the form would be guessed otherwise
        close_texts(base)
    lora = {"r": 2, "lora_alpha": 4, "target_modules": "all-linear"}
    runs = {
        name: run_recipe(
            make_recipe(
                "reward", name=name, world=pairs, policy={"model_name_or_path": str(base), "peft": peft}, data={"split": "train", "n": 20},
                held_out={"every": 0, "n": 4}, training={"max_steps": 2, "max_length": 128},
            ),
            progress=False,
        )
        for name, peft in (("full", None), ("adapter", lora))
    }  # fmt: skip
    pushed = tmp_path / "pushed"
    pushed.mkdir()
    for item in contents.of_model(runs["adapter"].model)[0]:
        copyfile(item.source, pushed / item.name)
    long = {"prompts": ["p", "p"], "completions": [" ok", " ok" * 60]}
    for model in (runs["full"].model, runs["adapter"].model, pushed):
        reward = build(model=str(model))
        said = reward.about()
        assert (said["reads"], said["form from"], said["limit"]) == ("joined, then EOS", "its training", 128), model
        values = reward(**long)
        assert values[0] is not None and values[1] is None
        assert build(model=str(model), max_length=256)(**long)[1] is not None, "who asks for more gets it"
    bare = copytree(pushed, tmp_path / "bare", ignore=ignore_patterns("reward_model.json"))
    assert build(model=str(bare)).about()["form from"] != "its training", "an adapter of other origin is guessed at"


def close_texts(folder: Path) -> None:
    """Lets the tokenizer in a folder put its EOS after every text."""
    file = folder / "tokenizer.json"
    said = json.loads(file.read_text())
    end = next(one for one in said["added_tokens"] if one["content"] == "<|endoftext|>")
    closed = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "end", "type_id": 0}}]
    said["post_processor"] = {
        "type": "TemplateProcessing", "single": closed, "pair": [*closed, {"Sequence": {"id": "B", "type_id": 1}}, closed[1]],
        "special_tokens": {"end": {"id": "end", "ids": [end["id"]], "tokens": [end["content"]]}},
    }  # fmt: skip
    file.write_text(json.dumps(said))


def test_where_every_pair_is_too_long_there_is_no_number(make_recipe, checkpoint, pairs, capsys):
    recipe = make_recipe(
        "reward",
        world=pairs,
        policy={"model_name_or_path": checkpoint("llama", chat=False)},
        data={"split": "train", "n": 20},
        held_out={"every": 0, "n": 4, "split": "held_out"},
        training={"max_steps": 1, "max_length": 128},
    )
    from smilerl.training.methods import reward

    class Trainer:
        eval_dataset = []

    found = reward.evaluate(Trainer(), reward.dataset(recipe, worlds.build("dialogue", **pairs["args"])))
    assert (found["eval_accuracy"], found["eval_pairs"], found["eval_pairs_of"]) == (None, 0, 4)
