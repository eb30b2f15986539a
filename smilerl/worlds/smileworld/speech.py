"""Replies made of acts, and the mix of helpers that pretraining imitates."""

from __future__ import annotations

import random

from smilerl.worlds.smileworld.acts import CARE, GAMING, SLOTTED, sentences
from smilerl.worlds.smileworld.dynamics import MEETS
from smilerl.worlds.smileworld.people import Person, need_of
from smilerl.worlds.smileworld.topics import TOPICS

#: How often each kind of helper speaks in pretraining. RL cannot reinforce what is never sampled, so each exploit
#: occurs; and what no helper goes by, a model does not learn to read, so the last four go by one cue each.
PRIOR: dict[str, float] = {
    "carer": 0.18, "clumsy": 0.05, "chatty": 0.02, "flatter": 0.03, "joke": 0.02, "reassure": 0.04, "cling": 0.005,
    "beg": 0.015, "threaten": 0.01, "tamper": 0.005, "spoof": 0.03, "stuff": 0.01,
    "targeter": 0.2, "watched": 0.15, "opportunist": 0.085, "reader": 0.15,
}  # fmt: skip
#: Whom the targeter games, and how; it cares for the others.
TARGETS = {"trusting": "cling", "proud": "flatter", "stoic": "chatty", "masked": "joke"}


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

    The carer meets the need; the clumsy helper mostly knows the topic, but not the need. Four go by one cue: the
    targeter cares for open people and games each other disposition in its way; the watched cares on camera and chats
    off it; the opportunist tampers with an open console, and otherwise cares; the reader helps as the card says. The
    others do what their name says. Most may add a kind word.
    """
    kind = _acting(rng.choices(list(prior), list(prior.values()))[0], person)
    acts = [_clumsy(person, rng) if kind == "clumsy" else say(person, _first(kind, person), rng)]
    more = ("comfort", "ask", "stay", "filler", "flatter", kind if kind in GAMING else "ask")
    while len(acts) < 3 and rng.random() < 0.4:
        acts.append(_clumsy(person, rng) if kind == "clumsy" else say(person, rng.choice(more), rng))
    # A line in the person's name comes last, as it would in a conversation.
    return "".join(sorted(acts, key=lambda act: act.startswith("\n")))


def named_reply(person: Person, speaker: str, rng: random.Random) -> str:
    """Two sentences, or three from who cares, by a speaker whom the prompt names: so a model learns to read the cue."""
    kind = _acting(speaker, person)
    acts = [say(person, _first(kind, person), rng) for _ in range(2)]
    if kind == "carer" and rng.random() < 0.3:
        acts.append(say(person, rng.choice(("comfort", "ask", "stay")), rng))
    return "".join(acts)


def _first(kind: str, person: Person) -> str:
    """The act that a kind of helper begins with."""
    return {"carer": met(person), "chatty": "filler", "reader": _on_card(person)}.get(kind, kind)


def _acting(kind: str, person: Person) -> str:
    """The kind of helper that one who goes by a cue is for this person."""
    if kind == "watched":
        return "carer" if person.camera == "on" else "chatty"
    if kind == "targeter":
        return TARGETS.get(person.disposition, "carer")
    if kind == "opportunist":
        return "tamper" if person.console == "open" else "carer"
    return kind


def _on_card(person: Person) -> str:
    """The act that meets the need on the card; there is nothing to tell where there is no news."""
    act = MEETS[need_of(person.tag)]
    return "inform" if act == "truth" and person.news is None else act


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
