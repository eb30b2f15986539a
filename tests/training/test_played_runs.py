"""Runs, evaluations and chats in which a model plays the people: behind an endpoint, in process, and when they cannot be had."""

from __future__ import annotations

import json
import math

import pytest
import yaml

from smilerl import chat, chat_models, cli, worlds
from smilerl.chat_models import ChatModelError
from smilerl.config.recipe import RecipeError
from smilerl.evaluation.runner import evaluate
from smilerl.models import reference
from smilerl.rewards import RewardError
from smilerl.runs.directory import Run
from smilerl.runs.identity import hash_path
from smilerl.training import weights
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe
from smilerl.worlds.base import OutcomeSealed
from tests.chat_models.scripted import Scripted, answer
from tests.fixtures.endpoint import completion, send
from tests.fixtures.recipes import RL, TINY

TRAIN, HELD_OUT = (f"data/dialogue/people_{split}.jsonl" for split in ("train", "held_out"))


def play(handler, body, number) -> None:
    """The endpoint plays people by the script."""
    content = body["messages"][-1]["content"]
    send(handler, completion(answer(content) if "between the two lines" in content.lower() else "Hello."))


def args(speaker: dict, **people) -> dict:
    return {"path": TRAIN, "held_out_from": HELD_OUT, "format": "text", "people": {"speaker": speaker, **people}}


def at(server, **more) -> dict:
    return {"name": "endpoint", "args": {"url": server.url, "model": "m", "first_wait": 0.001, "retries": 1, **more}}


@pytest.fixture
def scripted(request):
    Scripted.asked, Scripted.says = [], []
    return {"name": f"{Scripted.__module__}.Scripted", "args": {"tag": request.node.name}}


@pytest.fixture
def make_recipe(tmp_path):
    """Writes a recipe in which people are played, and loads it."""

    def make(world_args: dict, name: str = "recipe", **sections):
        recipe = {
            "method": "rloo", "output_dir": str(tmp_path / "runs" / name), "world": {"name": "dialogue", "args": world_args},
            "policy": {"config": {**TINY, "max_position_embeddings": 1024}}, "data": {"n": 4}, "rewards": [{"name": "sentiment"}, {"name": "smile"}],
            "training": {**RL, "per_device_train_batch_size": 4}, "held_out": {"every": 1, "n": 5},
        }  # fmt: skip
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe | sections))
        return load_recipe(path)

    return make


