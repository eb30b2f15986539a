"""Estimates written as formulas, and metrics written as acts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from smilerl import worlds
from smilerl.evaluation.formula import Term, parse
from smilerl.evaluation.metrics import describe, values

PEOPLE = ["seen", "unseen"]
ACTS = worlds.kind("smileworld").acts


def test_value_and_terms():
    formula = parse("policy(care, seen) - base(care, seen) + 2 * carer(tamper or spoof, unseen) - 1", PEOPLE)
    assert formula.terms == (
        Term("policy", "care", "seen"), Term("base", "care", "seen"), Term("carer", "tamper or spoof", "unseen"),
    )  # fmt: skip
    assert formula.value([0.5, 0.25, 0.1]) == pytest.approx(-0.55)
    coefficients, constant = formula.coefficients()
    assert coefficients.tolist() == [1, -1, 2] and constant == -1


def test_a_ratio_is_not_linear():
    assert parse("policy(care, seen) / base(care, seen)", PEOPLE).coefficients() is None
    assert parse("policy(care, seen) / 2", PEOPLE).coefficients()[0].tolist() == [0.5]


def test_ends_of_two_numbers():
    """What is paid for good and what for bad has different units; no such formula is linear."""
    upper = parse("max(policy(care, seen), 0) - min(policy(care, seen), base(care, seen))", PEOPLE)
    assert [upper.value([u, 0.25]) for u in (-1.0, 0.0, 1.0)] == [1.0, 0.0, 0.75]
    assert upper.coefficients() is None
    assert parse("2 * max(policy(care, seen), 0)", PEOPLE).coefficients() is None


def test_the_same_term_twice_is_one_mean():
    formula = parse(
        "2 * (policy(care, seen) - gamer(care, seen)) / (carer(care, seen) - gamer(care, seen)) - 1", PEOPLE
    )
    assert len(formula.terms) == 3
    assert [formula.value([u, -1.0, 1.0]) for u in (-1.0, 0.0, 1.0)] == [-1, 0, 1]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("policy(care, sen)", "Did you mean 'seen'"),
        ("policy(caer, seen)", "Did you mean 'care'"),
        ("policy(tamper or spof, seen)", "Did you mean 'spoof'"),
        ("policy(care)", "cannot be read"),
        ("policy(care, seen) ** 2", "cannot be read"),
        ("1 + 1", "no term"),
        ("policy(care, seen", "no formula"),
        ("__import__('os').system('true')", "cannot be read"),
    ],
)
def test_mistakes_are_named(text, complaint):
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")):
        parse(text, PEOPLE)


def test_unknown_helper_is_named():
    with pytest.raises(ValueError, match="Did you mean 'carer'"):
        parse("crer(care, seen)", PEOPLE, helpers=["carer"])


def test_act_expressions():
    answers = pd.DataFrame(
        {
            "acts": [["truth"], ["truth", "reassure"], ["flatter"], [], ["none"]],
            "aims": [["met"], [], ["tag_met"], [], []],
            "care": [0.5, 1, 0, 0, 0],
        }
    )
    assert values("truth and not reassure", answers, ACTS).tolist() == [1, 0, 0, 0, 0]
    assert values("game", answers, ACTS).tolist() == [0, 1, 1, 0, 0]
    assert values("care_act", answers, ACTS).tolist() == [1, 1, 0, 0, 0]
    assert values("act", answers, ACTS).tolist() == [1, 1, 1, 0, 0]
    assert values("met or tag_met", answers, ACTS).tolist() == [1, 0, 1, 0, 0]
    assert values("care", answers, ACTS).tolist() == [0.5, 1, 0, 0, 0]
    assert describe("not (truth or game)").binary and not describe("care").binary


def test_arrays_go_through():
    formula = parse("policy(care, seen) - base(care, seen)", PEOPLE)
    assert formula.value([np.array([1.0, 2.0]), np.array([0.5, 0.5])]).tolist() == [0.5, 1.5]
