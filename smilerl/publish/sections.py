"""The parts of a model card, made from what was measured: tables, failures, conversations, each with what it was chosen
by.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pandas as pd

from smilerl.publish.facts import Facts
from smilerl.studies.comparisons import ACTS, MEASURES, SHARES, number
from smilerl.studies.plan import BASE
from smilerl.studies.results import Results

#: What a reader asks first, in this order; the rest is in the repository.
TABLE = ("own_reward", "reading", "smile", "wellbeing", "care", "gaming", "gaming_own", "cgi", "person", "smile_only", "reading_only",
         "care_acts", "mood_acts", "lies", "face_acts", "sensor_acts", "stuffing", "engagement", "coherence")  # fmt: skip
_SAYS = (
    MEASURES
    | {
        name: (f"credit: {words}", f"share of what moved the sensor that goes to {words}")
        for name, words in SHARES.items()
    }
    | {name: (f"replies: {word}", f"share of replies: {what}") for name, (word, what) in ACTS.items()}
)
#: In units of an arm's own reward: nothing that another arm's can be held against.
_OWN = ("own_reward", "gaming_own")
_SEEDS = ("reading", "smile", "wellbeing", "cgi", "person", "smile_only", "reading_only")
_CONVERSATIONS, _WORST = 3, 3


def says(measure: str) -> tuple[str, str]:
    """A measure's name for readers, and what it is."""
    return _SAYS[measure]


def table(facts: Facts) -> dict[str, Any]:
    """The measured table: a row a measure, a column for this model and each it is held against.

    Returns:
        `columns` (arm names) and `rows` (`name`, `means`, `scored`, and `cells`, one a column); no rows where nothing
        was measured.
    """
    results = facts.results
    if results is None:
        return {"columns": [], "rows": []}
    arms = [facts.arm["name"], BASE, *(arm["name"] for arm in results.arms if arm["name"] != facts.arm["name"])]
    arms = [arm for arm in arms if len(results.measured(arm, "wellbeing")) or len(results.measured(arm, "engagement"))]
    rows = []
    for measure in TABLE:
        own = results.measured(facts.arm["name"], measure).dropna(subset=["value"])
        if own.empty:
            continue
        name, means = _SAYS[measure]
        cells = [
            _cell(results, arm, measure) if arm == facts.arm["name"] or measure not in _OWN else "–" for arm in arms
        ]
        if measure == "own_reward" and BASE in arms:  # the base's replies, scored by this arm's reward
            cells[arms.index(BASE)] = _cell(results, facts.arm["name"], "own_reward_base")
        rows.append({"name": name, "means": means, "cells": cells, "scored": _scored(own.iloc[0]), "measure": measure})
    return {"columns": arms, "rows": rows}


def seeds(facts: Facts) -> dict[str, Any]:
    """The same arm's other seeds in the study, which may have gone elsewhere: `names` of measures and `rows` (`seed`,
    `own`, `cells`).
    """
    found = facts.siblings
    seeds = found.seeds_of(facts.arm["name"]) if found is not None else []
    if found is None or len(seeds) < 2:
        return {"names": [], "rows": []}
    shown = [measure for measure in _SEEDS if found.measured(facts.arm["name"], measure).value.notna().any()]
    rows = []
    for seed in seeds:
        values = [
            found.measured(facts.arm["name"], measure).set_index("seed").value.get(seed, math.nan) for measure in shown
        ]
        rows.append({"seed": seed, "own": seed == facts.recipe.seed, "cells": [number(value) for value in values]})
    return {"names": [_SAYS[measure][0] for measure in shown], "rows": rows}


def verdicts(facts: Facts) -> list[dict[str, str]]:
    """Each question of the suite with its verdict and the numbers that it rests on."""
    if facts.suite is None:
        return []
    asked = facts.suites[facts.suite]["evaluations"]
    said = []
    for name, found in asked.items():
        word = found["verdict"] if found["status"] == "scored" else found["status"]
        said.append(
            {"name": name, "question": found["question"], "verdict": word or "–", "why": found.get("why") or ""}
        )
    return said


def failures(facts: Facts) -> list[dict[str, str]]:
    """The questions that this model fails, or of which nothing is known."""
    return [row for row in verdicts(facts) if row["verdict"] not in ("pass", "descriptive", "not applicable")]


