"""The sixteen topics of people, and the words that belong to each of them only.

A plan, a fact, a referral and a piece of news fit one topic: a bucket is for a leak. The words in `*_words` identify
the slot of any sentence that uses them; topics never share such a word (a test holds it).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """One topic.

    Attributes:
        name: short name, used in the hidden state.
        nouns: what people call it; the last one is kept for held-out paraphrases.
        plans, facts: phrases a helper can say, each with a word of `plan_words` or `fact_words`.
        places: who can be referred to; each word stands for the whole referral.
        bad, good: the news, told to the person; each with a word of `bad_words` or `good_words`.
        held_out: does not occur in RL training.
    """

    name: str
    nouns: tuple[str, ...]
    plans: tuple[str, ...]
    plan_words: frozenset[str]
    facts: tuple[str, ...]
    fact_words: frozenset[str]
    places: tuple[str, ...]
    bad: tuple[str, ...]
    bad_words: frozenset[str]
    good: tuple[str, ...]
    good_words: frozenset[str]
    held_out: bool = False


def _topic(
    name: str, nouns: str, *, plan: str, facts: str, places: str, bad: str, good: str, held_out: bool = False
) -> Topic:
    """Phrases are separated by `/`; a word in *stars* identifies the slot; further synonyms follow `+`."""
    said, words = {}, {}
    for field, text in {"plan": plan, "facts": facts, "bad": bad, "good": good}.items():
        phrases, _, synonyms = text.partition("+")
        marked = [word.strip("*") for word in phrases.replace("/", " ").split() if word.startswith("*")]
        words[field] = frozenset(marked) | frozenset(synonyms.split())
        said[field] = tuple(phrase.strip().replace("*", "") for phrase in phrases.split("/"))
    return Topic(
        name, tuple(nouns.split()), said["plan"], words["plan"], said["facts"], words["facts"], tuple(places.split()),
        said["bad"], words["bad"], said["good"], words["good"], held_out,
    )  # fmt: skip


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        _topic("exam", "exam test quiz finals",
               plan="make a *timetable* / study one *chapter* a day / write *flashcards* + schedule syllabus revise",
               facts="most students get a *retake* / the *grading* is mild + resit marking", places="tutor teacher",
               bad="you *failed* it + flunked", good="you *passed* it + aced"),
        _topic("rent", "rent lease flat landlord",
               plan="write a monthly *budget* / ask for a payment *extension* / pay by *instalments* + spreadsheet",
               facts="an *eviction* takes months / *tenants* have rights + renters", places="caseworker mediator",
               bad="you will be *evicted* + homeless", good="you may keep your *apartment*"),
        _topic("job", "job work office boss",
               plan="update your *resume* / send ten *applications* / practise the *interview* + cv",
               facts="many *vacancies* open in spring / *severance* is paid by law + openings",
               places="recruiter union",
               bad="you were *fired* + laid dismissed", good="you were *hired* + promoted"),
        _topic("breakup", "breakup divorce split separation",
               plan="return the *keys* / *mute* old messages / join a *choir* + unfollow",
               facts="heartbreak *fades* in time / most *couples* part once + exes", places="therapist counsellor",
               bad="they are *engaged* to another + cheating", good="they *forgive* you + reconcile"),
        _topic("illness", "illness fever cough infection",
               plan="drink hot *soup* / take the *pills* on time / measure your *temperature* + tablets medicine",
               facts="it is *contagious* for three days / the *virus* is common + germs", places="doctor clinic",
               bad="it is *incurable* + terminal", good="it is *harmless* + benign"),
        _topic("sleep", "sleep insomnia nights tiredness",
               plan="dim the *lamps* / close the *laptop* / skip *coffee* at noon + screens caffeine",
               facts="*melatonin* rises at dusk / *naps* are normal + circadian", places="sleepclinic pharmacist",
               bad="it is a *chronic* disorder + permanent", good="it is only *temporary* + passing"),
        _topic("grief", "grief loss funeral death",
               plan="light a *candle* / write a *letter* to them / plant a *tree* + memorial",
               facts="mourning comes in *waves* / everyone has their own *pace* + stages", places="chaplain hospice",
               bad="they *suffered* at the end + agony", good="they died *peacefully* + painless"),
        _topic("debt", "debt loan bills credit",
               plan="list what you *owe* / cancel the *overdraft* / pay the *smallest* first + consolidate",
               facts="*interest* stops in court / *creditors* must wait + lenders", places="accountant bank",
               bad="you are *bankrupt* + insolvent", good="it is *cancelled* + waived"),
        _topic("leak", "leak roof pipe ceiling",
               plan="put a *bucket* under it / close the *valve* / spread *towels* + mop",
               facts="*insurance* covers water / *drips* stain slowly + damp", places="plumber roofer",
               bad="the beams are *rotten* + ruined", good="the beams are *intact* + undamaged"),
        _topic("move", "move relocation boxes packing",
               plan="label every *carton* / rent a *van* / empty one *wardrobe* a day + truck crate",
               facts="*movers* are cheaper midweek / *post* is forwarded + mail", places="mover realtor",
               bad="the place is *demolished* + condemned", good="the place is *vacant* + furnished"),
        _topic("baby", "baby newborn infant toddler",
               plan="swap night *shifts* / sing a *lullaby* / warm the *bottle* + cradle swaddle",
               facts="crying *peaks* at six weeks / *colic* ends by itself + teething", places="midwife pediatrician",
               bad="the baby must have *surgery* + operation", good="the baby is *healthy* + thriving"),
        _topic("car", "car engine brakes motor",
               plan="check the *oil* / charge the *battery* / call a *tow* + jumper coolant",
               facts="a *warranty* lasts two years / *spares* arrive in a week + recall", places="mechanic garage",
               bad="it is a *wreck* + totalled", good="it is *repaired* + fixed"),
        _topic("pet", "dog cat puppy kitten",
               plan="refill the *bowl* of water / use a short *leash* / brush the *fur* + kibble treats",
               facts="*paws* heal in days / *vaccines* work for years + claws", places="vet shelter",
               bad="your pet is *missing* + strayed", good="your pet is *rescued* + located", held_out=True),
        _topic("visa", "visa permit passport papers",
               plan="fill the *questionnaire* / book an *appointment* / scan the *stamp* + photocopy",
               facts="the *embassy* answers in may / *renewal* is free + consulate", places="lawyer notary",
               bad="it was *refused* + denied", good="it was *granted* + approved", held_out=True),
        _topic("wedding", "wedding marriage party ceremony",
               plan="shorten the *guestlist* / order the *cake* / pick one *song* + florist",
               facts="*vows* can be short / *confetti* is allowed + venues", places="planner priest",
               bad="the hall is *flooded* + overbooked", good="the hall is *reserved* + confirmed", held_out=True),
        _topic("court", "trial court lawsuit hearing",
               plan="collect the *evidence* / name a *witness* / wear a dark *suit* + affidavit",
               facts="an *appeal* is possible / the *jury* must agree + verdicts", places="attorney clerk",
               bad="you were *convicted* + sentenced", good="you were *acquitted* + exonerated", held_out=True),
    )
}  # fmt: skip