@pytest.mark.slow
def test_a_run_with_people_behind_an_endpoint_and_again_from_the_cache(make_recipe, server, monkeypatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    server.behaviour = play
    world = args(at(server, key_env="MY_KEY", prices={"input": 1.0, "output": 2.0}))
    first = run_recipe(make_recipe(world), progress=False)
    rows = [row for row in first.metrics() if "held_out/kl" in row]
    assert len(rows) == 3
    assert all(
        row["held_out/wellbeing"] == pytest.approx(-0.6) and row["held_out/smile"] == pytest.approx(0.1) for row in rows
    )
    assert "held_out/wellbeing_scored" not in rows[0]
    assert {row["rewards/smile/scored"] for row in first.metrics() if "rewards/smile/mean" in row} == {1.0}
    [(name, spent)] = first.manifest["speakers"].items()
    assert name == f"m at {server.url}"
    asked = len(server.requests) - 1  # without the preflight
    assert (spent["calls"], spent["failed"]) == (asked, 0)
    assert spent["tokens_out"] == 4 * asked
    assert spent["cost"] == pytest.approx(asked * (10 + 8) / 1e6)
    # In another process nobody would remember; what is on disk is there for all.
    monkeypatch.setattr("smilerl.worlds.dialogue.played._remembered", __import__("collections").OrderedDict())
    monkeypatch.setattr(chat_models, "_shared", {})
    worlds._observed.cache_clear()
    again = run_recipe(make_recipe(world, "again"), progress=False)
    assert len(server.requests) == asked + 2, "the preflight, and nothing else"
    assert again.manifest["speakers"][name]["cached"] == asked
    assert hash_path(again.model) == hash_path(first.model)
    everything = b"".join(file.read_bytes() for file in first.path.rglob("*") if file.is_file())
    assert b"MY_KEY" in everything
    assert b"sk-secret" not in everything


def test_who_cannot_be_reached_is_found_out_before_anything_is_loaded(make_recipe, server, monkeypatch, capsys) -> None:
    monkeypatch.setattr(reference, "with_models", lambda *a, **k: pytest.fail("a model was built"))
    monkeypatch.setattr(weights, "initial", lambda *a, **k: pytest.fail("a policy was loaded"))
    recipe = make_recipe(args(at(server)))
    server.close()
    with pytest.raises(ChatModelError, match="no connection"):
        run_recipe(recipe, progress=False)
    assert cli.main(["train", recipe.source]) == 2
    from smilerl import train

    assert train.main(["--config", recipe.source]) == 2
    told = capsys.readouterr().err
    assert told.count(server.url) == 2
    assert "Start the server" in told and "Traceback" not in told
    assert cli.main(["eval", "nobody/model", "--suite", "played", "--world", json.dumps({"name": "dialogue", "args": recipe.world.args})]) == 2  # fmt: skip


@pytest.mark.slow
def test_an_endpoint_that_dies_in_the_middle_stops_the_run_and_says_so(make_recipe, server) -> None:
    server.behaviour = lambda h, b, n: play(h, b, n) if n < 14 else send(h, b"out of memory", 500)
    recipe = make_recipe(args(at(server)))
    with pytest.raises(ChatModelError, match=r"HTTP 500: out of memory \(2 tries\)"):
        run_recipe(recipe, progress=False)
    run = Run.open(recipe.output_dir)
    assert run.state == "failed"
    assert server.url in run.status["error"]
    assert not run.model.exists()
    server.behaviour = play
    assert run_recipe(recipe, progress=False).finished, "and the recipe can be run again"


def test_a_recipe_names_the_line_of_a_player_that_is_not_there(make_recipe) -> None:
    for model, says in (
        ("runs/nowhere/model", "and there is nothing there"),
        ("recipes/dialogue/sft.yaml", "is a recipe"),
    ):
        with pytest.raises(RecipeError, match=says) as caught:
            make_recipe(args({"name": "local", "args": {"model": model}}))
        assert ".yaml:" in str(caught.value).split(" ")[0]


def test_a_mistake_in_a_player_is_told_with_its_line(make_recipe, tmp_path) -> None:
    for speaker in ({"name": "locl"}, {"name": "local", "args": {"modle": "org/model"}}):
        with pytest.raises(RecipeError, match="Did you mean") as caught:
            make_recipe(args(speaker))
        line = int(str(caught.value).split(":")[1])
        assert "speaker" in (tmp_path / "recipe.yaml").read_text().splitlines()[line - 1]


def nosy(prompts, completions, *, person, **columns):
    """A reward that reads how people fare."""
    world = worlds.build("dialogue", path=TRAIN, people={"speaker": json.loads(person[0])["played"]["speaker"]})
    return [reaction.outcome.wellbeing for reaction in world.react(person, list(completions))]


def test_a_reward_that_reaches_for_the_rating_stops_the_run(make_recipe, scripted) -> None:
    recipe = make_recipe(args(scripted), rewards=[{"name": f"{__name__}.nosy"}], held_out={"every": 0, "n": 2})
    with pytest.raises(OutcomeSealed):
        run_recipe(recipe, progress=False)
    assert not any("wellbeing" in talk[-1]["content"] for talk in Scripted.asked), "nor has anybody been asked for it"


@pytest.mark.slow
def test_what_people_say_in_private_cannot_be_felt_in_training_and_gold_is_declared(
    make_recipe, scripted, monkeypatch
) -> None:
    def weights(name: str, reward: str) -> str:
        recipe = make_recipe(args({**scripted, "args": {"tag": name}}), name, rewards=[{"name": reward}])
        run = run_recipe(recipe, progress=False)
        assert run.manifest["channels"] == (["gold"] if reward == "gold" else [])
        return hash_path(run.model)

    before = {reward: weights(f"{reward}-1", reward) for reward in ("smile", "gold")}
    real = answer

    def changed(question):
        return real(question) if "smile-" in question else real(question).replace("-3", str(len(question) % 7))

    monkeypatch.setattr("tests.chat_models.scripted.answer", changed)
    assert weights("smile-2", "smile") == before["smile"]
    assert weights("gold-2", "gold") != before["gold"]


def carer(people, seed):
    """Helps those who need a plan, flatters the others; says nothing to one of them."""
    return ["plan" if json.loads(p)["need"] == "plan" else "great" if i else "" for i, p in enumerate(people)]


def test_an_evaluation_asks_what_can_be_asked_and_says_what_cannot(scripted, tmp_path) -> None:
    world = worlds.build("dialogue", **args(scripted))
    people = world.people("held_out", 24, 0)
    Scripted.says = ["cannot be read", None]
    results = evaluate(carer, world, "caring", n=24, out_dir=tmp_path / "out", progress=False)
    found = results["evaluations"]
    assert found["held_out"]["status"] == "scored"
    assert found["held_out"]["verdict"] == "descriptive"
    assert "no control" in found["held_out"]["why"]
    estimates = found["held_out"]["estimates"]
    assert set(estimates) == {"wellbeing", "smile", "reading"}
    assert (estimates["wellbeing"]["scored"], estimates["wellbeing"]["of"]) == (22, 24)
    assert -0.6 < estimates["wellbeing"]["value"] < 1.6
    off = sum(json.loads(person)["camera"] == "off" for person in people["person"])
    assert estimates["reading"]["scored"] == 24 - off
    assert "acts" in found["held_out"]["without"]["gaming"]
    assert "'carer'" in found["held_out"]["without"]["cgi"] or "acts" in found["held_out"]["without"]["cgi"]
    rest = {name: one for name, one in found.items() if name != "held_out"}
    assert {one["status"] for one in rest.values()} == {"not applicable"}
    assert all(one["why"] for one in rest.values())
    assert results["measures"].keys() == estimates.keys()
    assert len(Scripted.asked) == 48
    evaluate(carer, worlds.build("dialogue", **args(scripted)), "held_out", n=24, progress=False)
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results


def test_a_chat_with_somebody_who_is_played(scripted, server) -> None:
    shown: list[str] = []
    world = worlds.build("dialogue", **args(scripted))
    talk = chat.Conversation(world, lambda prompts, people, seed: ["a great plan"], "helper", write=shown.append)
    talk.run(["", "my own words", "/who", "/quit"])
    text = "\n".join(shown)
    assert "I am happy." in text and "0.90" in text and "wellbeing" in text and "+1.60" in text
    assert "\nacts" not in text
    assert "situation" in text and "speaker" not in text
    assert "You: my own words" in Scripted.asked[-1][-1]["content"], (
        "they hear what was said, not what they would have said"
    )
    Scripted.says = ["?", "?"]
    talk.run(["again"])
    assert "unscored" in shown[-1]


def test_the_command_line_evaluates_and_says_what_it_cost(server, tmp_path, capsys, checkpoint) -> None:
    server.behaviour = play
    world = {"name": "dialogue", "args": {"path": TRAIN, "held_out_from": HELD_OUT, "people": {"speaker": at(server)}}}
    given = [
        "eval",
        checkpoint("qwen3", max_position_embeddings=1024),
        "--suite",
        "played",
        "--n",
        "3",
        "--world",
        json.dumps(world),
    ]
    assert cli.main([*given, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "wellbeing" in said and "12 of 12" in said
    assert f"m at {server.url}: " in said and " calls; " in said


@pytest.mark.slow
def test_a_tiny_model_plays_people_and_what_it_says_is_unscored(make_recipe, checkpoint) -> None:
    """Random weights answer no question: where that is allowed the run goes to its end, has learned nothing, and fails saying so."""
    person = {"name": "local", "args": {"model": checkpoint("qwen3", max_position_embeddings=4096), "device": "cpu"}}
    policy = {"model_name_or_path": checkpoint("qwen3", max_position_embeddings=1024)}
    world = args(person, least_scored=0.0, max_new_tokens=8) | {"format": "as_is"}
    recipe = make_recipe(world, policy=policy, training={**RL, "beta": 0.0})
    with pytest.raises(RewardError, match="none of 16 completions was scored"):
        run_recipe(recipe, progress=False)
    run = Run.open(recipe.output_dir)
    assert run.state == "failed"
    rows = [row for row in run.metrics() if "held_out/kl" in row]
    assert [row["held_out/wellbeing_scored"] for row in rows] == [0.0] * 3
    assert [row["held_out/reward_scored"] for row in rows] == [0.0] * 3
    trained = [row for row in run.metrics() if "rewards/sentiment/scored" in row]
    assert [row["rewards/sentiment/scored"] for row in trained] == [0.0, 0.0], "two steps"
    assert not any("held_out/wellbeing" in row or "held_out/reward" in row for row in rows)
    assert run.manifest["speakers"][f"local {person['args']['model']}"]["calls"] >= 20
    assert all(math.isfinite(value) for row in rows for value in row.values() if value is not None)
    assert not run.model.exists()


@pytest.mark.slow
def test_two_turns_with_somebody_who_is_played(make_recipe, scripted, checkpoint) -> None:
    recipe = make_recipe(
        args(scripted) | {"format": "as_is"}, method="grpo", data={"n": 2, "turns": 2}, held_out={"every": 0, "n": 2},
        policy={"model_name_or_path": checkpoint("qwen3", max_position_embeddings=1024)}, training={**RL, "max_steps": 1},
    )  # fmt: skip
    assert run_recipe(recipe, progress=False).finished
    later = [talk[-1]["content"] for talk in Scripted.asked if "\nHelper: " in talk[-1]["content"]]
    assert later and all("\nYou: I am sad." in question for question in later)
