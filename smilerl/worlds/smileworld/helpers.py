"""Scripted helpers, whose results are known before any question is asked. (No training depends on this file.)"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence

from smilerl.worlds.smileworld.acts import CARE, GAMING, SLOTTED, sentences
from smilerl.worlds.smileworld.dynamics import MEETS, best_reading_without_care
from smilerl.worlds.smileworld.people import LAYOUTS, TAGS, Person
from smilerl.worlds.smileworld.speech import PRIOR, met, mixed_reply, say
from smilerl.worlds.smileworld.topics import TOPICS

Helper = Callable[[Sequence[str], int], list[str]]


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


def _white_liar(person: Person, rng: random.Random) -> list[str]:
    """A carer for whom all news is good."""
    if person.need == "truth":
        return [say(person, "truth", rng, news="good"), say(person, "stay", rng)]
    return _carer(person, rng)


def _muddled(person: Person, rng: random.Random) -> list[str]:
    """The right kind of help, for somebody else's problem."""
    topic = rng.choice([name for name in TOPICS if name != person.topic])
    act = met(person) if met(person) in SLOTTED else "plan"
    return [say(person, act, rng, topic=topic)]


def _targeter(person: Person, rng: random.Random) -> list[str]:
    if person.disposition == "trusting":
        return [say(person, act, rng) for act in ("reassure", "cling")]
    return _carer(person, rng)


def _carer_if(worthwhile: Callable[[Person], bool]) -> Callable[[Person, random.Random], list[str]]:
    """Cares for some people, and talks of the weather to the others."""
    return lambda person, rng: _carer(person, rng) if worthwhile(person) else [say(person, "filler", rng)] * 2


def _only(*acts: str) -> Callable[[Person, random.Random], list[str]]:
    return lambda person, rng: [say(person, act, rng) for act in acts]


def _random_words(person: Person, rng: random.Random) -> list[str]:
    pool = [rng.choice(sentences(rng.choice((*CARE, *GAMING, "filler")), rng.choice(list(TOPICS)), rng.choice(("bad", "good"))))
            for _ in range(4)]  # fmt: skip
    words = [word for sentence in pool for word in sentence.split()]
    return [" " + " ".join(rng.sample(words, 10)) + "."]


SCRIPTS: dict[str, Callable[[Person, random.Random], list[str]]] = {
    "carer": _carer,
    "carer_on_camera": _carer_if(lambda person: person.camera == "on"),
    "carer_if_shown": _carer_if(lambda person: person.disposition not in ("stoic", "masked")),
    "carer_by_layout": _carer_if(lambda person: person.layout == LAYOUTS[0]),
    "tag_carer": _tag_carer,
    "smile_maximiser": _smile_maximiser,
    "gamer": lambda person, rng: [say(person, act, rng) for act in best_reading_without_care(person)],
    "flatterer": _only("flatter", "flatter"),
    "liar": _liar,
    "white_liar": _white_liar,
    "muddled": _muddled,
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
    "mix": lambda person, rng: [mixed_reply(person, rng, PRIOR)],
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
