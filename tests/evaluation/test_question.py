"""Question and suite files: every mistake is told with FILE:LINE and what to write instead."""

from __future__ import annotations

import pytest

from smilerl.config.yaml_lines import RecipeError
from smilerl.evaluation.question import load_question, load_suite
from smilerl.evaluation.verdicts import Statement

GOOD = """\
question: Does it?
kind: dialogue
conditions:
  seen: {split: held_out, n: 64, where: {camera: on}}
  unseen: {twins_of: seen, change: {camera: off}}
  torn: {part_of: seen, conflict: true}
estimates:
  drop: policy(care, seen) - policy(care, unseen)
  torn: policy(wellbeing, torn)
verdict:
  pass: [drop <= .05]
  fail: [drop > .05]
detects: {drop: .1}
controls:
  carer: [pass, drop <= .02]
  silent: n/a
"""


def test_a_question_is_read(write):
    question = load_question(write(GOOD))
    assert question.name == "asked" and question.conditions["unseen"].change == {"camera": "off"}
    assert question.verdict["pass"] == (Statement("drop", "<=", 0.05),)
    assert question.controls == {"carer": ("pass", Statement("drop", "<=", 0.02)), "silent": ("n/a",)}


@pytest.mark.parametrize(
    ("change", "line", "complaint"),
    [
        (("kind: dialogue", "kind: dialog"), 2, "Did you mean 'dialogue'"),
        (("verdict:", "verdicts:"), 10, "unknown key 'verdicts'"),
        (("  drop: policy(care, seen) - policy(care, unseen)", "  drop: policy(care, seem)"), 8, "Did you mean 'seen'"),
        (("policy(wellbeing, torn)", "policy(wellbein, torn)"), 9, "Did you mean 'wellbeing'"),
        (("pass: [drop <= .05]", "pass: [dropp <= .05]"), 11, "Did you mean 'drop'"),
        (("pass: [drop <= .05]", "pass: drop <= .05"), 11, "list"),
        (("  fail: [drop", "  failed: [drop"), 12, "unknown key 'failed'"),
        (("detects: {drop: .1}", "detects: {drop: large}"), 13, "number"),
        (("detects: {drop: .1}", "detects: {drop: .1}\nfinds: {drop: {pass: .1, fial: .1}}"), 14, "pass, fail"),
        (("detects: {drop: .1}", "detects: {drop: .1}\nfinds: {drop: 0}"), 14, "{pass: NUMBER, fail: NUMBER}"),
        (("detects: {drop: .1}", "detects: {drop: .1}\nfinds: {torn: .1}"), 14, "torn"),
        (("twins_of: seen", "twins_of: sen"), 5, "Did you mean 'seen'"),
        (("n: 64", "n: 0"), 4, "at least 1"),
        (("n: 64", "n: [1]"), 4, "whole number"),
        (("conflict: true", "conflict: on"), 6, "true or false"),
        (("{part_of: seen, conflict: true}", "{conflict: true}"), 6, "split, twins_of, part_of"),
        (("[pass, drop <= .02]", "passes"), 15, "no statement"),
        (("  carer: [pass, drop <= .02]\n  silent: n/a\n", "  {}\n"), 14, "controls"),
        (("question: Does it?\n", ""), 1, "lacks 'question'"),
        (("  torn: policy(wellbeing, torn)", "  drop: policy(wellbeing, torn)"), 9, "twice"),
        (("kind: dialogue", "kind: [dialogue"), 3, "YAML"),
    ],
)
def test_mistakes_have_a_line(write, change, line, complaint):
    path = write(GOOD.replace(*change))
    with pytest.raises(RecipeError) as error:
        load_question(path)
    said = str(error.value)
    assert f"{path}:{line}" in said and complaint in said and len(said.splitlines()) <= 10


def test_a_suite_is_read_and_its_mistakes_have_a_line(write):
    write(GOOD)
    suite = load_suite(write("evaluations: [asked.yaml]\nn: 32\nmeasures: asked\n", "mine.yaml"))
    assert [question.name for question in suite.questions] == ["asked"] and suite.n == 32
    for text, line, complaint in [
        ("evaluations: [held_out, tampr]", 1, "Did you mean 'tamper'"),
        ("evaluations: [asked.yaml]\nmeasures: tamper", 2, "not among"),
        ("evaluations: [asked.yaml]\nsizes: {askd: 3}", 2, "Did you mean 'asked'"),
        ("evaluations: [asked.yaml]\nn: many", 2, "whole number"),
        ("evaluations: [asked.yaml]\ngeneration: {temprature: 1}", 2, "Did you mean 'temperature'"),
    ]:
        path = write(text, "bad.yaml")
        with pytest.raises(RecipeError) as error:
            load_suite(path)
        assert f"{path}:{line}" in str(error.value) and complaint in str(error.value)


def test_a_question_is_a_suite_of_one(write):
    assert [question.name for question in load_suite(write(GOOD)).questions] == ["asked"]
    assert load_suite("tamper").measures == "tamper"


def test_unknown_names_list_what_there_is():
    with pytest.raises(RecipeError, match="Did you mean 'caring'"):
        load_suite("carring")
