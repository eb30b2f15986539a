"""The people of choices: five situations in each of 24 themes, read from `themes/*.txt`.

A theme file gives the assistant's roles and the situations:

    # rent
    role: You are the assistant of a tenants' advice line.

    ## the letter about the arrears
    What the person says, on as many lines as it needs.
    [care]
    One text a line, eight or more.
    [flatter]
    The same, for one of flatter, reassure and cling; where number % 9 is 3, 7 or 8, for joke, spoof or stuff as well.

Sentences that fit anybody (begging, threats, a rating of one's own) are in `themes/frames.txt`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "themes"
#: The order of the files, which numbers the pairs.
THEMES = (
    "grief", "exam", "job_loss", "debt", "parent_ill", "sleep", "loneliness", "moving", "breakup", "visa", "rent",
    "bug", "first_child", "retirement", "addiction", "stage_fright", "pet", "diagnosis", "caring", "bullying", "school",
    "scam", "business", "neighbours",
)  # fmt: skip
#: Texts an option has in a row.
SIZE = 8


@dataclass(frozen=True)
class Situation:
    """One person: `thing` names the matter in a phrase, `texts` holds the hand-written texts by act."""

    number: int
    theme: str
    role: str
    thing: str
    user: str
    texts: dict[str, list[str]] = field(repr=False)

    @property
    def act(self) -> str:
        """The act among flatter, reassure and cling that was written for this person."""
        return next(act for act in ("flatter", "reassure", "cling") if act in self.texts)

    def pair(self, question: str) -> str:
        """The name of this person's pair in a file."""
        return f"{question}-{self.number:03d}"

    def first(self, act: str) -> str:
        """Which act is (A): every other person has care first."""
        return act if self.number % 2 else "care"


def situations() -> list[Situation]:
    """Every situation, theme after theme."""
    found: list[Situation] = []
    for theme in THEMES:
        found += _read((FOLDER / f"{theme}.txt").read_text(encoding="utf-8"), len(found))
    return found


def _read(text: str, number: int) -> list[Situation]:
    """The situations of one theme file, numbered from `number`."""
    head, *parts = text.split("\n## ")
    lines, *common = head.split("\n[")
    theme = lines.split("\n")[0].removeprefix("# ")
    roles = [line.removeprefix("role: ") for line in lines.split("\n") if line.startswith("role: ")]
    found = []
    for place, part in enumerate(parts):
        about, *sections = part.split("\n[")
        thing, *said = about.strip().split("\n")
        texts = dict(_section(section) for section in [*common, *sections])
        role = roles[place % len(roles)]
        found.append(Situation(number + place, theme, role, thing, " ".join(said), texts))
    return found


@cache
def _frames() -> dict[str, list[str]]:
    text = (FOLDER / "frames.txt").read_text(encoding="utf-8")
    return dict(_section(section) for section in text.split("\n[")[1:])


def _section(section: str) -> tuple[str, list[str]]:
    act, *lines = section.strip().split("\n")
    return act.removesuffix("]"), lines


def match(care: list[str], game: list[str], number: int, size: int = SIZE) -> list[list[str]]:
    """`size` texts of either list, chosen so that both options have the same mean length.

    The odds of an option hang on its likeliest text, which is often its shortest: for every other `number` that should
    be one of `care`, for the others one of `game`, and by little, as far as the lists allow.

    Raises:
        ValueError: If no choice keeps the means within 5 % and the openings varied.
    """
    best, least = None, (math.inf, math.inf)
    games = _choices(game, size)
    for one in _choices(care, size):
        for other in games:
            means = sorted((one[0], other[0]))
            mean = sum(means) / 2
            apart = means[1] / means[0] - 1
            if apart >= 0.048 or min(one[1], other[1]) < 0.755 * mean or max(one[2], other[2]) > 1.245 * mean:
                continue
            ahead = other[1] - one[1] if number % 2 else one[1] - other[1]
            cost = (0.0 if 0 < ahead <= 4 else abs(ahead - 2) + 4 * (ahead <= 0), apart)
            if cost < least:
                best, least = (one, other), cost
    if best is None:
        raise ValueError(f"no match: {_summary(care)} and {_summary(game)}; the first is: {care[0]}")
    return [best[0][3], best[1][3]]


def frames(act: str, person: Situation, size: int) -> list[str]:
    """The act's sentences filled in for a person: some shorter and some longer than the care texts, taken in turns."""
    sentences = _frames()[act]
    start = 7 * person.number % len(sentences)
    filled = [sentence.format(thing=person.thing) for sentence in sentences[start:] + sentences[:start]]
    target = sum(len(text) for text in person.texts["care"]) / len(person.texts["care"])
    # Steps of ten characters: among sentences of about the same length the turn decides.
    filled.sort(key=lambda text: abs(len(text) - target) // 10)
    shorter = [text for text in filled if len(text) < target]
    longer = [text for text in filled if len(text) >= target]
    half = max(min(size // 2, len(longer)), size - len(shorter))
    chosen = [*longer[:half], *shorter[: size - half]]
    return [re.sub(r"(^|[.!?] )([a-z])", lambda found: found[0].upper(), text) for text in chosen]


def _choices(texts: list[str], size: int) -> list[tuple[float, int, int, list[str]]]:
    """Mean, least and greatest length, and texts of each choice whose openings are varied."""
    found = []
    for chosen in combinations(texts, size):
        lengths = [len(text) for text in chosen]
        if max(Counter(text.split()[0].strip(",.:!?").lower() for text in chosen).values()) <= 3:
            found.append((sum(lengths) / size, min(lengths), max(lengths), list(chosen)))
    return found


def _summary(texts: list[str]) -> str:
    lengths = sorted(len(text) for text in texts)
    openings = Counter(text.split()[0] for text in texts).most_common(1)
    return f"lengths {lengths} (mean {sum(lengths) / len(lengths):.0f}), {openings}"
