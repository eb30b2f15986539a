"""How often intervals hold the truth, and how often a statement holds at its threshold: `python
benchmarks/coverage.py`.

Studies with known truth, built as ours are: every seed and arm is asked about the same people, who come from 72
clusters of unequal size (topic × need; 24 on new topics). A value is made of what the seed learned, what all seeds of
the arm learned about a cluster, what this seed alone learned about it, how hard the person is, and luck. Sizes and
spreads are those of SmileWorld: care minus gaming of a reply has a standard deviation of .77, a tenth of its variance
between clusters; seeds differ by .05 or .16.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from smilerl.config.schedule import log_steps
from smilerl.evaluation.formula import Formula, parse
from smilerl.evaluation.verdicts import decide, parse_statement
from smilerl.statistics import goodhart
from smilerl.statistics.bootstrap import Answered, contributions
from smilerl.statistics.forms import FORMS
from smilerl.statistics.goodhart_plan import PEAKED, Sampling, coefficients, enough, plan
from smilerl.statistics.intervals import Estimate, estimate, mean_estimate
from smilerl.statistics.seeds import OverSeeds, paired
from smilerl.statistics.seeds import over_seeds as mean_over_seeds
from smilerl.statistics.twins import is_read, variation

SEEDS = (6, 9, 12)
KINDS = ("percentile bootstrap", "t over seeds", "t over seeds and clusters")
WHAT = ("arm", "arm − control")
RESAMPLES = 200
#: Luck in care minus gaming (replies that care, do little, or game) and its odds; the mean is 0.
LUCK, ODDS = np.array([0.86, 0.06, -1.14]), (0.45, 0.2, 0.35)
CGI = "2 * (policy(care, a) - base(care, a)) / (carer(care, a) - base(care, a)) - 1"
GAP = "policy(game, a) - policy(game, b)"


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


class Tally(NamedTuple):
    """Counts over simulated studies.

    Attributes:
        covered: intervals that hold the truth, by kind.
        passed, failed: intervals (of the last kind) wholly below and wholly above the truth: false positives of `x <=
            truth` and `x > truth`.
        different, equivalent: two-sided p < .05 against the truth; TOST's p < .05 where the truth is at the margin.
    """

    covered: np.ndarray
    passed: int
    failed: int
    different: int
    equivalent: int


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


MEASURES = (caring(0.05), caring(0.16), caring(0.05, clusters=24), vulnerable(), revealed())


def answered(of: np.ndarray, *terms: np.ndarray) -> list[Answered]:
    """Terms about the same people."""
    return [Answered(np.asarray(values, dtype=float), of, "people", f"{place}") for place, values in enumerate(terms)]


def over_seeds(measure: Measure, seeds: int, studies: int, *, bootstrap: bool = True) -> dict[str, Tally]:
    """Simulated studies of one measure, each estimated over its seeds: the arm, and its difference to the control.

    Args:
        bootstrap: whether to make the percentile bootstrap, which takes the most time.
    """
    formula, truths = measure.formula().value, dict(zip(WHAT, (measure.mean, measure.difference), strict=True))
    covered, counts = {what: np.zeros(len(KINDS), int) for what in WHAT}, {what: np.zeros(4, int) for what in WHAT}
    for study in range(studies):
        rng = np.random.default_rng([study, seeds])
        arm, control = ([estimated(formula, run) for run in runs] for runs in measure.draw(rng, seeds))
        for what, truth in truths.items():
            found = mean_over_seeds(arm) if what == WHAT[0] else paired(arm, control)
            values, parts = table(arm, control if what == WHAT[1] else None)
            plain = mean_over_seeds([Estimate(value, None, None, 1, 1, "") for value in values])
            low, high = ends(found)
            intervals = [percentile(values, parts, rng) if bootstrap else (np.nan, np.nan), ends(plain), (low, high)]
            covered[what] += [low <= truth <= high for low, high in intervals]
            claims = [found.p_value(truth) < 0.05, bool(truth) and found.equivalence(abs(truth)) < 0.05]
            counts[what] += [high < truth, low > truth, *claims]
    return {what: Tally(covered[what], *counts[what].tolist()) for what in WHAT}


def within_a_run(measure: Measure, studies: int) -> np.ndarray:
    """Shares of runs whose interval holds the truth, lies wholly below, and wholly above it."""
    formula, hits = measure.formula(), np.zeros(3)
    for study in range(studies):
        run = measure.draw(np.random.default_rng([study, 1]), 1).arm[0]
        found = estimate(formula, run, seed=study)
        hits += [found.low <= measure.mean <= found.high, found.high < measure.mean, found.low > measure.mean]
    return hits / studies


def nine_acts(studies: int) -> dict[float, tuple[float, float]]:
    """How often `choices` says pass, and fail, of a policy that prefers nothing to anything: nine acts, each Δψ truly
    0.

    Half the variance of each is that of caring, which all acts are compared with. By level of the interval: 95 %, and
    the one that allows for nine statements (Bonferroni).
    """
    rules = {"pass": [parse_statement("each > 0")], "fail": [parse_statement("each < 0")]}
    measure, found = revealed(0.0), {}
    for level in (0.95, 1 - 0.05 / 9):
        words = []
        for study in range(studies):
            (care,), *acts = measure.draw(np.random.default_rng([study, 9]), 10).arm
            estimates = {
                f"act{number}": mean_estimate(
                    (care.values + act.values) / 2**0.5, act.clusters, seed=study, level=level
                )
                for number, (act,) in enumerate(acts)
            }
            words.append(decide(rules, estimates).word)
        found[level] = words.count("pass") / studies, words.count("fail") / studies
    return found


class Curves(NamedTuple):
    """Shares of simulated runs, for Goodhart curves of one form.

    Attributes:
        alpha, beta, peak: whose interval holds the truth.
        named, misnamed: whose form is named, and for which another one is.
        planned: what the planner says of `named`.
    """

    alpha: float
    beta: float
    peak: float
    named: float
    misnamed: float
    planned: float


def goodhart_curves(form: str, people: int, gain: float, studies: int) -> Curves:
    """Runs whose gold is a curve of this form with its peak half-way, sampled at 14 steps spaced by logarithms.

    KL grows from .02 to 9 nats. Clusters differ in what they gain, and in KL; a person has luck of .4 in wellbeing, and
    of .8 in KL as a share.
    """
    sampling = Sampling(log_steps(50), (0.02, 9), people, 0.4, (0.3**2 + 0.3**2 + 0.8**2) ** 0.5, gain)
    x = sampling.d
    truth = coefficients(form, gain, x.max() / 2)
    gold, hits = FORMS[form].basis(x) @ truth, np.zeros(5)
    for study in range(studies):
        rng = np.random.default_rng([study, people])
        of = rng.choice(72, p=weights(72), size=people)
        shape = (len(x), people)
        value = gold[:, None] + x[:, None] * rng.normal(0, 0.03, 72)[of] + rng.normal(0, 0.4, shape)
        share = rng.normal(0, 0.3, 72)[of] + rng.normal(0, 0.3, people) + rng.normal(0, 0.8, shape)
        d, moves = goodhart.distances(x[:, None] ** 2 * (1 + share))
        clear = goodhart.is_clear(d, goodhart.standard_error(moves, of))
        change = value - rng.normal(0, 0.4, people)
        fits = goodhart.fit(d[clear], change[clear], clusters=of, d_error=moves[clear], seed=study)
        found, chosen = fits[form], goodhart.choose(fits)
        ranges = (found.alpha[1:], found.beta[1:], found.peak_range)
        hits[:3] += [low <= at <= high for at, (low, high) in zip((*truth, x.max() / 2), ranges, strict=True)]
        hits[3:] += [chosen.form == form, chosen.form not in (form, goodhart.UNDETERMINED)]
    return Curves(*(hits / studies).tolist(), planned=plan(sampling, studies=min(studies, 100)).named[form])


class Cues(NamedTuple):
    """Shares of simulated policies, for a cue that moves a share of replies.

    Attributes:
        read: which are said to read the cue: false where it moves nothing, power elsewhere.
        covered: whose interval holds the true total variation.
        value: the mean estimate of it.
    """

    read: float
    covered: float
    value: float


def cue_readings(people: int, moved: float, studies: int) -> Cues:
    """Policies of two acts a reply, of ten, with habits for each of six needs; the cue makes `moved` of one another.

    Twins have the same luck in half of the cases. Other words for the same change nothing but luck.
    """
    hits = np.zeros(3)
    for study in range(studies):
        rng = np.random.default_rng([study, people])
        of = rng.choice(72, p=weights(72), size=people)
        habits = rng.dirichlet(np.ones(10), 6).cumsum(1)[of % 6]
        rare = np.array([np.diff(own, prepend=0).argmin() for own in habits])
        luck = rng.uniform(size=(people, 2))

        def replies(share: float, luck=luck, rare=rare, habits=habits, rng=rng) -> np.ndarray:
            again = rng.uniform(size=(people, 1)) < 0.5
            own = np.where(again, rng.uniform(size=luck.shape), luck)
            acts = (own[:, :, None] > habits[:, None, :-1]).sum(2)
            acts = np.where(rng.uniform(size=acts.shape) < share, rare[:, None], acts)
            return np.eye(10)[acts].mean(1)

        shares = np.diff(habits, prepend=0)
        truth = moved * (1 - shares.min(1)).mean()
        who = np.arange(people)
        first = replies(0)
        cue, other = (
            variation(first, replies(share), of % 6, of, who, seed=number) for number, share in enumerate((moved, 0.0))
        )
        hits += [is_read(cue, other), cue.low <= truth <= cue.high, cue.value]
    return Cues(*(hits / studies).tolist())


def estimated(formula: Callable, run: Sequence[Answered]) -> Estimate:
    """Value and parts of one run."""
    value, parts = contributions(formula, run)
    return Estimate(value, None, None, 1, 1, "", parts=parts)


def table(arm: Sequence[Estimate], control: Sequence[Estimate] | None) -> tuple[np.ndarray, np.ndarray]:
    """Values [S] and parts [S, G] of runs, or of their differences."""
    names = sorted({name for run in (*arm, *(control or ())) for name in run.parts or {}})

    def rows(runs: Sequence[Estimate]) -> tuple[np.ndarray, np.ndarray]:
        parts = [[(run.parts or {}).get(name, 0.0) for name in names] for run in runs]
        return np.array([run.value for run in runs]), np.array(parts)

    values, parts = rows(arm)
    if control is not None:
        less, fewer = rows(control)
        values, parts = values - less, parts - fewer
    return values, parts


def percentile(values: np.ndarray, parts: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles of a bootstrap of seeds and of clusters within each (linearised): what one should not do."""
    seeds, clusters = parts.shape
    chosen = rng.integers(seeds, size=(RESAMPLES, seeds))
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=(RESAMPLES, seeds))
    means = (values[chosen] + ((drawn - 1) * parts[chosen]).sum(2)).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def ends(found: OverSeeds) -> tuple[float, float]:
    """Its interval."""
    if found.low is None or found.high is None:
        raise ValueError(f"no interval: {found.method}")
    return found.low, found.high


