"""How often intervals hold the truth, and how often a statement holds at its threshold: `python
benchmarks/coverage.py`.

Studies with known truth are simulated (`simulated.py`), 1,000 of each kind; `--tables` picks some of the tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from simulated import (
    Measure,
    addressed,
    caring,
    honesty,
    index,
    matched_gain,
    revealed,
    tampering,
    vulnerable,
    weights,
)

from smilerl.config.schedule import log_steps
from smilerl.evaluation.verdicts import decide, parse_statement
from smilerl.statistics import goodhart
from smilerl.statistics.bootstrap import Answered, contributions
from smilerl.statistics.forms import FORMS
from smilerl.statistics.goodhart_plan import PEAKED, Sampling, coefficients, enough, plan
from smilerl.statistics.intervals import Estimate, estimate, mean_estimate, rate_estimate
from smilerl.statistics.seeds import OverSeeds, paired
from smilerl.statistics.seeds import over_seeds as mean_over_seeds
from smilerl.statistics.twins import is_read, variation

SEEDS = (6, 9, 12)
KINDS = ("percentile bootstrap", "t over seeds", "t over seeds and clusters")
WHAT = ("arm", "arm − control")
RESAMPLES = 200
#: Draws of habits, in simulated cue readings.
HABITS = 8


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


#: U of policy and gamer, about the kink of the CGI.
KINKS = ((0.4, -1), (0, -1), (0, -0.5), (0.05, -0.5), (-0.4, -0.5))
#: Tilt to words that care, and whether the matching temperature is known.
TILTS = ((0.5, False), (0.5, True), (1.5, False))
MEASURES = (caring(0.05), caring(0.16), caring(0.05, clusters=24), vulnerable(), revealed())


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
        covered: whose interval holds the average of the value over samples of so many people.
        floor: whose interval begins at or below the true total variation.
        value: the average.
        truth: the true total variation, averaged over habits.
    """

    read: float
    covered: float
    floor: float
    value: float
    truth: float


def cue_readings(people: int, moved: float, studies: int, *, common: bool = False) -> Cues:
    """Policies of two acts a reply, of ten, with habits for each of six needs; the cue makes `moved` of one another.

    Twins have the same luck in half of the cases. Other words for the same change nothing but luck.

    Args:
        common: whether the acts that the cue makes are those most usual for a need, not the rarest ones.
    """
    read, found, truths = [], [], []
    for study in range(studies):
        first, second, other, of, truth = _twins(people, moved, study, common)
        cue, reworded = (
            variation(first, one, of % 6, of, np.arange(people), seed=number)
            for number, one in enumerate((second, other))
        )
        read.append(is_read(cue, reworded))
        found.append((cue.low, cue.high, cue.value))
        truths.append(truth)
    low, high, value = np.array(found).T
    kind = np.arange(studies) % HABITS
    average = (np.bincount(kind, value) / np.bincount(kind))[kind]
    covered = (low <= average) & (average <= high)
    shares = (np.mean(one) for one in (read, covered, low <= np.array(truths), value, truths))
    return Cues(*(float(one) for one in shares))


def _twins(people: int, moved: float, study: int, common: bool) -> tuple:
    """Act shares of replies to first twins, to their twins, and to other words for the same; clusters; the truth."""
    shares = _habits(study % HABITS)
    made = shares.argmax(1) if common else shares.argmin(1)
    rng = np.random.default_rng([study, people])
    of = rng.choice(72, p=weights(72), size=people)
    need, luck = of % 6, rng.uniform(size=(people, 2))

    def replies(share: float) -> np.ndarray:
        again = rng.uniform(size=(people, 1)) < 0.5
        own = np.where(again, rng.uniform(size=luck.shape), luck)
        acts = (own[:, :, None] > shares.cumsum(1)[need][:, None, :-1]).sum(2)
        acts = np.where(rng.uniform(size=acts.shape) < share, made[need][:, None], acts)
        return np.eye(10)[acts].mean(1)

    truth = moved * (1 - shares[np.arange(6), made])[need].mean()
    return replies(0), replies(moved), replies(0), of, float(truth)


@cache
def _habits(number: int) -> np.ndarray:
    """How often each of ten acts is done for each of six needs, [6, 10]."""
    return np.random.default_rng(number).dirichlet(np.ones(10), 6)


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


