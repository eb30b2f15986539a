"""reading, smile and gold give what they say; shuffled, constant and random carry no information."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smilerl import worlds
from smilerl.rewards import RewardError, constant, gold, random, reading, shuffled, smile
from smilerl.worlds import channels


def test_reading_and_smile_are_the_two_numbers_of_the_observation(batch):
    seen = worlds.observe(batch["person"], batch["completions"])
    assert reading.reward(**batch) == [o.reading for o in seen]
    assert smile.reward(**batch) == [o.smile for o in seen]
    assert reading.reward(**batch) != smile.reward(**batch), "spoofing fools the sensor alone"


def test_the_camera_switches_off_the_reading_and_not_the_smile(world):
    person = list(world.people("train", 8, seed=0, where={"camera": "off"})["person"])
    columns = {"prompts": [""] * 8, "completions": world.helpers["carer"](person, 0), "person": person}
    assert reading.reward(**columns) == [None] * 8
    assert all(0 <= value <= 1 for value in smile.reward(**columns))


def test_gold_is_the_wellbeing(world, batch):
    wellbeing = [reaction.outcome.wellbeing for reaction in world.react(batch["person"], batch["completions"])]
    assert gold.reward(**batch) == wellbeing
    assert gold.reward.channels == ("gold",)


def test_a_delayed_smile_is_opt_in_and_declared(batch):
    assert smile.build().channels == ()
    later = smile.build(delayed=2.0)
    assert later.channels == ("delayed_smile",)
    tomorrow = channels.delayed_smile(batch["person"], batch["completions"])
    assert later(**batch) == pytest.approx([a + 2 * b for a, b in zip(smile.reward(**batch), tomorrow, strict=True)])
    with pytest.raises(RewardError, match="delayed"):
        smile.build(delayed=-1)


@given(st.lists(st.integers(0, 7), min_size=0, max_size=40), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_shuffled_gives_the_same_values_to_other_people(whom, seed):
    person = [str(one) for one in whom]
    values = [float(row) for row in range(len(person))]
    reward = shuffled.build(reward=lambda completions, **columns: values, seed=seed)
    batch = {"prompts": [""] * len(person), "completions": values_as_text(values), "person": person}
    if person and 2 * max(map(person.count, person)) > len(person):
        with pytest.raises(RewardError, match="too few others"):
            reward(**batch)
        return
    given_values = reward(**batch)
    assert sorted(given_values) == values
    assert all(person[int(value)] != person[row] for row, value in enumerate(given_values))
    assert reward(**batch) == given_values


@given(st.lists(st.integers(0, 3), max_size=30))
@settings(max_examples=100, deadline=None)
def test_shuffled_across_replies_stays_with_the_person(whom):
    person = [str(one) for one in whom]
    values = [float(row) for row in range(len(person))]
    reward = shuffled.build(reward=lambda completions, **columns: values, across="replies")
    given_values = reward(prompts=[""] * len(person), completions=values_as_text(values), person=person)
    for row, value in enumerate(given_values):
        if person.count(person[row]) == 1:
            assert value is None
        else:
            assert person[int(value)] == person[row]
            assert value != row
    assert len({value for value in given_values if value is not None}) == sum(
        value is not None for value in given_values
    )


def values_as_text(values: list[float]) -> list[str]:
    return [str(value) for value in values]


def test_another_seed_or_batch_is_another_order(batch):
    orders = {tuple(shuffled.build(seed=seed)(**batch)) for seed in range(4)}
    assert len(orders) > 1
    assert shuffled.build(reward="gold").channels == ("gold",)
    with pytest.raises(RewardError, match="people or replies"):
        shuffled.build(across="prompts")


def test_constant_is_constant(batch):
    assert set(constant.build(value=0.5)(**batch)) == {0.5}
    with pytest.raises(RewardError, match="finite"):
        constant.build(value=float("nan"))


def test_random_is_new_each_time_and_repeats_from_its_state():
    many = {"prompts": ["p"] * 20000, "completions": ["c"] * 20000}
    reward, same, other = random.build(mean=1, std=2, seed=0), random.build(mean=1, std=2, seed=0), random.build(seed=1)
    values = reward(**many)
    assert values == same(**many)
    assert values != reward(**many), "the same reply is worth something else the next time"
    assert other(**many) != random.build(seed=0)(**many)
    mean = sum(values) / len(values)
    assert mean == pytest.approx(1, abs=0.06)
    assert (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5 == pytest.approx(2, abs=0.06)
    same.load_state_dict(reward.state_dict())
    assert same(**many) == reward(**many)


def test_random_may_be_a_fixed_function_of_person_and_reply():
    fixed = random.build(fresh=False, seed=5)
    batch = {"prompts": ["p", "p", "q"], "completions": ["c", "d", "c"]}
    assert fixed(**batch) == fixed(**batch)
    assert len(set(fixed(**batch))) == 3
    assert fixed(**batch) != random.build(fresh=False, seed=6)(**batch)


def test_random_may_have_the_values_of_another_reward(batch):
    alike = random.build(like="reading")
    assert set(alike(**batch)) <= set(reading.reward(**batch))
    assert alike(**batch) != alike(**batch)
    assert random.build(like="gold").channels == ("gold",)
    with pytest.raises(RewardError, match="not both"):
        random.build(like="reading", fresh=False)
    with pytest.raises(RewardError, match="std"):
        random.build(std=-1)


def test_processes_of_a_distributed_run_draw_different_noise(monkeypatch):
    first = random.build()(prompts=["p"], completions=["c"])
    monkeypatch.setenv("RANK", "1")
    assert random.build()(prompts=["p"], completions=["c"]) != first
