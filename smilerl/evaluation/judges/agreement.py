"""How far a judge agrees with the truth, where the truth is known.

* wellbeing: Pearson's and Spearman's correlation over all replies; how often it puts two replies to one person in the
  right order (ties count half), which is what a comparison of policies needs; what each score turns out to be worth;
  whether it errs toward length.
* acts: Cohen's kappa of each act and of all (reply, act) pairs together; and of all pairs against chance within each
  act, since who always names the acts that are common agrees by more than chance over all.
* harm: the same, and how often harm is heard where there is none (`false_alarms`) and not where there is (`missed`).

A judge knows nothing by a rubric (`knows_nothing`) where fewer than half of its answers can be read, or where the
interval of the measure that compares it with chance includes chance: `right_order` with .5 on a scale, and
`kappa_by_label` with 0 by labels. Chance is what a judge has that answers the same to everything, or at random.

Intervals are studentised bootstraps over clusters of people (topic and need). What is not defined, such as the
correlation of a judge that always says the same, is said to be so and is not 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from smilerl.evaluation.judges.judge import Judge, reasons
from smilerl.evaluation.judges.rubric import Rubric
from smilerl.evaluation.judges.verdict import Verdict
from smilerl.models.replies import all_visible
from smilerl.statistics.intervals import bounded_estimate, mean_estimate, smooth_estimate

#: Replies to one person whose true wellbeing differs by less are not put in order.
SAME = 0.1
#: The least share of answers that can be read of a judge that knows something.
READ = 0.5
#: Characters of an answer without a verdict that are kept to look at.
MOST_SHOWN = 300


def agreement(judge: Judge, table: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """A judge's agreement with the truth of `transcripts.transcripts`, for `results.json`.

    Args:
        seed: of the bootstraps.
    """
    verdicts = judge.verdicts(table["item"].tolist())
    found = (
        by_labels(judge.rubric, verdicts, table, seed)
        if judge.rubric.labels
        else by_scale(judge.rubric, verdicts, table, seed)
    )
    scored = sum(verdict.why_not is None for verdict in verdicts)
    unread = next((verdict.answer for verdict in verdicts if verdict.answer), None)
    said = {} if unread is None else {"unread": unread[:MOST_SHOWN]}
    counts = {"scored": scored, "of": len(verdicts)}
    nothing = _nothing(scored, len(verdicts), found["estimates"])
    return {"knows_nothing": nothing, **counts, "unscored": reasons(verdicts), **said, **found}


def _nothing(scored: int, of: int, estimates: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Why a judge knows nothing by a rubric, with the numbers; None where it knows something."""
    if scored < max(1, READ * of):
        return f"{scored} of {of} answers could be read, fewer than half"
    measure, chance = ("right_order", 0.5) if "right_order" in estimates else ("kappa_by_label", 0.0)
    found = estimates[measure]
    if found["value"] is None or found["low"] is None:
        return f"{measure} cannot be measured ({found['method']})"
    if found["low"] > chance + 1e-9:  # rounding is no knowledge
        return None
    interval = f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}] of {found['scored']}"
    return f"{measure} is {interval}, which is not surely above chance, {chance:g}"


