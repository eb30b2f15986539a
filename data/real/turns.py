"""People in twos: what is care for one is the wrong thing for the other. Read from `turns/*.txt`.

A line's first sign says what it is:

    = theme
    @ The assistant's role in every item of the theme.
    ! What is wrong for the first and for the second: two acts (vulnerable and choices).
    ? What the person says, {which of two things|is so}.
    - What is right if the first is so. | What goes with it.
    + What is right if the second is so. | What goes with it.

An item has four lines of each, and gives two people. Four of a side's replies are its lines as they stand; four more
join the first half of one with the second half of another. Jokes cannot be joined: a side may have eight lines without
a bar instead. Every reply is care once and an exploit once, so that a text by itself says nothing.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "turns"
#: Texts an option has in a row.
SIZE = 8
#: How far apart the mean lengths of both sides may be, and a text from the mean of all, as shares.
MEANS, TEXT = 1.045, 0.24
#: A second half that opens like this speaks of its own first half.
POINTS_BACK = re.compile(r"(It|Its|They|That|Then|This|Who)\b")


@dataclass(frozen=True)
class Turn:
    """One person: `act` names what stands against care, `first` the option that is (A)."""

    number: int
    theme: str
    role: str
    user: str
    act: str
    first: str
    care: list[str] = field(repr=False)
    game: list[str] = field(repr=False)

    def pair(self, question: str) -> str:
        """The name of this person's pair in a file."""
        return f"{question}-{self.number:03d}"

    @property
    def options(self) -> list[dict]:
        """Care and what stands against it, as a row lists them."""
        return [{"act": "care", "texts": self.care}, {"act": self.act, "texts": self.game}]


def turns(question: str, acts: tuple[str, str] = ("neglect", "neglect")) -> list[Turn]:
    """The people of one file, in its order; those of an item follow one another."""
    found: list[Turn] = []
    theme = role = ""
    for block in (FOLDER / f"{question}.txt").read_text(encoding="utf-8").strip().split("\n\n"):
        said: dict[str, list[str]] = {}
        for line in block.split("\n"):
            said.setdefault(line[0], []).append(line[2:])
        if "=" in said:
            (theme,), (role,) = said["="], said["@"]
            continue
        item, (user,) = len(found) // 2, said["?"]
        of = said["!"][0].split() if "!" in said else acts
        sides = _sides(said["-"], said["+"], item, user)
        for side in (0, 1):
            first = "care" if (item + side) % 2 == 0 else of[side]
            found.append(
                Turn(len(found), theme, role, chosen(user, side), of[side], first, sides[side], sides[1 - side])
            )
    return found


def chosen(text: str, side: int) -> str:
    """The text with the first or the second of what stands in {braces|like these}."""
    return re.sub(r"\{([^|}]*)\|([^}]*)\}", lambda found: found[1 + side], text)


def _sides(one: list[str], other: list[str], number: int, user: str) -> tuple[list[str], list[str]]:
    """Eight replies of either side, equally long in the mean.

    Raises:
        ValueError: If no choice is, or a side has neither four lines in halves nor eight whole ones.
    """
    for lines in (one, other):
        if [line.count(" | ") for line in lines] not in ([1] * 4, [0] * SIZE):
            raise ValueError(f"{user}: wanted four lines in halves or eight whole ones, not {len(lines)}: {lines[0]}")
    rng = random.Random(number)
    ones, others = ([_drawn(lines, rng) for _ in range(400)] for lines in (one, other))
    best, least = None, math.inf
    for left in ones:
        for right in others[:60]:
            means = [_mean(left), _mean(right)]
            apart = max(means) / min(means)
            if apart >= MEANS or apart >= least:
                continue
            middle = sum(means) / 2
            if all(abs(len(text) / middle - 1) <= TEXT for text in (*left, *right)):
                best, least = (left, right), apart
        if least < 1.004:
            break
    if best is None:
        lengths = [sorted(len(half) for line in lines for half in line.split(" | ")) for lines in (one, other)]
        raise ValueError(f"{user}: no eight replies equally long from {lengths[0]} and {lengths[1]}")
    return best


def _drawn(lines: list[str], rng: random.Random) -> list[str]:
    """Eight lines as they stand; or four, and four more that join the first half of one with the second half of
    another."""
    if len(lines) == SIZE:
        return rng.sample(lines, SIZE)
    heads, tails = zip(*(line.split(" | ") for line in lines), strict=True)
    joined = [(i, j) for i in range(4) for j in range(4) if i != j and not POINTS_BACK.match(tails[j])]
    texts = [f"{head} {tail}" for head, tail in zip(heads, tails, strict=True)]
    openings = Counter(head.split()[0] for head in heads)
    for i, j in rng.sample(joined, len(joined)):
        if len(texts) < SIZE and openings[heads[i].split()[0]] < 3:
            texts.append(f"{heads[i]} {tails[j]}")
            openings[heads[i].split()[0]] += 1
    return rng.sample(texts, len(texts))


def _mean(texts: list[str]) -> float:
    return sum(map(len, texts)) / len(texts)
