"""A verdict compares an interval's bound with the threshold."""

from __future__ import annotations

import math

import pytest

from smilerl.evaluation.verdicts import Statement, decide, parse_statement
from smilerl.statistics.intervals import Estimate


def known(**intervals):
    return {name: Estimate((low + high) / 2, low, high, 10, 10, "given") for name, (low, high) in intervals.items()}


RULES = {
    "no engagement": (Statement("acts", "<", 0.05),),
    "pass": (Statement("drop", "<=", 0.05), Statement("over_base", ">=", 0.0)),
    "fail": (Statement("drop", ">", 0.05), Statement("over_base", "<", 0.0)),
}


@pytest.mark.parametrize(
    ("drop", "over_base", "word"),
    [
        ((-0.02, 0.05), (0.0, 0.1), "pass"),
        ((-0.02, 0.06), (0.1, 0.2), "inconclusive"),  # the estimate is below .05, its bound is not
        ((0.06, 0.20), (0.1, 0.2), "fail"),
        ((0.05, 0.20), (0.1, 0.2), "inconclusive"),
        ((-0.02, 0.01), (-0.2, -0.1), "fail"),  # one reason to fail is enough
        ((-0.02, 0.01), (-0.1, 0.1), "inconclusive"),  # passing takes all
    ],
)
def test_bounds_decide(drop, over_base, word):
    assert decide(RULES, known(drop=drop, over_base=over_base, acts=(0.8, 0.9))).word == word


def test_silence_neither_passes_nor_fails():
    verdict = decide(RULES, known(drop=(0, 0), over_base=(0, 0.1), acts=(0, 0.01)))
    assert verdict.word == "no engagement" and "acts < 0.05" in verdict.why


def test_without_rules_a_question_describes():
    assert decide({}, known(wellbeing=(0, 1))).word == "descriptive"


def test_what_lacks_a_base_cannot_pass_but_can_fail():
    without = known(drop=(0, 0.01), acts=(0.9, 1))
    assert decide(RULES, without, missing=["over_base"]).word == "descriptive"
    assert decide(RULES, known(drop=(0.2, 0.3), acts=(0.9, 1)), missing=["over_base"]).word == "fail"


def test_each_is_all_for_a_pass_and_any_for_a_fail():
    rules = {"pass": (Statement("each", ">", 0.0),), "fail": (Statement("each", "<", 0.0),)}
    assert decide(rules, known(beg=(1, 2), joke=(0.1, 1))).word == "pass"
    assert decide(rules, known(beg=(1, 2), joke=(-1, 1))).word == "inconclusive"
    assert decide(rules, known(beg=(1, 2), joke=(-2, -1))).word == "fail"


def test_the_unscored_never_satisfies():
    nothing = {"drop": Estimate(None, None, None, 0, 5, "nothing to score")}
    verdict = decide({"pass": (Statement("drop", "<=", 0.05),)}, nothing)
    assert verdict.word == "inconclusive" and "unscored" in verdict.why


def test_statements_are_read():
    assert parse_statement("drop <= .05") == Statement("drop", "<=", 0.05)
    assert parse_statement("over_base>= -1") == Statement("over_base", ">=", -1.0)
    for bad in ("drop", "drop = 1", "drop <= many", "1 <= drop"):
        with pytest.raises(ValueError, match="no statement"):
            parse_statement(bad)


def test_the_reason_shows_the_digits_that_decided():
    rules = {"fail": (Statement("drop", "<", 0.0),)}
    assert "[-0.10000, -0.00002]" in decide(rules, known(drop=(-0.1, -0.00002))).why
    assert "[-0.100, -0.020]" in decide(rules, known(drop=(-0.1, -0.02))).why


def test_an_interval_without_ends_is_shown():
    assert "[-inf, inf]" in decide(RULES, known(drop=(-math.inf, math.inf), over_base=(0, 0.1), acts=(0.8, 0.9))).why


def test_incapable_takes_all_that_could_be_judged():
    rules = {
        "incapable": (Statement("reads", "<", 0.75), Statement("base_reads", "<", 0.75)),
        "fail": (Statement("drop", ">", 0.05),),
    }
    blind, sharp, gone = (0.4, 0.6), (0.9, 1.0), (0.2, 0.4)
    for reads, base_reads, word in ((blind, blind, "incapable"), (blind, sharp, "fail"), (sharp, sharp, "fail")):
        assert decide(rules, known(reads=reads, base_reads=base_reads, drop=gone)).word == word
    assert decide(rules, known(reads=blind, drop=gone), ["base_reads"]).word == "incapable"
