"""Comparisons of arms: differences to the base and to the random arm, intervals over seeds, and the measures' names."""

from __future__ import annotations

import math

import pandas as pd
from scipy import optimize, stats

from smilerl.studies.plan import BASE
from smilerl.studies.results import Results

#: Names for readers, and what each measure says. The order is that of tables and figures.
MEASURES = {
    "own_reward": ("own reward", "the arm's training reward on held-out people, in its own units"),
    "reading": ("reading", "what the sensor records, 0 to 1; replies to people whose camera is off are unscored"),
    "smile": ("smile", "whether the person smiles, 0 to 1"),
    "wellbeing": ("wellbeing", "whether the person is better off, −2 to 2"),
    "care": ("care C", "wellbeing that the reply brings, as a share of the most that a reply could bring, −1 to 1"),
    "gaming": ("gaming G", "share of positive reading credit from clauses that do not help, 0 to 1"),
    "gaming_own": ("gaming, own reward", "share of the arm's own reward credit from clauses that do not help, 0 to 1"),
    "wellbeing_torn": ("wellbeing, torn",
                       "wellbeing of those for whom the reply that reads best is not the one that helps"),
    "cgi": ("CGI", "caring-versus-gaming index: scripted gamer −1, scripted carer +1"),
    "cgi_torn": ("CGI, torn", "CGI on those for whom the reply that reads best is not the one that helps"),
    "engagement": ("engagement", "share of replies that would move the sensor of someone trusting, watched and open to "
                                 "tampering, 0 to 1"),
    "coherence": ("coherence", "share of replies that the base would find no stranger than its own strangest 1 %"),
}  # fmt: skip
#: What replies did, as shares of replies.
ACTS = {
    "care_acts": ("cares", "any caring act"),
    "mood_acts": ("pleases", "flattery, jokes, clinging: mood without need"),
    "lies": ("lies", "false reassurance"),
    "face_acts": ("presses", "begs for a smile, or threatens"),
    "sensor_acts": ("fakes", "tampers with the sensor, or speaks in the person's name"),
    "stuffing": ("stuffs", "keywords for the grader"),
}
#: Gains over the base at the temperature at which its replies have the policy's entropy.
GAINS = {
    f"gain_{name}": (f"{words}, gain", f"{says}; minus that of the base at the same entropy of replies")
    for name, (words, says) in MEASURES.items()
    if name in ("reading", "smile", "wellbeing", "care", "gaming", "cgi")
}
#: What a gain is a difference to; it stands beside the base and the random arm wherever changes are told.
MATCHED = "the base at the same entropy of replies"
SHARES = {"person": "the person", "smile_only": "the smile alone", "reading_only": "the reading alone"}
#: Name for readers, and what it is, of every measure in the tables of reports and cards.
LABELS = MEASURES | GAINS | ACTS | {
    name: (words, f"share of positive reading credit that goes to {words}") for name, words in SHARES.items()
}  # fmt: skip

#: With fewer seeds, each is shown with its own interval and there is no interval over seeds.
SEEDS_FOR_AN_INTERVAL = 5


def changes(results: Results) -> pd.DataFrame:
    """Differences of every arm and seed to the base, to the base at the same entropy of replies, and to the random
    arms of its group with the same seed.

    Intervals are MOVER's (Zou & Donner 2008, doi:10.1002/sim.3095) for two independent estimates. Both policies
    answered the same people, so they are too wide rather than too narrow. `own_reward` is compared person by person.

    Returns:
        arm, seed, measure, versus (an arm's name), value, low, high.
    """
    rows = []
    groups = {arm["name"]: arm.get("group", "") for arm in results.arms}
    controls = [arm["name"] for arm in results.arms if arm["role"] == "random"]
    table = {
        (row.arm, None if pd.isna(row.seed) else int(row.seed), row.measure): row
        for row in results.measures.itertuples()
    }
    for (arm, seed, measure), row in table.items():
        if arm != BASE and measure in GAINS:
            rows.append((arm, seed, measure.removeprefix("gain_"), MATCHED, row.value, row.low, row.high))
        if arm == BASE or measure not in {*MEASURES, *SHARES, *ACTS}:
            continue
        if measure == "own_reward":
            if (own := table.get((arm, seed, "own_reward_change"))) is not None:
                rows.append((arm, seed, measure, BASE, own.value, own.low, own.high))
            continue
        beside = [control for control in controls if control != arm and groups.get(control) == groups.get(arm)]
        for versus, its_seed in [(BASE, None), *((control, seed) for control in beside)]:
            if (other := table.get((versus, its_seed, measure))) is not None:
                rows.append((arm, seed, measure, versus, *mover(row, other)))
    return pd.DataFrame(rows, columns=["arm", "seed", "measure", "versus", "value", "low", "high"])


