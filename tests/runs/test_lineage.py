"""A declared channel stays declared: in files, in reward models, in policies, and in what is trained on any of them."""

from __future__ import annotations

import json

import pytest

from smilerl.data import pairs, preferences
from smilerl.runs import lineage
from smilerl.runs.directory import RunError
from smilerl.runs.identity import content_hash
from smilerl.training import data
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe

pytestmark = pytest.mark.usefixtures("own_cache")

PAIR = {"prompt": "person: a\nhelper:", "chosen": " b", "rejected": " c"}


def beside(folder, **said) -> str:
    """A run's model directory with this manifest."""
    (folder / "model").mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(said))
    return str(folder / "model")


def test_what_a_model_has_learnt_from_is_both_that_was_open_and_that_came_before(tmp_path):
    assert lineage.of_model(beside(tmp_path / "a", channels=["annotators"], learnt_from=["gold"])) == (
        "annotators",
        "gold",
    )
    assert lineage.of_model("org/name") == lineage.of_model(None) == ()


@pytest.mark.parametrize("where", ["data", "world", "held_out_from"])
def test_whichever_key_names_a_file_its_channels_are_known(make_recipe, tmp_path, where):
    file, other = tmp_path / "pairs.jsonl", tmp_path / "other.jsonl"
    of = {who: [{**PAIR, "prompt": f"person: {who} {i}\nhelper:"} for i in range(20)] for who in "yz"}
    pairs.write(file, of["z"], {"channels": ["gold"], "learnt_from": []})
    other.write_text("".join(json.dumps(row) + "\n" for row in of["y"]))
    args = {
        "data": {"path": str(other)},
        "world": {"path": str(file)},
        "held_out_from": {"path": str(other), "held_out_from": str(file)},
    }
    recipe = make_recipe(
        "dpo", world={"name": "dialogue", "args": {"held_out_fraction": 0.5, **args[where]}} if where != "held_out_from"
        else {"name": "dialogue", "args": args[where]},
        data={"n": 1, **({"args": {"path": str(file)}} if where == "data" else {})}, held_out={"every": 0}, rewards=[],
    )  # fmt: skip
    assert preferences.learnt_from(recipe) == ("gold",)


@pytest.mark.slow
def test_a_policy_that_starts_from_a_gold_one_says_so(make_recipe):
    first = run_recipe(make_recipe("rloo", name="first", rewards=[{"name": "gold"}]))
    second = make_recipe(
        "rloo", name="second", policy={"model_name_or_path": str(first.model)}, rewards=[{"name": "reading"}]
    )
    manifest = run_recipe(second).manifest
    assert (manifest["channels"], manifest["learnt_from"]) == ([], ["gold"])


def test_pairs_that_are_made_outside_a_run_are_sealed_too(make_recipe, tmp_path, capsys):
    """A reward that reaches for outcomes and does not say so ranks nothing."""
    (tmp_path / "mine.py").write_text(
        "from smilerl import worlds\n"
        "def nosy(prompts, completions, person, **columns):\n"
        "    found = worlds.build('smileworld').react(person, completions)\n"
        "    return [one.outcome.wellbeing for one in found]\n"
    )
    from smilerl import cli

    base = run_recipe(make_recipe("sft", name="base", training={"max_steps": 1}))
    asked = [
        "pairs",
        str(base.model),
        "--reward",
        f"{tmp_path}/mine.py:nosy",
        "--n",
        "2",
        "--k",
        "2",
        "--out",
        str(tmp_path / "out.jsonl"),
    ]
    assert cli.main(asked) == 2
    said = capsys.readouterr().err
    assert "'pairs'" in said and "computed an outcome" in said
    assert not (tmp_path / "out.jsonl").exists()


def test_rows_about_those_who_are_held_out_are_refused(tmp_path, make_recipe):
    talks, file = tmp_path / "talks.jsonl", tmp_path / "pairs.jsonl"
    rows = [{**PAIR, "prompt": f"person: {i}\nhelper:"} for i in range(20)]
    for path in (talks, file):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = make_recipe(
        "dpo", world={"name": "dialogue", "args": {"path": str(talks), "held_out_fraction": 0.5}}, rewards=[],
        data={"n": 20, "args": {"path": str(file)}}, held_out={"every": 0, "n": 20},
    )  # fmt: skip
    from smilerl import worlds

    world = worlds.build("dialogue", **recipe.world.args)
    with pytest.raises(ValueError, match=r"of 20 rows of .* are about prompts that the run is held out on"):
        preferences.pairs(recipe, world)


def test_people_who_are_trained_on_are_not_held_out(make_recipe):
    with pytest.raises(ValueError, match="'train', which is trained on"):
        make_recipe("rloo", held_out={"every": 1, "n": 4, "split": "train"})


@pytest.mark.parametrize("name", ["pairs.jsonl", "./pairs.jsonl"])
def test_a_file_of_data_is_part_of_the_hash_with_or_without_a_slash(make_recipe, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps(PAIR) + "\n")
    recipe = make_recipe("dpo", data={"n": 1, "args": {"path": name}}, held_out={"every": 0}, rewards=[])
    before = content_hash(recipe)
    file.write_text(2 * (json.dumps({**PAIR, "chosen": " other words"}) + "\n"))
    assert content_hash(load_recipe(recipe.source)) != before


def test_a_run_does_not_go_on_with_other_data():
    class Stopped:
        path, manifest, goes_on_from = "runs/a", {"data_hash": "one"}, lineage.Path("checkpoint-4")

    data.refuse_other(Stopped, "one")
    with pytest.raises(RunError, match="other data than it began with"):
        data.refuse_other(Stopped, "two")
