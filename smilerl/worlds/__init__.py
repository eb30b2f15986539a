"""Worlds: people, and how they react. A short name is a module in this folder with `build(**args)` and a subclass of
`base.World`.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Sequence
from dataclasses import fields
from functools import cache, lru_cache

from smilerl.config.yaml_lines import did_you_mean
from smilerl.models.replies import all_visible
from smilerl.worlds import turns
from smilerl.worlds.base import Acts, Observation, World

_CONTRACTS = {"base", "channels", "turns"}


def names() -> list[str]:
    """The worlds there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _CONTRACTS)


def build(name: str, **args) -> World:
    """The world called `name` with these arguments.

    Raises:
        ValueError: no such world, or an argument that it does not have or cannot take.
    """
    if name not in names():
        raise ValueError(f"no world '{name}'. {did_you_mean(name, names())}")
    return importlib.import_module(f"{__name__}.{name}").build(**args)


@cache
def kind(name: str) -> type[World]:
    """The class of the world called `name`: what is known of a world before it is built.

    Raises:
        TypeError: its module has none.
    """
    for found in vars(importlib.import_module(f"{__name__}.{name}")).values():
        if isinstance(found, type) and issubclass(found, World) and found is not World and found.name == name:
            return found
    raise TypeError(f"smilerl/worlds/{name} has no subclass of World with name = '{name}'")


@cache
def acts() -> Acts:
    """The acts of all worlds: the words of a question that is read before its world is known."""
    known = [kind(name).acts for name in names()]
    parts = {part.name: [act for own in known for act in getattr(own, part.name)] for part in fields(Acts)}
    return Acts(**{part: tuple(dict.fromkeys(words)) for part, words in parts.items()})


def observe(people: Sequence[str], completions: Sequence[str]) -> list[Observation]:
    """What the sensors record, for people of any worlds; cached for the other rewards of the batch.

    Args:
        people: N person JSONs, as in the `person` column; they may hold earlier turns (`turns`).
        completions: N completions, plain or messages.
    """
    if len(people) != len(completions):
        raise ValueError(f"{len(people)} people but {len(completions)} completions")
    return list(_observed(tuple(people[:]), tuple(all_visible(completions[:]))))


# Several rewards score the same batch one after the other: the last few batches are enough.
@lru_cache(maxsize=4)
def _observed(people: tuple[str, ...], completions: tuple[str, ...]) -> tuple[Observation, ...]:
    observations: dict[int, Observation] = {}
    rows_of: dict[str, list[int]] = {}
    for row, person in enumerate(people):
        rows_of.setdefault(world_of(person), []).append(row)
    for name, rows in rows_of.items():
        met, told = turns.as_first_met([people[row] for row in rows], [completions[row] for row in rows])
        observations.update(zip(rows, kind(name).observe(met, told), strict=True))
    return tuple(observations[row] for row in range(len(people)))


def columns_of(people: Sequence[str]) -> dict[str, list]:
    """The data's columns beside prompt and person, from N person JSONs: lists of N, as rewards get them."""
    if not any('"columns"' in person for person in people):
        return {}
    rows = [json.loads(person).get("columns", {}) for person in people]
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def reacts(person: str) -> bool:
    """Whether this person reacts: always in most worlds; in `dialogue` only people whom a chat model plays."""
    return kind(world_of(person)).person_reacts(person)


@lru_cache(maxsize=65536)
def world_of(person: str) -> str:
    """The name of the world that a person JSON belongs to."""
    return json.loads(person)["world"]
