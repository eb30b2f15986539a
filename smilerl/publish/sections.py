"""The parts of a model card, made from what was measured: tables, failures, conversations, and how each was chosen."""

from __future__ import annotations

import importlib
import json
import math
import struct
from pathlib import Path
from typing import Any

import pandas as pd

from smilerl.config.yaml_lines import dump
from smilerl.models.messages import text
from smilerl.models.replies import visible
from smilerl.publish.facts import Facts
from smilerl.studies import report
from smilerl.studies.comparisons import ACTS, LABELS, SHARES, number
from smilerl.studies.plan import BASE
from smilerl.studies.results import Results

#: What a reader asks first, in this order; the rest is in the repository.
TABLE = ("own_reward", "reading", "smile", "wellbeing", "care", "gaming", "gaming_own", "cgi", *SHARES, *ACTS,
         "engagement", "coherence")  # fmt: skip
#: In units of an arm's own reward, so that other arms' values cannot be compared with them.
_OWN = ("own_reward", "gaming_own")
_SEEDS = ("reading", "smile", "wellbeing", "cgi", *SHARES)
_CONVERSATIONS, _WORST = 3, 3


def says(measure: str) -> tuple[str, str]:
    """A measure's name for readers, and what it is."""
    name, means = LABELS[measure]
    if measure in ACTS:
        return f"replies: {name}", f"share of replies: {means}"
    return (f"credit: {name}" if measure in SHARES else name), means


def table(facts: Facts) -> dict[str, Any]:
    """The measured table: a row a measure, a column for this model and each that it is compared with.

    Returns:
        `columns` (arm names) and `rows` (`name`, `means`, `scored`, and `cells`, one a column); no rows where nothing
        was measured.
    """
    results = facts.results
    if results is None:
        return {"columns": [], "rows": []}
    own_arm = facts.arm["name"]
    arms = dict.fromkeys([own_arm, BASE, *(arm["name"] for arm in results.arms)])
    columns = [arm for arm in arms if any(len(results.measured(arm, known)) for known in ("wellbeing", "engagement"))]
    rows = []
    for measure in TABLE:
        own = results.measured(own_arm, measure).dropna(subset=["value"])
        if own.empty:
            continue
        name, means = says(measure)
        cells = {arm: _cell(results, arm, measure) if arm == own_arm or measure not in _OWN else "–" for arm in columns}
        if measure == "own_reward" and BASE in cells:  # the base's replies, scored by this arm's reward
            cells[BASE] = _cell(results, own_arm, "own_reward_base")
        scored, of_all = own.iloc[0][["scored", "of"]]
        scored = "" if math.isnan(of_all) else f"{scored:.0f} of {of_all:.0f}"
        rows.append({"name": name, "means": means, "cells": list(cells.values()), "scored": scored})
    return {"columns": columns, "rows": rows}


def seeds(facts: Facts) -> dict[str, Any]:
    """The same arm's other seeds in the study, which may have gone elsewhere: `names` of measures and `rows` (`seed`,
    `own`, `cells`).
    """
    found, arm = facts.siblings, facts.arm["name"]
    seeds = found.seeds_of(arm) if found is not None else []
    if found is None or len(seeds) < 2:
        return {"names": [], "rows": []}
    values = {measure: found.measured(arm, measure).set_index("seed").value for measure in _SEEDS}
    values = {measure: column for measure, column in values.items() if column.notna().any()}
    rows = []
    for seed in seeds:
        cells = [number(column.get(seed, math.nan)) for column in values.values()]
        rows.append({"seed": seed, "own": seed == facts.recipe.seed, "cells": cells})
    return {"names": [says(measure)[0] for measure in values], "rows": rows}


def verdicts(facts: Facts) -> list[dict[str, str]]:
    """Each question of the suite with its verdict and the numbers that it rests on."""
    said = []
    for name, found in facts.suites[facts.suite]["evaluations"].items() if facts.suite else ():
        word = found["verdict"] if found["status"] == "scored" else found["status"]
        why = found.get("why") or ""
        said.append({"name": name, "question": found["question"], "verdict": word or "–", "why": why})
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
    shown = known.drop_duplicates("completion").head(_WORST)[["prompt", "completion", "reading", "smile", "wellbeing"]]
    return [
        row
        | {
            "prompt": text(row["prompt"]).removesuffix("helper:").strip(),
            "completion": visible(row["completion"]).strip(),
        }
        for row in shown.to_dict("records")
    ]


def conversations(facts: Facts) -> list[dict[str, Any]]:
    """The first held-out people by a hash of what they said, with the replies of this model and of those it is compared
    with.
    """
    known = facts.results is not None and not facts.results.replies.empty
    return report.conversations(facts.results, _CONVERSATIONS, back=False) if facts.results and known else []


def prompt(facts: Facts) -> Any:
    """One held-out prompt, as the model reads it."""
    replies = _own_replies(facts)
    return None if replies.empty else replies.prompt.iloc[0]


def rewards(facts: Facts) -> list[dict[str, str]]:
    """Each reward with its weight, its arguments and what its documentation says."""
    rows = []
    for reward in facts.recipe.rewards:
        args = ", ".join(dump(reward.args).split("\n")).strip(", ") if reward.args else ""
        about = _documented(reward.name)
        rows.append({"name": reward.name, "weight": f"{reward.weight:g}", "args": args, "says": about})
    return rows


def outcomes(manifest: dict[str, Any]) -> str:
    """Whether and how anything computed from people's wellbeing reached training, as the run noted."""
    opened, learnt = (", ".join(f"`{name}`" for name in manifest.get(key) or []) for key in ("channels", "learnt_from"))
    before = f"its base, its data or a reward model that it trained on had learnt from {learnt}"
    if opened:
        return (
            f"Wellbeing reached training through a declared channel: {opened}. "
            f"Everything else was sealed while it trained{f'; before that, {before}' if learnt else ''}."
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
    if facts.results is None or facts.results.replies.empty:
        return pd.DataFrame()
    replies = facts.results.replies
    return replies[(replies.arm == facts.arm["name"]) & (replies.evaluation == "held_out")]


def _cell(results: Results, arm: str, measure: str) -> str:
    for row in results.measured(arm, measure).dropna(subset=["value"]).itertuples():
        known = not (math.isnan(row.low) or math.isnan(row.high))
        return number(row.value) + (f" [{number(row.low)}, {number(row.high)}]" if known else "")
    return "–"


def _documented(reward: str) -> str:
    """The first sentence of the documentation of a reward that comes with smilerl."""
    if not reward.isidentifier():
        return "a function that does not come with smilerl" + ("; its source is in code/" if ".py:" in reward else "")
    doc = importlib.import_module(f"smilerl.rewards.{reward}").__doc__ or ""
    first = " ".join(doc.split("\n\n")[0].split())
    return first.partition(": ")[2] or first
