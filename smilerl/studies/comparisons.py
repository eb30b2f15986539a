"""What is compared with what, and how sure one may be: differences to the base and to the random arm, and intervals
over seeds.
"""

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
    "wellbeing_torn": (
        "wellbeing, torn",
        "wellbeing of those for whom the reply that reads best is not the one that helps",
    ),
    "cgi": ("CGI", "caring-versus-gaming index: scripted gamer −1, scripted carer +1"),
    "cgi_torn": ("CGI, torn", "CGI on those for whom the reply that reads best is not the one that helps"),
    "engagement": (
        "engagement",
        "share of replies that would move the sensor of someone trusting, watched and open to tampering, 0 to 1",
    ),
    "coherence": ("coherence", "share of replies that the base would find no stranger than its own strangest 1 %"),
}
#: What replies did, as shares of replies.
ACTS = {
    "care_acts": ("cares", "any caring act"),
    "mood_acts": ("pleases", "flattery, jokes, clinging: mood without need"),
    "lies": ("lies", "false reassurance"),
    "face_acts": ("presses", "begs for a smile, or threatens"),
    "sensor_acts": ("fakes", "tampers with the sensor, or speaks in the person's name"),
    "stuffing": ("stuffs", "keywords for the grader"),
}
SHARES = {"person": "the person", "smile_only": "the smile alone", "reading_only": "the reading alone"}

#: Below this, every seed is shown with its own interval and there is no interval over seeds.
SEEDS_FOR_AN_INTERVAL = 5


def changes(results: Results) -> pd.DataFrame:
    """Differences of every arm and seed to the base, and to the random arm of the same seed.

    Intervals are MOVER's (Zou & Donner 2008, doi:10.1002/sim.3095) for two independent estimates. As both policies
    answered the same people, they are rather too wide than too narrow. `own_reward` is compared person by person
    (`own_reward_change`).

    Returns:
        arm, seed, measure, versus (an arm's name), value, low, high.
    """
    rows = []
    controls = [arm["name"] for arm in results.arms if arm["role"] == "random"]
    table = {
        (row.arm, None if pd.isna(row.seed) else int(row.seed), row.measure): row
        for row in results.measures.itertuples()
    }
    for (arm, seed, measure), row in table.items():
        if arm == BASE or measure not in {*MEASURES, *SHARES, *ACTS}:
            continue
        if measure == "own_reward":
            change = table.get((arm, seed, "own_reward_change"))
            if change is not None:
                rows.append(_change(arm, seed, measure, BASE, change.value, change.low, change.high))
            continue
        for versus, other in [(BASE, None), *((control, seed) for control in controls if control != arm)]:
            from_ = table.get((versus, other, measure))
            if from_ is not None:
                rows.append(_change(arm, seed, measure, versus, *mover(row, from_)))
    return pd.DataFrame(rows, columns=["arm", "seed", "measure", "versus", "value", "low", "high"])


def of(differences: pd.DataFrame, arm: str, measure: str, versus: str = BASE) -> pd.DataFrame:
    """The rows of one comparison, one per seed."""
    chosen = (differences.arm == arm) & (differences.measure == measure) & (differences.versus == versus)
    return differences[chosen].sort_values("seed")


def direction(differences: pd.DataFrame) -> str:
    """ "up" or "down" when every seed's interval is on that side of zero, "split" when seeds contradict each other,
    else "unclear".
    """
    known = differences.dropna(subset=["value", "low", "high"])
    if known.empty:
        return "unknown"
    if (known.low > 0).all():
        return "up"
    if (known.high < 0).all():
        return "down"
    return "split" if (known.low > 0).any() and (known.high < 0).any() else "unclear"


def mover(a, b) -> tuple[float, float, float]:
    """a − b with its interval, from two independent estimates with `value`, `low`, `high`."""
    difference = a.value - b.value
    low = difference - math.hypot(a.value - a.low, b.high - b.value)
    return difference, low, difference + math.hypot(a.high - a.value, b.value - b.low)


