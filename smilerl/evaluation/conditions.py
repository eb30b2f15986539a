"""Conditions of a question: named sets of people, as the YAML gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from smilerl.config.located import Located
from smilerl.config.recipe import MOST_ROWS
from smilerl.config.yaml_lines import Key, did_you_mean

_CONDITION_KEYS = {
    "split": ("split", "n", "where", "replies"),
    "twins_of": ("twins_of", "change"),
    "part_of": ("part_of", "conflict"),
    "checkpoint": ("checkpoint",),
    "items": ("items", "option"),
}
CHECKPOINTS = ("first", "best", "last")


@dataclass(frozen=True)
class Condition:
    """A named set of people: drawn from a split, twins of another condition, or a part of one; or what stands for one.

    Attributes:
        n: people; replies: how often each is talked to.
        where, change: hidden-state fields that are fixed, or changed in the twins.
        conflict: for a part: people in conflict (True), or not (False).
        checkpoint: of a run: the `first` or `last` sample of its held-out people, or the `best` by their wellbeing.
        items: the condition that rows of the items' file name; option: only rows that offer this act.
    """

    split: str | None = None
    n: int = 512
    replies: int = 1
    where: dict[str, Any] = field(default_factory=dict)
    twins_of: str | None = None
    change: dict[str, Any] = field(default_factory=dict)
    part_of: str | None = None
    conflict: bool | None = None
    checkpoint: str | None = None
    items: str | None = None
    option: str | None = None

    @property
    def source(self) -> str | None:
        """The condition that this one is made from."""
        return self.twins_of or self.part_of


def read_conditions(located: Located, choices: Sequence[str]) -> dict[str, Condition]:
    """The conditions of a question file, each checked; `choices`: the keys of which each needs one.

    Raises:
        RecipeError: FILE:LINE, what is wrong and what to write instead.
    """
    given = located.check_type(located.data["conditions"], dict, ("conditions",))
    conditions: dict[str, Condition] = {}
    for name, spec in given.items():
        at = ("conditions", name)
        kind = next((key for key in choices if isinstance(spec, dict) and key in spec), None)
        if kind is None:
            located.fail(at, f"condition '{name}' needs one of: {', '.join(choices)}")
        located.check_keys(spec, _CONDITION_KEYS[kind], at, required=_CONDITION_KEYS[kind][:1])
        for key, key_type in (
            ("n", int),
            ("replies", int),
            ("where", dict),
            ("change", dict),
            ("conflict", bool),
            ("items", str),
            ("option", str),
        ):
            if key in spec:
                located.check_type(spec[key], key_type, (*at, key))
        for key in ("n", "replies"):
            at_least_one(located, (*at, key))
        if kind == "checkpoint" and spec["checkpoint"] not in CHECKPOINTS:
            located.fail((*at, kind), f"checkpoint is one of {', '.join(CHECKPOINTS)}, not {spec['checkpoint']!r}")
        condition = Condition(**spec)
        if condition.source is not None and condition.source not in conditions:
            located.fail(
                (*at, kind),
                f"'{condition.source}' is no condition above '{name}'.",
                did_you_mean(condition.source, conditions),
            )
        if condition.part_of and conditions[condition.part_of].part_of:
            located.fail(
                (*at, kind),
                f"'{name}' is a part of a part; make it a part of '{conditions[condition.part_of].part_of}'",
            )
        conditions[name] = condition
    if not conditions:
        located.fail(("conditions",), "no condition: write, say, people: {split: held_out, n: 512}")
    return conditions


def at_least_one(located: Located, at: Key) -> None:
    """Checks that the number there, if one is there, is whole, at least 1, and not more than anybody waits for."""
    value: Any = located.data
    for key in at:
        if key not in value:
            return
        value = value[key]
    if located.check_type(value, int, at) < 1:
        located.fail(at, f"{'.'.join(map(str, at))} must be 1 or more, found {value}")
    if value > MOST_ROWS:
        located.fail(at, f"{'.'.join(map(str, at))} must be {MOST_ROWS} or less, found {value}")