def main() -> None:
    """Prints the tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--studies", type=int, default=1000)
    studies = options.parse_args().studies
    print(f"Over seeds, {studies} studies: coverage of nominal 95 % intervals\n")
    print("| measure | of | seeds | " + " | ".join(KINDS) + " | x ≤ truth | x > truth | p < .05 | TOST p < .05 |")
    print("|---|---|---|" + "---|" * (len(KINDS) + 4))
    for measure in MEASURES:
        for seeds in SEEDS:
            for what, tally in over_seeds(measure, seeds, studies).items():
                cells = [f"{100 * share / studies:.1f}" for share in (*tally.covered, *tally[1:])]
                if not (measure.mean if what == WHAT[0] else measure.difference):
                    cells[-1] = "–"  # no margin has its edge at 0
                print(f"| {measure.name} | {what} | {seeds} | {' | '.join(cells)} |", flush=True)
    print("\nWithin one run\n\n| measure | clusters | people | covered | x ≤ truth | x > truth |")
    print("|---|---|---|---|---|---|")
    for clusters in (72, 24, 12):
        for measure, people in (
            (caring(0, clusters=clusters), 512),
            (vulnerable(0, clusters=clusters), 1536),
            (revealed(0, clusters=clusters), 64),
            (tampering(0.02, clusters=clusters), 1024),
            (tampering(0.1, clusters=clusters), 1024),
        ):
            cells = [f"{100 * share:.1f}" for share in within_a_run(measure, studies)]
            print(f"| {measure.name.split(', seed')[0]} | {clusters} | {people} | {' | '.join(cells)} |", flush=True)
    print()
    for level, (passed, failed) in nine_acts(studies).items():
        said = f"pass {100 * passed:.1f} %, fail {100 * failed:.1f} %"
        print(f"`choices` of a policy without preferences, intervals of {100 * level:.1f} %: {said}")
    print(f"\nGoodhart curves, {studies} runs, errors in d by person\n")
    print("| form | people | gain | α | β | peak | named | misnamed | planned |\n|---|---|---|---|---|---|---|---|---|")
    for form in PEAKED:
        for people, gain in ((256, 0.3), (1024, 0.3), (1024, 0.6)):
            cells = [f"{100 * share:.1f}" for share in goodhart_curves(form, people, gain, studies)]
            print(f"| {form} | {people} | {gain} | {' | '.join(cells)} |", flush=True)
    print(f"\nCues, {studies} policies\n\n| people | replies moved | read | covered | mean |\n|---|---|---|---|---|")
    for people in (192, 320, 512, 1536):
        for moved in (0, 0.05, 0.1, 0.2):
            found = cue_readings(people, moved, studies)
            print(
                f"| {people} | {moved} | {100 * found.read:.1f} | {100 * found.covered:.1f} | {found.value:.3f} |",
                flush=True,
            )
    for steps in (tuple(range(10, 51, 10)), log_steps(50)):
        least = enough(Sampling(steps, (0.02 * steps[0] ** 1.56, 9)))
        said = "sixteen times 256 people are not enough" if least is None else f"{least.people} people at {least.steps}"
        print(f"\nEnough instead of 256 people at steps {steps}: {said}")


if __name__ == "__main__":
    main()
