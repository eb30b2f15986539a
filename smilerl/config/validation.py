"""Checks plain values against Python types with pydantic; each refusal becomes a `Problem` at its key path, in our
words.

A schema is a dataclass or a function: its type hints say what each key takes. Values are checked as strict JSON: a list
is a tuple and a word an enum, but true is no whole number and "1" no number. `Annotated[int, Field(ge=1, examples=[8],
description="a count")]` bounds a value, gives the example of the fix, and says in words what it should be.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from smilerl.config.yaml_lines import Key, Problem, did_you_mean, dotted
from smilerl.io.terminal import named

#: Of so many unknown keys it is worth finding out what was meant; an error shows fewer.
_GUESSED = 8
#: How pydantic's errors of a type begin, what is wanted, and an example of it.
_WORDS = {
    "int": ("a whole number", "8"),
    "float": ("a number", "0.001"),
    "bool": ("true or false", "true"),
    "string": ("text", "a word"),
    "none": ("null", "null"),
    "dict": ("a mapping", "{key: value}"),
    "dataclass": ("a mapping", ""),
    "list": ("a list", "[a, b]"),
    "tuple": ("a list", "[a, b]"),
    "missing": ("a longer list", ""),
}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"} | {
    "min_length": "a list of at least",
    "max_length": "a list of at most",
}
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


class Mistake(ValueError):
    """What a validator of a schema refuses.

    Args:
        text: what is wrong.
        fix: what to write instead.
        at: where inside the validated value.
    """

    def __init__(self, text: str, fix: str = "", at: Key = ()) -> None:
        super().__init__(text)
        self.fix, self.at = fix, at


class Checked(NamedTuple):
    """A value as its type wants it, and what is wrong with it; the value is of use only where nothing is."""

    value: Any
    problems: list[Problem]


def fitted(value: Any, hint: Any, key: Key) -> Checked:
    """A value checked against a type.

    `.nan`, `.inf` (also as `1e400`) and whole numbers of more than 64 bits are refused, wherever in the value: no
    setting means them.
    """
    problems = [
        Problem(at, f"{dotted(at)} is {number}, which no setting can be.", "Write a finite number, such as 0.001.")
        for at, number in _no_number(value, key)
    ]
    adapter = _adapter(hint)
    if adapter is None:
        return Checked(value, problems)
    try:
        try:
            written = json.dumps(value)
        except (TypeError, ValueError):  # an object, which only a caller in Python can give
            return Checked(adapter.validate_python(value), problems)
        value = adapter.validate_json(written, strict=True, extra="forbid")
    except ValidationError as error:
        told = {problem.key for problem in problems}
        problems += [problem for problem in _problems(error, value, hint, key) if problem.key not in told]
    except Exception as error:  # noqa: BLE001 - the dataclass of a library or a user checks its settings in its own way
        problems.append(Problem(key, f"{dotted(key)} is refused: {named(error)}"))
    return Checked(value, problems)


def checked(schema: Callable, said: Mapping[str, Any], key: Key = (), hidden: Iterable[str] = ()) -> Checked:
    """The keyword arguments of a call of `schema` checked: unknown, missing and wrongly typed ones are problems.

    A function that passes its other arguments on to the dataclass it returns takes the keys of that dataclass, too.

    Args:
        hidden: parameters that cannot be said.
    """
    parameters, hints, open_ended = _signature(schema)
    parameters = {name: one for name, one in parameters.items() if name not in hidden}
    problems = [] if open_ended else list(unknown_keys(said, parameters, key))
    problems += [
        _missing(key, name, hints.get(name, Any))
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and name not in said
    ]
    values = dict(said)
    for name in parameters:
        if name in said and name in hints:
            values[name], wrong = fitted(said[name], hints[name], (*key, name))
            problems += wrong
    return Checked(values, problems)


def bad_arguments(function: Callable, args: Mapping[str, Any], key: Key) -> list[Problem]:
    """Problems with calling `function(**args)`: unknown, missing and wrongly typed arguments."""
    return checked(function, args, key).problems


def unknown_keys(mapping: Mapping[str, Any], known: Iterable[str], key: Key) -> Iterator[Problem]:
    """One problem for each key of `mapping` that is not among `known`."""
    known = set(known)
    place = f" in {dotted(key)}" if key else ""
    unknown = [name for name in mapping if name not in known]
    for position, name in enumerate(unknown):
        guess = did_you_mean(name, known) if position < _GUESSED else ""
        yield Problem((*key, name), f"unknown key '{name}'{place}. {guess}".rstrip())


def key_named(text: str, mapping: Mapping[str, Any], key: Key) -> Key:
    """The key path of the setting that a text is about: the one whose name it says first, else one whose value or inner
    key it says.

    Args:
        text: of a library's error; names may have spaces for underscores.
        mapping: the settings, which stand at `key`.

    Returns:
        `key` itself where it says none of them.
    """
    found: list[tuple[int, int, int, Key]] = []
    for name, value in mapping.items():
        said = [(0, name, (*key, name))]
        if isinstance(value, str) and len(value) > 2:
            said.append((1, value, (*key, name)))
        if isinstance(value, dict):
            said += [(1, str(inner), (*key, name, inner)) for inner in value]
        for rank, words, where in said:
            pattern = re.escape(words).replace("_", "[_ -]")
            match = re.search(rf"(?<![\w.-])(?:--)?{pattern}(?!\w)", text, re.IGNORECASE)
            if match:
                found.append((rank, match.start(), -len(words), where))
    return min(found, key=lambda one: one[:3])[3] if found else key


@lru_cache
def _signature(schema: Any) -> tuple[dict[str, inspect.Parameter], dict[str, Any], bool]:
    """A callable's parameters by name, their types, and whether it takes any others."""
    hints = typing.get_type_hints(schema, include_extras=True)
    every = inspect.signature(schema).parameters
    named = {n: p for n, p in every.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in every.values())
    made = None if inspect.isclass(schema) else hints.get("return")
    if open_ended and inspect.isclass(made) and dataclasses.is_dataclass(made):
        more, more_hints, _ = _signature(made)
        return more | named, more_hints | hints, False
    return named, hints, open_ended


