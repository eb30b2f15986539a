"""Where pairs and labels come from: files that are read with care, and replies that a reward has ranked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from smilerl import worlds
from smilerl.config.recipe import RecipeError
from smilerl.data import pairs, preferences
from smilerl.data.candidates import BestOfN, Candidates, Sampling, best, draw
from smilerl.data.preferences import FileArgs, read_labels, read_pairs
from smilerl.models.policy import load_policy
from smilerl.models.sampling import sample
from smilerl.training.recipe_check import load_recipe

RECIPE = {"policy": {"config": {"model_type": "llama"}}, "held_out": {"every": 0}}
PAIR = {"prompt": "How are you?", "chosen": " Fine.", "rejected": " Bad."}
LABEL = {"prompt": "How are you?", "completion": " Fine.", "label": True}
TALK = [{"role": "user", "content": "How are you?"}]
SAID = [{"role": "assistant", "content": "Fine."}]


def without(row: dict, *names: str) -> dict:
    return {name: value for name, value in row.items() if name not in names}


#: The method, the second line of its file, and what the error says about it.
BAD_ROWS = {
    "no prompt in a pair": ("dpo", without(PAIR, "prompt"), ("a column 'prompt'",)),
    "no prompt for a label": ("kto", without(LABEL, "prompt"), ("no 'prompt' here", "completion, label")),
    "no rejected": ("dpo", without(PAIR, "rejected"), ("'chosen' and 'rejected'", "prompt, chosen")),
    "labels for dpo": ("dpo", LABEL, ("'chosen' and 'rejected'", "method: kto")),
    "twice the same": ("dpo", PAIR | {"rejected": " Fine."}, ("the same",)),
    "a number for a label": ("kto", LABEL | {"label": 1}, ("label is 1", "true or false")),
    "a word for a label": ("kto", LABEL | {"label": "good"}, ('label is "good"', "true or false")),
    "no label": ("kto", without(LABEL, "label"), ("'completion' and 'label'", "prompt, completion")),
    "messages and text in a row": ("dpo", PAIR | {"prompt": TALK}, ("messages",)),
    "messages after text": ("dpo", {"prompt": TALK, "chosen": SAID, "rejected": TALK}, ("messages", "first one is text")),
    "an unknown role": ("dpo", {"prompt": [{"role": "dog", "content": "?"}], "chosen": SAID, "rejected": TALK}, ("role 'dog'",)),
    "not JSON": ("dpo", "{", ("not JSON",)),
}  # fmt: skip


@pytest.mark.parametrize(("method", "row", "says"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_is_told_with_its_line_before_a_model_loads(method, row, says, tmp_path):
    good = PAIR if method == "dpo" else LABEL
    text = row if isinstance(row, str) else json.dumps(row)
    (tmp_path / "data.jsonl").write_text(f"{json.dumps(good)}\n{text}\n")
    error = refused(tmp_path, method, {"path": "data.jsonl"})
    assert "recipe.yaml:" in error.splitlines()[0] and "data.jsonl:2" in error
    assert not [words for words in says if words not in error], error
    assert len(error.splitlines()) <= 10


@pytest.mark.parametrize(
    ("method", "args", "more", "says"),
    [
        ("dpo", {"path": "nowhere.jsonl"}, {}, ("no file 'nowhere.jsonl'", "smilerl pairs")),
        ("dpo", {"path": "empty.jsonl"}, {}, ("is empty",)),
        ("kto", {"path": "good.jsonl"}, {}, ("every label is true",)),
        ("dpo", {"path": "good.jsonl", "pth": 1}, {}, ("unknown key 'pth'", "'path'")),
        ("dpo", {"path": "good.jsonl"}, {"rewards": [{"name": "smile"}]}, ("come from data.args.path", "Delete `rewards:`")),
        ("dpo", {"k": 1}, {"rewards": [{"name": "smile"}]}, ("data.args.k is 1", "at least 2")),
        ("dpo", {"threshold": 0.5}, {"rewards": [{"name": "smile"}]}, ("no threshold",)),
        ("dpo", {}, {"rewards": [{"name": "smile"}]}, ("a fresh model has nothing to say",)),
        ("dpo", {"a_smle": 1.0}, {}, ("no knob 'a_smle'", "a_smile")),
        ("kto", {}, {"training": {"per_device_train_batch_size": 1}}, ("the prompt beside it", "at least 2")),
        ("best_of_n", {}, {"rewards": [{"name": "smile"}]}, ("what a trained model says",)),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_is_told(method, args, more, says, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "good.jsonl").write_text(json.dumps(PAIR if method == "dpo" else LABEL))
    error = refused(tmp_path, method, args, **more)
    assert not [words for words in says if words not in error], error


def refused(folder: Path, method: str, args: dict, **more) -> str:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"method": method, **RECIPE, "data": {"args": args}, **more}))
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    return str(error.value)


def test_files_of_every_form_are_read_alike(tmp_path):
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(PAIR)}\n\n{json.dumps(PAIR | {'prompt': 'Well?'})}\n")
    pd.DataFrame([PAIR, PAIR | {"prompt": "Well?"}]).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text((tmp_path / "a.jsonl").read_text())
    read = [read_pairs(FileArgs(path=str(tmp_path / name))) for name in ("a.jsonl", "a.parquet")]
    read.append(read_pairs(FileArgs(dataset=str(tmp_path / "set"))))
    assert read[0] == read[1] == read[2] and [row["prompt"] for row in read[0]] == ["How are you?", "Well?"]
    both = read_labels(FileArgs(path=str(tmp_path / "a.jsonl")))  # a pair is a good reply and a bad one
    assert [(row["completion"], row["label"]) for row in both[:2]] == [(" Fine.", True), (" Bad.", False)]
    foreign = {"prompt": [{"role": "human", "content": "Well?"}], "completion": SAID, "label": False}
    (tmp_path / "b.jsonl").write_text(f"{json.dumps(foreign)}\n{json.dumps(foreign | {'label': True})}")
    (first, _) = read_labels(FileArgs(path=str(tmp_path / "b.jsonl"), roles={"human": "user"}))
    assert first["prompt"] == [{"role": "user", "content": "Well?"}]
    whole = {"chosen": [*TALK, *SAID], "rejected": [*TALK, {"role": "assistant", "content": "Bad."}]}
    (tmp_path / "whole.jsonl").write_text(json.dumps(whole))  # the prompt is what both talks begin with
    (row,) = read_pairs(FileArgs(path=str(tmp_path / "whole.jsonl")))
    assert row["prompt"] == TALK and row["chosen"] == SAID


SCORED = Candidates(
    prompts=["a", "b", "c", "d"],
    people=["A", "B", "C", "D"],
    completions=[["w", "x", "y", "z"], ["w", "x", "y", "z"], ["w", "x", "y", "z"], ["w", "w", "y", "z"]],
    rewards=np.array([[0.1, 0.9, 0.5, np.nan], [1.0, 1.0, 1.0, 9.0], [1.0, np.nan, np.nan, np.nan], [2, 1, np.nan, np.nan]]),
    ended=np.array([[True] * 4, [True, True, True, False], [True] * 4, [True] * 4]),
)  # fmt: skip


def test_pairs_are_best_against_worst_and_what_is_dropped_is_counted():
    rows, counts = pairs.rows_of(SCORED, "pairs")
    assert rows == [
        {"prompt": "a", "person": "A", "chosen": "x", "rejected": "w", "score_chosen": 0.9, "score_rejected": 0.1}
    ]
    # b: the only better reply was cut off, the rest are worth the same; c has one score; d says the same at two prices
    assert counts == {"people": 4, "replies": 16, "scored": 10, "cut_off": 1, "rows": 1, "ties": 2, "too_few": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("threshold", "labels"), [(None, {"w": False, "x": True}), (0.4, {"w": False, "x": True, "y": True})]
)
def test_labels_are_by_the_median_of_the_person_or_a_threshold(threshold, labels):
    rows, _ = pairs.rows_of(SCORED, "labels", threshold)
    assert {row["completion"]: row["label"] for row in rows if row["prompt"] == "a"} == labels


@pytest.mark.parametrize(
    ("rewards", "ended", "says"),
    [([[1.0, 2.0]], [[False, False]], "cut off"), ([[np.nan] * 2], [[True] * 2], "scored none"), ([[1.0, 1.0]], [[True] * 2], "alike")],
)  # fmt: skip
def test_nothing_to_learn_from_says_why(rewards, ended, says):
    with pytest.raises(ValueError, match=says):
        pairs.rows_of(Candidates(["a"], ["A"], [["x", "y"]], np.array(rewards), np.array(ended)), "pairs")


def test_what_outcomes_a_file_has_learnt_from_is_read_beside_it(tmp_path):
    source = tmp_path / "recipe.yaml"
    (tmp_path / "a.jsonl").write_text(json.dumps(PAIR))
    source.write_text(yaml.safe_dump({"method": "dpo", **RECIPE, "data": {"args": {"path": "a.jsonl"}}}))
    recipe = load_recipe(source)
    assert preferences.learnt_from(recipe) == () == preferences.channels(recipe)
    pairs.write(tmp_path / "a.jsonl", [PAIR], {"channels": ["gold"], "learnt_from": ["annotators"]})
    assert preferences.learnt_from(recipe) == ("annotators", "gold")


@pytest.fixture
def policy(checkpoint):
    return load_policy(checkpoint("llama"))


@pytest.fixture
def people(tmp_path):
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps({"prompt": f"Person {i}:"}) for i in range(6)))
    return worlds.build("dialogue", path=str(tmp_path / "p.jsonl"), held_out_fraction=0.0).people("train", 6, 0)


def length(prompts, completions, **columns) -> list[float | None]:
    """Pays for length; nothing for what begins with an odd byte."""
    return [None if text[:1] > "z" else float(len(text)) for text in completions]


def test_candidates_do_not_depend_on_the_batch_and_begin_as_a_sample_does(policy, people):
    drawn = [draw(policy, people, length, Sampling(3, 8, seed=5, batch_size=size)) for size in (2, 64)]
    assert drawn[0].completions == drawn[1].completions
    alone = sample(policy, people["prompt"][:], max_new_tokens=8, seed=5)
    assert [own[0] for own in drawn[0].completions] == alone
    for row, own in enumerate(drawn[0].completions):
        assert [None if np.isnan(value) else value for value in drawn[0].rewards[row]] == length([], own)


def test_best_of_n_says_what_the_reward_likes_best(policy, people):
    prompts, persons = people["prompt"][:], people["person"][:]
    settings = {"seed": 5, "max_new_tokens": 8}
    assert BestOfN(policy, length, 1).reply(prompts, persons, **settings) == sample(policy, prompts, **settings)
    drawn = draw(policy, people, length, Sampling(4, 8, seed=5))
    said = BestOfN(policy, length, 4).reply(prompts, persons, **settings)
    for row, text in enumerate(said):
        paid = [value for value in length([], drawn.completions[row]) if value is not None]
        assert length([], [text])[0] == max(paid) if paid else text == drawn.completions[row][0]
    assert best(np.array([[np.nan, np.nan], [1.0, 1.0], [np.nan, -1.0]])) == [0, 0, 1]


def test_a_threshold_that_parts_nothing_says_so():
    with pytest.raises(ValueError, match="are above the threshold of -1"):
        pairs.rows_of(SCORED, "labels", -1)


@pytest.mark.parametrize(("read", "good"), [
    (read_pairs, {"prompt": "p", "chosen": " a", "rejected": " b"}),
    (read_labels, {"prompt": "p", "chosen": " a", "rejected": " b"}),
])  # fmt: skip
def test_rows_that_are_no_pairs_are_counted_or_left_out(tmp_path, read, good):
    odd = [
        '{"prompt": "p", "chosen": "a"}',
        '{"prompt": [{"role": "user", "content": "p"}], "chosen": [], "rejected": []}',
        "[]",
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join([json.dumps(good), *odd, json.dumps({**good, "prompt": "q"})]))
    with pytest.raises(ValueError) as error:
        read(FileArgs(path=str(path)))
    assert "pairs.jsonl:2: " in str(error.value) and "3 of " in str(error.value) and "also 3, 4" in str(error.value)
    assert {row["prompt"] for row in read(FileArgs(path=str(path), on_bad_row="skip"))} == {"p", "q"}
