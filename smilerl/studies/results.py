"""Everything that the runs of a study have left on disk, as tidy tables.

A study folder holds `study.json` (what was planned and how each run ended), `base/` and `<arm>/seed-<n>/` (run
directories). Nothing here needs torch: a report can be made wherever the folder can be read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from smilerl.io.files import read_json, read_rows, read_study, read_table, reading, replacing
from smilerl.runs import seals
from smilerl.runs.directory import Run
from smilerl.runs.remarks import remarks
from smilerl.studies.plan import BASE

#: Keys of one line of `metrics.jsonl` → column of `curves`.
CURVES = {"step": "step"} | {f"held_out/{name}": name for name in ("kl", "reading", "smile", "wellbeing", "reward")}
_AGAIN = "Delete it, and run the study again: the run is evaluated again."
_ESTIMATE = ["value", "low", "high", "scored", "of"]
_REPLIES = ["evaluation", "condition", "prompt", "person", "completion", "wellbeing", "smile", "reading", "acts",
            "transcript"]  # fmt: skip
_SAID = ["question", "kind", "status", "verdict", "why"]
#: Columns of the tables that are made from `results.json`.
_COLUMNS = {
    "measures": ["arm", "seed", "measure", *_ESTIMATE, "parts"],
    "verdicts": ["arm", "seed", "evaluation", *_SAID, "scored", "of"],
    "estimates": ["arm", "seed", "evaluation", "estimate", *_ESTIMATE],
    "controls": ["evaluation", "control", "expected", "got", "agrees"],
    "fits": ["arm", "seed", "series", "form", "peak", "why"],
    "reads": ["arm", "seed", "evaluation", "cue", "twins", "value", "low", "high", "reworded", "reads"],
    "evaluations": ["arm", "seed", "policy", "hash", "seconds", "parsers_differ"],
}


@dataclass(frozen=True)
class Results:
    """A study's results. `seed` is missing (`<NA>`) for the base.

    Attributes:
        about: `study.json`.
        runs: arm, seed, state ("finished" | "failed" | "running" | "interrupted" | "missing"), error, seconds, path.
        measures: arm, seed, measure, value, low, high, scored, of, parts. The interval is over people, within one seed;
            parts say what each cluster of people does to the value.
        curves: arm, seed, step, kl (nats per completion), reading, smile, wellbeing, reward; on fixed held-out people.
        verdicts: arm, seed, evaluation, question, kind, status, verdict, why, scored, of.
        estimates: arm, seed, evaluation, estimate, value, low, high, scored, of.
        controls: evaluation, control, expected, got, agrees.
        fits: arm, seed, series ("proxy" | "gold"), form, peak, why: what `goodhart` makes of the curve; form is
            "undetermined" where the data do not tell, peak (in d = √KL) is missing where none is shown.
        reads: arm, seed, evaluation, cue, twins, value, low, high (how far acts differ between the twins), reworded
            (and between people who say the same in other words), reads (whether the cue is read).
        replies: arm, seed, then the columns of `samples.parquet`.
        evaluations: arm, seed, policy, hash, seconds, parsers_differ (share of clauses on which the second parser
            differs).
        remarks: (arm, seed) → what a run's own log says against it, see `smilerl.runs.remarks`.
        anchors: (scripted helper, measure) → value, from the controls of `held_out`.
    """

    about: dict
    runs: pd.DataFrame
    measures: pd.DataFrame
    curves: pd.DataFrame
    verdicts: pd.DataFrame
    estimates: pd.DataFrame
    controls: pd.DataFrame
    fits: pd.DataFrame
    reads: pd.DataFrame
    replies: pd.DataFrame
    evaluations: pd.DataFrame
    remarks: dict[tuple[str, int], list[str]]
    anchors: dict[tuple[str, str], float]

    @property
    def arms(self) -> list[dict]:
        """The arms in the plan's order, without the base."""
        return self.about["arms"]

    def seeds_of(self, arm: str) -> list[int]:
        """Seeds of an arm that have an evaluation."""
        return sorted(self.measures.loc[self.measures.arm == arm, "seed"].dropna().astype(int).unique().tolist())

    def measured(self, arm: str, measure: str) -> pd.DataFrame:
        """The rows of one measure of one arm, one per seed."""
        return self.measures[(self.measures.arm == arm) & (self.measures.measure == measure)].sort_values("seed")


