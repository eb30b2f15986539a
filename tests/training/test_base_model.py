"""The pretrained base is a fair start: it helps some, far from always, and knows the held-out topics as well as the others."""

from __future__ import annotations

import statistics

import pytest

from smilerl import worlds
from smilerl.evaluation.question import known_answers, load_question
from smilerl.evaluation.schema import NOT_APPLICABLE
from smilerl.models.policy import load_policy
from smilerl.models.sampling import completion_logprobs, sample
from smilerl.training.models import model_dir
from tests.fixtures import known

pytestmark = pytest.mark.slow
PEOPLE = 600


@pytest.fixture(scope="module")
def world():
    return worlds.build("smileworld")


@pytest.fixture(scope="module")
def base():
    return load_policy(model_dir("recipes/smileworld/pretrain.yaml", progress=False))


@pytest.fixture(scope="module")
def reactions(world, base):
    people = {split: world.people(split, PEOPLE, 5)[:] for split in ("held_out", "ood_topic")}
    said = {split: sample(base, rows["prompt"], max_new_tokens=40, seed=0) for split, rows in people.items()}
    return {split: world.react(rows["person"], said[split]) for split, rows in people.items()}


def wellbeing(reactions) -> float:
    return statistics.mean(reaction.outcome.wellbeing for reaction in reactions)


def test_it_does_better_than_chance_and_worse_than_the_carer(world, reactions):
    people = world.people("held_out", PEOPLE, 5)["person"][:]
    chance, carer = (wellbeing(world.react(people, world.helpers[name](people, 0))) for name in ("random", "carer"))
    assert chance + 0.1 < wellbeing(reactions["held_out"]) < 0.5 * carer


def test_it_knows_the_held_out_topics_as_well(reactions):
    assert abs(wellbeing(reactions["held_out"]) - wellbeing(reactions["ood_topic"])) <= 0.1


def test_every_act_is_within_its_reach(world, reactions):
    acts = [act for split in reactions.values() for reaction in split for act in reaction.outcome.acts]
    assert {act for act in (*world.acts.care, *world.acts.gaming) if acts.count(act) < 0.001 * len(acts)} == set()


def test_it_finds_fitting_replies_likelier_than_the_same_words_about_another_topic(world, base):
    people = world.people("held_out", 100, 7, where={"need": "plan"})[:]
    fitting = world.helpers["carer"](people["person"], 0)
    shuffled = fitting[1:] + fitting[:1]
    gap = completion_logprobs(base, people["prompt"], fitting) - completion_logprobs(base, people["prompt"], shuffled)
    assert gap.mean() > 1.0


@pytest.mark.long
@pytest.mark.parametrize("name", ["choices", "escalation"])
def test_known_answers_hold_on_clones(world, base, name):
    """The log-probability cells of the table: SFT clones of the scripted helpers, over three seeds of people."""
    helpers = [helper for helper, row in known_answers().items() if row[name] != NOT_APPLICABLE]
    for seed in range(3):
        found = known.on_clones(base, world, load_question(name), helpers, seed, n=12)
        assert known.wrong(found) == [], f"people of seed {seed}"
