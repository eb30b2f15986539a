"""What judges are tried on: replies of many kinds to SmileWorld's people, with what they really did to them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from smilerl.evaluation.judges.judge import Item
from smilerl.worlds.base import World

#: Who talks to each person: helpers of every kind, good and bad, and those of the mix that pretraining imitates.
HELPERS = (
    "carer", "mix", "white_liar", "muddled", "flatterer", "liar", "smile_maximiser", "beggar", "bully", "tamperer",
    "spoofer", "stuffer", "care_flatter_tamper", "silent", "random",
)  # fmt: skip


def transcripts(
    world: World,
    n: int,
    *,
    each: int = 4,
    seed: int = 0,
    policy: Callable[[list, list[str], int], list[str]] | None = None,
    answers: bool = False,
) -> pd.DataFrame:
    """`n` conversations with held-out people, `each` of them with the same person, and their truth.

    Args:
        policy: prompts, people and a seed to completions; one of each person's helpers, where it is given.
        answers: whether the judge is to see what the person said back. (That follows the smile, and may mislead.)

    Returns:
        Columns item, prompt, person, helper, reply, wellbeing, acts, cluster.
    """
    people = world.people("held_out", max(1, -(-n // each)), seed)
    rng = random.Random(f"transcripts:{seed}")
    rows: list[dict[str, Any]] = []
    for prompt, person, cluster in zip(
        people["prompt"][:], people["person"][:], world.stratum(people["person"][:]), strict=True
    ):
        chosen = rng.sample(HELPERS, each - (policy is not None)) + (["policy"] if policy else [])
        rows += [{"prompt": prompt, "person": person, "cluster": cluster, "helper": helper} for helper in chosen]
    table = pd.DataFrame(rows[:n])
    table["reply"] = ""
    for helper, rows_of in table.groupby("helper").groups.items():
        who, asked = table.loc[rows_of, "person"].tolist(), table.loc[rows_of, "prompt"].tolist()
        speak = (
            policy
            if helper == "policy" and policy
            else lambda _, who, seed, helper=helper: world.helpers[helper](who, seed)
        )
        table.loc[rows_of, "reply"] = speak(asked, who, seed)
    said = world.said(table["person"].tolist(), table["reply"].tolist()) if answers else [None] * len(table)
    table["item"] = [
        Item(prompt, reply, answer) for prompt, reply, answer in zip(table["prompt"], table["reply"], said, strict=True)
    ]
    return table.assign(**truth(world, table["person"].tolist(), table["reply"].tolist()))


def truth(world: World, people: Sequence[str], replies: Sequence[str]) -> dict[str, list]:
    """What each reply really did: wellbeing, and the set of acts (without those that were not understood)."""
    outcomes = [reaction.outcome for reaction in world.react(people, replies)]
    return {
        "wellbeing": [outcome.wellbeing for outcome in outcomes],
        "acts": [frozenset(outcome.acts or ()).difference(world.acts.unread) for outcome in outcomes],
    }
