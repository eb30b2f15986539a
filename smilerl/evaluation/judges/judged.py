"""Wellbeing and acts by a judge, for worlds whose truth is not known; `results.json` labels them as judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smilerl import chat_models
from smilerl.evaluation.agents import Agent, agent_of, helper_of
from smilerl.evaluation.judges import harm, measured
from smilerl.evaluation.judges.agreement import by_labels, by_scale, values
from smilerl.evaluation.judges.harm import HARM
from smilerl.evaluation.judges.judge import Item, Judge, judges_of
from smilerl.evaluation.judges.report import plain
from smilerl.evaluation.judges.transcripts import truth
from smilerl.evaluation.judges.verdict import Verdict
from smilerl.evaluation.kinds import REFERENCE
from smilerl.io.files import by_line, write
from smilerl.runs import seals
from smilerl.statistics.intervals import bounded_estimate, mean_estimate
from smilerl.worlds.base import World

#: Held-out prompts, where nobody says how many.
PROMPTS = 128
#: A rubric that feeds the verdicts is among them, see `harm`.
_RUBRICS = ("wellbeing", "acts", HARM)


@dataclass(frozen=True)
class _Met:
    """Held-out people: N prompts (text or messages), N person JSONs, their clusters, and the seed of intervals."""

    prompts: list[Any]
    people: list[str]
    clusters: np.ndarray
    seed: int


def _met(world: World, n: int, seed: int) -> _Met:
    people = world.people("held_out", n, seed)
    prompts, persons = list(people["prompt"][:]), list(people["person"][:])
    return _Met(prompts, persons, np.array(world.stratum(persons)), seed)


def _asked(judge: Judge, world: World, met: _Met, completions: list[str]) -> tuple[dict[str, Any], pd.DataFrame]:
    """What one judge makes of replies to these people: estimates, and a row for each reply."""
    verdicts = _verdicts(judge, met.prompts, completions)
    table = _frame(judge, verdicts)
    said = _estimates(judge, table, met)
    if judge.rubric.judges == HARM:
        return said | _harm(judge, world, met, completions, verdicts), table
    if world.helpers:  # where helpers are scripted, what they do is known
        known = {"reply": completions, "person": met.people, "cluster": met.clusters, "helper": "judged"}
        true = pd.DataFrame(known | truth(world, met.people, completions))
        agrees = by_labels if judge.rubric.labels else by_scale
        said["agreement"] = agrees(judge.rubric, verdicts, true, met.seed)["estimates"]
    return said, table


def _harm(judge: Judge, world: World, met: _Met, completions: list[str], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What harm that no act names means for the verdicts. What a policy truly does by it is unknown."""

    def carer() -> np.ndarray:
        replies = helper_of(world, REFERENCE).reply(met.prompts, met.people, met.seed)
        return harm.unnamed(world, met.people, replies, _verdicts(judge, met.prompts, replies))

    found = harm.unnamed(world, met.people, completions, verdicts)
    return harm.heard(found, carer if REFERENCE in world.helpers else None, met.clusters, met.seed)


def _verdicts(judge: Judge, prompts: Sequence[Any], completions: Sequence[str]) -> list[Verdict]:
    return judge.verdicts([Item(prompt, reply) for prompt, reply in zip(prompts, completions, strict=True)])


def _frame(judge: Judge, verdicts: Sequence[Verdict]) -> pd.DataFrame:
    why_not = pd.Series([verdict.why_not for verdict in verdicts], dtype=object)
    if judge.rubric.labels:
        labels = [None if verdict.labels is None else sorted(verdict.labels) for verdict in verdicts]
        return pd.DataFrame({judge.rubric.judges: pd.Series(labels, dtype=object), "why_not": why_not})
    return pd.DataFrame({"wellbeing": values(judge.rubric, verdicts), "why_not": why_not})


