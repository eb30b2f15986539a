"""An estimate, written as a formula: `policy(care, seen) - policy(care, unseen)`.

A term is WHO(METRIC, CONDITION): the mean of that metric over the replies of WHO to the people of that condition. WHO
is `policy` (the one evaluated), `base` (the base policy on the same people), `matched` (the base at the policy's
entropy), or a scripted helper such as `carer`.
Terms combine by + - * / and numbers, and by max(x, y) and min(x, y).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from smilerl.config.yaml_lines import did_you_mean
from smilerl.evaluation.metrics import Metric, describe

POLICY, BASE = "policy", "base"
#: The base at the temperature at which its replies have as much entropy as the policy's; see matching.py.
MATCHED = "matched"
#: Whose replies are counted: these are evaluated, and scripted helpers are yardsticks.
EVALUATED = (POLICY, BASE, MATCHED)
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_ENDS = {"max": np.maximum, "min": np.minimum}


class Term(NamedTuple):
    """The mean of a metric over WHO's replies in a condition."""

    who: str
    metric: str
    condition: str

    @property
    def is_yardstick(self) -> bool:
        """Whether a scripted helper answers, whose replies are not counted among those scored."""
        return self.who not in EVALUATED

    @property
    def kind(self) -> Metric:
        """Range and kind of the metric."""
        return describe(self.metric)


@dataclass(frozen=True)
class Formula:
    """A parsed estimate.

    Attributes:
        text: as written.
        terms: the means that it is made of, each once.
    """

    text: str
    terms: tuple[Term, ...]
    _tree: Any

    def value(self, means: Sequence[Any]) -> Any:
        """The formula at the means of its terms; arrays give an array, element by element."""
        with np.errstate(divide="ignore", invalid="ignore"):  # a share of nothing is NaN, which is no score
            return _value(self._tree, dict(zip(self.terms, means, strict=True)))

    def coefficients(self) -> tuple[np.ndarray, float] | None:
        """Coefficients of the terms and the constant, when the formula is linear; else None."""
        if not _is_linear(self._tree):
            return None
        origin = float(self.value([0.0] * len(self.terms)))
        unit = np.eye(len(self.terms))
        return np.array([float(self.value(list(row))) - origin for row in unit]), origin

    def needs(self, who: str) -> bool:
        """Whether replies of `who` are part of it."""
        return any(term.who == who for term in self.terms)


def parse(text: str, conditions: Collection[str], helpers: Collection[str] | None = None) -> Formula:
    """Reads a formula.

    Args:
        conditions: names that may stand as conditions.
        helpers: scripted helpers that may stand as WHO; None accepts any name.

    Raises:
        ValueError: says what cannot be read and what to write instead.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError(f"'{text}' is no formula: write, say, policy(care, seen) - policy(care, unseen)") from None
    terms: list[Term] = []
    parsed = _parsed(tree, conditions, helpers, terms)
    if not terms:
        raise ValueError(f"'{text}' has no term: write, say, policy(wellbeing, {next(iter(conditions), 'people')})")
    return Formula(text.strip(), tuple(dict.fromkeys(terms)), parsed)


def _parsed(node: ast.expr, conditions: Collection[str], helpers: Collection[str] | None, terms: list[Term]) -> Any:
    """The tree as nested tuples: numbers, terms, and (operator, left, right)."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return (operator.mul, -1.0, _parsed(inner, conditions, helpers, terms))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            sides = [_parsed(side, conditions, helpers, terms) for side in (left, right)]
            return (_OPERATORS[type(op)], *sides)
        case ast.Call(func=ast.Name(id="max" | "min" as name), args=[left, right], keywords=[]):
            return (_ENDS[name], *(_parsed(side, conditions, helpers, terms) for side in (left, right)))
        case ast.Call(func=ast.Name(id=who), args=[metric, ast.Name(id=condition)], keywords=[]):
            terms.append(_term(who, ast.unparse(metric), condition, conditions, helpers))
            return terms[-1]
    raise ValueError(
        f"'{ast.unparse(node)}' cannot be read: a term is policy(METRIC, CONDITION), base(...) or a helper's name"
    )


def _term(who: str, metric: str, condition: str, conditions: Collection[str], helpers: Collection[str] | None) -> Term:
    if condition not in conditions:
        raise ValueError(f"no condition '{condition}'. {did_you_mean(condition, conditions)}")
    if helpers is not None and who not in (*EVALUATED, *helpers):
        raise ValueError(
            f"'{who}' is neither policy, base, nor a scripted helper. {did_you_mean(who, [*EVALUATED, *helpers])}"
        )
    describe(metric)
    return Term(who, metric, condition)


def _value(tree: Any, means: Mapping[Term, Any]) -> Any:
    if isinstance(tree, Term):
        return means[tree]
    if isinstance(tree, tuple):
        apply, left, right = tree
        return apply(_value(left, means), _value(right, means))
    return tree


def _is_linear(tree: Any) -> bool:
    if isinstance(tree, Term) or not isinstance(tree, tuple):
        return True
    apply, left, right = tree
    if apply in _ENDS.values() or (apply is operator.mul and _has_terms(left) and _has_terms(right)):
        return False
    return not (apply is operator.truediv and _has_terms(right)) and _is_linear(left) and _is_linear(right)


def _has_terms(tree: Any) -> bool:
    if isinstance(tree, Term):
        return True
    return isinstance(tree, tuple) and any(_has_terms(side) for side in tree[1:])