@lru_cache(maxsize=4096)
def _adapter(hint: Any) -> TypeAdapter | None:
    """pydantic's validator of a type; None where it knows no such type, which is then not checked."""
    members = _members(hint)
    # `SchedulerType | str` is how transformers types a choice: a word must then be one of the choices.
    if str in members and any(inspect.isclass(one) and issubclass(one, enum.Enum) for one in members):
        hint = typing.Union[tuple(one for one in members if one is not str)]  # noqa: UP007 - of a tuple
    if any(typing.get_origin(one) is Callable for one in members):
        return None  # what makes the callable of plain data is the function's own affair
    for config in (ConfigDict(arbitrary_types_allowed=True), None):  # a dataclass brings its own, and takes no other
        try:
            adapter = TypeAdapter(hint, config=config)
            return adapter if adapter.pydantic_complete else None
        except Exception:  # noqa: BLE001 - a user's annotation can be anything
            continue
    return None


def _no_number(value: Any, key: Key) -> Iterator[tuple[Key, float]]:
    if (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, int) and abs(value) >= 2**63):
        yield key, value
    elif isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _no_number(item, (*key, name))


def _problems(error: ValidationError, value: Any, hint: Any, key: Key) -> Iterator[Problem]:
    """What pydantic refuses, with one problem for each place; the members of a union are told as one."""
    places: dict[Key, list[Any]] = {}
    for one in error.errors(include_url=False):
        places.setdefault(_place(one["loc"], value)[: -1 if one["type"] in _UNKNOWN else None], []).append(one)
    for place, errors in places.items():
        # A list of which an item is refused counts as too short; the item alone is told.
        deeper = any(len(other) > len(place) and other[: len(place)] == place for other in places)
        if deeper and all(one["type"] == "too_short" for one in errors):
            continue
        at, of, there = (*key, *place), _hint_at(hint, place), _value_at(value, place)
        unknown = [one["loc"][-1] for one in errors if one["type"] in _UNKNOWN]
        yield from unknown_keys(dict.fromkeys(unknown), {*_keys_of(of)} - {*unknown}, at)
        lacking = [one["loc"][-1] for one in errors if one["type"] == "missing" and isinstance(one["loc"][-1], str)]
        yield from (_missing(at, name, _hint_at(of, (name,))) for name in lacking)
        mistake = next((one["ctx"]["error"] for one in errors if one["type"] == "value_error"), None)
        if mistake is not None:
            inner, fix = (mistake.at, mistake.fix) if isinstance(mistake, Mistake) else ((), "")
            yield Problem((*at, *inner), str(mistake), fix)
        elif not unknown and not lacking:
            yield _misfit(errors, there, of, at)


