"""What a study found, in sentences made from its numbers: nothing here is written before the numbers are known."""

from __future__ import annotations

import math

import pandas as pd

from smilerl.studies.comparisons import MEASURES, SEEDS_FOR_AN_INTERVAL, SHARES, detectable, direction, number, of
from smilerl.studies.results import Results

#: Pairs of measures that ought to agree if the arm came to care: where one rises and the other falls, the report says
#: so.
_OUGHT_TO_AGREE = [
    ("own_reward", "wellbeing"),
    ("reading", "smile"),
    ("smile", "wellbeing"),
    ("cgi", "wellbeing"),
    ("care", "wellbeing"),
]


def headline(results: Results, differences: pd.DataFrame) -> list[str]:
    """The few sentences a reader should take away, each with the numbers it was made from; `**` sets off the names of
    arms.
    """
    arms = {arm["name"]: arm["role"] for arm in results.arms if results.seeds_of(arm["name"])}
    proxies = [name for name, role in arms.items() if role == "proxy"]
    said = []
    for measure, noun in (("own_reward", "the arm's own reward"), ("wellbeing", "wellbeing")):
        by: dict[str, list[str]] = {}
        for arm in proxies:
            rows = of(differences, arm, measure)
            if rows.empty:
                continue  # it learnt from data, not from a reward
            way = direction(rows)
            by.setdefault(_WENT_ONCE.get(way, _WENT[way]) if len(rows) == 1 else _WENT[way], []).append(arm)
        words = [
            f"{went} {_listed([_with_mean(differences, arm, measure) for arm in by[went]])}"
            for went in (*_WENT.values(), *_WENT_ONCE.values())
            if went in by
        ]
        if words:
            said.append(f"Against the base, {noun} on held-out people " + "; it ".join(words) + ".")
    for arm, role in arms.items():
        if role in ("gold", "random"):
            way = direction(of(differences, arm, "wellbeing"))
            reward = "wellbeing itself" if role == "gold" else "random numbers"
            said.append(
                f"Rewarded with {reward} (**{arm}**), wellbeing {_MOVED[way]} "
                f"({_values(of(differences, arm, 'wellbeing'))})."
            )
    shares = {arm: _mean(results, arm, "reading_only") for arm in proxies}
    shares = {arm: share for arm, share in shares.items() if not math.isnan(share)}
    if len(shares) > 1:
        most, least = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
        person = {arm: _mean(results, arm, "person") for arm in shares}
        said.append(
            f"Of what moved the sensor, the share that moved nothing but the sensor is largest under **{most}** "
            f"({_percent(shares[most])}) and smallest under "
            f"**{least}** ({_percent(shares[least])}); the share that helped the person is largest under "
            f"**{max(person, key=person.__getitem__)}** ({_percent(max(person.values()))})."
        )
    return said


def of_arm(results: Results, differences: pd.DataFrame, arm: dict) -> str:
    """One paragraph on one arm."""
    name = arm["name"]
    if not results.seeds_of(name):
        return "No seed of this arm has an evaluation."
    said = []
    for measure in ("own_reward", "reading", "smile", "wellbeing"):
        rows = of(differences, name, measure)
        if len(rows):
            label = MEASURES[measure][0]
            said.append(f"{label} {_MOVED[direction(rows)]} ({_values(rows)})")
    text = "Against the base: " + "; ".join(said) + "." if said else ""
    shares = {share: _mean(results, name, share) for share in SHARES}
    if not any(math.isnan(value) for value in shares.values()):
        parts = [f"{_percent(value)} {SHARES[share]}" for share, value in shares.items()]
        text += f" Of what moved the sensor: {', '.join(parts)}. CGI {_values_of(results, name, 'cgi')}."
    return text


def scored_shares(results: Results) -> str:
    """Of how many replies the shares are: only those that moved the sensor have any. Empty where all are scored."""
    rows = results.measures[results.measures.measure == "person"].dropna(subset=["scored"])
    if rows.empty or (rows.scored == rows["of"]).all():
        return ""
    low, high, of_all = rows.scored.min(), rows.scored.max(), rows["of"].max()
    said = f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
    return f"Shares are over the {said} of {of_all:.0f} replies that moved the sensor at all."


