"""Good rewards pass; each way to be broken fails its own check, which says what to do."""

from __future__ import annotations

import dataclasses
import random
import signal

import numpy as np
import pytest
import torch

from smilerl import worlds
from smilerl.reward_check import Tried, look, of_pairs, of_world
from smilerl.reward_check.tried import pay
from smilerl.rewards import build_reward, text

TRIED = Tried(
    "a few texts",
    {
        "prompts": ["a", "a", "b", "b", "c", "c"],
        "completions": ["one", "and two", "three, and more of it", "", "five", "six six"],
        "person": ["x", "x", "y", "y", "z", "z"],
    },
)


def length(prompts, completions, **columns):
    return [float(len(text(said))) for said in completions]


def mutating(prompts, completions, **columns):
    values = length(prompts, completions)
    completions[0] = "gone"
    columns["person"].reverse()
    return values


def standardised(prompts, completions, **columns):
    values = torch.tensor(length(prompts, completions))
    return ((values - values.mean()) / (values.std(correction=0) + 1)).tolist()


def by_place(prompts, completions, **columns):
    return [value + place for place, value in enumerate(length(prompts, completions))]


def of_one_prompt(prompts, completions, **columns):
    return [float(ord(prompt)) for prompt in prompts]


def not_a_number(prompts, completions, **columns):
    return [float("nan") if not text(said) else 1.0 * len(text(said)) for said in completions]


def too_short(prompts, completions, **columns):
    return [1.0]


def wrong_type(prompts, completions, **columns):
    return ["good"] * len(completions)


def infinite(prompts, completions, **columns):
    return [float("inf")] * len(completions)


def nothing(prompts, completions, **columns):
    return [None] * len(completions)


def raising(prompts, completions, **columns):
    return [1 / len(said) for said in completions]


def no_single(prompts, completions, **columns):
    return [value / (len(completions) - 1) * 5 for value in length(prompts, completions)]


def draws(prompts, completions, **columns):
    return [value + random.random() for value in length(prompts, completions)]


def draws_one_of_numpy(prompts, completions, **columns):
    np.random.random()
    return length(prompts, completions)


def seeds(prompts, completions, **columns):
    random.seed(0)
    return length(prompts, completions)


class Counter:
    """Impure, and says nothing of its state."""

    def __init__(self):
        self.calls = 0

    def __call__(self, prompts, completions, **columns):
        self.calls += 1
        return [value + self.calls for value in length(prompts, completions)]


class Once(Counter):
    """Uses itself up."""

    def __call__(self, prompts, completions, **columns):
        super().__call__(prompts, completions)
        return length(prompts, completions) if self.calls == 1 else []


class Schedule(Counter):
    """The same, with its state where a trainer can save it."""

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]


async def slowly(prompts, completions, **columns):
    return length(prompts, completions)


def failed(reward, tried=TRIED) -> dict[str, str]:
    found = look(reward, tried)
    bad = {one.name: one.fix for one in found.findings if one.status == "fails"}
    assert found.passed == (not bad)
    assert all(fix for fix in bad.values()), "each failure says what to do"
    assert all(name in found.table() for name in bad)
    return bad


@pytest.mark.parametrize("reward", [length, slowly, Schedule()])
def test_a_good_reward_passes(reward):
    assert failed(reward) == {}


@pytest.mark.parametrize(
    ("reward", "checks"),
    [
        (mutating, {"inputs"}),
        (standardised, {"batch"}),
        (by_place, {"batch", "order"}),
        (of_one_prompt, {"spread"}),
        (not_a_number, {"unscored"}),
        (nothing, {"unscored"}),
        (too_short, {"values"}),
        (wrong_type, {"values"}),
        (infinite, {"values"}),
        (raising, {"values"}),
        (no_single, {"batch"}),
        (draws, {"twice", "batch", "order"}),
        (seeds, {"generators"}),
    ],
)
def test_a_broken_reward_fails_its_own_check(reward, checks):
    assert set(failed(reward)) == checks


def test_a_counter_without_a_state_is_impure():
    assert "twice" in failed(Counter())


