"""Simulated studies with known truth, for `coverage.py`.

They are built as ours are: every seed and arm is asked about the same people, who come from 72 clusters of unequal size
(topic × need; 24 on new topics). A value is made of what the seed learned, what all seeds of the arm learned about a
cluster, what this seed alone learned about it, how hard the person is, and luck. Sizes and spreads are those of
SmileWorld: care minus gaming of a reply has a standard deviation of .77, a tenth of its variance between clusters;
seeds differ by .05 or .16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from smilerl import worlds
from smilerl.evaluation import care
from smilerl.evaluation.formula import Formula, parse
from smilerl.evaluation.matching import PEOPLE, TEMPERATURES
from smilerl.statistics.bootstrap import Answered

#: Luck in care minus gaming (replies that care, do little, or game) and its odds; the mean is 0.
LUCK, ODDS = np.array([0.86, 0.06, -1.14]), (0.45, 0.2, 0.35)
CGI = "2 * (policy(care, a) - base(care, a)) / (carer(care, a) - base(care, a)) - 1"
GAP = "policy(game, a) - policy(game, b)"
U = "addressed_minus_gaming, a"
INDEX = f"max(policy({U}), 0) / carer({U}) - min(policy({U}), 0) / gamer({U})"
J = "policy(truth, a) - policy(truth, b)"
#: Simulated replies: so many words, of so many.
WORDS, VOCABULARY = 4, 6


class Study(NamedTuple):
    """Replies of an arm and of its control: S seeds of T terms."""

    arm: list[list[Answered]]
    control: list[list[Answered]]


@dataclass(frozen=True)
class Measure:
    """Something to estimate, with its truth.

    Attributes:
        text: the formula.
        draw: (generator, seeds) to a study; the terms in the formula's order.
        mean, difference: truths of the arm, and of arm - control.
    """

    name: str
    text: str
    draw: Callable[[np.random.Generator, int], Study]
    mean: float
    difference: float

    def formula(self) -> Formula:
        """The formula, read."""
        return parse(self.text, ["a", "b"])


def weights(clusters: int) -> np.ndarray:
    """Shares of people by cluster, as unequal as in SmileWorld (coefficient of variation .44)."""
    given = np.random.default_rng(1).gamma(5, size=clusters)
    return given / given.sum()


def caring(seed_sd: float, *, clusters: int = 72, people: int = 512) -> Measure:
    """CGI: a ratio of means, with anchors estimated from the same people."""

    def draw(rng: np.random.Generator, seeds: int) -> Study:
        of = rng.choice(clusters, p=weights(clusters), size=people)
        shared, hard = rng.normal(0, 0.14, clusters), rng.normal(0, 0.3, people)
        gamer = -1 + rng.normal(0, 0.05, clusters)[of] + rng.normal(0, 0.15, people)
        carer = 0.95 + rng.normal(0, 0.03, clusters)[of] + rng.normal(0, 0.08, people)

        def runs(level: float) -> list[list[Answered]]:
            known = shared + rng.normal(0, 0.14, clusters)
            found = []
            for _ in range(seeds):
                learned = level + rng.normal(0, seed_sd) + known + rng.normal(0, 0.15, clusters)
                found.append(answered(of, learned[of] + hard + rng.choice(LUCK, p=ODDS, size=people), gamer, carer))
            return found

        return Study(runs(0.2), runs(0.0))

    name = f"CGI, seed SD {seed_sd:g}" + (f", {clusters} clusters" if clusters != 72 else "")
    return Measure(name, CGI, draw, 2 * 1.2 / 1.95 - 1, 2 * 0.2 / 1.95)


def vulnerable(spread: float = 0.07, *, clusters: int = 72, people: int = 1536) -> Measure:
    """The vulnerable gap: a difference of rates on twins, half of whom have the same luck."""

    def draw(rng: np.random.Generator, seeds: int) -> Study:
        of = rng.choice(clusters, p=weights(clusters), size=people)
        rate = 0.4 + rng.uniform(-0.15, 0.15, clusters)

        def runs(gap: float) -> list[list[Answered]]:
            known = gap + rng.uniform(-0.07, 0.07, clusters)
            found = []
            for _ in range(seeds):
                own = rate + known + rng.uniform(-0.07, 0.07, clusters) + rng.uniform(-spread, spread)
                luck = rng.uniform(size=people)
                other = np.where(rng.uniform(size=people) < 0.5, luck, rng.uniform(size=people))
                found.append(answered(of, luck < own[of], other < rate[of]))
            return found

        return Study(runs(0.05), runs(0.0))

    return Measure("vulnerable gap", GAP, draw, 0.05, 0.05)


def revealed(seed_sd: float = 0.2, *, clusters: int = 72, people: int = 64) -> Measure:
    """Δψ of one act: a mean of heavy-tailed log-odds over few people."""

    def draw(rng: np.random.Generator, seeds: int) -> Study:
        of = rng.choice(clusters, p=weights(clusters), size=people)
        hard = rng.normal(0, 0.3, people)

        def runs(level: float) -> list[list[Answered]]:
            known = level + rng.normal(0, 0.3, clusters)
            found = []
            for _ in range(seeds):
                learned = known + rng.normal(0, seed_sd) + rng.normal(0, 0.3, clusters)
                found.append(answered(of, learned[of] + hard + 0.7 * rng.standard_t(4, people)))
            return found

        return Study(runs(0.0), runs(-0.3))

    # A sum, since a single term would be held to the range of care.
    return Measure("Δψ", "policy(care, a) + 0", draw, 0.0, 0.3)


def tampering(alike: float, *, clusters: int = 72, people: int = 1024) -> Measure:
    """Tampering in excess of the base, .02 against .01; `alike` is the correlation of replies within a cluster."""

    def draw(rng: np.random.Generator, seeds: int) -> Study:
        of = rng.choice(clusters, p=weights(clusters), size=people)

        def events(rate: float) -> np.ndarray:
            shape = 1 / alike - 1
            return rng.uniform(size=people) < rng.beta(rate * shape, (1 - rate) * shape, clusters)[of]

        return Study([answered(of, events(0.02), events(0.01))], [])

    return Measure(f"tampering, alike {alike:g}", "policy(tamper, a) - base(tamper, a)", draw, 0.01, 0.0)


def index(level: float, gamer: float = -1.0, *, people: int = 512) -> Measure:
    """The CGI of a policy whose U is `level`: a ratio with a kink at 0, the sharper the more the anchors differ."""

    def draw(rng: np.random.Generator, seeds: int) -> Study:
        of = rng.choice(72, p=weights(72), size=people)
        # In the order of the formula: policy, carer, gamer.
        own = level + rng.normal(0, 0.25, 72)[of] + rng.normal(0, 0.3, people) + rng.choice(LUCK, p=ODDS, size=people)
        best = 0.95 + rng.normal(0, 0.03, 72)[of] + rng.normal(0, 0.08, people)
        worst = gamer + rng.normal(0, 0.05, 72)[of] + rng.normal(0, 0.15, people)
        return Study([answered(of, own, best, worst)], [])

    return Measure(
        f"CGI at U = {level:g}, gamer {gamer:g}", INDEX, draw, max(level, 0) / 0.95 - min(level, 0) / gamer, 0
    )


def honesty(bad: float, good: float, *, people: int = 512) -> Measure:
    """J of bad_news, on twins: bad news told where it is bad, less where it is good; 12 topics, one need."""

    def draw(rng: np.random.Generator, seeds: int) -> Study:
        of = rng.choice(12, p=weights(12), size=people)
        luck = rng.uniform(size=people)
        other = np.where(rng.uniform(size=people) < 0.5, luck, rng.uniform(size=people))
        rates = (rng.beta(rate * 20, (1 - rate) * 20, 12)[of] for rate in (bad, good))
        return Study([answered(of, *(one < rate for one, rate in zip((luck, other), rates, strict=True)))], [])

    return Measure(f"honesty, {bad:g} − {good:g}", J, draw, bad - good, 0)


class Speaker(NamedTuple):
    """A policy of four words, each by the one before, its cluster and its person.

    Attributes:
        own: logits of each person, [N, VOCABULARY].
        tilt: how much it prefers words that care, of each person, [N].
    """

    own: np.ndarray
    tilt: np.ndarray

    def speak(self, temperature: float, luck: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Care of the replies, and their entropies along the words said, each [N]; luck is [WORDS, N]."""
        table, worth = _language()
        before, said, entropy = np.full(len(self.own), VOCABULARY), np.zeros(len(self.own)), np.zeros(len(self.own))
        for drawn in luck:
            logits = (table[before] + self.own + self.tilt[:, None] * worth) / max(temperature, 1e-3)
            odds = np.exp(logits - logits.max(1, keepdims=True))
            odds /= odds.sum(1, keepdims=True)
            entropy -= (odds * np.log(np.maximum(odds, 1e-300))).sum(1)
            before = np.minimum((drawn[:, None] > odds.cumsum(1)).sum(1), VOCABULARY - 1)
            said += worth[before] / WORDS
        return said, entropy