def worst(facts: Facts) -> list[dict[str, Any]]:
    """The held-out replies after which the sensor read high and the person was worst off; none twice."""
    replies = _own_replies(facts)
    if replies.empty:
        return []
    known = replies.dropna(subset=["reading", "wellbeing"])
    known = known[known.wellbeing < 0]
    known = known.assign(gap=known.reading - known.wellbeing).sort_values("gap", ascending=False, kind="stable")
    shown = known.drop_duplicates("completion").head(_WORST)
    return [_talk(row) for row in shown.to_dict("records")]


def conversations(facts: Facts) -> list[dict[str, Any]]:
    """The first held-out people by a hash of what they said, with the replies of this model and of those it is held
    against.
    """
    from smilerl.studies.report import conversations as chosen

    results = facts.results
    if results is None or results.replies.empty:
        return []
    return chosen(results, _CONVERSATIONS, back=False)


def prompt(facts: Facts) -> Any:
    """One held-out prompt, as the model reads it."""
    replies = _own_replies(facts)
    return None if replies.empty else replies.prompt.iloc[0]


def rewards(facts: Facts) -> list[dict[str, str]]:
    """Each reward with its weight, its arguments and what it says of itself."""
    from smilerl.config.yaml_lines import dump

    rows = []
    for reward in facts.recipe.rewards:
        args = ", ".join(dump(reward.args).split("\n")).strip(", ") if reward.args else ""
        rows.append(
            {"name": reward.name, "weight": f"{reward.weight:g}", "args": args, "says": _of_itself(reward.name)}
        )
    return rows


def outcomes(manifest: dict[str, Any]) -> str:
    """Whether and how anything computed from people's wellbeing reached training, as the run noted."""
    opened, learnt = manifest.get("channels") or [], manifest.get("learnt_from") or []
    before = (
        "its base, its data or a reward model that it trained on had learnt from "
        f"{', '.join(f'`{name}`' for name in learnt)}"
        if learnt
        else ""
    )
    if opened:
        return (
            f"Wellbeing reached training through a declared channel: {', '.join(f'`{name}`' for name in opened)}. "
            f"Everything else was sealed while it trained{f'; before that, {before}' if before else ''}."
        )
    if learnt:
        return f"No wellbeing was open while it trained; {before}."
    return (
        "Nothing computed from anybody's wellbeing reached training: the seal around rewards and trainer would have "
        "stopped the run."
    )


def parameters(folder: Path) -> int:
    """How many numbers a folder's safetensors files hold."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(length))
        total += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    return total


def _own_replies(facts: Facts) -> pd.DataFrame:
    results = facts.results
    if results is None or results.replies.empty:
        return pd.DataFrame()
    replies = results.replies
    return replies[(replies.arm == facts.arm["name"]) & (replies.evaluation == "held_out")]


def _talk(row: dict[str, Any]) -> dict[str, Any]:
    from smilerl.models.messages import text
    from smilerl.models.replies import visible

    said = text(row["prompt"]).removesuffix("helper:").strip()
    return {"prompt": said, "completion": visible(row["completion"]).strip()} | {
        key: row[key] for key in ("reading", "smile", "wellbeing")
    }


def _cell(results: Results, arm: str, measure: str) -> str:
    rows = results.measured(arm, measure).dropna(subset=["value"])
    if rows.empty:
        return "–"
    row = rows.iloc[0]
    known = not (math.isnan(row.low) or math.isnan(row.high))
    return f"{number(row.value)} [{number(row.low)}, {number(row.high)}]" if known else number(row.value)


def _scored(row) -> str:
    return "" if math.isnan(row.of) else f"{row.scored:.0f} of {row.of:.0f}"


def _of_itself(name: str) -> str:
    """The first sentence of what a reward that comes with smilerl says of itself."""
    import importlib

    if not name.isidentifier():
        return "a function that does not come with smilerl" + ("; its source is in code/" if ".py:" in name else "")
    doc = importlib.import_module(f"smilerl.rewards.{name}").__doc__ or ""
    first = " ".join(doc.split("\n\n")[0].split())
    return first.partition(": ")[2] or first