def test_a_single_draw_from_a_global_generator_is_noted():
    found = {one.name: one.status for one in look(draws_one_of_numpy, TRIED).findings}
    assert found["generators"] == "note"
    assert {one.name: one.status for one in look(length, TRIED).findings}["generators"] == "ok"


def test_what_works_once_only_is_told_so_and_not_a_traceback():
    assert "twice" in failed(Once())


def test_what_it_was_tried_on_is_left_as_it_was():
    before = {name: list(values) for name, values in TRIED.columns.items()}
    look(mutating, TRIED)
    assert TRIED.columns == before


def test_the_global_generators_stay_where_they_are():
    random.seed(3)
    before = random.getstate(), torch.get_rng_state().tolist()
    look(draws, TRIED)
    look(seeds, TRIED)
    assert (random.getstate(), torch.get_rng_state().tolist()) == before


@pytest.fixture(scope="module")
def people():
    return of_world(worlds.build("smileworld"), 8, seed=0)


@pytest.mark.parametrize(
    "name", ["sentiment", "reading", "smile", "gameable", "gold", "random", "shuffled", "constant"]
)
def test_every_reward_of_the_house_passes_or_fails_by_design(name, people):
    found = look(build_reward(name), people)
    assert found.passed, found.table()
    by_design = {one.name for one in found.findings if one.status == "by design"}
    assert by_design <= {"random": {"batch", "order"}, "shuffled": {"batch", "order"}, "constant": {"spread"}}.get(
        name, set()
    )
    assert bool(by_design) == (name in ("random", "shuffled", "constant"))


def test_what_it_pays_is_shown_by_helper_beside_wellbeing(people):
    world = worlds.build("smileworld")
    values = build_reward("reading")(**people.columns)
    rows = pay(world, people, values)
    assert rows[0]["helper"] == "spoofer"
    carer = next(row for row in rows if row["helper"] == "carer")
    # Where the camera is off there is no reading, and so nothing to average.
    own = [values[row] for row, who in enumerate(people.helpers) if who == "carer" and values[row] is not None]
    assert carer["mean"] == pytest.approx(sum(own) / len(own))
    assert carer["low"] < carer["mean"] < carer["high"]
    assert carer["wellbeing"] == max(row["wellbeing"] for row in rows)
    assert pay(world, TRIED, [1.0] * len(TRIED)) == []


def test_a_real_model_shows_how_it_is_read_to(checkpoint):
    folder = checkpoint("qwen3", classifier=True)
    talks = {
        "prompts": [[{"role": "user", "content": prompt}] for prompt in TRIED.columns["prompts"]],
        "completions": [[{"role": "assistant", "content": said}] for said in TRIED.columns["completions"]],
    }
    found = look(build_reward({"name": "preference", "args": {"model": folder}}), Tried("talks", talks))
    assert found.passed, found.table()
    assert {"EOS", "padding", "chat template", "dtype", "outputs"} <= set(found.model)
    checks = {one.name: one for one in found.findings}
    assert checks["batch"].numbers["largest_difference"] <= checks["batch"].numbers["allowed"]
    plain = look(build_reward({"name": "preference", "args": {"model": folder}}), TRIED)
    assert [one.name for one in plain.findings if one.status == "fails"] == ["form"]
    told = {"model": folder, "chat": True}
    assert look(build_reward({"name": "preference", "args": told}), TRIED).passed


def test_labels_and_truncation_are_shown(checkpoint):
    args = {"model": checkpoint("roberta", labels=["bad", "good"]), "reads": "completion", "max_length": 10}
    args["labels"] = {"positive": "good", "negative": "bad"}
    found = look(build_reward({"name": "sentiment", "args": args}), TRIED)
    assert found.model["labels"] == {"bad": -1.0, "good": 1.0}
    assert "bad = -1, good = +1" in found.table()
    truncated = next(one for one in found.findings if one.name == "truncated")
    assert truncated.numbers["share"] == pytest.approx(1 / 6)  # "three, and more of it" alone has more than ten bytes
    assert truncated.status == "fails"
    assert "max_length" in truncated.fix


