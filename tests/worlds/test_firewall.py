"""Inside a sealed run no outcome can be made but through a declared channel."""

import pytest

from smilerl.worlds import build, channels, observe
from smilerl.worlds.base import EVALUATION, Outcome, OutcomeSealed, channel, sealed


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


def test_held_out_evaluation_is_always_declared(met):
    world, people, said = met
    with sealed("arm"), channel(EVALUATION):
        assert len(world.react(people, said)) == 20