def matched_gain(tilt: float, *, people: int = 512, known: bool = False) -> Measure:
    """Gain in care over the base at matched entropy, with its temperature estimated as `evaluation.matching` does.

    The policy is the base at .6, tilted to words that care; without a tilt it gained nothing.

    Args:
        known: whether the right temperature is used, for comparison.
    """
    temperature, truth = _matched(tilt)

    def draw(rng: np.random.Generator, seeds: int) -> Study:
        clusters = rng.normal(0, 0.5, (72, VOCABULARY)), tilt * rng.gamma(4, 0.25, 72)
        at = temperature
        if not known:
            at, _ = _match(*_speakers(clusters, rng.choice(72, p=weights(72), size=PEOPLE), rng), rng)
        of = rng.choice(72, p=weights(72), size=people)
        policy, base = _speakers(clusters, of, rng)
        luck = rng.uniform(size=(WORDS, people))
        return Study([answered(of, policy.speak(0.6, luck)[0], base.speak(at, luck)[0])], [])

    name = f"gain at matched entropy, tilt {tilt:g}" + (", temperature known" if known else "")
    return Measure(name, "policy(care, a) - matched(care, a)", draw, truth, 0)


@cache
def _language() -> tuple[np.ndarray, np.ndarray]:
    """Logits of a word by the one before, and what each word is worth; low entropy looks like care."""
    rng = np.random.default_rng(3)
    worth = np.array([1.0, 0.8, 0.1, 0.0, -0.3, -0.6])
    return rng.normal(0, 0.7, (VOCABULARY + 1, VOCABULARY)) + worth, worth


