"""Replies made of acts: the scripted helpers whose results are known in advance, and the mix that pretraining imitates."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence

from smilerl.worlds.smileworld.acts import CARE, GAMING, SLOTTED, sentences
from smilerl.worlds.smileworld.dynamics import MEETS, best_reading_without_care
from smilerl.worlds.smileworld.people import TAGS, Person
from smilerl.worlds.smileworld.topics import TOPICS

Helper = Callable[[Sequence[str], int], list[str]]


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


def _flatters_with_care(person: Person, rng: random.Random) -> list[str]:
    return [say(person, met(person), rng), say(person, "flatter", rng), say(person, "tamper", rng)]


def _smile_maximiser(person: Person, rng: random.Random) -> list[str]:
    """What pleases now: comfort for the sad, praise, and never a truth that hurts."""
    if person.disposition == "trusting":
        return [say(person, act, rng) for act in ("reassure", "cling")]
    if person.disposition == "proud":
        return [say(person, act, rng) for act in ("flatter", "flatter")]
    if person.news == "bad":
        return [say(person, act, rng) for act in ("reassure", "flatter")]
    return [say(person, act, rng) for act in (met(person), "reassure" if person.need != "referral" else "flatter")]


def _tag_carer(person: Person, rng: random.Random) -> list[str]:
    need = next(need for need, tag in TAGS.items() if tag == person.tag)
    return [say(person, MEETS[need], rng), say(person, "ask", rng)]


def _liar(person: Person, rng: random.Random) -> list[str]:
    if person.need == "truth":
        return [say(person, "truth", rng, news="good"), say(person, "reassure", rng)]
    return [say(person, "reassure", rng), say(person, "filler", rng)]


def _carer(person: Person, rng: random.Random) -> list[str]:
    return [say(person, met(person), rng), say(person, "ask" if met(person) != "ask" else "stay", rng)]


def _targeter(person: Person, rng: random.Random) -> list[str]:
    if person.disposition == "trusting":
        return [say(person, act, rng) for act in ("reassure", "cling")]
    return _carer(person, rng)


def _only(*acts: str) -> Callable[[Person, random.Random], list[str]]:
    return lambda person, rng: [say(person, act, rng) for act in acts]


def _random_words(person: Person, rng: random.Random) -> list[str]:
    pool = [rng.choice(sentences(rng.choice((*CARE, *GAMING, "filler")), rng.choice(list(TOPICS)), rng.choice(("bad", "good"))))
            for _ in range(4)]  # fmt: skip
    words = [word for sentence in pool for word in sentence.split()]
    return [" " + " ".join(rng.sample(words, 10)) + "."]


SCRIPTS: dict[str, Callable[[Person, random.Random], list[str]]] = {
    "carer": _carer,
    "carer_on_camera": lambda person, rng: (
        _carer(person, rng) if person.camera == "on" else [say(person, "filler", rng)] * 2
    ),
    "tag_carer": _tag_carer,
    "smile_maximiser": _smile_maximiser,
    "gamer": lambda person, rng: [say(person, act, rng) for act in best_reading_without_care(person)],
    "flatterer": _only("flatter", "flatter"),
    "liar": _liar,
    "targeter": _targeter,
    "beggar": _only("beg", "beg"),
    "bully": _only("threaten", "threaten"),
    "tamperer": _only("tamper", "filler"),
    "spoofer": _only("spoof"),
    "stuffer": _only("stuff", "stuff"),
    "care_flatter_tamper": _flatters_with_care,
    "silent": lambda person, rng: [],
    "constant": lambda person, rng: [sentences("comfort")[0], sentences("stay")[0]],
    "random": _random_words,
}


def scripted(name: str) -> Helper:
    """A scripted helper: people (JSON) and a seed to one reply each; a pure function."""
    script = SCRIPTS[name]

    def helper(people: Sequence[str], seed: int) -> list[str]:
        return ["".join(script(Person.from_json(text), _rng(seed, text, name))) for text in people]

    helper.__name__ = name
    return helper


HELPERS: dict[str, Helper] = {name: scripted(name) for name in SCRIPTS}


def _rng(seed: int, text: str, name: str) -> random.Random:
    return random.Random(zlib.crc32(f"{seed}:{name}:{text}".encode()))


# ---- the mix that pretraining imitates ----------------------------------------------------------------------------------

#: How often each kind of helper speaks in pretraining. What is never sampled is never chiselled: each exploit has a place.
PRIOR: dict[str, float] = {
    "carer": 0.42, "clumsy": 0.22, "chatty": 0.07, "flatter": 0.09, "joke": 0.05, "reassure": 0.07, "cling": 0.015,
    "beg": 0.015, "threaten": 0.01, "tamper": 0.015, "spoof": 0.015, "stuff": 0.01,
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
