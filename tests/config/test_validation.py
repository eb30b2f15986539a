"""Values checked by their types: each refusal stands at its key, is told once, and says what to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, Protocol

import pytest
from pydantic import AfterValidator, Field

from smilerl.config.validation import Mistake, bad_arguments, checked, fitted


class Choice(Enum):
    LINEAR = "linear"
    COSINE = "cosine"


class Unchecked(Protocol):
    def __call__(self) -> None: ...


def _even(number: int) -> int:
    if number % 2:
        raise Mistake(f"{number} is odd.", "Write 2.")
    return number


@dataclass(frozen=True)
class Inner:
    name: Annotated[str, Field(examples=["reading"])]
    even: Annotated[int, AfterValidator(_even)] = 0
    share: Annotated[float, Field(ge=0, le=1, description="a share, 0 to 1")] = 0.5


@dataclass(frozen=True)
class Outer:
    count: Annotated[int, Field(ge=1)]
    inner: Annotated[tuple[Inner, ...], Field(min_length=1)] = ()
    kind: Literal["a", "b"] | None = None
    args: dict[str, Any] = field(default_factory=dict)


def test_a_schema_gives_values_as_it_wants_them():
    values, problems = checked(Outer, {"count": 2, "inner": [{"name": "x", "share": 1}], "args": {"n": 1, "x": 1.0}})
    assert problems == []
    assert Outer(**values) == Outer(2, (Inner("x", share=1.0),), None, {"n": 1, "x": 1.0})
    assert [type(one) for one in values["args"].values()] == [int, float], "a number stays as it is written"


@pytest.mark.parametrize(
    ("said", "at", "words"),
    [
        ({"count": 0}, ("count",), "count is 0, but should be at least 1."),
        ({"count": True}, ("count",), "count is true, but should be a whole number."),
        ({"count": "1"}, ("count",), "count is '1', but should be a whole number."),
        ({"count": 1.0}, ("count",), "count is 1.0, but should be a whole number."),
        ({}, (), "lacks 'count'"),
        ({"count": 1, "cuont": 1}, ("cuont",), "Did you mean 'count'?"),
        ({"count": 1, "kind": "c"}, ("kind",), "one of a, b"),
        ({"count": 1, "inner": [{"name": "x"}, {}]}, ("inner", 1), "inner[1] lacks 'name'"),
        ({"count": 1, "inner": [{"name": "x", "shar": 1}]}, ("inner", 0, "shar"), "Did you mean 'share'?"),
        ({"count": 1, "inner": [{"name": "x", "share": 2}]}, ("inner", 0, "share"), "should be a share, 0 to 1."),
        (
            {"count": 1, "inner": [{"name": "x", "share": "2"}]},
            ("inner", 0, "share"),
            "is '2', but should be a number.",
        ),
        ({"count": 1, "inner": [{"name": "x", "even": 3}]}, ("inner", 0, "even"), "3 is odd."),
        ({"count": 1, "inner": []}, ("inner",), "inner is [], but should be a list of at least 1."),
        ({"count": 1, "inner": "x"}, ("inner",), "inner is 'x', but should be a list."),
        ({"count": 1, "inner": ["x"]}, ("inner", 0), "a mapping"),
        ({"count": 1, "args": {"a": [1, float("nan")]}}, ("args", "a", 1), "args.a[1] is nan, which no setting can be"),
        ({"count": 2**70}, ("count",), "which no setting can be"),
    ],
)
def test_each_mistake_is_one_problem_at_its_key(said, at, words):
    (problem,) = checked(Outer, said).problems
    assert problem.key == at and words in problem.text


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        ("linera", Choice | str, "one of linear, cosine"),  # as transformers types a choice
        ([1], float | str | None, "a number or text"),
        ([1.0], tuple[float, float], "a longer list"),
        ([1.0, 2.0, 3.0], tuple[float, float], "a list of at most 2"),
        ({"a": "x"}, Mapping[str, float], "a number"),
        (3, type("Library", (), {}), "k is 3, but should be Library."),  # a class of a library, which no YAML can say
    ],
)
def test_types_of_libraries(value, hint, words):
    (problem,) = fitted(value, hint, ("k",)).problems
    assert words in problem.text


def test_what_is_no_json_is_checked_too_and_what_has_no_known_type_is_not():
    assert fitted({"make": print}, dict[str, Any], ("k",)).problems == []
    assert fitted({"make": print}, str, ("k",)).problems
    for hint in ("a name of nothing", Unchecked, Callable[[int], str] | None, list["Nowhere"]):  # noqa: F821
        assert fitted(3, hint, ("k",)).problems == []


def test_what_the_dataclass_of_a_library_raises_is_told_at_its_key():
    @dataclass
    class Library:
        size: int = 1

        def __post_init__(self) -> None:
            if self.size > 8:
                raise RuntimeError("no more than 8 devices")

    (problem,) = fitted({"size": 9}, Library | None, ("args", "library")).problems
    assert problem == (("args", "library"), "args.library is refused: RuntimeError: no more than 8 devices", "")


def test_a_function_that_passes_the_rest_on_takes_the_keys_of_what_it_makes():
    def build(extra: int = 0, **rest) -> Inner:
        return Inner(**rest)

    assert bad_arguments(build, {"name": "x", "extra": 1}, ("args",)) == []
    assert [one.text for one in bad_arguments(build, {"extra": "1", "even": 2}, ("args",))] == [
        "args lacks 'name'.",
        "args.extra is '1', but should be a whole number.",
    ]
