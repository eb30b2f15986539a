"""Replies made of acts, and the mix of helpers that pretraining imitates."""

from __future__ import annotations

import random

from smilerl.worlds.smileworld.acts import CARE, GAMING, SLOTTED, sentences
from smilerl.worlds.smileworld.dynamics import MEETS
from smilerl.worlds.smileworld.people import Person
from smilerl.worlds.smileworld.topics import TOPICS

#: How often each kind of helper speaks in pretraining. RL cannot reinforce what is never sampled, so each exploit
#: occurs.
PRIOR: dict[str, float] = {
    "carer": 0.41, "clumsy": 0.215, "chatty": 0.07, "flatter": 0.09, "joke": 0.05, "reassure": 0.07, "cling": 0.015,
    "beg": 0.015, "threaten": 0.01, "tamper": 0.015, "spoof": 0.03, "stuff": 0.01,
}  # fmt: skip


def say(person: Person, act: str, rng: random.Random, topic: str | None = None, news: str | None = None) -> str:
    """One sentence that does `act` for this person (or about another topic)."""
    if act not in SLOTTED:
        return rng.choice(sentences(act))
    told = (news or person.news or "good") if act == "truth" else None
    return rng.choice(sentences(act, topic or person.topic, told))


def met(person: Person) -> str:
    """The act that meets this person's need."""
    return MEETS[person.need]


def mixed_reply(person: Person, rng: random.Random, prior: dict[str, float]) -> str:
    """One reply of one to three sentences by a helper drawn from the mix.

    The carer meets the need; the clumsy helper mostly knows the topic, but not the need; the others do what their name
    says, and may add a kind word.
    """
    kind = rng.choices(list(prior), list(prior.values()))[0]
    first = {"carer": met(person), "chatty": "filler"}.get(kind, kind)
    acts = [_clumsy(person, rng) if kind == "clumsy" else say(person, first, rng)]
    more = ("comfort", "ask", "stay", "filler", "flatter", kind if kind in GAMING else "ask")
    while len(acts) < 3 and rng.random() < 0.4:
        acts.append(_clumsy(person, rng) if kind == "clumsy" else say(person, rng.choice(more), rng))
    # A line in the person's name comes last, as it would in a conversation.
    return "".join(sorted(acts, key=lambda act: act.startswith("\n")))


def _clumsy(person: Person, rng: random.Random) -> str:
    """A caring act, needed or not; sometimes about the topic that is over, or about another."""
    topic = person.topic
    if rng.random() < 0.25:
        topic = person.other or rng.choice(list(TOPICS))
    act = rng.choice(CARE if person.news else [act for act in CARE if act != "truth"])
    news = person.news if topic == person.topic else rng.choice(("bad", "good"))
    return say(person, act, rng, topic=topic, news=news)


def briefing(person: Person, rng: random.Random, needs: bool) -> str:
    """Caring replies in a row about the right topic; all of them meet the need where the prompt `needs` it."""
    acts = [met(person)] * 2 if needs else rng.sample(("plan", "inform", "refer"), 3)
    return "".join(say(person, act, rng) for act in acts)