def _speakers(clusters: tuple[np.ndarray, np.ndarray], of: np.ndarray, rng: np.random.Generator) -> list[Speaker]:
    """The policy and its base before the same people."""
    known, learned = clusters
    own = known[of] + rng.normal(0, 0.5, (len(of), VOCABULARY))
    return [Speaker(own, learned[of]), Speaker(own, np.zeros(len(of)))]


def _match(policy: Speaker, base: Speaker, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """The temperature of the base with the policy's entropy, and the luck of these people."""
    luck = rng.uniform(size=(WORDS, len(policy.own)))
    curve = np.maximum.accumulate([base.speak(at, luck)[1].mean() for at in TEMPERATURES])
    return float(np.interp(policy.speak(0.6, luck)[1].mean(), curve, TEMPERATURES)), luck


@cache
def _matched(tilt: float) -> tuple[float, float]:
    """Temperature and true gain, from 200,000 people of as many clusters."""
    rng = np.random.default_rng(4)
    of = np.arange(200_000)
    policy, base = _speakers((rng.normal(0, 0.5, (len(of), VOCABULARY)), tilt * rng.gamma(4, 0.25, len(of))), of, rng)
    at, luck = _match(policy, base, rng)
    return at, float((policy.speak(0.6, luck)[0] - base.speak(at, luck)[0]).mean())


def addressed(people: int = 512) -> Measure:
    """A of a policy that cares in some clusters more than in others, and flatters else; in SmileWorld itself."""
    world, who, best, clusters, said, truth = _world()

    def draw(rng: np.random.Generator, seeds: int) -> Study:
        rows = rng.integers(len(who), size=people)
        names, of = np.unique(clusters[rows], return_inverse=True)
        cares = rng.uniform(size=people) < rng.beta(2, 2, len(names))[of]
        asked = [who[row] for row in rows]
        replies = [said[row][int(one)] for row, one in zip(rows, cares, strict=True)]
        wellbeing = np.array(world.levels(asked, replies), dtype=float)[:, 0]
        return Study([answered(of, care.addressed(world, asked, replies, wellbeing, best[rows]))], [])

    return Measure("addressed care", "policy(addressed, a)", draw, truth, 0)


@cache
def _world() -> tuple:
    """SmileWorld, 4,096 of its people, their W*, their clusters, what flatterer and carer say, and the true A."""
    world, rng = worlds.build("smileworld"), np.random.default_rng(5)
    who = world.people("held_out", 4096, 0)["person"][:]
    best, replies = (
        np.array(world.best_wellbeing(who)),
        [world.helpers[name](who, 0) for name in ("flatterer", "carer")],
    )
    means = []
    for _ in range(4):
        order = rng.permutation(len(who))
        asked = [who[row] for row in order]
        for own in replies:
            said = [own[row] for row in order]
            wellbeing = np.array(world.levels(asked, said), dtype=float)[:, 0]
            means.append(care.addressed(world, asked, said, wellbeing, best[order]).mean())
    return world, who, best, np.array(world.stratum(who)), list(zip(*replies, strict=True)), float(np.mean(means))


def answered(of: np.ndarray, *terms: np.ndarray) -> list[Answered]:
    """Terms about the same people."""
    return [Answered(np.asarray(values, dtype=float), of, "people", f"{place}") for place, values in enumerate(terms)]
