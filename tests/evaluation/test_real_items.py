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