def collect(folder: str | Path, *, so_far: bool = False) -> Results:
    """Reads a study folder; runs without results are in `runs` only.

    Args:
        so_far: the study is at work: of runs that its record does not call finished or failed nothing is read.

    Raises:
        ValueError: the folder holds no `study.json`.
    """
    folder = Path(folder)
    if not (folder / "study.json").is_file():
        raise ValueError(f"{folder}: no study.json here, so this is not a study. `smilerl study PLAN.yaml` makes one.")
    about = read_study(folder)
    if not so_far:
        about["runs"] = [run | _state(folder / run["path"], run, about["suite"]) for run in about["runs"]]
    read = [run for run in about["runs"] if not so_far or run["state"] in ("finished", "failed")]
    where = [(BASE, pd.NA, folder / BASE)]
    return gather(about, where + [(run["arm"], run["seed"], folder / run["path"]) for run in read])


def gather(about: dict, where: list[tuple[str, Any, Path]]) -> Results:
    """The results of these runs, whether or not they lie in a study's folder.

    Args:
        about: in the form of `study.json`; `arms`, `runs`, `seeds` and `suite` are needed.
        where: arm, seed (`<NA>` for the base) and folder of each run.
    """
    rows: dict[str, list[dict]] = {name: [] for name in _COLUMNS}
    curves, replies = [], []
    remarked: dict[tuple[str, int], list[str]] = {}
    anchors: dict[tuple[str, str], float] = {}
    for arm, seed, path in where:
        evaluated = path / "evals" / about["suite"]
        if (evaluated / "results.json").is_file():
            seals.check_evaluation(evaluated)
            with reading(evaluated / "results.json", _AGAIN):
                found = read_json(evaluated / "results.json", _AGAIN)
                _add(rows, {"arm": arm, "seed": seed}, found, evaluated)
                anchors |= _anchors(found)
        if (evaluated / "samples.parquet").is_file():
            samples = read_table(evaluated / "samples.parquet", _AGAIN)
            replies.append(_labelled(samples.reindex(columns=_REPLIES), arm, seed))
        if (path / "metrics.jsonl").is_file():
            logged = read_rows(path / "metrics.jsonl")
            held_out = [line for line in logged if "held_out/wellbeing" in line or "held_out/reward" in line]
            curve = pd.DataFrame(held_out).reindex(columns=list(CURVES)).rename(columns=CURVES)
            curves.append(_labelled(curve, arm, seed))
            if seed is not pd.NA:
                remarked[arm, int(seed)] = remarks(logged)
    tables = {name: _frame(rows[name], columns) for name, columns in _COLUMNS.items()}
    return Results(
        about=about,
        runs=_frame(about["runs"], ["arm", "seed", "state", "error", "seconds", "path"]),
        curves=_concatenated(curves, ["arm", "seed", *CURVES.values()]),
        replies=_concatenated(replies, ["arm", "seed", *_REPLIES]),
        remarks=remarked,
        anchors=anchors,
        **tables | {"controls": tables["controls"].drop_duplicates(ignore_index=True)},
    )


