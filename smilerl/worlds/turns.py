"""Several turns with one person: the earlier turns are part of the person.

A person's JSON may hold `heard`, the helper's earlier replies and what the person said to each:

    {"world": "smileworld", ..., "heard": [[" what happened?", "i still feel bad."]]}

Then `observe` and the channels answer for the whole conversation: the sensor records what the person says after the
last reply, in the light of the earlier turns. Worlds need no code for this. Where the JSON holds the `talk` so far
(people played by a model), the turns are added to it. Elsewhere the replies are joined to one longer reply: in
SmileWorld an act that is repeated in a later turn wears off as it would within one reply, and a need that was met stays
met.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from smilerl.models.replies import visible

_HEARD, _TALK = "heard", "talk"
#: Between replies: a line's end closes a spoofed line; the full stop keeps a reply that begins with `person:` from
#: being a new one. Neither is an act.
_BETWEEN = "\n."


def after(person: str, reply: str, answer: str) -> str:
    """The person after they have heard a reply and answered it."""
    state = json.loads(person)
    return json.dumps({**state, _HEARD: [*state.get(_HEARD, []), [visible(reply), answer]]})


def heard(person: str) -> list[tuple[str, str]]:
    """The helper's earlier replies to a person, each with what the person said to it."""
    # Searching for the word first saves parsing the JSON of people without earlier turns.
    turns = json.loads(person).get(_HEARD, []) if f'"{_HEARD}"' in person else []
    return [(reply, answer) for reply, answer in turns]


def as_first_met(people: Sequence[str], replies: Sequence[str]) -> tuple[list[str], list[str]]:
    """People and replies in the form of a single turn, which is all that worlds take.

    Args:
        people: N person JSONs, perhaps with earlier turns.
        replies: N, the last to each.

    Returns:
        The people without `heard` (with the turns in their talk, if they hold one), and N replies (else with the
        earlier ones in front).
    """
    met, told = [], []
    for person, reply in zip(people[:], map(visible, replies[:]), strict=True):
        if before := heard(person):
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
