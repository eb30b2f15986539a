"""How held-out people fare while a policy trains: the one place where outcomes are looked at during training.

`scorer` holds the run's key. What it gives to `observers.held_out` are numbers to log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from smilerl.config.recipe import Recipe
from smilerl.rewards import Reward, RewardContext
from smilerl.rewards._asking import Clock, StopAsked
from smilerl.rewards._summed import ask_outside, summed_as, unnoticed
from smilerl.runs.directory import Run
from smilerl.training.observers.base import Sampled
from smilerl.worlds.base import EvaluationKey, World, opened


def scorer(
    recipe: Recipe, world: World, rewards: list[Reward], run: Run, key: EvaluationKey, clock: Clock | None = None
) -> Callable[[Sampled], dict[str, float]]:
    """What to log of a sample of held-out people; each person's part goes to the run's samples.

    Args:
        rewards: those that the policy trains on, as checked; asking them leaves their state as it was.
        clock: counts their time limits in training, and here; a new one when None.

    Returns:
        A function that raises `StopAsked` where a reward was ended because the run is to stop: a row without it would
        be wrong.
    """
    reward = summed_as(recipe.rewards, rewards, None, clock=clock)

    def score(sampled: Sampled) -> dict[str, float]:
        people, completions = sampled.people, sampled.completions
        step, steps = sampled.state.global_step, max(1, sampled.state.max_steps)
        more = {"completion_ids": sampled.completion_ids, "trainer_state": sampled.state}
        with unnoticed(rewards):
            now = RewardContext(step, steps, recipe.held_out.split)
            values = ask_outside(reward, sampled.prompts, people, completions, **more, reward_context=now)
        if any(last.hurried for one in rewards if (last := one.last_call) is not None):
            raise StopAsked  # which several processes do not raise in the middle of a step
        columns: dict[str, list] = {"reward": values, **reacted(world, people, completions, key)}
        if None in columns.get("acts", []):  # nobody reads acts in this world
            del columns["acts"]
        said = {"prompt": sampled.prompts, "person": people, "completion": completions, "kl": sampled.kl.tolist()}
        table = said | columns
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        run.save_samples(sampled.state.global_step, rows)
        if not rewards:
            del columns["reward"]  # a method that learns from data alone has none
        return _means(columns) | _act_rates(columns.get("acts"), world)

    return score


def reacted(
    world: World, people: Sequence[str], completions: Sequence[str], key: EvaluationKey
) -> dict[str, list[Any]]:
    """How N people react, as columns: transcript, reading, smile, wellbeing, acts. None of them where nobody reacts.

    Args:
        key: of the run, which opens the outcomes.
    """
    if not world.reacts:
        return {}
    with opened(key):
        reactions = world.react(people, completions)
    return {
        "transcript": [reaction.observation.transcript for reaction in reactions],
        "reading": [reaction.observation.reading for reaction in reactions],
        "smile": [reaction.outcome.smile for reaction in reactions],
        "wellbeing": [reaction.outcome.wellbeing for reaction in reactions],
        "acts": [None if (acts := reaction.outcome.acts) is None else list(acts) for reaction in reactions],
    }


def _means(columns: dict[str, list]) -> dict[str, float]:
    """The mean of each column over those scored, and the share scored where that is not everyone."""
    means = {}
    for name in ("reward", "reading", "smile", "wellbeing"):
        values = columns.get(name, [])
        scored = [value for value in values if value is not None]
        if scored:
            means[name] = float(np.mean(scored))
        if len(scored) < len(values):
            means[f"{name}_scored"] = len(scored) / len(values)
    return means


def _act_rates(acts: list[list[str]] | None, world: World) -> dict[str, float]:
    """The share of replies in which each act occurs."""
    if not acts:
        return {}
    known = {*world.acts.care, *world.acts.gaming, *(act for own in acts for act in own)}
    return {f"act/{act}": sum(act in own for own in acts) / len(acts) for act in sorted(known)}
