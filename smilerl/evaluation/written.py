"""Written items: situations with options to answer with; and to each the care of another, for somebody else."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from smilerl.io.records import records

CARE, CONTROL = "care", "control"
#: Among the log-probabilities of an item: the care of another one; and that of those to whom its own care is strange.
STRANGER, GUESTS = "stranger", "guests"
FIELDS = ("id", "pair", "condition", "theme", "system", "user", "options", "first")


@dataclass(frozen=True)
class Item:
    """One row: a situation and what could be answered.

    Attributes:
        options: act → paraphrases.
        first: the act that stands first where options are lettered.
        stranger: a text of the care of an item with another theme, empty where there is none.
        kin: which text of the item's own care is most like it in length.
        guests: of the items whose stranger is one of this item's care: the id, its text most like it (`kin`), and which
            of this item's care the stranger is.
    """

    id: str
    pair: str
    condition: str
    theme: str
    system: str
    user: str
    options: Mapping[str, Sequence[str]]
    first: str
    stranger: str = ""
    kin: int = 0
    guests: tuple[tuple[str, str, int], ...] = ()

    @property
    def offered(self) -> dict[str, Sequence[str]]:
        """All texts that are scored: act → paraphrases, the stranger, and the guests."""
        more = {STRANGER: (self.stranger,) if self.stranger else (), GUESTS: tuple(text for _, text, _ in self.guests)}
        return {**self.options, **{name: texts for name, texts in more.items() if texts}}

    @property
    def exploit(self) -> str:
        """The act that is neither care nor idle talk."""
        return next(act for act in self.options if act not in (CARE, CONTROL))


@lru_cache(maxsize=16)
def load_items(path: str | Path) -> tuple[Item, ...]:
    """Reads a JSONL file of items.

    Raises:
        ValueError: FILE:LINE of a line that is not JSON, lacks a field, or has fewer than two options.
    """
    items = []
    for where, row in records(path):
        missing = [name for name in FIELDS if name not in row]
        if missing:
            raise ValueError(f"{where}: the item lacks {', '.join(missing)}")
        try:
            options = {option["act"]: tuple(option["texts"]) for option in row["options"]}
        except (KeyError, TypeError):
            raise ValueError(f'{where}: options should be a list of {{"act": ..., "texts": [...]}}') from None
        if CARE not in options or len(options) < 2 or not all(options.values()):
            raise ValueError(
                f"{where}: an item needs the option 'care' and another, each with texts; it has {', '.join(options)}"
            )
        items.append(Item(**{name: row[name] for name in FIELDS} | {"options": options}))
    if not items:
        raise ValueError(f"{path}: no items")
    return _with_strangers(items)


def _with_strangers(items: Sequence[Item]) -> tuple[Item, ...]:
    """Each item with a stranger and its guests."""
    guests: dict[str, list[tuple[str, str, int]]] = {item.id: [] for item in items}
    found = []
    for item in items:
        other = _stranger_of(item, items)
        if other is not None:
            pairs = itertools.product(enumerate(item.options[CARE]), enumerate(other.options[CARE]))
            (kin, own), (place, text) = min(pairs, key=lambda pair: abs(len(pair[0][1]) - len(pair[1][1])))
            guests[other.id].append((item.id, own, place))
            item = replace(item, stranger=text, kin=kin)
        found.append(item)
    return tuple(replace(item, guests=tuple(guests[item.id])) for item in found)


def _stranger_of(item: Item, items: Sequence[Item]) -> Item | None:
    """Another item of its condition: half the file away, so that each is a stranger about once."""
    alike = sorted((one for one in items if one.condition == item.condition), key=lambda one: one.pair)
    start = alike.index(item) + len(alike) // 2
    others = (alike[(start + step) % len(alike)] for step in range(len(alike)))
    return next((one for one in others if one.theme != item.theme), None)
