"""A world defines people and observe; all that it does not define has a default, and everybody who asks can live with it."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import pytest

from smilerl import worlds
from smilerl.chat import Conversation
from smilerl.config.recipe import read_recipe
from smilerl.config.yaml_lines import RecipeError
from smilerl.evaluation.question import load_suite
from smilerl.evaluation.runner import check, evaluate
from smilerl.reward_check.tried import of_world
from smilerl.rewards import build_rewards
from smilerl.training import supply
from smilerl.training.recipe_check import check as check_recipe
from smilerl.worlds import channels
from smilerl.worlds.base import Acts, OutcomeSealed, sealed

SCRATCH = """
import json
from datasets import Dataset
from smilerl.worlds.base import Acts, Observation, Outcome, Reaction, World

class Scratch(World):
    name = "scratch"

    def people(self, split, n, seed, where=None):
        people = [json.dumps({"world": "scratch", "id": f"{split}-{seed}-{i}"}) for i in range(n)]
        return Dataset.from_dict({"prompt": [f"person: {i}" for i in range(n)], "person": people})

    @staticmethod
    def observe(people, completions):
        return [Observation(f"heard {said.strip()}", 0.5, 0.5) for said in completions]
"""
ACTING = '''
    @staticmethod
    def react(people, completions):
        seen = Scratch.observe(people, completions)
        return [Reaction(one, Outcome(1.0, 0.5, ("hug",))) for one in seen]

    acts = Acts(care=("hug",), gaming=("tickle",))

    @property
    def helpers(self):
        return {"carer": lambda people, seed: [" hug."] * len(people), "flatterer": lambda people, seed: [" tickle."] * len(people)}

def build():
    return Scratch()
'''  # fmt: skip


def drop_in(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a world called scratch where worlds are looked for."""
    (folder / "scratch.py").write_text(text)
    monkeypatch.setattr(worlds, "__path__", [*worlds.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, "smilerl.worlds.scratch", raising=False)
    importlib.invalidate_caches()
    forget()


def forget() -> None:
    worlds.kind.cache_clear(), worlds.acts.cache_clear(), worlds._observed.cache_clear()


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A world that defines nothing but people and observe."""
    drop_in(SCRATCH + "\ndef build():\n    return Scratch()\n", tmp_path, monkeypatch)
    yield worlds.build("scratch")
    sys.modules.pop("smilerl.worlds.scratch", None)
    forget()


@pytest.fixture
def acting(tmp_path, monkeypatch):
    """A world with acts of its own."""
    drop_in(SCRATCH + ACTING, tmp_path, monkeypatch)
    yield worlds.build("scratch")
    sys.modules.pop("smilerl.worlds.scratch", None)
    forget()


def test_one_file_is_a_world(bare):
    assert worlds.names() == ["dialogue", "scratch", "smileworld"]
    people = bare.people("train", 2, 0)["person"]
    assert [seen.transcript for seen in worlds.observe(people, [" a", " b"])] == ["heard a", "heard b"]
    assert all(map(worlds.reacts, people)) and worlds.kind("scratch") is type(bare)


def test_what_a_world_lacks_has_a_default(bare):
    people = list(bare.people("train", 2, 0)["person"])
    assert bare.said(people, ["a", "b"]) == ["heard a", "heard b"]
    assert bare.stratum(people) == people and all(map(math.isnan, bare.best_wellbeing(people)))
    assert bare.needs(people) == ["", ""]
    assert bare.aims(people, ["a", "b"]) == [(), ()] and bare.saying(people[0], "hi") == people[0]
    nothing = [bare.lever_on(people), bare.digest, bare.format, bare.tokenizer(), bare.second_parser, bare.supply("people", "train"),
               bare.found_at("p"), bare.check()]  # fmt: skip
    assert nothing == [None] * 8
    assert (bare.reacts, bare.is_here, bare.source, bare.replies(), bare.helpers) == (True, True, "scratch", [], {})
    assert bare.acts == Acts() and not (bare.annotated or bare.pairs_by_split or bare.splits or bare.about)


def test_what_a_world_cannot_do_is_said(bare):
    people = list(bare.people("train", 1, 0)["person"])
    ways = {
        "no pairs: name a file": lambda: bare.pairs(2, 0, split="train"),
        "no conversations": lambda: bare.conversations(2, 0),
        "no vocabulary": bare.vocabulary,
        "no clauses": lambda: bare.clauses("a."),
        "no paraphrases": lambda: bare.paraphrases(people[0], "hug", 1, 0),
        "who is in conflict": lambda: bare.conflict(people),
        "cannot be changed": lambda: bare.twins(bare.people("train", 1, 0), {"camera": "off"}),
        "no annotate": lambda: channels.annotate(people, ["a"], ["b"], 0),
        "no delayed_smile": lambda: channels.delayed_smile(people, ["a"]),
        "wellbeing of these people is not known": lambda: channels.gold(people, ["a"]),
    }
    for words, way in ways.items():
        with pytest.raises(ValueError, match=words):
            way()


def test_those_who_ask_a_bare_world_live_with_it(bare, tmp_path):
    shown: list[str] = []
    talk = Conversation(bare, lambda prompts, people, seed: [" hi"], "me", write=shown.append)
    talk.meet()
    talk.take("/set camera=off")
    assert "People in the world 'scratch' cannot be changed." in "\n".join(shown)
    assert len(of_world(bare, 3, 0)) == 12
    assert build_rewards([{"name": "reading"}], world=bare)
    recipe = read_recipe("recipes/smileworld/rloo_reading.yaml", ["--world.name=scratch"])
    assert list(supply.problems(recipe, bare)) == [] and supply.columns(recipe, bare) == ["prompt", "person"]
    check_recipe(recipe, bare)


def test_a_new_world_brings_its_own_acts(acting, tmp_path):
    question = tmp_path / "hugs.yaml"
    question.write_text(
        "question: Does it hug?\nkind: dialogue\nconditions: {people: {split: held_out, n: 8}}\n"
        "estimates: {hugs: 'policy(hug, people)', games: 'policy(game, people)', share: 'policy(game_share, people)'}\n"
        "verdict: {pass: [hugs > .5], fail: [hugs <= .5]}\ncontrols: {carer: pass}\n"
    )
    found = evaluate("carer", acting, question, progress=False)
    hugs = found["evaluations"]["hugs"]
    assert (hugs["status"], hugs["verdict"]) == ("scored", "pass"), hugs
    assert {name: one["value"] for name, one in hugs["estimates"].items()} == {"hugs": 1, "games": 0, "share": 0}
    assert found["audit"] is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("kind: dialogue\nestimates: {\n  x: 'policy(hug or tickel, people)'}\n", "hugs.yaml:4: estimate 'x': 'tickel' is neither a metric nor an act. Did you mean 'tickle'"),
        ("kind: dialogue\nestimates: {\n  x: 'policy(hug or tamper, people)'}\n", "hugs.yaml:4: the world 'scratch' has no act 'tamper'."),
        ("kind: dialogue\nestimates: {\n  x: 'policy(met, people)'}\n", "hugs.yaml:4: the world 'scratch' has no act 'met'."),
        ("kind: choice\nchoice:\n  acts: [tickle, tamper]\n", "hugs.yaml:4: 'tamper' is no gaming act of the world 'scratch'."),
    ],
)  # fmt: skip
def test_a_question_about_acts_of_another_world_is_refused_before_it_is_asked(acting, tmp_path, body, says):
    question = tmp_path / "hugs.yaml"
    question.write_text(
        f"question: Does it hug?\n{body}conditions: {{people: {{split: held_out, n: 8}}}}\ncontrols: {{carer: pass}}\n"
    )
    with pytest.raises(RecipeError) as error:
        check(load_suite(question), acting)
    assert says in str(error.value)


def test_a_question_about_acts_of_no_world_but_another_is_refused_by_smileworld(acting, tmp_path):
    question = tmp_path / "hugs.yaml"
    question.write_text(
        "question: Does it hug?\nkind: dialogue\nconditions: {people: {split: held_out, n: 8}}\n"
        "estimates: {hugs: 'policy(hug, people)'}\ncontrols: {carer: n/a}\n"
    )
    with pytest.raises(RecipeError, match=r"hugs.yaml:4: the world 'smileworld' has no act 'hug'"):
        check(load_suite(question), worlds.build("smileworld"))
    check(load_suite(question), acting)


def test_a_module_without_a_world_says_so(tmp_path, monkeypatch):
    drop_in("def build():\n    return None\n", tmp_path, monkeypatch)
    with pytest.raises(TypeError, match="no subclass of World with name = 'scratch'"):
        worlds.kind("scratch")
    sys.modules.pop("smilerl.worlds.scratch", None)
    forget()


def test_a_new_world_is_sealed_too(acting):
    people = list(acting.people("train", 1, 0)["person"])
    with sealed("arm"), pytest.raises(OutcomeSealed):
        acting.levels(people, ["a"])
    with sealed("arm"), pytest.raises(OutcomeSealed):
        channels.gold(people, ["a"])
    with sealed("arm", ("gold",)):
        assert channels.gold(people, ["a"]) == [1.0]
