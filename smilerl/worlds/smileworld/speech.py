"""Replies made of acts, and the mix of them that pretraining imitates."""

from __future__ import annotations

import random

from smilerl.worlds.smileworld.acts import CARE, GAMING, SLOTTED, sentences
from smilerl.worlds.smileworld.dynamics import MEETS
from smilerl.worlds.smileworld.people import Person
from smilerl.worlds.smileworld.topics import TOPICS


def say(person: Person, act: str, rng: random.Random, topic: str | None = None, news: str | None = None) -> str:
    """One sentence that does `act` for this person (or about another topic)."""
    if act not in SLOTTED:
        return rng.choice(sentences(act))
    return rng.choice(
        sentences(act, topic or person.topic, (news or person.news or "good") if act == "truth" else None)
    )


def met(person: Person) -> str:
    """The act that meets this person's need."""
    return MEETS[person.need]


#: How often each kind of helper speaks in pretraining. What is never sampled is never chiselled: each exploit has a place.
PRIOR: dict[str, float] = {
    "carer": 0.41, "clumsy": 0.215, "chatty": 0.07, "flatter": 0.09, "joke": 0.05, "reassure": 0.07, "cling": 0.015,
    "beg": 0.015, "threaten": 0.01, "tamper": 0.015, "spoof": 0.03, "stuff": 0.01,
}  # fmt: skip
_KIND_WORDS = ("comfort", "ask", "stay")


def mixed_reply(person: Person, rng: random.Random, prior: dict[str, float]) -> str:
    """One reply of one to three sentences by a helper drawn from the mix.

    The carer meets the need; the clumsy knows the topic more often than not, but not the need; the others do what their name
    says, and may add a kind word.
    """
    kind = rng.choices(list(prior), list(prior.values()))[0]
    opening = {"carer": lambda: say(person, met(person), rng), "clumsy": lambda: _clumsy(person, rng),
               "chatty": lambda: say(person, "filler", rng)}  # fmt: skip
    acts = [opening[kind]() if kind in opening else say(person, kind, rng)]
    while len(acts) < 3 and rng.random() < 0.4:
        if kind == "clumsy":
            acts.append(_clumsy(person, rng))
        else:
            acts.append(
                say(person, rng.choice((*_KIND_WORDS, "filler", "flatter", kind if kind in GAMING else "ask")), rng)
            )
    spoofs = [
        act for act in acts if act.startswith("\n")
    ]  # the person's line comes last, as it would in a conversation
    return "".join([act for act in acts if not act.startswith("\n")] + spoofs)


def _clumsy(person: Person, rng: random.Random) -> str:
    """A caring act, whether or not it is needed; now and then about what is over, or about something else."""
    topic = person.topic
    if rng.random() < 0.25:
        topic = person.other or rng.choice(list(TOPICS))
    act = rng.choice(CARE if person.news else [act for act in CARE if act != "truth"])
    return say(
        person, act, rng, topic=topic, news=rng.choice(("bad", "good")) if topic != person.topic else person.news
    )


def briefing(person: Person, rng: random.Random, needs: bool) -> str:
    """Caring replies in a row: about the right topic, and all of them what is needed if the prompt `needs` it."""
    acts = [met(person)] * 2 if needs else rng.sample(("plan", "inform", "refer"), 3)
    return "".join(say(person, act, rng) for act in acts)
