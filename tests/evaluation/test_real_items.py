"""The items for real models keep their rules and are what `data/real/build.py` writes."""

import copy
import importlib.util
import json
from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[2] / "data" / "real"


def _load():
    spec = importlib.util.spec_from_file_location("build_real", REAL / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = _load()
RULES = BUILD.rules
GATES = importlib.import_module("gates")  # data/real is on the path once build.py has run


@pytest.fixture(scope="module")
def committed():
    files = {file.stem: file.read_text(encoding="utf-8") for file in REAL.glob("*.jsonl")}
    return {name: [json.loads(line) for line in text.splitlines()] for name, text in files.items()}


def test_all_seven_are_there(committed):
    assert set(committed) == set(BUILD.QUESTIONS)


@pytest.mark.long
@pytest.mark.parametrize("question", BUILD.QUESTIONS)
def test_the_file_is_what_the_script_writes(question):
    file = REAL / f"{question}.jsonl"
    assert file.read_text(encoding="utf-8") == BUILD.text(BUILD.build(question))


@pytest.mark.parametrize("question", BUILD.QUESTIONS)
@pytest.mark.parametrize("rule", RULES.ALL, ids=lambda rule: rule.__name__)
def test_rule(rule, question, committed):
    rule(question, committed[question])


@pytest.mark.parametrize("question", BUILD.QUESTIONS)
def test_a_bag_of_words_without_the_prompt_does_not_find_care(question, committed, record_property):
    found = GATES.accuracy(committed[question], GATES.blind)
    record_property("accuracy", found)
    assert found <= GATES.BLIND


@pytest.mark.parametrize("question", BUILD.QUESTIONS)
def test_nor_does_one_with_the_words_of_the_prompt(question, committed, record_property):
    found = GATES.accuracy(committed[question], GATES.sighted)
    record_property("accuracy", found)
    assert found <= GATES.SIGHTED


@pytest.mark.parametrize("question", BUILD.QUESTIONS)
def test_length_does_not_give_care_away(question, committed):
    times, of = GATES.longer_is_care(committed[question])
    assert GATES.chance(times, of), f"{times} of {of}"


@pytest.mark.parametrize("question", BUILD.QUESTIONS)
def test_likelihood_under_a_plain_model_does_not_give_care_away(question, committed):
    times, of = GATES.likelier_is_care(committed[question])
    assert GATES.chance(times, of), f"{times} of {of}"


def test_the_order_of_the_facts_tells_nothing(committed):
    """The person's own fact comes first in half of the system texts."""
    times, of = GATES.first_fact_is_care(committed["bad_news"])
    assert of >= 200
    assert GATES.chance(times, of), f"{times} of {of}"


@pytest.mark.parametrize("question", ["tamper", "escalation"])
def test_nor_does_the_order_of_the_places(question, committed):
    times, of = GATES.first_place_is_care(committed[question])
    assert of >= 120
    assert GATES.chance(times, of), f"{times} of {of}"


@pytest.mark.parametrize("question", BUILD.QUESTIONS)
def test_no_exploit_text_stands_in_two_pairs(question, committed):
    assert GATES.reused(committed[question]) == 0


@pytest.mark.parametrize("question", ["tamper", "escalation"])
def test_a_tool_line_tells_nothing(question, committed):
    for row in committed[question]:
        care, game = ([text.count("\n") for text in option["texts"]] for option in row["options"][:2])
        assert sorted(care) == sorted(game), row["id"]


def test_the_gates_see_a_giveaway(committed):
    """Known answer: one word that every care text has, and one that the exploits share with the prompt."""
    rows = copy.deepcopy(committed["bad_news"])
    for row in rows:
        row["options"][0]["texts"] = [f"{text} Zebra." for text in row["options"][0]["texts"]]
    assert GATES.accuracy(rows, GATES.blind) >= 0.95
    assert not GATES.chance(*GATES.longer_is_care(rows))
    for row in rows:  # The person's own fact in front of all else: what the care texts say.
        row["system"] = f"{row['options'][0]['texts'][0]} {row['options'][1]['texts'][0]}"
    assert not GATES.chance(*GATES.first_fact_is_care(rows))
    rows[-1]["options"][1]["texts"] = rows[0]["options"][1]["texts"]
    assert GATES.reused(rows) > 0


def _break_form(rows):
    rows[0]["id"] = rows[1]["id"]


def _break_length(rows):
    rows[0]["options"][1]["texts"][0] += " And so on" * 9


def _break_wording(rows):
    rows[0]["options"][0]["texts"][1] = rows[0]["options"][0]["texts"][0]


def _break_help(rows):
    rows[0]["options"][0]["texts"] = rows[-1]["options"][0]["texts"]


def _break_twins(rows):
    rows[0]["user"] += " And now?"


def _break_balance(rows):
    for row in rows:
        row["first"] = "care"


def _break_patterns(rows):
    rows[0]["game_pattern"] = rows[0]["care_pattern"]


BREAKS = [_break_form, _break_length, _break_wording, _break_help, _break_twins, _break_balance, _break_patterns]


@pytest.mark.parametrize(("rule", "damage"), list(zip(RULES.ALL, BREAKS, strict=True)), ids=lambda f: f.__name__)
def test_a_broken_row_is_named(rule, damage, committed):
    rows = copy.deepcopy(committed["bad_news"])
    damage(rows)
    with pytest.raises(ValueError, match=r"^bad_news"):
        rule("bad_news", rows)
