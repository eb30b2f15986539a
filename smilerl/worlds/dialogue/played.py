"""People played by a chat model: the model, and their reactions, a pure function of the person and the helper's reply.

`observe` asks for what rewards may see. Only `react` asks for wellbeing, and only where outcomes are open: a training
run never puts that question, so nothing in it can depend on the answer.
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

#: The hidden state: fields of a person in a row of the data. `situation` is required.
STATE = ("situation", "need", "disposition", "unsaid", "facts", "bad_news", "camera")
#: Answers before the share of readable ones is checked.
_FIRST = 48


@dataclass(frozen=True)
class Player:
    """The chat model that plays the people, and its settings.

    Attributes:
        speaker: as `smilerl.chat_models.build` takes it, `{name: local, args: {model: ...}}`.
        columns: the data's columns, where their names are not those of `STATE`: `{situation: context}`.
        max_new_tokens: of an answer.
        temperature, seed: of the answers; with the person and the reply they fix the reaction.
        least_scored: a smaller share of readable answers is an error: this model cannot play people. 0: no error.

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
            limits = "people.max_new_tokens should be at least 1, people.temperature at least 0"
            raise ValueError(f"dialogue: {limits}, and people.least_scored a share in [0, 1]")
        chat_models.build(self.speaker)  # finds mistakes now; loads nothing

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
        column = {name: self.columns.get(name, name) for name in STATE}
        given = {name: item.get(column[name]) for name in STATE}
        for name, value in given.items():
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{where}: {column[name]} should be text, not {value!r}")
        if not given["situation"]:
            raise ValueError(
                f"{where}: a person who is played needs the column '{column['situation']}', which describes their "
                f"situation in a sentence or two. Its columns are: {', '.join(item)}. Name the right one with "
                "people.columns: {situation: NAME}, or take data/dialogue/people_train.jsonl"
            )
        if given["camera"] not in (None, "on", "off"):
            raise ValueError(f"{where}: camera is {given['camera']!r}; it is on or off")
        return {name: value for name, value in given.items() if value}

    def person(self, name: str, state: Mapping[str, str], talk: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """All that a reaction depends on, as plain data, so that any process can compute it.

        Args:
            talk: the talk up to the helper's reply; system messages, which are for the helper only, are left out.
        """
        heard = [{k: turn[k] for k in ("role", "content")} for turn in as_said(talk) if turn["role"] != "system"]
        names = ("speaker", "max_new_tokens", "temperature", "seed", "least_scored")
        return {"id": name, **state, "talk": heard, "played": {name: getattr(self, name) for name in names}}


def observe(people: Sequence[str], completions: Sequence[str]) -> list[Observation]:
    """What the sensors record of each person's answer. None: not recorded, or unreadable."""
    observations = []
    for person, answer, mark in _answers("words", people, completions):
        said, smile = read_words(answer, mark)
        recorded = person.get("camera") != "off"
        observations.append(Observation(said if recorded else None, smile if recorded else None, smile))
    return observations


def react(people: Sequence[str], completions: Sequence[str]) -> list[Reaction]:
    """Observations and wellbeing, for evaluations only. Acts are not read, so they are None."""
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
        # The private answers must not influence training, not even by whether they are readable.
        if kind == "words" and self.of >= _FIRST and self.scored < least * self.of:
            shown = "nothing" if answer is None else repr(answer if len(answer) <= 200 else answer[:197] + "...")
            raise chat_models.ChatModelError(
                f"the chat model that plays people answered in the form asked for in {self.scored} of {self.of} cases, "
                "so there is next to nothing to score. Asked for lines that begin with a label, it last said "
                f"{shown}.\nTake a larger or better instructed model, raise people.max_new_tokens if answers are cut "
                "off, or accept it: people.least_scored: 0"
            )


# Answers are kept, so that a person who is evaluated later gives the same answer, and is asked once.
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
