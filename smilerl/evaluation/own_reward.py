"""How far an arm's own reward rose on held-out people: the arm's replies against the base's, person by person."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from smilerl import worlds
from smilerl.config.recipe import Recipe
from smilerl.data.candidates import BestOfN
from smilerl.io.files import read_table
from smilerl.rewards import Reward, RewardContext, build_rewards
from smilerl.rewards._summed import ask_outside, summed_as
from smilerl.runs.directory import write_json
from smilerl.runs.identity import content_hash
from smilerl.training.methods.best_of_n import policy, sampling
from smilerl.training.models import resolved, with_models


def measure(recipe: Recipe, arm: Path, base: Path) -> dict[str, dict]:
    """Scores both policies' held-out replies with the recipe's rewards.

    Args:
        recipe: whose rewards and weights are used; with none (SFT, pairs from a file) there is no own reward, and
            nothing is scored.
        arm, base: folders with the `samples.parquet` of the same suite and seed.

    Returns:
        `own_reward`, `own_reward_base` and `own_reward_change`, each {value, low, high, scored, of}; the intervals are
        t intervals whose standard error is robust to people of one topic and need being alike. Where the people lack a
        column that a reward needs, nothing is scored, and `why` says so. Written to `own_reward.json` beside the arm's
        samples.
    """
    if not recipe.rewards:
        write_json(arm / "own_reward.json", {})
        return {}
    reward = combined(recipe)
    replies = [_held_out(folder / "samples.parquet") for folder in (arm, base)]
    lack = reward.lacks([person for table in replies for person in table.person])
    if lack is not None:
        nothing = {"value": None, "low": None, "high": None, "scored": 0, "of": len(replies[0]), "why": lack}
        found = {name: dict(nothing) for name in ("own_reward", "own_reward_base", "own_reward_change")}
        write_json(arm / "own_reward.json", found)
        return found
    for table in replies:
        scores = ask_outside(reward, list(table.prompt), list(table.person), list(table.completion))
        table["own"] = [math.nan if score is None else score for score in scores]
    both = replies[0].merge(replies[1], on=["condition", "person", "visit"], suffixes=("", "_base"))
    change = both.own - both.own_base
    found = {
        "own_reward": interval(replies[0].own, clusters(replies[0].person)),
        "own_reward_base": interval(replies[1].own, clusters(replies[1].person)),
        "own_reward_change": interval(change, clusters(both.person)),
    }
    write_json(arm / "own_reward.json", found)
    return found


def combined(recipe: Recipe) -> Reward:
    """A recipe's rewards as the one number that training maximises, in TRL's protocol.

    The sum is None where a reward of any weight but 0 is, as in training. Every question is scored alike: it leaves the
    rewards' states as they were. A reward that asks for its context is told that the run is over.
    """
    specs = [replace(one, args=resolved(one.args, recipe.source, progress=False)) for one in recipe.rewards]
    rewards = build_rewards(specs, recipe.seed, world=worlds.build(recipe.world.name, **recipe.world.args))
    reward = summed_as(recipe.rewards, rewards, RewardContext.after(recipe.training), unmoved=True)
    reward.__name__ = " + ".join(spec.name for spec in recipe.rewards)
    reward.fingerprint = content_hash(recipe)
    return reward


def chooser(recipe: Recipe) -> BestOfN:
    """The policy of a best-of-n run, for evaluations and chats. Temperature and lengths are those of the asking, so
    that all policies are asked alike."""
    built = with_models(recipe, progress=False)
    return BestOfN(policy(built), combined(recipe), sampling(built).k)


def interval(values: Sequence[float], groups: Sequence, level: float = 0.95) -> dict:
    """Mean of values with a t interval over clusters.

    Args:
        values: [N], NaN where unscored.
        groups: [N], which values are alike; as many degrees of freedom as clusters, less one.
    """
    table = pd.DataFrame({"value": np.asarray(values, dtype=float), "group": list(groups)})
    known = table.dropna(subset=["value"])
    if known.empty:
        return {"value": None, "low": None, "high": None, "scored": 0, "of": len(table)}
    mean = known.value.mean()
    residuals = (known.value - mean).groupby(known.group).sum()
    n = len(residuals)
    error = math.sqrt(n / (n - 1) * (residuals**2).sum()) / len(known) if n > 1 else math.inf
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error if n > 1 else math.inf
    low, high = (mean - half, mean + half) if math.isfinite(half) else (None, None)
    return {"value": mean, "low": low, "high": high, "scored": len(known), "of": len(table)}


def clusters(people: Sequence[str]) -> list[tuple]:
    """Topic and need of each person; where a world has neither, every person is a cluster."""
    hidden = [json.loads(person) for person in people]
    return [
        (who["topic"], who.get("need")) if "topic" in who else (person,)
        for who, person in zip(hidden, people, strict=True)
    ]


def _held_out(path: Path) -> pd.DataFrame:
    """The held-out replies, with how often this person has been talked to before."""
    table = read_table(path, "Delete its folder, and run the study again.")
    table = table[table.evaluation == "held_out"].reset_index(drop=True)
    return table.assign(visit=table.groupby(["condition", "person"]).cumcount())
