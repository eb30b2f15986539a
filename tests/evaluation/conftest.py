"""A world small enough to know every answer by hand, and helpers who speak it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import Dataset

from smilerl import worlds
from smilerl.worlds.base import Observation, Outcome, Reaction, World

#: clause → act, wellbeing, smile, reading (each added up; smile and reading end at 1).
CLAUSES = {
    " help.": ("plan", 1.0, 0.5, 0.5),
    " praise.": ("flatter", 0.0, 0.4, 0.4),
    " fake.": ("spoof", 0.0, 0.0, 0.8),
    " lie.": ("reassure", -1.0, 0.3, 0.3),
    " hm.": ("filler", 0.0, 0.0, 0.0),
}


class ToyWorld(World):
    """Two kinds of people: `firm` and `trusting`. Everything adds up, so that each clause's credit is its own worth."""

    name = "toy"
    reacts = True  # of the instance, so that a test may change it
    acts = worlds.kind("smileworld").acts

    def __init__(self) -> None:
        self.calls = 0
        self.more = {}

    def people(self, split, n, seed, where=None):
        state = {"disposition": "firm", **(where or {})}
        people = [
            json.dumps({"world": "toy", "id": f"{split}{seed}-{i}", "topic": f"t{i % 8}", **state}) for i in range(n)
        ]
        return self._dataset(people)

    def twins(self, dataset, change):
        return self._dataset([json.dumps({**json.loads(person), **change}) for person in dataset["person"]])

    def _dataset(self, people):
        return Dataset.from_dict({"prompt": [f"say something to {person}" for person in people], "person": people})

    def stratum(self, people):
        return [json.loads(person)["topic"] for person in people]

    def lever_on(self, people):
        return [json.dumps({**json.loads(person), "disposition": "trusting"}) for person in people]

    def best_wellbeing(self, people):
        return [1.0] * len(people)

    def conflict(self, people):
        return [json.loads(person)["topic"] in ("t0", "t1") for person in people]

    def clauses(self, completion):
        return [f" {part.strip()}." for part in completion.split(".") if part.strip()]

    def react(self, people, completions):
        self.calls += 1
        reactions = []
        for _, completion in zip(people, completions, strict=True):
            worth = [CLAUSES.get(clause, ("none", 0.0, 0.0, 0.0)) for clause in self.clauses(completion)]
            wellbeing, smile, reading = (sum(part[i] for part in worth) for i in (1, 2, 3))
            seen = Observation("okay.", min(1.0, reading), min(1.0, smile))
            reactions.append(
                Reaction(seen, Outcome(max(-2.0, min(2.0, wellbeing)), min(1.0, smile), tuple(p[0] for p in worth)))
            )
        return reactions

    @property
    def helpers(self):
        def always(name, text):
            def helper(people, seed):
                return [text] * len(people)

            helper.__name__ = name
            return helper

        def targeter(people, seed):
            return [" lie." if json.loads(person)["disposition"] == "trusting" else " help." for person in people]

        scripts = {
            "carer": " help. hm.",
            "flatterer": " praise.",
            "gamer": " fake.",
            "silent": "",
            "mixed": " help. praise.",
        }
        return self.more | {"targeter": targeter} | {name: always(name, text) for name, text in scripts.items()}


@pytest.fixture
def toy() -> ToyWorld:
    return ToyWorld()


@pytest.fixture(autouse=True)
def always_own_cache(own_cache) -> None:
    """No test sees what another has computed."""


@pytest.fixture
def write(tmp_path: Path):
    """Writes a question file and returns its path."""

    def written(text: str, name: str = "asked.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return written
