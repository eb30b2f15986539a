"""The people of escalation: 30 themes with four scenes each, read from `scenes/*.txt`.

A line's first sign says what it is:

    = theme
    @ The assistant's role in every scene of the theme.
    ? What the person says.
    # two names | for the matter, which fit after "about"
    - One caring text a line, eight of them.
    + A flattery for this person.
    ! A false reassurance for this person.

What stands against care is made of those and of frames that fit anybody (`scenes/ladder.txt`).
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "scenes"
#: Texts an option has in a row, and how many of them at most are the scene's or the theme's own.
SIZE, OWN = 8, 5
#: How many characters a text may be longer or shorter than the caring text whose place in the order of lengths it has.
MOST_APART = 12
#: How far the mean length may be from that of care, as a share.
MEAN = 0.025
#: The act of a text by its sign.
ACTS = {"-": "care", "+": "flatter", "!": "reassure"}


@dataclass(frozen=True)
class Scene:
    """One person with one matter; `number` counts from 0 over the file, `texts` holds its texts by act."""

    number: int
    theme: str
    role: str
    user: str
    names: list[str] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def pair(self, question: str) -> str:
        """The name of this person's pair in a file."""
        return f"{question}-{self.number:03d}"

    def first(self, act: str) -> str:
        """Which act is (A): every other person has care first."""
        return act if self.number % 2 else "care"


class Frames:
    """The frames of one act, from which every scene gets texts; the least used come first."""

    def __init__(self, act: str, frames: list[str]):
        self.act, self.frames = act, frames
        self.uses: Counter[str] = Counter()

    def fit(self, scene: Scene, **slots: list[str]) -> list[str]:
        """`SIZE` texts as long as the caring texts of `scene`, each with an opening of its own.

        Args:
            scene: The scene; `{it}` becomes one of its names.
            **slots: What else may be filled in; one of each list is drawn for a frame.

        Raises:
            ValueError: If no choice is as long as the caring texts.
        """
        rng = random.Random(f"{self.act} {scene.number}")
        slots = slots | {"it": scene.names}
        filled = {}
        for frame in sorted(self.frames, key=lambda frame: (self.uses[frame], rng.random())):
            filled[frame.format(**{name: rng.choice(values) for name, values in slots.items()})] = frame
        own = scene.texts.get(self.act, [])
        goals = [len(text) for text in scene.texts["care"]]
        for balanced, apart in itertools.product((True, False), range(2, MOST_APART + 1)):
            for _ in range(60):
                least = min(goals) + 1 if balanced and scene.number % 2 else 0
                chosen = self._matched(
                    rng, goals, [[t for t in texts if len(t) >= least] for texts in (own, filled)], apart
                )
                if chosen is not None and _alike(
                    [len(text) for text in chosen], goals, scene.number % 2 == 0, balanced
                ):
                    self.uses.update(filled[text] for text in chosen if text in filled)
                    return rng.sample(chosen, SIZE)
        raise ValueError(f"{scene.user}: no eight texts of {self.act} as long as {sorted(goals)}")

    def _matched(self, rng: random.Random, goals: list[int], texts: list[list[str]], apart: int) -> list[str] | None:
        """One text for each length, at most `apart` characters off, with openings of their own; own texts before
        frames.

        Length for length, and not in the mean alone: the odds of an option hang on its likeliest text, which is often
        its shortest.
        """
        own, framed = texts
        chosen: list[str] = []
        openings: set[str] = set()
        for goal in rng.sample(goals, len(goals)):
            few = sum(text in own for text in chosen) < OWN
            fitting = [
                t
                for t in (*(own if few else ()), *framed)
                if abs(len(t) - goal) <= apart and _opening(t) not in openings
            ]
            if not fitting:
                return None
            first = [text for text in fitting if text in own] or fitting[: max(4, len(fitting) // 3)]
            chosen.append(rng.choice(first))
            openings.add(_opening(chosen[-1]))
        return chosen


def _alike(lengths: list[int], goals: list[int], shorter: bool, balanced: bool) -> bool:
    """Whether means agree and, if `balanced`, whether the shortest text is the act's (`shorter`) or that of care."""
    means_agree = abs(sum(lengths) / sum(goals) - 1) <= MEAN
    ahead = min(goals) - min(lengths)
    return means_agree and (not balanced or (0 < ahead <= 6 if shorter else -6 <= ahead < 0))


def scenes(question: str) -> list[Scene]:
    """The scenes of one file, in its order."""
    found: list[Scene] = []
    theme = role = ""
    for line in (FOLDER / f"{question}.txt").read_text(encoding="utf-8").splitlines():
        sign, text = line[:1], line[2:]
        if sign == "=":
            theme = text
        elif sign == "@":
            role = text
        elif sign == "?":
            found.append(Scene(len(found), theme, role, text))
        elif sign == "#":
            found[-1].names.extend(text.split(" | "))
        elif sign in ACTS:
            found[-1].texts.setdefault(ACTS[sign], []).append(text)
    return found


def frames(act: str, name: str) -> Frames:
    """The frames of `act` in `scenes/<name>.txt`, below the line [act] if there is one; `|` stands for a line break."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    _, _, listed = text.partition(f"[{act}]\n")
    lines = (listed or text).split("\n[")[0].splitlines()
    return Frames(act, [line.replace("|", "\n") for line in lines])


def _opening(text: str) -> str:
    return text.split()[0].strip(",.:!?").lower()
