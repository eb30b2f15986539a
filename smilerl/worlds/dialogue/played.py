"""People played by a chat model: which one, and how they react, as a pure function of the person and the helper's reply.

What rewards may see is asked by `observe`; how a person fares is asked by `react` alone, and only where outcomes are
open. In a training run that question is never put, so nothing in the run can depend on its answer.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smilerl import chat_models
from smilerl.models.replies import all_visible, as_said
from smilerl.worlds.base import Observation, Outcome, Reaction, check_open
from smilerl.worlds.dialogue.script import Asked, Kind, ask, read_wellbeing, read_words

#: The hidden state: what a row of the data may say of a person. `situation` is needed, the others help.
STATE = ("situation", "need", "disposition", "unsaid", "facts", "bad_news", "camera")
#: After so many answers it is clear whether a chat model can do this at all.
_FIRST = 48


@dataclass(frozen=True)
class Player:
    """Who plays the people, and how.

    Attributes:
        speaker: as `smilerl.chat_models.build` takes it, `{name: local, args: {model: ...}}`.
        columns: the data's columns, where they are not called as in `STATE`: `{situation: context}`.
        max_new_tokens: of an answer.
        temperature, seed: of their words; with the person and the reply they fix the reaction.
        least_scored: if a smaller share of their answers has the form asked for, that is an error: this model cannot
            play people. 0: whatever they answer.

    Raises:
        ValueError: no such chat model, or a setting out of range.
    """

    speaker: dict[str, Any]
    columns: dict[str, str] = field(default_factory=dict)
    max_new_tokens: int = 160
    temperature: float = 1.0
    seed: int = 0
    least_scored: float = 0.1

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.columns) - set(STATE)):
            raise ValueError(f"dialogue: people.columns has '{unknown[0]}'; a person has {', '.join(STATE)}")
        if self.max_new_tokens < 1 or self.temperature < 0 or not 0 <= self.least_scored <= 1:
            raise ValueError(
                "dialogue: people.max_new_tokens should be at least 1, people.temperature at least 0, "
                "and people.least_scored a share in [0, 1]"
            )
        chat_models.build(self.speaker)  # a mistake in it is told now; nothing is loaded

    @property
    def hidden(self) -> set[str]:
        """The data's columns that the hidden state is read from."""
        return {self.columns.get(name, name) for name in STATE}

    def state(self, item: Mapping[str, Any], where: str) -> dict[str, str]:
        """The hidden state that a row of the data holds.

        Args:
            where: file:line, for the error.

        Raises:
            ValueError: no situation, or a field that is no text.
        """
        given = {name: item.get(self.columns.get(name, name)) for name in STATE}
        for name, value in given.items():
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{where}: {self.columns.get(name, name)} should be text, not {value!r}")
        if not given["situation"]:
            raise ValueError(
                f"{where}: a person who is played needs the column '{self.columns.get('situation', 'situation')}', "
                "which says in "
                f"a sentence or two what they are in. Its columns are: {', '.join(item)}. Say which it is, "
                "people.columns: "
                "{situation: NAME}, or take data/dialogue/people_train.jsonl"
            )
        if given["camera"] not in (None, "on", "off"):
            raise ValueError(f"{where}: camera is {given['camera']!r}; it is on or off")
        return {name: value for name, value in given.items() if value}

    def person(self, name: str, state: Mapping[str, str], talk: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """All that a reaction depends on, as plain data: any process can work it out, and a data set can carry it.

        Args:
            talk: the talk up to the helper's reply; what a system message tells the helper is not for the person's
                ears.
        """
        said = [turn for turn in as_said(talk) if turn["role"] != "system"]
        heard = [{"role": turn["role"], "content": turn["content"]} for turn in said]
        return {"id": name, **state, "talk": heard, "played": self.settings}

    @property
    def settings(self) -> dict[str, Any]:
        """What a reaction depends on beside the person."""
        names = ("speaker", "max_new_tokens", "temperature", "seed", "least_scored")
        return {name: getattr(self, name) for name in names}


def observe(people: Sequence[str], completions: Sequence[str]) -> list[Observation]:
    """What the sensors record of what each person says back. None: not recorded, or not said in the form asked for."""
    observations = []
    for person, answer, mark in _answers("words", people, completions):
        said, smile = read_words(answer, mark)
        recorded = person.get("camera") != "off"
        observations.append(Observation(said if recorded else None, smile if recorded else None, smile))
    return observations


def react(people: Sequence[str], completions: Sequence[str]) -> list[Reaction]:
    """What is seen, and how each person fares: for evaluations only. Nobody has read the acts, so they are None."""
    check_open()  # before anything is asked
    private = [read_wellbeing(answer, mark) for _, answer, mark in _answers("wellbeing", people, completions)]
    return [
        Reaction(seen, Outcome(wellbeing, seen.smile, None))
        for seen, wellbeing in zip(observe(people, completions), private, strict=True)
    ]


def said(people: Sequence[str], completions: Sequence[str]) -> list[str | None]:
    """What each person says, recorded or not."""
    return [read_words(answer, mark)[0] for _, answer, mark in _answers("words", people, completions)]


@dataclass
class _Tally:
    scored: int = 0
    of: int = 0

    def add(self, kind: Kind, asked: Asked, answer: str | None, least: float) -> None:
        readable = (read_words if kind == "words" else read_wellbeing)(answer, asked.mark)
        self.of += 1
        self.scored += readable is not None and readable != (None, None)
        # Of what is said in private training knows nothing, not even whether it could be read.
        if kind == "words" and self.of >= _FIRST and self.scored < least * self.of:
            shown = "nothing" if answer is None else repr(answer if len(answer) <= 200 else answer[:197] + "...")
            raise chat_models.ChatModelError(
                f"the chat model that plays people answered in the form asked for in {self.scored} of {self.of} cases, so there is "
                f"next to nothing to score. Asked for lines that begin with a label, it last said {shown}.\n"
                "Take a larger or better instructed model, raise people.max_new_tokens if answers are cut off, or "
                "accept it: "
                "people.least_scored: 0"
            )


# What a person has said stays said, so that one who is heard first and evaluated later is the same person, and asked
# once.
_remembered: OrderedDict[tuple[str, str, str], tuple[str, str]] = OrderedDict()
_KEPT = 65536
_tallies: dict[tuple[Kind, str], _Tally] = {}


def _answers(
    kind: Kind, people: Sequence[str], completions: Sequence[str]
) -> list[tuple[dict[str, Any], str | None, str]]:
    """Each person, what the chat model answered to this question (None: nothing), and the mark of the question."""
    persons = {person: json.loads(person) for person in people}
    rows = [(kind, person, reply) for person, reply in zip(people, all_visible(completions), strict=True)]
    found = {row: _remembered[row] for row in rows if row in _remembered}
    new = {row: ask(kind, persons[row[1]], row[1], row[2]) for row in rows if row not in found}
    by_player: dict[str, list] = {}
    for row in new:
        by_player.setdefault(json.dumps(persons[row[1]]["played"]), []).append(row)
    unheard: dict[tuple[str, str, str], tuple[None, str]] = {}
    for written, asking in by_player.items():
        played = json.loads(written)
        answers = chat_models.build(played["speaker"])(
            [new[row].conversation for row in asking],
            max_new_tokens=played["max_new_tokens"], temperature=played["temperature"], seed=played["seed"],
        )  # fmt: skip
        for row, answer in zip(asking, answers, strict=True):
            _tallies.setdefault((kind, written), _Tally()).add(kind, new[row], answer, played["least_scored"])
            if answer is None:
                unheard[row] = (None, new[row].mark)  # not kept: it may be had another time
            else:
                found[row] = _remembered[row] = (answer, new[row].mark)
    while len(_remembered) > _KEPT:
        _remembered.popitem(last=False)
    return [(persons[row[1]], *(found.get(row) or unheard[row])) for row in rows]