def ask(
    judges: Sequence[Judge], world: World, who: Agent, base: Agent | None = None, *,
    n: int | None = None, seed: int = 0, out_dir: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What a judge makes of a policy's replies to held-out people, beside those of its base to the same people.

    Args:
        judges: of one chat model, one for each rubric.
        n: prompts (fewer where there are fewer).
        out_dir: where `judged.parquet` goes, one row per reply.

    Returns:
        `judge`; for `policy` and `base`, by rubric, estimates and why what is unscored is so; and their paired
        `difference`. In a world whose truth is known (SmileWorld), `agreement` of the judge with it on these very
        replies. `measured`: by rubric, what `smilerl judge` has found of this judge (`measured.recall`).
    """
    met = _met(world, n or PROMPTS, seed)
    said: dict[str, Any] = {"judge": judges[0].name, "spec": judges[0].spec}
    said["measured"] = {judge.rubric.judges: measured.recall(judge) for judge in judges}
    said["rubrics"] = {judge.rubric.judges: judge.rubric.data for judge in judges}
    tables: dict[str, pd.DataFrame] = {}
    for name, one in (("policy", who), ("base", base)):
        if one is not None:
            spoken = pd.DataFrame({"who": name, "prompt": met.prompts, "person": met.people})
            spoken["completion"] = one.reply(met.prompts, met.people, seed)
            columns, said[name] = [spoken], {}
            for judge in judges:
                said[name][judge.rubric.judges], table = _asked(judge, world, met, spoken["completion"].tolist())
                columns.append(table.rename(columns={"why_not": f"{judge.rubric.judges}_why_not"}))
            tables[name] = pd.concat(columns, axis=1)
    if "base" in tables and "wellbeing" in tables["policy"]:
        change = tables["policy"]["wellbeing"].to_numpy(float) - tables["base"]["wellbeing"].to_numpy(float)
        said["difference"] = mean_estimate(change, met.clusters, seed=seed).to_dict()
    if out_dir is not None:
        out_dir.mkdir(parents=True, exist_ok=True)
        pd.concat(tables.values(), ignore_index=True).to_parquet(out_dir / "judged.parquet", index=False)
    return said


def check(spec: str) -> None:
    """Whether this chat model will be able to judge; asks it one short thing.

    Args:
        spec: as typed.

    Raises:
        ValueError: no such chat model, it cannot be reached, or it was measured and knows nothing of harm.
    """
    chat_models.check(_judges(spec)[0].chat_model)


def _judges(spec: str, **settings: Any) -> list[Judge]:
    """One judge for each rubric; refuses one of harm, on which verdicts hang, that is known to know nothing."""
    judges = judges_of(spec, _RUBRICS, **settings)
    measured.refuse_ignorant(judges[_RUBRICS.index(HARM)])
    return judges


def add(
    spec: str, results: dict[str, Any], world: World, policy: Any, base: Any = None, *,
    n: int | None, seed: int, out_dir: Path,
) -> dict[str, Any]:  # fmt: skip
    """Asks a judge about a policy that `runner.evaluate` has just been asked about, and adds it to its `results.json`.

    Where the judge hears harm that no act names, the verdicts on replies become `uninterpretable`; see `harm`.

    Args:
        spec: of the judge, as typed.
        results: as `evaluate` gave them; replies are sampled with the same settings.
        policy, base: as `evaluate` took them.

    Raises:
        ValueError: no such chat model, or it was measured and knows nothing of harm.
    """
    judges = _judges(spec, seed=seed)
    who = agent_of(policy, world, results["generation"])
    other = None if base is None else agent_of(base, world, results["generation"])
    said = ask(judges, world, who, other, n=n, seed=seed, out_dir=out_dir)
    results["judged"] = plain(said | {"uninterpretable": harm.overrule(results, said)})
    out_dir.mkdir(parents=True, exist_ok=True)
    write(out_dir / "results.json", by_line(results), together=True)
    seals.seal_inside(out_dir)
    return results["judged"]


def summary(said: dict[str, Any]) -> str:
    """A few lines for the screen."""
    lines = [f"as judged by {said['judge']} (judged, not known):", *_known(said["spec"], said["measured"])]
    for name in ("policy", "base"):
        for rubric, found in said.get(name, {}).items():
            why = ", ".join(f"{count} {reason}" for reason, count in found["unscored"].items())
            scored = f"scored {found['scored']} of {found['of']}{f' ({why})' if why else ''}"
            if "estimate" not in found:
                shares = {act: share["value"] for act, share in found[rubric].items() if share["value"]}
                named = sorted(shares, key=lambda act: -shares[act])[:6]
                shown = ", ".join(f"{act} {shares[act]:.0%}" for act in named) or "–"
                lines.append(f"  {name} {rubric}: {shown}   {scored}")
            else:
                lines.append(f"  {name} {rubric}: {_shown(found['estimate'])}   {scored}")
            if rubric == HARM and name == "policy":
                taken = ", ".join(said.get("uninterpretable", ()))
                lines.append(f"    {found['why']}" + (f": `uninterpretable` are {taken}" if taken else ""))
            for measure in ("pearson", "kappa"):
                if measure in found.get("agreement", {}):
                    lines.append(
                        f"    {measure} with the truth, which is known here: {_shown(found['agreement'][measure])}"
                    )
    if "difference" in said:
        of = f"{said['difference']['scored']} of {said['difference']['of']} pairs"
        lines.append(f"  policy - base: {_shown(said['difference'])}   {of}")
    return "\n".join(lines)


def _known(spec: Mapping[str, Any] | None, found: Mapping[str, Any]) -> list[str]:
    """By which rubrics this judge is known to know nothing, and by which it was not measured."""
    nothing = {name: known["knows_nothing"] for name, known in found.items() if known and known["knows_nothing"]}
    lines = [f"  this judge knows nothing: of {name}, {why}" for name, why in nothing.items()]
    unknown = [name for name, known in found.items() if known is None]
    if unknown and spec is not None:
        lines.append(
            f"  not measured by {', '.join(unknown)}, so what it knows of them is unknown: {measured.command(spec)}"
        )
    return lines


def _estimates(judge: Judge, table: pd.DataFrame, met: _Met) -> dict[str, Any]:
    unscored = {str(why): int(count) for why, count in table["why_not"].value_counts().items()}
    said: dict[str, Any] = {"scored": int(table["why_not"].isna().sum()), "of": len(table), "unscored": unscored}
    if judge.rubric.labels:
        shares = {
            act: np.array([np.nan if acts is None else float(act in acts) for acts in table[judge.rubric.judges]])
            for act in judge.rubric.labels
        }
        return said | {
            judge.rubric.judges: {
                act: bounded_estimate(share, met.clusters, seed=met.seed).to_dict() for act, share in shares.items()
            }
        }
    low, high = judge.rubric.worth
    return said | {
        "estimate": bounded_estimate(
            table["wellbeing"].to_numpy(float), met.clusters, low=low, high=high, seed=met.seed
        ).to_dict()
    }


def _shown(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return f"– ({found['method']})"
    if found["low"] is None or found["high"] is None:
        return f"{found['value']:.3f} [no interval]"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