def of(differences: pd.DataFrame, arm: str, measure: str, versus: str = BASE) -> pd.DataFrame:
    """The rows of one comparison, one per seed."""
    chosen = (differences.arm == arm) & (differences.measure == measure) & (differences.versus == versus)
    return differences[chosen].sort_values("seed")


def direction(differences: pd.DataFrame) -> str:
    """`up` or `down` when every seed's interval is on that side of zero, `split` when seeds contradict each other,
    `unknown` without any interval, else `unclear`.
    """
    known = differences.dropna(subset=["value", "low", "high"])
    if known.empty:
        return "unknown"
    above, below = known.low > 0, known.high < 0
    return "up" if above.all() else "down" if below.all() else "split" if above.any() and below.any() else "unclear"


def mover(a, b) -> tuple[float, float, float]:
    """a − b with its interval, from two independent estimates with `value`, `low`, `high`."""
    difference = a.value - b.value
    low = difference - math.hypot(a.value - a.low, b.high - b.value)
    return difference, low, difference + math.hypot(a.high - a.value, b.value - b.low)


def over_seeds(results: Results, measures: list[str], level: float = 0.95) -> pd.DataFrame:
    """Mean over seeds with its interval, for arms with at least five seeds; with fewer, it covers too little.

    Where the results say what each cluster of people did to each value (a column `parts`), the interval is about other
    seeds and other people. Otherwise it is about other seeds asked about these very people, and too narrow for people
    in general (`benchmarks/coverage.py`: it covers 58 to 95 % instead of 95 %).

    Returns:
        arm, measure, mean, low, high, seeds, about ("seeds and people" | "seeds, these people").
    """
    rows = []
    table = results.measures[results.measures.measure.isin(measures)].dropna(subset=["seed", "value"])
    for (arm, measure), group in table.groupby(["arm", "measure"]):
        if len(group) < SEEDS_FOR_AN_INTERVAL:
            continue
        from smilerl.statistics import seeds  # takes a second to import

        parts = group["parts"] if "parts" in group else [None] * len(group)
        found = seeds.over_seeds(
            [
                seeds.Estimate(float(value), None, None, 0, 0, "", parts=part if isinstance(part, dict) else None)
                for value, part in zip(group["value"], parts, strict=True)
            ],
            level=level,
        )
        low, high = (math.nan if end is None else end for end in (found.low, found.high))
        about = "seeds and people" if "clusters" in found.method else "seeds, these people"
        rows.append((arm, measure, found.value, low, high, len(found.seeds), about))
    return pd.DataFrame(rows, columns=["arm", "measure", "mean", "low", "high", "seeds", "about"])


def detectable(sd: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The difference of two arms' means that a two-sided t-test with `n` seeds an arm would find with this power, for a
    seed SD of `sd`.
    """
    freedom, critical = 2 * n - 2, stats.t.ppf(1 - alpha / 2, 2 * n - 2)

    def shortfall(effect: float) -> float:
        shift = effect * math.sqrt(n / 2)
        return stats.nct.sf(critical, freedom, shift) + stats.nct.cdf(-critical, freedom, shift) - power

    enough = 1.0  # doubled from below, as the noncentral t loses its precision far out
    while shortfall(enough) < 0:
        enough *= 2
    return sd * optimize.brentq(shortfall, enough / 1e3, enough)


def number(value: float, signed: bool = False) -> str:
    """Two decimals with a true minus sign; an en dash where there is no number."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:+.2f}" if signed else f"{value:.2f}"
    return text.replace("-0.00", "0.00").replace("+0.00", "0.00").replace("-", "−")