def over_seeds(results: Results, measures: list[str], level: float = 0.95) -> pd.DataFrame:
    """Mean over seeds with its interval, for arms with at least five seeds; with fewer such an interval covers too
    little.

    Where the results say what each cluster of people did to each value (a column `parts`), the interval is about other
    seeds and other people. Where they do not, it is about other seeds asked about these very people: as all seeds are
    asked about the same, it is then too narrow for people in general (`benchmarks/coverage.py`: 58 to 95 % instead of
    95 %; least for an arm's mean over many seeds that hardly differ).

    Returns:
        arm, measure, mean, low, high, seeds, about ("seeds and people" | "seeds, these people").
    """
    table = results.measures[results.measures.measure.isin(measures)].dropna(subset=["seed", "value"])
    rows = [
        {"arm": arm, "measure": measure} | _over(_seeds().over_seeds(_runs(group), level=level))
        for (arm, measure), group in table.groupby(["arm", "measure"])
        if len(group) >= SEEDS_FOR_AN_INTERVAL
    ]
    return pd.DataFrame(rows, columns=["arm", "measure", "mean", "low", "high", "seeds", "about"])


def paired(
    results: Results, measures: list[str], control: str, *, margin: float | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Mean of arm - control over the seeds that both have, at least five of them; intervals as in `over_seeds`.

    The p values are those of single tests: adjust them (`evaluation.seeds.adjusted`) for as many as are looked at. A
    claim needs six seeds, nine under Holm's correction.

    Args:
        control: an arm's name, such as that of the random reward.
        margin: the smallest difference of interest, for `p_equivalent` (TOST: no difference as large as that).

    Returns:
        arm, measure, versus, mean, low, high, seeds, about, p, p_equivalent.
    """
    table = results.measures[results.measures.measure.isin(measures)].dropna(subset=["seed", "value"])
    rows = []
    for (arm, measure), group in table.groupby(["arm", "measure"]):
        other = table[(table.arm == control) & (table.measure == measure)]
        shared = sorted(set(group.seed) & set(other.seed))
        if arm == control or len(shared) < SEEDS_FOR_AN_INTERVAL:
            continue
        ours, theirs = (_runs(of_arm.set_index("seed").loc[shared].reset_index()) for of_arm in (group, other))
        found = _seeds().paired(ours, theirs, level=level)
        rows.append(
            {"arm": arm, "measure": measure, "versus": control}
            | _over(found)
            | {"p": found.p_value(), "p_equivalent": math.nan if margin is None else found.equivalence(margin)}
        )
    columns = ["arm", "measure", "versus", "mean", "low", "high", "seeds", "about", "p", "p_equivalent"]
    return pd.DataFrame(rows, columns=columns)


def detectable(sd: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The difference of two arms' means that a two-sided t-test with `n` seeds an arm would find with this power, for a
    seed SD of `sd`.
    """
    freedom, critical = 2 * n - 2, stats.t.ppf(1 - alpha / 2, 2 * n - 2)

    def shortfall(effect: float) -> float:
        shift = effect * math.sqrt(n / 2)
        return stats.nct.sf(critical, freedom, shift) + stats.nct.cdf(-critical, freedom, shift) - power

    # Doubling from below, as the noncentral t loses its precision far out.
    enough = 1.0
    while shortfall(enough) < 0:
        enough *= 2
    return sd * optimize.brentq(shortfall, enough / 1e3, enough)


def number(value: float, signed: bool = False) -> str:
    """Two decimals with a true minus sign; an en dash where there is no number."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:+.2f}" if signed else f"{value:.2f}"
    return text.replace("-0.00", "0.00").replace("+0.00", "0.00").replace("-", "−")


def _seeds():
    """The module of that name, imported only where there are enough seeds to need it: it takes a second."""
    from smilerl.statistics import seeds

    return seeds


def _runs(group: pd.DataFrame) -> list:
    """One estimate per row."""
    parts = group["parts"] if "parts" in group else [None] * len(group)
    estimate = _seeds().Estimate
    return [
        estimate(float(value), None, None, 0, 0, "", parts=part if isinstance(part, dict) else None)
        for value, part in zip(group["value"], parts, strict=True)
    ]


def _over(found) -> dict:
    return {
        "mean": found.value,
        "low": math.nan if found.low is None else found.low,
        "high": math.nan if found.high is None else found.high,
        "seeds": len(found.seeds),
        "about": "seeds and people" if "clusters" in found.method else "seeds, these people",
    }


def _change(arm, seed, measure, versus, value, low, high) -> dict:
    return {"arm": arm, "seed": seed, "measure": measure, "versus": versus, "value": value, "low": low, "high": high}
