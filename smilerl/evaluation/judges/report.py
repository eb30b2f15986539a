"""`smilerl judge`: one judge put to SmileWorld with every rubric that is asked for, as JSON and as a table to read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from smilerl.evaluation.judges import measured
from smilerl.evaluation.judges.agreement import agreement
from smilerl.evaluation.judges.judge import Judge
from smilerl.evaluation.judges.robustness import robustness
from smilerl.evaluation.judges.transcripts import HARMING, HELPERS, transcripts
from smilerl.io.files import write
from smilerl.worlds.base import World

#: What each number of a wellbeing judge says.
_SAYS = {
    "pearson": "correlation with the true wellbeing",
    "spearman": "the same of ranks",
    "right_order": "two replies to one person put in the right order (ties: half)",
    "bias": "judged minus true, in wellbeing",
    "absolute_error": "the same without its sign",
    "error_with_length": "correlation of judged minus true with the reply's length",
    "kappa": "Cohen's kappa over all acts and replies",
    "kappa_by_label": "the same against chance within each act",
    "false_alarms": "harm heard in replies that do none",
    "missed": "replies that harm, in which none is heard",
}


def put_to_the_test(
    judges: Sequence[Judge],
    world: World,
    *,
    n: int,
    n_robust: int,
    seed: int = 0,
    policy: Callable[[list, list[str], int], list[str]] | None = None,
    answers: bool = False,
    out: Path | None = None,
) -> dict[str, Any]:
    """Agreement and robustness of a judge under each rubric.

    Args:
        judges: one for each rubric, of one chat model.
        n: conversations for the agreement; n_robust: of these, how many are used to try to move the judge (0: none).
        policy, answers: see `transcripts.transcripts`.
        out: folder for `judge.json` and `judge.txt`.
    """
    tables = {
        helpers: transcripts(world, n, seed=seed, helpers=helpers, policy=policy, answers=answers)
        for helpers in dict.fromkeys(_helpers(judge) for judge in judges)
    }
    table = next(iter(tables.values()))
    results: dict[str, Any] = {
        "judge": judges[0].name,
        "spec": judges[0].spec,
        "world": world.name,
        "n": len(table),
        "seed": seed,
        "helpers": table["helper"].value_counts().to_dict(),
        "rubrics": {},
    }
    for judge in judges:
        table = tables[_helpers(judge)]
        found = agreement(judge, table, seed)
        if not answers:  # which elsewhere no judge is shown
            measured.keep(judge, found)
        if n_robust > 0:
            found["robustness"] = robustness(judge, world, table.head(n_robust), seed)
        settings = {
            "scores": judge.scores,
            "samples": judge.samples,
            "temperature": judge.temperature,
            "max_new_tokens": judge.max_new_tokens,
        }
        results["rubrics"][judge.rubric.judges] = {"rubric": judge.rubric.data, **settings, **found}
    if hasattr(judges[0].chat_model, "usage"):  # calls, tokens and cost, where the chat model counts them
        results["usage"] = dict(vars(judges[0].chat_model.usage))
    results = plain(results)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write(out / "judge.json", json.dumps(results, indent=1), together=True)
        write(out / "judge.txt", as_table(results) + "\n", together=True)
    return results


def _helpers(judge: Judge) -> tuple[str, ...]:
    """Who talks to the people: for the rubric `harm`, helpers of whom it is known whether they harm."""
    return HARMING if judge.rubric.judges == "harm" else HELPERS


def as_table(results: Mapping[str, Any]) -> str:
    """The results for the screen."""
    helpers = len(results["helpers"])
    lines = [
        f"this judge knows nothing: of {name}, {found['knows_nothing']}"
        for name, found in results["rubrics"].items()
        if found["knows_nothing"]
    ]
    lines += [
        f"{results['judge']} on {results['n']} conversations of {results['world']}, "
        f"helpers of {helpers} kinds, seed {results['seed']}"
    ]
    for name, found in results["rubrics"].items():
        lines += ["", f"{name}: scored {found['scored']} of {found['of']}{_because(found['unscored'])}"]
        if "unread" in found:
            lines.append(f"  an answer without a verdict: {found['unread']!r}")
        lines += [f"  {key:<18}{_shown(value)}  {_SAYS[key]}" for key, value in found["estimates"].items()]
        if "ties" in found:
            lines.append(f"  {'':<18}{found['ties']['tied']} of {found['ties']['of']} pairs tied")
        if "calibration" in found:
            lines += ["", f"  {'score':<7}{'stands for':>10}   true wellbeing"]
            lines += [
                f"  {row['score']:<7g}{row['worth']:>10.2f}   {_shown(row['true'])}  n {row['true']['of']}"
                for row in found["calibration"]
            ]
        lines += _liked(found.get("by_helper", {}))
        if "acts" in found:
            lines += ["", f"  {'act':<12}{'done':>6}{'named':>7}   kappa"]
            lines += [
                f"  {act:<12}{row['done']:>6}{row['named']:>7}   {_shown(row['kappa'])}"
                for act, row in found["acts"].items()
            ]
        lines += _robust(found.get("robustness", {}))
    if "usage" in results:
        lines += [
            "",
            f"asked: {', '.join(f'{name} {value}' for name, value in results['usage'].items() if value is not None)}",
        ]
    return "\n".join(line.rstrip() for line in lines)


def _liked(found: Mapping[str, Any]) -> list[str]:
    """Each helper by judge and by truth, first whom the judge likes too much."""
    rows = sorted(
        ((row["judged"] - row["true"], name, row) for name, row in found.items() if row["judged"] is not None),
        reverse=True,
    )
    if not rows:
        return []
    lines = ["", f"  {'helper':<20}{'judged':>7}{'true':>7}{'n':>5}"]
    return lines + [f"  {name:<20}{row['judged']:>7.2f}{row['true']:>7.2f}{row['scored']:>5}" for _, name, row in rows]


def _robust(found: Mapping[str, Any]) -> list[str]:
    if not found:
        return []
    lines = ["", f"  {'appended to the reply':<24}{'verdict moved':<26}{'toward it':<26}wellbeing"]
    for name, row in found.items():
        shift = _shown(row["shift"]) if "shift" in row else ""
        lost = f"  ({row['now_unscored']} now unscored)" if row["now_unscored"] else ""
        lines.append(f"  {name:<24}{_shown(row['moved']):<26}{_shown(row['toward']):<26}{shift}{lost}")
    return lines


def _because(unscored: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count} {why}' for why, count in unscored.items())})" if unscored else ""


def _shown(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return f"{'–':>6}  {estimate['method']}"
    if estimate["low"] is None or estimate["high"] is None:
        return f"{estimate['value']:>6.2f}  [no interval]"
    return f"{estimate['value']:>6.2f}  [{estimate['low']:.2f}, {estimate['high']:.2f}]"


def plain(value: Any) -> Any:
    """What JSON can hold: an interval without an end has none there."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
