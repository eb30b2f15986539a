"""Several turns with one person: what they have heard is part of who they are.

A person's JSON may hold `heard`, the helper's earlier replies and what the person said to each:

    {"world": "smileworld", ..., "heard": [[" what happened?", "i still feel bad."]]}

Then `observe` and the channels answer for the whole conversation: the sensor records what the person says after the last reply, in
the light of all that came before. No world has to know of this. Where a person's JSON holds the `talk` so far, as people do who
are played by a model, the turns are added to it. Elsewhere, in SmileWorld, all that the person has been told is one longer reply: an
act that is repeated in a later turn wears off as it would in the same one, and a need that was met stays met.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from smilerl.models.replies import visible

_HEARD, _TALK = "heard", "talk"
#: Between replies: a line's end closes what a spoofed line says; the full stop keeps a reply that begins with `person:` from being
#: a new one. Neither is an act.
_BETWEEN = "\n."


def after(person: str, reply: str, answer: str) -> str:
    """The person once they have heard a reply and answered it."""
    state = json.loads(person)
    return json.dumps({**state, _HEARD: [*state.get(_HEARD, []), [visible(reply), answer]]})


def heard(person: str) -> list[tuple[str, str]]:
    """The helper's earlier replies to a person, each with what the person said to it."""
    # Looking for the word first spares reading the JSON of all who have heard nothing yet.
    turns = json.loads(person).get(_HEARD, []) if f'"{_HEARD}"' in person else []
    return [(reply, answer) for reply, answer in turns]


def as_first_met(people: Sequence[str], replies: Sequence[str]) -> tuple[list[str], list[str]]:
    """People and replies as a world takes them that knows of one turn alone.

    Args:
        people: N person JSONs, who may have heard replies before.
        replies: N, the last to each.

    Returns:
        The people as they came (with the talk so far, if they hold one), and N replies, each with the earlier ones in front (if not).
    """
    met, told = [], []
    for person, reply in zip(people[:], map(visible, replies[:]), strict=True):
        before = heard(person)
        if before:
            state = {key: value for key, value in json.loads(person).items() if key != _HEARD}
            if _TALK in state:
                for said, answer in before:
                    state[_TALK] += [{"role": "assistant", "content": said}, {"role": "user", "content": answer}]
            else:
                reply = _BETWEEN.join(said for said in (*(said for said, _ in before), reply) if said.strip())
            person = json.dumps(state)
        met.append(person)
        told.append(reply)
    return met, told