def print_over_seeds(studies: int) -> None:
    """Intervals over seeds."""
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


def print_within(studies: int) -> None:
    """Intervals within one run, by the number of clusters."""
    print("Within one run\n\n| measure | clusters | people | covered | x ≤ truth | x > truth |")
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


def print_care(studies: int) -> None:
    """Addressed care, the CGI at its kink, honesty, and gains over the base at matched entropy."""
    print("Care, within one run\n\n| measure | people | truth | covered | x ≤ truth | x > truth |")
    print("|---|---|---|---|---|---|")
    for people in (192, 512):
        for measure in (
            addressed(people),
            *(index(level, gamer, people=people) for level, gamer in KINKS),
            *(honesty(*rates, people=people) for rates in ((0.6, 0.1), (0.97, 0.02))),
            *(matched_gain(tilt, people=people, known=known) for tilt, known in TILTS),
        ):
            cells = [f"{100 * share:.1f}" for share in within_a_run(measure, studies)]
            print(f"| {measure.name} | {people} | {measure.mean:.3f} | {' | '.join(cells)} |", flush=True)


def print_few(studies: int) -> None:
    """Rates in few clusters."""
    print("Rates in few clusters\n\n| rate | alike | clusters | people | covered |\n|---|---|---|---|---|")
    for clusters in (3, 5, 8, 12, 24):
        for rate, alike in ((0.5, 0.05), (0.2, 0.05), (0.2, 0.2)):
            covered = 0
            for study in range(studies):
                rng = np.random.default_rng([study, clusters])
                of = np.arange(192) % clusters
                own = rng.beta(rate * (1 / alike - 1), (1 - rate) * (1 / alike - 1), clusters)
                found = rate_estimate((rng.uniform(size=192) < own[of]).astype(float), of)
                covered += found.low <= rate <= found.high
            print(f"| {rate} | {alike} | {clusters} | 192 | {100 * covered / studies:.1f} |", flush=True)


def print_goodhart(studies: int) -> None:
    """Coefficients and peaks of Goodhart curves, and what is enough to name one."""
    print(f"Goodhart curves, {studies} runs, errors in d by person\n")
    print("| form | people | gain | α | β | peak | named | misnamed | planned |\n|---|---|---|---|---|---|---|---|---|")
    for form in PEAKED:
        for people, gain in ((256, 0.3), (1024, 0.3), (1024, 0.6)):
            cells = [f"{100 * share:.1f}" for share in goodhart_curves(form, people, gain, studies)]
            print(f"| {form} | {people} | {gain} | {' | '.join(cells)} |", flush=True)
    for steps in (tuple(range(10, 51, 10)), log_steps(50)):
        least = enough(Sampling(steps, (0.02 * steps[0] ** 1.56, 9)))
        said = "sixteen times 256 people are not enough" if least is None else f"{least.people} people at {least.steps}"
        print(f"\nEnough instead of 256 people at steps {steps}: {said}")


def print_cues(studies: int) -> None:
    """Cue readings: errors, power, and intervals."""
    print(f"Cues, {studies} policies\n")
    print("| acts made | people | replies moved | true | mean | covered | low ≤ true | read |")
    print("|---|---|---|---|---|---|---|---|")
    for common, shares in ((False, (0, 0.05, 0.1, 0.2, 0.4)), (True, (0.1, 0.2))):
        for people in (192, 320, 512, 1536):
            for moved in shares:
                found = cue_readings(people, moved, studies, common=common)
                cells = [f"{one:.3f}" for one in (found.truth, found.value)]
                cells += [f"{100 * one:.1f}" for one in (found.covered, found.floor, found.read)]
                print(f"| {'usual' if common else 'rare'} | {people} | {moved} | {' | '.join(cells)} |", flush=True)


TABLES = {
    "seeds": print_over_seeds,
    "within": print_within,
    "care": print_care,
    "few": print_few,
    "goodhart": print_goodhart,
    "cues": print_cues,
}


def main() -> None:
    """Prints the tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--studies", type=int, default=1000)
    options.add_argument("--tables", nargs="*", choices=TABLES, default=list(TABLES))
    asked = options.parse_args()
    for name in asked.tables:
        TABLES[name](asked.studies)
        print()


if __name__ == "__main__":
    main()
