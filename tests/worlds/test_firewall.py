"""Inside a sealed run no outcome can be made but through a declared channel."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from smilerl.worlds import build, channels, observe
from smilerl.worlds.base import EvaluationKey, Outcome, OutcomeSealed, channel, opened, sealed
from smilerl.worlds.smileworld import dynamics
from smilerl.worlds.smileworld.people import Person


@pytest.fixture(scope="module")
def met():
    world = build("smileworld")
    people = world.people("train", 20, 0)["person"]
    return world, people, world.helpers["carer"](people, 0)


def test_observations_are_free_and_outcomes_are_not(met):
    world, people, said = met
    with sealed("arm"):
        assert len(observe(people, said)) == 20
        with pytest.raises(OutcomeSealed, match="'arm' computed an outcome during training"):
            world.react(people, said)
        with pytest.raises(OutcomeSealed):
            Outcome(0.0, 0.0, ())
    assert len(world.react(people, said)) == 20


def test_messages_are_observed_as_the_text_in_them(met):
    _, people, said = met
    told = [[{"role": "assistant", "content": text}] for text in said]
    assert observe(people, told) == observe(people, said)


@pytest.mark.parametrize("name", ["gold", "delayed_smile"])
def test_a_channel_opens_only_where_it_is_declared(met, name):
    _, people, said = met
    with sealed("arm"), pytest.raises(OutcomeSealed, match=f"channel '{name}', which it does not declare"):
        getattr(channels, name)(people, said)
    with sealed("arm", (name,)):
        assert all(isinstance(label, float) for label in getattr(channels, name)(people, said))
        with pytest.raises(OutcomeSealed):  # and it is closed again behind the label
            Outcome(0.0, 0.0, ())


def test_annotators_are_a_channel_too(met):
    world, _people, _said = met
    with sealed("arm"), pytest.raises(OutcomeSealed):
        world.pairs(4, 0)
    with sealed("arm", ("annotators",)):
        assert len(world.pairs(4, 0)) == 4


def test_held_out_evaluation_needs_the_key_of_the_run(met):
    world, people, said = met
    key = EvaluationKey()
    with sealed("arm", key=key):
        with opened(key):
            assert len(world.react(people, said)) == 20
        for attempt in (lambda: opened(EvaluationKey()), lambda: channel("evaluation")):
            with pytest.raises(OutcomeSealed), attempt():
                pass


def test_a_sealed_run_is_sealed_in_every_thread_and_for_every_way_to_wellbeing(met):
    world, people, said = met
    state = Person.from_json(people[0])
    ways = [
        lambda: world.react(people, said),
        lambda: dynamics.wellbeing(state, ()),
        lambda: world.best_wellbeing(people),
        lambda: world.levels(people, said),
        lambda: world.conflict(people),
        lambda: world.annotate(people, said, said, 0),
        lambda: world.delayed_smile(people, said),
    ]
    world.best_wellbeing(people), world.conflict(people)  # what was remembered before is sealed as well
    with sealed("arm"), ThreadPoolExecutor(1) as thread:
        for way in ways:
            with pytest.raises(OutcomeSealed):
                way()
            with pytest.raises(OutcomeSealed):
                thread.submit(way).result()
