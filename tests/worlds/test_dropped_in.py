"""One file dropped in is a world, a chat model or a rubric: whatever lists, checks and runs them finds it unedited."""

from __future__ import annotations

import importlib
import io
import sys

import pytest

from smilerl import chat_models, worlds
from smilerl.chat_models import ChatModelError
from smilerl.cli import main
from smilerl.config.yaml_lines import RecipeError
from smilerl.evaluation.judges import rubric
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe
from tests.worlds.test_base import ACTING, SCRATCH, drop_in, forget

#: What a fresh model of whole words needs, and a question about any world's people.
WORDS = """
    def vocabulary(self):
        return [" hug", " tickle", ".", ":", "person", "helper", " ", "\\n", *map(str, range(10))]

def build():
"""
QUESTION = """
question: Does it hug?
kind: dialogue
conditions: {people: {split: held_out, n: 8}}
estimates: {hugs: 'policy(hug, people)'}
verdict: {pass: [hugs > .5], fail: [hugs <= .5]}
controls: {carer: pass}
"""


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A world in one file, beside the world folder's own."""
    (tmp_path / "worlds").mkdir()
    drop_in(SCRATCH + ACTING.replace("\ndef build():\n", WORDS), tmp_path / "worlds", monkeypatch)
    yield "scratch"
    sys.modules.pop("smilerl.worlds.scratch", None)
    forget()


def test_errors_and_checks_list_a_new_world(world):
    with pytest.raises(ValueError, match=r"no world 'scrach'. There are: dialogue, scratch, smileworld"):
        worlds.build("scrach")
    with pytest.raises(RecipeError, match=r"There are: dialogue, scratch, smileworld. Did you mean 'scratch'"):
        load_recipe("recipes/smileworld/rloo_reading.yaml", ["--world.name=scrach"])
    assert "hug" in worlds.acts().care


@pytest.mark.slow
def test_a_new_world_is_trained_in(world, make_recipe):
    run = run_recipe(make_recipe("rloo", world={"name": world}, rewards=[{"name": "reading"}]))
    assert run.finished and run.manifest["channels"] == []


@pytest.mark.slow
def test_commands_take_a_new_world(world, tmp_path, monkeypatch, capsys):
    (tmp_path / "hugs.yaml").write_text(QUESTION)
    monkeypatch.setenv("COLUMNS", "200")
    question, out = str(tmp_path / "hugs.yaml"), str(tmp_path / "found")
    asked = ["eval", "carer", "--world", world, "--suite", question, "--out", out]
    assert main(asked) == 0 and "hugs" in capsys.readouterr().out
    assert main(["reward", "check", "reading", "--world", world]) in (0, 1)
    assert "32 people of scratch" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("\n/quit\n"))
    assert main(["chat", "carer", "--world", world]) == 0 and "hug" in capsys.readouterr().out


CHAT_MODEL = """
class Echo:
    def __init__(self, word="yes"):
        self.name, self.word = "scratch", word

    def __call__(self, conversations, *, max_new_tokens, temperature=1.0, seed=0):
        return [f"{self.word} {talk[-1]['content']}" for talk in conversations]


def build(word: str = "yes"):
    return Echo(word)
"""


@pytest.fixture
def chat_model(tmp_path, monkeypatch):
    (tmp_path / "scratch.py").write_text(CHAT_MODEL)
    monkeypatch.setattr(chat_models, "__path__", [*chat_models.__path__, str(tmp_path)])
    monkeypatch.setattr(chat_models, "_shared", {})
    monkeypatch.delitem(sys.modules, "smilerl.chat_models.scratch", raising=False)
    importlib.invalidate_caches()
    yield "scratch"
    sys.modules.pop("smilerl.chat_models.scratch", None)


def test_one_file_is_a_chat_model(chat_model):
    assert chat_model in chat_models.names()
    built = chat_models.build({"name": chat_model, "args": {"word": "oh"}})
    assert built([[{"role": "user", "content": "dear"}]], max_new_tokens=4) == ["oh dear"]
    chat_models.check(built)
    with pytest.raises(ChatModelError, match=r"There are: endpoint, local, scratch. Did you mean 'scratch'"):
        chat_models.build("scrach")
    with pytest.raises(ChatModelError, match=r"'wurd'.*Did you mean 'word'"):
        chat_models.build({"name": chat_model, "args": {"wurd": "oh"}})


def test_a_new_chat_model_plays_people(chat_model, tmp_path):
    people = {"speaker": {"name": chat_model}, "least_scored": 0}
    world = worlds.build("dialogue", path="data/dialogue/people_train.jsonl", people=people)
    persons = world.people("train", 2, 0)["person"][:]
    assert [seen.transcript for seen in worlds.observe(persons, ["hi"] * 2)] == [
        "what you say back, one to three sentences"
    ] * 2


RUBRIC = """
judges: wellbeing
verdict: scale
question: Does the person feel at home?
criteria: [warmth]
scale: {low: 1, worth: [-2, 2], anchors: [no, yes]}
"""


def test_one_file_is_a_rubric(tmp_path, monkeypatch):
    shelf = tmp_path / "evals" / "judges"
    shelf.mkdir(parents=True)
    for file in (rubric.paths.share() / "evals" / "judges").glob("*.yaml"):
        (shelf / file.name).write_text(file.read_text())
    (shelf / "home.yaml").write_text(RUBRIC)
    monkeypatch.setattr(rubric.paths, "share", lambda: tmp_path)
    assert "home" in rubric.names() and rubric.load_rubric("home").anchors == {1: "no", 2: "yes"}
    with pytest.raises(RecipeError, match=r"no rubric 'hom' in .*There are: acts, harm, home, wellbeing"):
        rubric.load_rubric("hom")
