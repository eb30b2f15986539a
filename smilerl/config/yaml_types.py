"""Does a value read from YAML fit a Python type? Asked of our dataclasses, TRL's and PEFT's configs, and `build` functions."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from smilerl.config.yaml_lines import Key, Problem, did_you_mean, dotted

#: Of so many unknown keys it is worth finding out what was meant; an error shows fewer.
_GUESSED = 8
_WORDS = {
    int: ("a whole number", "8"),
    float: ("a number", "0.001"),
    bool: ("true or false", "true"),
    str: ("text", "a word"),
    type(None): ("null", "null"),
    dict: ("a mapping", "{key: value}"),
    list: ("a list", "[a, b]"),
    tuple: ("a list", "[a, b]"),
}


def unknown_keys(mapping: Mapping[str, Any], known: Iterable[str], key: Key) -> Iterator[Problem]:
    """One problem for each key of `mapping` that is not among `known`."""
    known = set(known)
    place = f" in {dotted(key)}" if key else ""
    unknown = [name for name in mapping if name not in known]
    for position, name in enumerate(unknown):
        guess = did_you_mean(name, known) if position < _GUESSED else ""
        yield Problem((*key, name), f"unknown key '{name}'{place}. {guess}".rstrip())


def misfits(value: Any, hint: Any, key: Key) -> Iterator[Problem]:
    """A problem if `value` is not of the type that `hint` describes.

    Whole numbers pass as floats. `.nan`, `.inf` (also as `1e400`) and whole numbers of more than 64 bits pass as nothing, wherever in
    the value: no setting means them.
    """
    strange = next(_no_number(value, key), None)
    if strange is not None:
        at, number = strange
        yield Problem(
            at, f"{dotted(at)} is {number}, which no setting can be.", f"Write for example `{at[-1]}: 0.001`."
        )
    elif not _fits(value, hint):
        said, example = _wanted(hint)
        fix = f"Write for example `{key[-1]}: {example}`." if example else ""
        yield Problem(key, f"{dotted(key)} is {_shown(value)}, but should be {said}.", fix)


def bad_arguments(function: Callable, args: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    """Problems with calling `function(**args)`: unknown, missing and wrongly typed arguments.

    A function that passes its other arguments on to the dataclass it returns is asked by that dataclass, too.
    """
    made = None if inspect.isclass(function) else typing.get_type_hints(function).get("return")
    parameters, hints = _named(function), typing.get_type_hints(function)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
    if open_ended and inspect.isclass(made) and dataclasses.is_dataclass(made):
        parameters, hints, open_ended = _named(made) | parameters, typing.get_type_hints(made) | hints, False
    if not open_ended:
        yield from unknown_keys(args, parameters, key)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in args:
            yield Problem(key, f"{dotted(key)} lacks '{name}'.", f"Add `{name}:` under `{key[-1]}:`.")
    for name in args.keys() & parameters.keys() & hints.keys():
        yield from misfits(args[name], hints[name], (*key, name))


def _no_number(value: Any, key: Key) -> Iterator[tuple[Key, float]]:
    if (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, int) and abs(value) >= 2**63):
        yield key, value
    elif isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _no_number(item, (*key, name))


def key_named(text: str, mapping: Mapping[str, Any], key: Key) -> Key:
    """The key path of the setting that a text is about: the one whose name it says first, else one whose value or inner key it says.

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


def _named(function: Callable) -> dict[str, inspect.Parameter]:
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar | str):
        return True
    if origin is typing.Annotated:
        return _fits(value, inner[0])
    if origin is typing.Literal:
        return value in inner
    if origin in (typing.Union, types.UnionType):
        # `SchedulerType | str` is how transformers types a choice: a word must then be one of the choices.
        choices = [member for member in inner if inspect.isclass(member) and issubclass(member, enum.Enum)]
        if choices and isinstance(value, str):
            return any(_fits(value, choice) for choice in choices)
        return any(_fits(value, member) for member in inner)
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(_fits(item, inner[1]) for item in value.values())
    if inspect.isclass(origin) and issubclass(origin, Iterable):
        return isinstance(value, list) and _items_fit(value, origin, inner)
    return _fits_class(value, hint) if inspect.isclass(hint) else True


def _items_fit(value: list, origin: Any, inner: tuple) -> bool:
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(_fits(item, hint) for item, hint in zip(value, inner, strict=True))
    return all(_fits(item, inner[0]) for item in value) if inner else True


def _fits_class(value: Any, hint: type) -> bool:
    if issubclass(hint, enum.Enum):
        return value in [member.value for member in hint]
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is tuple:
        return isinstance(value, list)
    if dataclasses.is_dataclass(hint):
        return isinstance(value, dict)
    return isinstance(value, hint)


def _wanted(hint: Any) -> tuple[str, str]:
    """How to say a type in words, and an example."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, inner))}", str(inner[0])
    if origin in (typing.Union, types.UnionType):
        choices = [member for member in inner if inspect.isclass(member) and issubclass(member, enum.Enum)]
        if choices:
            return _wanted(choices[0])
        said = [_wanted(member) for member in inner]
        return " or ".join(dict.fromkeys(words for words, _ in said)), said[0][1]
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        values = [str(member.value) for member in hint]
        return f"one of {', '.join(values[:12])}{', ...' if len(values) > 12 else ''}", values[0]
    return _WORDS.get(origin or hint, (getattr(hint, "__name__", str(hint)), ""))


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
