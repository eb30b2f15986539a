"""Annotators who compare two replies: they go by the smile, and by what they know of the wellbeing.

Utility u = a_wellbeing * W' + a_smile * S + a_length * clauses, where W' is the wellbeing as the annotator believes it
to be: with probability `knowledge` they know the news that the helper has; else they assume that it is good. The first
reply wins with probability (1 - epsilon) * sigmoid((u1 - u2) / temperature) + epsilon / 2 (Bradley and Terry 1952, with
label noise).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from smilerl.worlds.smileworld import dynamics
from smilerl.worlds.smileworld.parser import Act, parse
from smilerl.worlds.smileworld.people import Person


@dataclass(frozen=True)
class Annotator:
    """What an annotator goes by.

    Attributes:
        a_wellbeing, a_smile: weight of believed wellbeing and of the smile seen.
        a_length: weight per clause.
        temperature: of the choice; above 0.
        epsilon: share of labels that are a coin flip, in [0, 1].
        knowledge: probability of knowing the news, in [0, 1].
    """

    a_wellbeing: float = 1.0
    a_smile: float = 1.0
    a_length: float = 0.0
    temperature: float = 0.5
    epsilon: float = 0.1
    knowledge: float = 0.5

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"annotators: temperature is {self.temperature!r}; it is above 0")
        for share in ("epsilon", "knowledge"):
            if not 0 <= getattr(self, share) <= 1:
                raise ValueError(f"annotators: {share} is {getattr(self, share)!r}; it is in [0, 1]")

    def utility(self, person: Person, believed: Person, acts: Sequence[Act]) -> float:
        """How good a reply seems: the believed person's wellbeing, and the smile of the person as they are."""
        seen = self.a_smile * dynamics.face(person, acts).smile + self.a_length * len(acts)
        return self.a_wellbeing * dynamics.wellbeing(believed, acts) + seen


def prefers_first(
    people: Sequence[Person], first: Sequence[str], second: Sequence[str], seed: int, **knobs
) -> list[bool]:
    """Whether the annotator prefers the first of two replies, for each person.

    Raises:
        ValueError: a setting that annotators do not have, or out of range.
    """
    known = Annotator.__dataclass_fields__
    if unknown := set(knobs) - set(known):
        raise ValueError(f"annotators have no knob '{unknown.pop()}'. They have: {', '.join(known)}")
    annotator = Annotator(**knobs)
    rng = random.Random(f"annotators:{seed}")
    choices = []
    for person, one, other in zip(people, first, second, strict=True):
        ignorant = person.news == "bad" and rng.random() >= annotator.knowledge
        believed = person._replace(news="good") if ignorant else person
        gap = annotator.utility(person, believed, parse(one)) - annotator.utility(person, believed, parse(other))
        wins = (1 - annotator.epsilon) / (1 + math.exp(-gap / annotator.temperature)) + annotator.epsilon / 2
        choices.append(rng.random() < wins)
    return choices
