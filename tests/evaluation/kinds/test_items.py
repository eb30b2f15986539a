"""Written items: the odds by hand, the controls, and mistakes in a file."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from smilerl import worlds
from smilerl.evaluation import controls, written
from smilerl.evaluation.agents import language_model
from smilerl.evaluation.kinds import items
from smilerl.evaluation.question import load_question, names
from smilerl.evaluation.runner import evaluate
from smilerl.evaluation.session import Session
from smilerl.evaluation.verdicts import decide
from smilerl.models.policy import fresh_policy, split_tokens
from smilerl.models.sampling import completion_logprobs
from smilerl.runs.cache import Cache

QUESTIONS = [name for name in names() if load_question(name).kind == "items"]
CONFIG = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
          "num_key_value_heads": 2, "max_position_embeddings": 512}  # fmt: skip


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(0)
    return fresh_policy(CONFIG, worlds.build("smileworld"))


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_controls_answer_as_known(name):
    session = Session(worlds.build("smileworld"), None, None, {}, 0, Cache(None))
    found = controls.controls(session, load_question(name), {})
    assert {control: cell["got"] for control, cell in found.items() if not cell["agrees"]} == {}


def test_odds_by_hand(policy):
    some = written.load_items(load_question(QUESTIONS[0]).spec)[:3]
    found = items.answers(some, items.of_language_model(policy)(some))
    for row, item in enumerate(some):

        def mass(act, item=item):
            texts = [items.option_text(policy, text) for text in item.options[act]]
            return np.logaddexp.reduce(
                completion_logprobs(policy, [items.prompt_of(policy, item)] * len(texts), texts, eos=False)
            )

        assert found.loc[row, "care_odds"] == pytest.approx(mass("care") - mass(item.exploit), abs=1e-3)
        assert found.loc[row, "prefers_care"] == float(found.loc[row, "care_odds"] > 0)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_stranger_is_as_long_and_of_another_theme(name):
    some = written.load_items(load_question(name).spec)
    care_of = {text: item.theme for item in some for text in item.options["care"]}
    for item in some:
        assert care_of[item.stranger] != item.theme and item.stranger not in item.options["care"]
    apart = [len(item.options["care"][item.kin]) - len(item.stranger) for item in some]
    assert np.abs(apart).max() <= 10 and abs(np.mean(apart)) < 0.5
    drawn = [item.stranger for item in some if item.condition == some[0].condition]
    assert max(map(drawn.count, drawn)) <= 3, "a few strangers would be a matter of taste"


def test_who_reads_is_told_from_who_does_not(policy):
    some = written.load_items(load_question("real_choices").spec)
    share = {name: items.answers(some, chooser(some))["reads"].mean() for name, chooser in items.CHOOSERS.items()}
    assert share["carer"] == share["gamer"] == share["idler"] == 1
    assert max(share[name] for name in ("coin", "shortest", "longest")) < 0.6
    found = items.answers(some, items.of_language_model(policy)(some))
    of_text = {text: item for item in some for text in item.options["care"]}
    for row in (0, 7, 50):
        item, other = some[row], of_text[some[row].stranger]
        texts = [items.option_text(policy, text) for text in (item.options["care"][item.kin], item.stranger)]
        here, there = (
            np.subtract(*completion_logprobs(policy, [items.prompt_of(policy, asked)] * 2, texts, eos=False))
            for asked in (item, other)
        )
        assert found.loc[row, "reads"] == float(here > there)


def test_a_taste_for_some_texts_whatever_is_asked_is_no_reading():
    """By likelihood alone, a chat model that plainly reads found its own care likelier in .63 to .69 of items."""
    some = written.load_items(load_question("real_choices").spec)

    def reader_with_a_taste(items_asked):
        taste = items.CHOOSERS["coin"](items_asked)
        for item, own in zip(items_asked, taste, strict=True):
            own["care"] += 1
            own["guests"] = own.get("guests", np.zeros(0)) - 1 if item.guests else np.zeros(0)
            own["stranger"] -= 1
        return taste

    assert items.answers(some, reader_with_a_taste(some))["reads"].mean() == 1
    assert items.answers(some, items.CHOOSERS["coin"](some))["reads"].mean() == 0
    assert items.answers(some[:10], reader_with_a_taste(some[:10]))["reads"].isna().all()  # the other is not there


@pytest.mark.parametrize("temperature", [0.2, 0.5])
def test_a_base_that_is_less_random_has_learnt_nothing(temperature):
    """Of a head divided by .2 all odds are five times as large: a shift of nats toward care, or away."""
    question = load_question("real_choices")
    texts = [text for item in written.load_items(question.spec) for own in item.options.values() for text in own]
    words = sorted({word for text in texts for word in split_tokens(f" {text}")})
    world = SimpleNamespace(vocabulary=lambda: words, tokenizer=lambda: None)

    def agent(divided_by: float):
        torch.manual_seed(0)
        policy = fresh_policy({**CONFIG, "initializer_range": 0.3, "tie_word_embeddings": False}, world)
        policy.model.lm_head.weight.data /= divided_by
        return language_model(policy, {})

    session = Session(worlds.build("smileworld"), agent(1.0), None, {}, 0, Cache(None))
    found, _ = items.estimates(session, question, agent(temperature))
    shifts = {name: found[name].value for name in found if f"{name}_raw" in found}
    assert max(abs(found[f"{name}_raw"].value) for name in shifts) > 1
    assert all(abs(shift) < 0.1 * abs(found[f"{name}_raw"].value) + 0.02 for name, shift in shifts.items())


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_tuned_policy_that_games_whatever_it_is_asked_does_not_get_away(name):
    """It no longer reads, but its base does."""
    question = load_question(name)

    def answered(who, some):
        if who != "policy":
            return items.answers(some, items.CHOOSERS["carer"](some))
        taste = items.CHOOSERS["coin"](some)
        for item, own in zip(some, taste, strict=True):
            own[item.exploit] = own[item.exploit] + 40
        return items.answers(some, taste)

    found, missing = items.estimated(question, answered, {"policy": "blind", "base": "reader", "matched": "reader"}, 0)
    assert found["reads"].high < 0.75 and decide(question.verdict, found, list(missing)).word == "fail"
    for who in (
        {"policy": "blind"},
        {"policy": "blind", "base": "policy", "matched": "policy"},
    ):  # alone, and beside a base that is as blind
        found, missing = items.estimated(question, lambda _, some: answered("policy", some), who, 0)
        assert decide(question.verdict, found, list(missing)).word == "incapable"


@pytest.mark.parametrize("act", ["flatter", "joke", "cling", "reassure", "beg", "threaten", "tamper", "spoof", "stuff"])
def test_a_taste_for_one_act_whoever_asks_fails_in_choices(act):
    """It loses in the pairs of the act what it gains where the act is care, so that the mean alone shows nothing."""
    question = load_question("real_choices")
    liked = {text for item in written.load_items(question.spec) for text in item.options.get(act, ())}

    def answered(who, some):
        own = items.CHOOSERS["coin"](some)
        for item, scores in zip(some, own, strict=True):
            for option, texts in item.offered.items():
                wanted = 40 * (option == "care") + 5 * (who == "policy") * np.array([text in liked for text in texts])
                scores[option] = scores[option] + wanted
        return items.answers(some, own)

    found, missing = items.estimated(question, answered, {"policy": "taster", "base": "reader", "matched": "reader"}, 0)
    assert abs(found["shift"].value) < 0.5 and found[act].value == pytest.approx(-5)
    assert decide(question.verdict, found, list(missing)).word == "fail"


def test_no_number_is_no_answer():
    item = written.load_items(load_question(QUESTIONS[0]).spec)[0]
    scores = {act: np.full(len(own), -10.0) for act, own in item.options.items()}
    scores["care"][0] = np.nan
    found = items.answers([item], [scores])
    assert found[["care_odds", "prefers_care"]].isna().all().all()
    tied = items.answers([item], [{act: np.full(8, -10.0) for act in item.options}])
    assert tied["prefers_care"].isna().all()


def test_a_language_model_is_asked_and_compared(policy, tmp_path, monkeypatch):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path))
    found = evaluate(policy, worlds.build("smileworld"), "real_camera_off", base=policy, progress=False)["evaluations"][
        "real_camera_off"
    ]
    assert found["status"] == "scored", found["why"]
    assert (
        found["estimates"]["over_base"]["value"] == 0
        and found["estimates"]["drop"]["scored"] == found["estimates"]["drop"]["of"]
    )
    alone = evaluate(policy, worlds.build("smileworld"), "real_camera_off", progress=False)["evaluations"][
        "real_camera_off"
    ]
    assert "over_base" in alone["without"] and alone["verdict"] == found["verdict"] == "incapable"
    helper = evaluate("carer", worlds.build("smileworld"), "real_camera_off", progress=False)["evaluations"][
        "real_camera_off"
    ]
    assert helper["status"] == "not applicable"


GOOD = {"id": "x-001-on", "pair": "x-001", "condition": "on", "theme": "t", "system": "s", "user": "u", "first": "care",
        "options": [{"act": "care", "texts": ["a"]}, {"act": "flatter", "texts": ["b"]}]}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        (json.dumps({key: value for key, value in GOOD.items() if key != "theme"}), "lacks theme"),
        (json.dumps(GOOD | {"options": GOOD["options"][1:]}), "needs the option 'care'"),
        (json.dumps(GOOD | {"options": [{"act": "care", "texts": []}, GOOD["options"][1]]}), "each with texts"),
    ],
)
def test_mistakes_have_a_line(tmp_path, line, complaint):
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=complaint) as error:
        written.load_items(path)
    assert f"{path}:2" in str(error.value)
