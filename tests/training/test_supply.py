"""What remains of the data is compared with what a step takes, for every method, before a model loads."""

from __future__ import annotations

import pytest

from smilerl import worlds
from smilerl.config.recipe import RecipeError
from smilerl.training import supply


@pytest.mark.parametrize(
    ("method", "training", "least"),
    [
        ("rloo", {}, 2),
        ("grpo", {"per_device_train_batch_size": 32, "num_generations": 2}, 16),
        ("grpo", {"generation_batch_size": 16}, 4),
        ("rloo", {"steps_per_generation": 3}, 6),
        ("rloo", {"gradient_accumulation_steps": 5}, 10),
        ("sft", {}, 1),
        ("sft", {"dataloader_drop_last": True}, 4),
        ("kto", {}, 2),
        ("reward", {"dataloader_drop_last": True, "per_device_train_batch_size": 3}, 3),
        ("best_of_n", {}, 1),
    ],
)
def test_what_a_step_takes(make_recipe, method, training, least):
    more = {"data": {"split": "pairs", "n": 16}} if method == "reward" else {}
    policy = {"model_name_or_path": "org/model"} if method in ("reward", "kto", "best_of_n") else None
    recipe = make_recipe(method, training=training, **more, **({"policy": policy} if policy else {}))
    assert supply.needed(recipe)[0] == least


def test_several_processes_take_more(make_recipe, monkeypatch):
    recipe = make_recipe("rloo")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert supply.needed(recipe)[0] == 8


def test_the_last_prompt_that_a_step_takes_is_enough_and_one_less_is_not(make_recipe):
    training = {"per_device_train_batch_size": 24, "num_generations": 4}
    assert make_recipe("rloo", training=training, data={"n": 6}).data.n == 6
    with pytest.raises(
        RecipeError, match=r"recipe\.yaml:\d+: data.n is 5, and one step of rloo takes 6 rows: 24 completions"
    ):
        make_recipe("rloo", training=training, data={"n": 5})


@pytest.mark.parametrize("method", ["sft", "reward"])
def test_rows_without_what_a_method_learns_from_are_counted(make_recipe, tmp_path, method):
    (tmp_path / "talks.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    world = {"name": "dialogue", "args": {"path": str(tmp_path / "talks.jsonl"), "held_out_fraction": 0}}
    policy = {"policy": {"model_name_or_path": "org/model"}} if method == "reward" else {}
    with pytest.raises(RecipeError, match=r"2 rows of .* read, 2 without a re.*, 0 left, and one step of"):
        make_recipe(method, world=world, **policy)


@pytest.mark.parametrize(("every", "beta", "fine"), [(0, 0.05, True), (1, 0.05, False), (0, 0.0, False)])
def test_somebody_is_held_out_where_the_run_will_talk_to_them(make_recipe, tmp_path, every, beta, fine):
    (tmp_path / "talks.jsonl").write_text("".join(f'{{"prompt": "p{i}"}}\n' for i in range(20)))
    world = {"name": "dialogue", "args": {"path": str(tmp_path / "talks.jsonl"), "held_out_fraction": 0}}
    sections = {
        "world": world, "rewards": [{"name": "constant"}], "held_out": {"every": every, "n": 4}, "training": {"beta": beta}
    }  # fmt: skip
    if fine:
        assert make_recipe("rloo", **sections)
    else:
        with pytest.raises(RecipeError, match="nothing is held out: 20 rows of"):
            make_recipe("rloo", **sections)


def test_a_world_that_makes_its_people_has_as_many_as_are_asked_for(make_recipe):
    recipe = make_recipe("rloo")
    world = worlds.build("smileworld")
    assert list(supply.problems(recipe, world)) == []
    assert supply.columns(recipe, world) == ["prompt", "person"]
    assert supply.refuse(recipe, world, world.people("train", 16, 0)) == "16 rows"
    with pytest.raises(RecipeError, match="1 rows, and one step of rloo takes 2 rows"):
        supply.refuse(recipe, world, world.people("train", 1, 0))
