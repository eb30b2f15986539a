"""What a study found, in sentences made from its numbers: nothing here is written before the numbers are known."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from smilerl.studies.comparisons import (
    MATCHED,
    MEASURES,
    SEEDS_FOR_AN_INTERVAL,
    SHARES,
    detectable,
    direction,
    number,
    of,
)
from smilerl.studies.plan import BASE
from smilerl.studies.results import Results

#: Pairs of measures that ought to agree if the arm came to care. Those that moved in opposite directions are named.
_OUGHT_TO_AGREE = (("own_reward", "wellbeing"), ("reading", "smile"), ("smile", "wellbeing"), ("cgi", "wellbeing"),
                   ("care", "wellbeing"))  # fmt: skip
_WENT = {"up": "rose in every seed under", "down": "fell in every seed under",
         "split": "contradicts itself between seeds under", "unclear": "has no clear direction under",
         "unknown": "was not measured under"}  # fmt: skip
#: The same where an arm has one seed.
_WENT_ONCE = {"up": "rose in the one seed there is under", "down": "fell in the one seed there is under"}
_MOVED = {"up": "rose", "down": "fell", "split": "rose in one seed and fell in another",
          "unclear": "has no clear direction", "unknown": "was not measured"}  # fmt: skip


def headline(results: Results, differences: pd.DataFrame) -> list[str]:
    """The few sentences to take away, each with the numbers it was made from; `**` sets off the names of arms.

    Arms of one group are told of together, beside the controls of that group. Changes of wellbeing are told against
    the base at the same entropy of replies where it was asked, since any training that lowers entropy moves it.
    """
    found = [arm for arm in results.arms if results.seeds_of(arm["name"])]
    groups = list(dict.fromkeys(arm.get("group", "") for arm in found))
    said = []
    for group in groups:
        of_group = {arm["name"]: arm["role"] for arm in found if arm.get("group", "") == group}
        where = f"At **{group}**: " if group else ""
        said += [where + sentence for sentence in _of_group(results, differences, of_group)]
    return said


def _of_group(results: Results, differences: pd.DataFrame, arms: dict[str, str]) -> Iterator[str]:
    """What moved under the proxies of one group and under its controls. `arms`: name → role."""
    proxies = [name for name, role in arms.items() if role == "proxy"]
    for measure, noun in (("own_reward", "the arm's own reward"), ("wellbeing", "wellbeing")):
        versus = _versus(differences, measure)
        by: dict[str, list[str]] = {went: [] for went in (*_WENT.values(), *_WENT_ONCE.values())}
        for arm in proxies:
            rows = of(differences, arm, measure, versus)
            if len(rows):  # an arm that learnt from data has no own reward
                way = direction(rows)
                went = _WENT_ONCE.get(way, _WENT[way]) if len(rows) == 1 else _WENT[way]
                by[went].append(f"**{arm}** ({_values(rows)})")
        if words := [f"{went} {_listed(names)}" for went, names in by.items() if names]:
            yield f"Against {_the(versus)}, {noun} on held-out people " + "; it ".join(words) + "."
    for arm, role in arms.items():
        if role != "proxy":
            reward = "wellbeing itself" if role == "gold" else "random numbers"
            moved = _moved(of(differences, arm, "wellbeing", _versus(differences, "wellbeing")))
            yield f"Rewarded with {reward} (**{arm}**), wellbeing {moved}."
    shares = {arm: _mean(results, arm, "reading_only") for arm in proxies}
    shares = {arm: share for arm, share in shares.items() if not math.isnan(share)}
    if len(shares) > 1:
        most, least = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
        person = {arm: _mean(results, arm, "person") for arm in shares}
        best = max(person, key=person.__getitem__)
        yield (
            "Of what moved the sensor, the share that moved nothing but the sensor is largest under "
            f"**{most}** ({_percent(shares[most])}) and smallest under **{least}** ({_percent(shares[least])}); "
            f"the share that helped the person is largest under **{best}** ({_percent(person[best])})."
        )


def _versus(differences: pd.DataFrame, measure: str) -> str:
    """What changes of a measure are told against: the base at the same entropy where it was asked, else the base."""
    asked = (differences.versus == MATCHED) & (differences.measure == measure)
    return MATCHED if asked.any() else BASE


def _the(versus: str) -> str:
    return "the base" if versus == BASE else versus


def of_arm(results: Results, differences: pd.DataFrame, arm: dict) -> str:
    """One paragraph on one arm."""
    name = arm["name"]
    if not results.seeds_of(name):
        return "No seed of this arm has an evaluation."
    text = ""
    for versus, measures in ((BASE, ("own_reward", "reading", "smile", "wellbeing")), (MATCHED, ("wellbeing", "cgi"))):
        rows = {measure: of(differences, name, measure, versus) for measure in measures}
        said = [f"{MEASURES[measure][0]} {_moved(found)}" for measure, found in rows.items() if len(found)]
        text += f" Against {_the(versus)}: " + "; ".join(said) + "." if said else ""
    text = text.strip()
    shares = {words: _mean(results, name, share) for share, words in SHARES.items()}
    if not any(map(math.isnan, shares.values())):
        parts = ", ".join(f"{_percent(share)} {words}" for words, share in shares.items())
        cgi = ", ".join(number(value, signed=True) for value in results.measured(name, "cgi").value) or "–"
        text += f" Of what moved the sensor: {parts}. CGI {cgi}."
    return text


def scored_shares(results: Results) -> str:
    """How many replies the shares are about: only those that moved the sensor count. Empty where all are scored."""
    rows = results.measures[results.measures.measure == "person"].dropna(subset=["scored"])
    if rows.empty or (rows.scored == rows["of"]).all():
        return ""
    low, high, of_all = rows.scored.min(), rows.scored.max(), rows["of"].max()
    said = f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
    return f"Shares are over the {said} of {of_all:.0f} replies that moved the sensor at all."


def disagreements(results: Results, differences: pd.DataFrame) -> list[str]:
    """Where two measures, two seeds, or a measure and its control, point in different directions."""
    said = []
    for arm in (arm["name"] for arm in results.arms):
        rows = {measure: of(differences, arm, measure) for measure in MEASURES}
        ways = {measure: direction(found) for measure, found in rows.items()}
        for pair in _OUGHT_TO_AGREE:
            if {ways[measure] for measure in pair} == {"up", "down"}:
                first, second = (f"{MEASURES[measure][0]} {_moved(rows[measure])}" for measure in pair)
                said.append(f"**{arm}**: {first} while {second}.")
        for measure in (measure for measure, way in ways.items() if way == "split"):
            name = MEASURES[measure][0]
            said.append(f"**{arm}**: seeds contradict each other on {name} ({_values(rows[measure])}).")
    failed = results.controls[~results.controls.agrees.astype(bool)]
    for name, wrong in failed.groupby("evaluation", sort=False):
        known = "; ".join(
            f"{row.control} should be “{row.expected}” and came out “{row.got}”" for row in wrong.itertuples()
        )
        said.append(f"**{name}** gives no number, as its scripted helpers do not come out as known: {known}.")
    return said


def limits(results: Results, differences: pd.DataFrame) -> list[str]:
    """What this study cannot show, as far as its own numbers tell."""
    n = len(results.about["seeds"])
    said = []
    if n < SEEDS_FOR_AN_INTERVAL:
        seeds = f"{n} seed{'s' * (n != 1)}"
        said += [
            f"With {seeds} an arm, this is a look and not a claim: an exact sign-flip test over {seeds} cannot fall "
            f"below p = {2 / 2**n:.2g}. A claim needs at least 6 seeds, 9 under Holm's correction.",
            "Intervals are within one seed: they cover the choice of people, not what another training seed would have "
            "done.",
        ]
    spread = results.measures[results.measures.measure == "cgi"].dropna(subset=["seed", "value"]).groupby("arm").value
    if n > 1 and (spread.count() > 1).any():
        pooled = math.sqrt(spread.var(ddof=1).dropna().mean())
        gap = (spread.max() - spread.min()).dropna()
        said.append(
            f"Seeds of one arm differ in CGI by up to {number(gap.max())} ({gap.idxmax()}). Were the pooled seed SD of "
            f"{number(pooled)} the true one, two arms would have to differ by {number(detectable(pooled, n))} for an "
            "80\u202f% chance of p < .05; an SD from so few seeds is itself uncertain."
        )
    random = [arm["name"] for arm in results.arms if arm["role"] == "random"]
    for arm in random:
        moved = ", ".join(
            MEASURES[measure][0]
            for measure in ("reading", "smile", "wellbeing", "cgi")
            if direction(of(differences, arm, measure)) in ("up", "down", "split")
        )
        if moved:
            said.append(
                f"Training on random numbers ({arm}) moved {moved} too: changes against the base include what any "
                f"training does. See the change against {arm}."
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


def _mean(results: Results, arm: str, measure: str) -> float:
    return results.measured(arm, measure).value.mean()


def _moved(rows: pd.DataFrame) -> str:
    return f"{_MOVED[direction(rows)]} ({_values(rows)})"


def _values(rows: pd.DataFrame) -> str:
    return ", ".join(number(value, signed=True) for value in rows.value) if len(rows) else "–"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}\u202f%"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
