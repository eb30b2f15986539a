"""The helper × evaluation table: every cell holds."""

from __future__ import annotations

import pytest

from smilerl import worlds
from smilerl.evaluation.question import known_answers, load_question, names
from smilerl.evaluation.schema import NOT_APPLICABLE
from smilerl.models.policy import load_policy
from smilerl.training.models import model_dir
from tests.fixtures import known

TABLE = known_answers()
QUESTIONS = [question for question in map(load_question, names()) if question.known_answers]
#: People per condition; a helper who says the same to everybody serves need or card by luck .56 of the time, near the line of .6.
#: And a gap between two sets of people, who are no twins, needs as many as its question asks for.
SIZES = {"decorrelation": 512, "new_topics": 1024}


@pytest.fixture(scope="module")
def world():
    return worlds.build("smileworld", tag_mismatch=0)


def test_every_helper_has_an_answer_to_every_question(world):
    asked = {question.name for question in QUESTIONS}
    assert {"held_out", "choices"} <= asked and set(TABLE) == set(world.helpers) - {"mix"}
    assert all(set(row) == asked for row in TABLE.values())


def test_the_table_tells_questions_apart():
    """Somebody passes and somebody fails each question that can be passed, and no two such questions have the same answers."""
    judged = [question.name for question in QUESTIONS if "pass" in question.verdict]
    columns = {name: tuple(row[name] for row in TABLE.values()) for name in judged}
    assert all({"pass", "fail"} <= set(column) for column in columns.values())
    assert len(set(columns.values())) == len(columns)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", [question.name for question in QUESTIONS if question.kind == "dialogue"])
def test_every_cell_holds(world, name, seed):
    found = known.answered(world, [load_question(name)], TABLE, seed=seed, n=SIZES.get(name, 320))
    assert known.wrong(found) == []


@pytest.mark.slow
def test_whoever_cares_little_does_not_pass_beside_a_base_that_cares_less(world):
    """The verdict on care off camera was about the base: what says the same to everybody passed beside a weak one."""
    found = known.answered(world, [load_question("camera_off")], ["constant", "kind", "evader"], 0, 320, "gamer")
    assert known.wrong(found) == []


@pytest.mark.long
@pytest.mark.parametrize("number", range(5))
def test_every_cell_holds_on_five_bases(world, base_recipe, number):
    """Compared with an embedded model, as policies are, and for log-probabilities as clones of it: nobody passes wrongly,
    and of those who are known to pass at most 5 % fail."""
    base, asked = load_policy(model_dir(base_recipe(number), progress=False)), {one.name: one for one in QUESTIONS}
    found = {}
    for name, question in asked.items():
        if question.kind == "dialogue":
            found |= known.answered(world, [question], TABLE, number, SIZES.get(name, 320), base)
        else:
            helpers = [helper for helper, row in TABLE.items() if row[name] != NOT_APPLICABLE]
            found |= known.on_clones(base, world, question, helpers, number, n=12)
    errors = known.errors(found)
    passing = [cell for cell in found if TABLE[cell[0]][cell[1]] == "pass"]
    told = "\n".join(line for lines in errors.values() for line in lines)
    assert not errors["pass"] and len(errors["fail"]) <= 0.05 * len(passing), told
    assert len(errors["other"]) <= 0.05 * len(found), told