def test_a_model_that_pads_without_a_mask_is_found_out(checkpoint):
    """The pitfall of many a hand-written reward: the padding is read too."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = checkpoint("roberta")
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )

    @torch.inference_mode()
    def careless(prompts, completions, **columns):
        batch = tokenizer([text(said) or "." for said in completions], padding=True, return_tensors="pt")
        return (
            model(input_ids=batch["input_ids"], attention_mask=torch.ones_like(batch["input_ids"]))
            .logits[:, 0]
            .tolist()
        )

    assert "batch" in failed(careless)


def test_a_dataset_gives_its_own_replies_and_one_without_any_some_of_ours(tmp_path):
    file = tmp_path / "talks.jsonl"
    file.write_text("".join(f'{{"prompt": "p{i}", "completion": " reply {i}"}}\n' for i in range(9)))
    tried = of_world(worlds.build("dialogue", path=str(file), held_out_fraction=0), 4, seed=0)
    assert len(tried) == 16
    assert all(said.startswith(" reply") for said in tried.columns["completions"])
    file.write_text("".join(f'{{"prompt": [{{"role": "user", "content": "p{i}"}}]}}\n' for i in range(9)))
    tried = of_world(worlds.build("dialogue", path=str(file), held_out_fraction=0), 4, seed=0)
    assert all(said[0]["role"] == "assistant" for said in tried.columns["completions"])


def test_pairs_are_spread_evenly():
    rows = [type("Row", (), {"prompt": str(i), "completion": "good", "rejected": "bad"}) for i in range(10)]
    tried = of_pairs(rows, 5)
    assert tried.columns["prompts"] == ["0", "0", "2", "2", "4", "4", "6", "6", "8", "8"]
    assert tried.columns["completions"][:2] == ["good", "bad"]


def test_a_reward_that_reaches_for_outcomes_fails_here_and_not_in_a_run():
    from smilerl import worlds
    from smilerl.reward_check import look, of_world

    world = worlds.build("smileworld")

    def nosy(prompts, completions, person, **columns):
        return [one.outcome.wellbeing for one in world.react(person, completions)]

    found = look(nosy, of_world(world, 4, 0))
    assert not found.passed and "reward check" in found.findings[0].said


def counts_items(prompts, completions, **columns):
    return [float(len(said)) for said in completions]


def looks_for_a_word(prompts, completions, **columns):
    return [float("and" in said) for said in completions]


def counts_commas(prompts, completions, **columns):
    return [float(said.count(",")) for said in completions]


def reads_messages_alone(prompts, completions, **columns):
    return [float(len(said) if isinstance(said, str) else len(said[0]["content"])) for said in completions]


def blind_to_text(prompts, completions, **columns):
    return [0.0 if isinstance(said, str) else float(len(said[0]["content"])) for said in completions]


def as_messages(tried):
    prompts = [[{"role": "user", "content": said}] for said in tried.columns["prompts"]]
    completions = [[{"role": "assistant", "content": said}] for said in tried.columns["completions"]]
    return dataclasses.replace(tried, columns={**tried.columns, "prompts": prompts, "completions": completions})


@pytest.mark.parametrize("reward", [counts_items, looks_for_a_word, counts_commas])
def test_a_reward_that_is_constant_on_messages_fails_in_a_world_of_plain_text(reward):
    found = {one.name: one for one in look(reward, TRIED).findings}["form"]
    assert found.status == "fails" and "as messages all" in found.said and "smilerl.rewards.texts" in found.fix


def test_a_reward_that_is_constant_on_plain_text_fails_in_a_world_of_messages():
    assert {one.name: one for one in look(blind_to_text, as_messages(TRIED)).findings}["form"].status == "fails"
    assert {one.name: one for one in look(reads_messages_alone, as_messages(TRIED)).findings}["form"].status == "ok"


@pytest.mark.parametrize(
    "leaves", [SystemExit(0), KeyboardInterrupt(), GeneratorExit()], ids=lambda one: type(one).__name__
)
def test_a_reward_that_would_end_the_check_fails_it(leaves):
    def quitting(prompts, completions, **columns):
        raise leaves

    before = signal.signal(signal.SIGINT, lambda *_: None)  # as while a run listens to signals
    try:
        (found,) = look(quitting, TRIED).findings
    finally:
        signal.signal(signal.SIGINT, before)
    assert found.status == "fails" and "'quitting'" in found.said
