"""What a reward pays each scripted helper, beside what each does for people: one look says what it will make of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from smilerl.reward_check.tried import Tried
from smilerl.rewards import texts
from smilerl.statistics.intervals import mean_estimate
from smilerl.worlds.base import World


def pay(world: World, tried: Tried, values: Sequence[float | None]) -> list[dict[str, Any]]:
    """Mean value and mean wellbeing by helper, best paid first; intervals over people, those who are alike together.

    Args:
        world: knows what replies do to people.
        tried: N replies of helpers.
        values: N.
    """
    if tried.helpers is None or not world.reacts:
        return []
    person = tried.columns["person"]
    alike = world.stratum(person)
    reactions = world.react(person, texts(tried.columns["completions"]))
    rows = []
    for helper in dict.fromkeys(tried.helpers):
        own = [row for row, who in enumerate(tried.helpers) if who == helper]
        scores = np.array([np.nan if values[row] is None else values[row] for row in own], dtype=float)
        found = mean_estimate(scores, np.array([alike[row] for row in own]), seed=0)
        wellbeing = float(np.mean([reactions[row].outcome.wellbeing for row in own]))
        rows.append(
            {"helper": helper, "mean": found.value, "low": found.low, "high": found.high, "scored": found.scored, "of": found.of, "wellbeing": wellbeing}
        )  # fmt: skip
    return sorted(rows, key=lambda row: -np.inf if row["mean"] is None else row["mean"], reverse=True)
