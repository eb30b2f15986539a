"""Wellbeing by a judge, for worlds where nobody knows the truth: an addition to `results.json`, always labelled as judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smilerl.evaluation.book import write_atomically
from smilerl.evaluation.judges.agreement import values
from smilerl.evaluation.judges.judge import Item, Judge, build_judge, speaker_spec
from smilerl.evaluation.respondents import Respondent, respondent
from smilerl.evaluation.statistics import bounded_estimate, mean_estimate
from smilerl.worlds.base import World

#: Held-out prompts, where nobody says how many.
PROMPTS = 128


def judged(judge: Judge, prompts: Sequence[Any], completions: Sequence[str]) -> pd.DataFrame:
    """One row per reply: `judged_wellbeing` in units of wellbeing (NaN where unscored), `score` as given, and `why_not`.

    Args:
        prompts: N texts or lists of messages. completions: N texts.

    Raises:
        OutcomeSealed: inside a sealed run.
    """
    items = [Item(prompt, reply) for prompt, reply in zip(prompts, completions, strict=True)]
    verdicts = judge.verdicts(items)
    return pd.DataFrame(
        {
            "judged_wellbeing": values(judge.rubric, verdicts),
            "score": [verdict.score for verdict in verdicts],
            "why_not": [verdict.why_not for verdict in verdicts],
        }
    )


def ask(
    judge: Judge, world: World, who: Respondent, base: Respondent | None = None, *, n: int | None = None, seed: int = 0,
    out_dir: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What a judge makes of a policy's replies to held-out people, beside those of its base to the same people.

    Args:
        n: prompts (fewer where there are fewer).
        out_dir: where `judged.parquet` goes, one row per reply.

    Returns:
        `judge`, and for `policy`, `base` and their `difference` (paired) an estimate of the wellbeing; `unscored` by reason.
    """
    people = world.people("held_out", n or PROMPTS, seed)
    prompts, persons = people["prompt"][:], people["person"][:]
    # A prompt is a cluster of its own, unless the world says which are alike.
    clusters = np.array(world.stratum(persons)) if hasattr(world, "stratum") else np.arange(len(prompts)).astype(str)
    said: dict[str, Any] = {
        "judge": judge.speaker.name,
        "spec": judge.spec,
        "rubric": judge.rubric.data,
        "unscored": {},
    }
    tables: dict[str, pd.DataFrame] = {}
    worth = judge.rubric.worth
    for name, one in (("policy", who), ("base", base)):
        if one is not None:
            completions = one.reply(prompts, persons, seed)
            spoken = pd.DataFrame(
                {"who": name, "prompt": list(prompts), "person": list(persons), "completion": completions}
            )
            tables[name] = pd.concat([spoken, judged(judge, prompts, completions)], axis=1)
            found = tables[name]["judged_wellbeing"].to_numpy(float)
            said[name] = bounded_estimate(found, clusters, low=worth[0], high=worth[1], seed=seed).to_dict()
            said["unscored"][name] = _count(tables[name]["why_not"])
    if "base" in tables:
        change = tables["policy"]["judged_wellbeing"].to_numpy(float) - tables["base"]["judged_wellbeing"].to_numpy(
            float
        )
        said["difference"] = mean_estimate(change, clusters, seed=seed).to_dict()
    if out_dir is not None:
        out_dir.mkdir(parents=True, exist_ok=True)
        pd.concat(tables.values(), ignore_index=True).to_parquet(out_dir / "judged.parquet", index=False)
    return said


def add(
    spec: str, results: dict[str, Any], world: World, policy: Any, base: Any = None, *, n: int | None, seed: int, out_dir: Path
) -> dict[str, Any]:  # fmt: skip
    """Asks a judge about a policy that `runner.evaluate` has just been asked about, and adds it to its `results.json`.

    Args:
        spec: of the judge, as typed.
        results: as `evaluate` gave them; replies are sampled with the same settings.
        policy, base: as `evaluate` took them.

    Raises:
        ValueError: no such speaker.
    """
    judge = build_judge(speaker_spec(spec), "wellbeing", seed=seed)
    if hasattr(judge.speaker, "check"):
        judge.speaker.check()
    who = respondent(policy, world, results["generation"])
    other = None if base is None else respondent(base, world, results["generation"])
    results["judged"] = ask(judge, world, who, other, n=n, seed=seed, out_dir=out_dir)
    write_atomically(out_dir / "results.json", json.dumps(results, indent=1))
    return results["judged"]


def summary(said: dict[str, Any]) -> str:
    """A few lines for the screen."""
    lines = [f"wellbeing, as judged by {said['judge']} (not known, judged):"]
    for name in ("policy", "base", "difference"):
        if name in said:
            found = said[name]
            shown = (
                "–" if found["value"] is None else f"{found['value']:.3f}   [{found['low']:.3f}, {found['high']:.3f}]"
            )
            why = ", ".join(f"{count} {reason}" for reason, count in said["unscored"].get(name, {}).items())
            lines.append(f"  {name:<16}{shown:<30}{found['scored']} of {found['of']}{f' ({why})' if why else ''}")
    return "\n".join(lines)


def _count(column: pd.Series) -> dict[str, int]:
    return {str(why): int(count) for why, count in column.value_counts().items()}