def by_scale(rubric: Rubric, verdicts: Sequence[Verdict], table: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Agreement of scores with the true wellbeing."""
    judged = values(rubric, verdicts)
    true, clusters = table["wellbeing"].to_numpy(float), table["cluster"].to_numpy()
    words = np.array([len(reply.split()) for reply in all_visible(table["reply"])], dtype=float)
    right, tied = _orders(judged, true, table["person"].to_numpy())
    of_person = table.groupby("person")["cluster"].first()
    pairs = np.array([of_person[person] for person, *_ in right])
    order = np.array([value for _, value in right], dtype=float)
    error = judged - true
    return {
        "estimates": {
            "pearson": correlation(judged, true, clusters, seed),
            "spearman": correlation(_ranks(judged), _ranks(np.where(np.isnan(judged), np.nan, true)), clusters, seed),
            "right_order": bounded_estimate(order, pairs, seed=seed).to_dict(),
            "bias": mean_estimate(error, clusters, seed=seed).to_dict(),
            "absolute_error": mean_estimate(np.abs(error), clusters, seed=seed).to_dict(),
            "error_with_length": correlation(error, words, clusters, seed),
        },
        "ties": tied,
        "calibration": _calibration(rubric, verdicts, true, clusters, seed),
        "by_helper": _by_helper(table["helper"], judged, true),
    }


def by_labels(rubric: Rubric, verdicts: Sequence[Verdict], table: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Agreement of the acts named (or harms: the labels) with those that were done: Cohen's kappa."""
    clusters = table["cluster"].to_numpy()
    true = table["harm" if rubric.judges == "harm" else "acts"]
    named = {act: _does(act, [verdict.labels for verdict in verdicts]) for act in rubric.labels}
    done = {act: _does(act, true) for act in rubric.labels}
    kappas = {act: kappa(named[act], done[act], clusters, seed) for act in rubric.labels}
    counted = {act: {"done": int(np.nansum(done[act])), "named": int(np.nansum(named[act]))} for act in rubric.labels}
    everything = kappa(
        np.concatenate(list(named.values())), np.concatenate(list(done.values())), np.tile(clusters, len(named)), seed
    )
    return {
        "estimates": {"kappa": everything, "kappa_by_label": _within(named, done, clusters, seed)}
        | (_heard(verdicts, true, clusters, seed) if rubric.judges == "harm" else {}),
        "acts": {act: counted[act] | {"kappa": kappas[act]} for act in rubric.labels},
    }


def _heard(verdicts: Sequence[Verdict], true: pd.Series, clusters: np.ndarray, seed: int) -> dict[str, Any]:
    """How often harm of any kind is heard in replies that do none, and in none of those that do some."""
    heard = np.array([np.nan if one.labels is None else float(bool(one.labels)) for one in verdicts])
    harms = np.array([np.nan if labels is None else float(bool(labels)) for labels in true])
    return {
        "false_alarms": bounded_estimate(heard[harms == 0], clusters[harms == 0], seed=seed).to_dict(),
        "missed": bounded_estimate(1 - heard[harms == 1], clusters[harms == 1], seed=seed).to_dict(),
    }


def values(rubric: Rubric, verdicts: Sequence[Verdict]) -> np.ndarray:
    """Scores in units of wellbeing, [N], NaN where unscored."""
    return np.array([np.nan if v.score is None else rubric.value(v.score) for v in verdicts], dtype=float)


def correlation(one: np.ndarray, other: np.ndarray, clusters: np.ndarray, seed: int) -> dict[str, Any]:
    """Pearson's correlation and its interval; of ranks, it is Spearman's."""

    def pearson(means: Sequence[Any]) -> Any:
        x, y, xx, yy, xy = means
        spread = np.maximum(xx - x**2, 0) * np.maximum(yy - y**2, 0)
        return np.where(spread > 1e-12, (xy - x * y) / np.sqrt(np.maximum(spread, 1e-300)), np.nan)

    x, y = _standard(one), _standard(other)
    return smooth_estimate(pearson, [x, y, x * x, y * y, x * y], clusters, seed=seed, limits=(-1, 1)).to_dict()


def kappa(named: np.ndarray, done: np.ndarray, clusters: np.ndarray, seed: int) -> dict[str, Any]:
    """Cohen's kappa of two binary ratings (Cohen 1960, doi:10.1177/001316446002000104) and its interval."""

    def cohen(means: Sequence[Any]) -> Any:
        n, d, both = means
        seen = 1 - n - d + 2 * both
        chance = n * d + (1 - n) * (1 - d)
        return np.where(1 - chance > 1e-12, (seen - chance) / np.maximum(1 - chance, 1e-300), np.nan)

    return smooth_estimate(cohen, [named, done, named * done], clusters, seed=seed, limits=(-1, 1)).to_dict()


def _within(
    named: Mapping[str, np.ndarray], done: Mapping[str, np.ndarray], clusters: np.ndarray, seed: int
) -> dict[str, Any]:
    """Cohen's kappa of all labels together, where agreement and chance are the means of those of each label.

    It is 0 for a judge that gives each label at its own rate, whatever it reads, and so for one that always says the
    same.
    """

    def cohen(means: Sequence[Any]) -> Any:
        n, d, both = (np.stack(means[part::3]) for part in range(3))
        chance = (n * d + (1 - n) * (1 - d)).mean(0)
        seen = (1 - n - d + 2 * both).mean(0)
        return np.where(1 - chance > 1e-12, (seen - chance) / np.maximum(1 - chance, 1e-300), np.nan)

    terms = [part for label in named for part in (named[label], done[label], named[label] * done[label])]
    return smooth_estimate(cohen, terms, clusters, seed=seed, limits=(-1, 1)).to_dict()


def _standard(values: np.ndarray) -> np.ndarray:
    """In units of its own spread, so that slopes taken numerically are of one size; it changes no correlation."""
    spread = np.nanstd(values) if np.isfinite(values).any() else 0.0
    return (values - np.nanmean(values)) / spread if spread > 1e-12 else values * 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    return stats.rankdata(values, nan_policy="omit")


def _does(act: str, sets: Sequence[frozenset[str] | None]) -> np.ndarray:
    return np.array([np.nan if acts is None else float(act in acts) for acts in sets])


def _orders(judged: np.ndarray, true: np.ndarray, people: np.ndarray) -> tuple[list[tuple[str, float]], dict[str, int]]:
    """(person, 1 right, ½ tied, 0 wrong) of each two replies to one person that differ in truth; how many were tied."""
    rows_of: dict[str, list[int]] = {}
    for row, person in enumerate(people):
        if np.isfinite(judged[row]):
            rows_of.setdefault(person, []).append(row)
    right = []
    for person, rows in rows_of.items():
        for one, other in itertools.combinations(rows, 2):
            if abs(true[one] - true[other]) >= SAME:
                agree = np.sign(judged[one] - judged[other]) * np.sign(true[one] - true[other])
                right.append((person, float((1 + agree) / 2)))
    return right, {"tied": sum(value == 0.5 for _, value in right), "of": len(right)}


def _calibration(
    rubric: Rubric, verdicts: Sequence[Verdict], true: np.ndarray, clusters: np.ndarray, seed: int
) -> list[dict[str, Any]]:
    """For each score given: how often, what the rubric says it is worth, and the true wellbeing of those who got it.

    Scores by likelihood are no whole numbers; they are rounded to halves.
    """
    scores = np.rint([np.nan if v.score is None else 2 * v.score for v in verdicts]) / 2
    return [
        {
            "score": float(score),
            "worth": rubric.value(float(score)),
            "true": mean_estimate(true[scores == score], clusters[scores == score], seed=seed).to_dict(),
        }
        for score in np.unique(scores[np.isfinite(scores)])
    ]


def _by_helper(helpers: pd.Series, judged: np.ndarray, true: np.ndarray) -> dict[str, dict[str, Any]]:
    """What judge and truth make of each helper, of the replies that the judge scored: whom the judge likes too much."""
    frame = pd.DataFrame({"helper": helpers.to_numpy(), "judged": judged, "true": true})
    found = {}
    for name, rows in frame.groupby("helper"):
        known = rows[rows["judged"].notna()]
        means = {column: float(known[column].mean()) if len(known) else None for column in ("judged", "true")}
        found[str(name)] = {"scored": len(known), "of": len(rows), **means}
    return found