def _misfit(errors: Sequence[Any], value: Any, hint: Any, at: Key) -> Problem:
    """A value of the wrong type, or out of its bounds."""
    wanted: list[str] = []
    examples = [*_field(hint, "examples")]
    for one in errors:
        context = one.get("ctx", {})
        bounds = [f"{words} {context[name]}" for name, words in _BOUNDS.items() if name in context]
        choices = re.findall(r"'([^']*)'", context.get("expected", "")) if "expected" in context else []
        known, example = _WORDS.get(one["type"].partition("_")[0], ("", ""))
        if one["type"] == "needs_python_object":
            classes = [member for member in _members(hint) if getattr(member, "__module__", "") != "builtins"]
            known = " or ".join(getattr(member, "__name__", str(member)) for member in classes)
        if choices:
            known = f"one of {', '.join(choices[:12])}{', ...' if len(choices) > 12 else ''}"
        wanted.append(*bounds or [known or one["msg"].partition(" should be ")[2] or f"so that {one['msg']}"])
        examples += choices[:1] if choices else [] if bounds else [example]
    if "a number" in wanted:
        wanted = [words for words in wanted if words != "a whole number"]
    said = " or ".join(dict.fromkeys(wanted))
    if any("ctx" in one for one in errors):  # a type that fits, and a bound or choice that does not
        said = next(_field(hint, "description"), said)
    fix = (
        f"Write for example `{at[-1]}: {examples[0]}`."
        if at and isinstance(at[-1], str) and examples and examples[0]
        else ""
    )
    if any(one["type"].startswith("dataclass") for one in errors):
        fix = f"Its keys are {', '.join(_keys_of(hint))}."
    return Problem(at, f"{dotted(at)} is {_shown(value)}, but should be {said}.", fix)


def _missing(key: Key, name: str, hint: Any) -> Problem:
    example = next(_field(hint, "examples"), "")
    under = f" under `{key[-1]}:`" if key and isinstance(key[-1], str) else ""
    return Problem(
        key, f"{dotted(key) or 'the file'} lacks '{name}'.", f"Add `{name}: {example}".rstrip() + f"`{under}."
    )


def _place(location: Sequence[int | str], value: Any) -> Key:
    """The key path to the part of a value that pydantic means, without its names for the members of unions."""
    key: list[int | str] = []
    for part in location:
        there = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        if part in there:
            value = value[part]
            key.append(part)
    return tuple(key)


def _value_at(value: Any, key: Key) -> Any:
    for part in key:
        value = value[part]
    return value


def _hint_at(hint: Any, key: Key) -> Any:
    """The type of what stands at a key path inside a value of this type; Any where that is not known."""
    for part in key:
        inside = Any
        for member in _members(hint):
            inner = typing.get_args(member)
            if _is_schema(member):
                inside = _signature(member)[1].get(str(part), Any)
            elif inner and typing.get_origin(member) is not Literal:
                inside = inner[0] if isinstance(part, int) else inner[-1]
        hint = inside
    return hint


def _members(hint: Any) -> list[Any]:
    """The types that a type is a union of, without annotations."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _members(inner[0])
    if origin in (typing.Union, types.UnionType):
        return [member for one in inner for member in _members(one)]
    return [hint]


def _is_schema(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint)


def _keys_of(hint: Any) -> list[str]:
    return [name for member in _members(hint) if _is_schema(member) for name in _signature(member)[0]]


def _field(hint: Any, name: str) -> Iterator[Any]:
    """What the `Field(...)` of an annotated type says under a name."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for member in typing.get_args(hint):
            yield from _field(member, name)
    for extra in getattr(hint, "__metadata__", ()):
        said = getattr(extra, name, None) if isinstance(extra, FieldInfo) else None
        yield from said if isinstance(said, list) else [said] if said is not None else []


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