def save(results: Results, folder: str | Path) -> list[Path]:
    """Writes the tables as Parquet and returns their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in ("runs", "measures", "curves", "verdicts", "estimates", "controls", "fits", "reads"):
        paths.append(folder / f"{name}.parquet")
        with replacing(paths[-1]) as unfinished:
            getattr(results, name).drop(columns="parts", errors="ignore").to_parquet(unfinished, index=False)
    return paths


def _state(folder: Path, run: dict, suite: str) -> dict:
    """State and error of a run as its folder says: `study.json` does not know what came after a study was killed."""
    if run["state"] == "finished" or not (folder / "status.json").is_file():
        return {}
    on_disk = Run(folder)
    if on_disk.finished:
        evaluated = (folder / "evals" / suite / "results.json").is_file()
        return {"state": "finished", "error": None} if evaluated and not run["error"] else {}
    return {"state": on_disk.state, "error": on_disk.status.get("error") or run["error"]}


def _add(rows: dict[str, list[dict]], who: dict, found: dict, folder: Path) -> None:
    """Appends what one results.json says."""
    policy = found.get("policy") or {}
    made = {"policy": policy.get("name"), "hash": policy.get("hash"), "seconds": found.get("seconds")}
    rows["evaluations"].append(who | made | {"parsers_differ": (found.get("audit") or {}).get("share")})
    measures = dict(found.get("measures") or {})
    if (folder / "own_reward.json").is_file():
        measures |= read_json(folder / "own_reward.json", _AGAIN)
    held_out = found["evaluations"].get("held_out", {}).get("estimates") or {}
    measures |= {name: held_out[name] for name in ("wellbeing", "smile", "reading") if name in held_out}
    for name, value in measures.items():
        parts = value.get("parts") if isinstance(value, dict) else None
        rows["measures"].append(who | {"measure": name} | _estimate(value) | {"parts": parts})
    for name, evaluation in found["evaluations"].items():
        asked = who | {"evaluation": name}
        estimates = {key: _estimate(value) for key, value in (evaluation.get("estimates") or {}).items()}
        rows["estimates"] += [asked | {"estimate": key} | value for key, value in estimates.items()]
        counted = [(value["scored"], value["of"]) for value in estimates.values() if not math.isnan(value["of"])]
        scored, of = min(counted, key=lambda pair: pair[0] / max(pair[1], 1), default=(math.nan, math.nan))
        said = {key: evaluation.get(key) for key in _SAID}
        rows["verdicts"].append(asked | said | {"scored": scored, "of": of})
        for series, fit in (evaluation.get("fits") or {}).items():
            peak = (fit.get("peak") or [math.nan])[0]
            rows["fits"].append(who | {"series": series, "form": fit["form"], "peak": peak, "why": fit["why"]})
        for read in evaluation.get("reads") or ():
            if read["who"] == "policy":  # the base has results of its own
                ends = {end: read["variation"][end] for end in ("value", "low", "high")}
                said = {key: read[key] for key in ("cue", "twins", "reads")} | {"reworded": read["reworded"]["value"]}
                rows["reads"].append(asked | said | ends)
        for control, answer in (evaluation.get("controls") or {}).items():
            expected, got = str(answer.get("expected")), str(answer.get("got"))
            answered = {"expected": expected, "got": got, "agrees": bool(answer.get("agrees", expected == got))}
            rows["controls"].append({"evaluation": name, "control": control} | answered)


def _anchors(found: dict) -> dict[tuple[str, str], float]:
    """Where the scripted helpers stand on each measure."""
    controls = found["evaluations"].get("held_out", {}).get("controls") or {}
    return {
        (name, key): _estimate(value)["value"]
        for name, control in controls.items()
        for key, value in (control.get("estimates") or {}).items()
    }


def _estimate(given: dict | float | None) -> dict:
    """An estimate with every key, as floats, NaN where the evaluation gave none."""
    given = given if isinstance(given, dict) else {"value": given}
    return {key: math.nan if given.get(key) is None else float(given[key]) for key in _ESTIMATE}


def _labelled(table: pd.DataFrame, arm: str, seed: Any) -> pd.DataFrame:
    return table.assign(arm=arm, seed=pd.array([seed] * len(table), dtype="Int64"))


def _frame(rows: list[dict], columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows).reindex(columns=columns)
    return table.astype({"seed": "Int64"}) if "seed" in columns else table


def _concatenated(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    tables = [table.dropna(axis=1, how="all") for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True).reindex(columns=columns) if tables else _frame([], columns)