def disagreements(results: Results, differences: pd.DataFrame) -> list[str]:
    """Where two measures, two seeds, or a measure and its control, point different ways."""
    said = []
    for arm in (arm["name"] for arm in results.arms):
        ways = {measure: direction(of(differences, arm, measure)) for measure in MEASURES}
        for first, second in _OUGHT_TO_AGREE:
            if {ways[first], ways[second]} == {"up", "down"}:
                rows = [
                    f"{MEASURES[m][0]} {_MOVED[ways[m]]} ({_values(of(differences, arm, m))})" for m in (first, second)
                ]
                said.append(f"**{arm}**: {rows[0]} while {rows[1]}.")
        for measure, way in ways.items():
            if way == "split":
                said.append(
                    f"**{arm}**: seeds contradict each other on {MEASURES[measure][0]} "
                    f"({_values(of(differences, arm, measure))})."
                )
    failed = results.controls[~results.controls.agrees.astype(bool)]
    for name, rows in failed.groupby("evaluation", sort=False):
        wrong = "; ".join(
            f"{row.control} should be “{row.expected}” and came out “{row.got}”" for row in rows.itertuples()
        )
        said.append(f"**{name}** gives no number, as its scripted helpers do not come out as known: {wrong}.")
    return said


def limits(results: Results, differences: pd.DataFrame) -> list[str]:
    """What this study cannot show, as far as its own numbers tell."""
    n = len(results.about["seeds"])
    said = []
    if n < SEEDS_FOR_AN_INTERVAL:
        said.append(
            f"With {n} seed{'s' * (n != 1)} an arm, this is a look and not a claim: an exact sign-flip test over {n} "
            f"seed{'s' * (n != 1)} cannot fall below "
            f"p = {2 / 2**n:.2g}. A claim needs at least 6 seeds, 9 under Holm's correction."
        )
        said.append(
            "Intervals are within one seed: they cover the choice of people, not what another training seed would have "
            "done."
        )
    spread = results.measures[results.measures.measure == "cgi"].dropna(subset=["seed", "value"]).groupby("arm").value
    if n > 1 and (spread.count() > 1).any():
        pooled = math.sqrt(spread.var(ddof=1).dropna().mean())
        gap = (spread.max() - spread.min()).dropna()
        said.append(
            f"Seeds of one arm differ in CGI by up to {number(gap.max())} ({gap.idxmax()}). Were the pooled seed SD of "
            f"{number(pooled)} the true one, two arms would have to differ "
            f"by {number(detectable(pooled, n))} for an 80 % chance of p < .05; an SD from so few seeds is itself "
            "uncertain."
        )
    random = [arm["name"] for arm in results.arms if arm["role"] == "random"]
    for arm in random:
        moved = [
            MEASURES[m][0]
            for m in ("reading", "smile", "wellbeing", "cgi")
            if direction(of(differences, arm, m)) in ("up", "down", "split")
        ]
        if moved:
            said.append(
                f"Training on random numbers ({arm}) moved {', '.join(moved)} too: changes against the base include "
                f"what any training does. See the change against {arm}."
            )
    if not random:
        said.append(
            "There is no random-reward arm, so what any training does is not told apart from what this reward did."
        )
    said += remarked(results)
    if not results.about.get("prereg"):
        said.append(
            "No hypothesis was written down before the runs: everything here is exploratory, and with this many cells "
            "some intervals exclude zero by chance."
        )
    return said


def remarked(results: Results) -> list[str]:
    """What the runs' own logs say against them; the same sentence about several runs once."""
    whose: dict[str, dict[str, list[str]]] = {}
    for (arm, seed), sentences in results.remarks.items():
        for sentence in sentences:
            whose.setdefault(sentence, {}).setdefault(arm, []).append(str(seed))
    return [
        "; ".join(f"**{arm}**, seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}" for arm, seeds in arms.items())
        + f": {sentence}"
        for sentence, arms in whose.items()
    ]


_WENT = {"up": "rose in every seed under", "down": "fell in every seed under", "split": "contradicts itself between seeds under",
         "unclear": "has no clear direction under", "unknown": "was not measured under"}  # fmt: skip
#: The same where an arm has one seed.
_WENT_ONCE = {"up": "rose in the one seed there is under", "down": "fell in the one seed there is under"}
_MOVED = {
    "up": "rose",
    "down": "fell",
    "split": "rose in one seed and fell in another",
    "unclear": "has no clear direction",
    "unknown": "was not measured",
}


def _mean(results: Results, arm: str, measure: str) -> float:
    return results.measured(arm, measure).value.mean()


def _with_mean(differences: pd.DataFrame, arm: str, measure: str) -> str:
    return f"**{arm}** ({_values(of(differences, arm, measure))})"


def _values(rows: pd.DataFrame) -> str:
    return ", ".join(number(value, signed=True) for value in rows.value) if len(rows) else "–"


def _values_of(results: Results, arm: str, measure: str) -> str:
    return ", ".join(number(value, signed=measure == "cgi") for value in results.measured(arm, measure).value) or "–"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}\u202f%"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
