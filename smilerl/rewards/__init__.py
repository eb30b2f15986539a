"""Rewards: one file each. A short name is a module in this folder with `build(**args)` and a ready `reward`; a dotted
path is yours.

Every reward has TRL's protocol, `f(prompts, completions, *, person=None, **columns) -> list[float | None]`, so it works
unchanged in `trl rloo --reward_funcs smilerl.rewards.sentiment.reward`, and a bare TRL reward works in a recipe. What a
reward may know of a person is what `smilerl.worlds.observe` records; one that reaches further says so in its attribute
`channels`. Weights are TRL's `reward_weights`: a wrapper here is a reward around rewards (`base.Reward`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from smilerl import worlds
from smilerl.models.replies import all_visible, visible
from smilerl.rewards._checked import TIMEOUT, Reported, WithOpening, checked
from smilerl.rewards._failures import LARGEST, RewardError
from smilerl.rewards._named import names, resolve
from smilerl.rewards.base import Around, Reward, RewardContext, build_reward, is_async
from smilerl.worlds.base import Observation, World

__all__ = [
    "LARGEST", "Around", "Reward", "RewardContext", "RewardError", "WithOpening", "build_reward", "build_rewards",
    "checked", "is_async", "names", "observed", "resolve", "text", "texts",
]  # fmt: skip

#: Under these names rewards have the visible reply of a completion, plain or messages, and of each of several.
text, texts = visible, all_visible
#: What a recipe says beside a reward's name, and what means nothing for a reward inside another.
_OUTSIDE = ("weight", "timeout", "most_missing")


def build_rewards(
    specs: Sequence[Any], seed: int = 0, world: World | None = None, columns: Collection[str] | None = None
) -> list[Reward]:
    """The checked rewards of a recipe, ready for a TRL trainer, each under a name of its own.

    Args:
        specs: each a `RewardSpec`, a mapping with `name` and `args`, or a bare name.
        seed: given, plus the reward's position, to rewards that draw random numbers and whose args set no seed.
        world: when given, a reward that needs a reaction is refused in a world where nobody reacts.
        columns: of the data; a reward, or one inside it, that needs another is refused. None: not known.

    Raises:
        RewardError: no such reward, or arguments that it does not take; before any model is loaded.
    """
    rewards: list[Reward] = []
    taken: Counter[str] = Counter()
    for position, spec in enumerate(specs):
        said = spec if isinstance(spec, Mapping) else {} if isinstance(spec, str) or callable(spec) else vars(spec)
        inner = {key: said[key] for key in said if key not in _OUTSIDE} if isinstance(spec, Mapping) else spec
        reward = build_reward(inner, seed + position)
        name = reward.__name__
        if world is not None and reward.needs_reaction and not world.reacts:
            raise RewardError(_no_reaction(name, world.name))
        if columns is not None and (lack := reward.lacking(columns)) is not None:
            raise RewardError(lack)
        taken[name] += 1
        own_name = name if taken[name] == 1 else f"{name}_{taken[name]}"
        limits = {"weight": float(said.get("weight", 1.0)), "timeout": float(said.get("timeout", TIMEOUT))}
        rewards.append(Reported(checked(reward, name=own_name, seed=seed + position, **limits)))
    return rewards


def observed(name: str, completions: Sequence, person: Sequence[str] | None) -> list[Observation]:
    """What the sensors record of each person's reaction: all that a reward may know of it.

    Args:
        name: the reward that asks, for its error messages.
        completions: N completions, plain or messages.
        person: the dataset column `person`, N JSONs.

    Raises:
        RewardError: no `person` column, or people of a world in which nobody reacts.
    """
    if person is None:
        raise RewardError(
            f"the reward '{name}' needs the dataset column 'person' beside 'prompt'. "
            "The people of a world have it: smilerl.worlds.build('smileworld').people('train', n=1024, seed=0)"
        )
    stranger = next((one for one in person if not worlds.reacts(one)), None)
    if stranger is not None:
        raise RewardError(_no_reaction(name, worlds.world_of(stranger)))
    return worlds.observe(person, completions)


def _no_reaction(name: str, world: str) -> str:
    return (
        f"the reward '{name}' scores how a person reacts, and nobody in the world '{world}' reacts yet. Score what the "
        "helper says instead, {name: sentiment, args: {reads: completion}}, let a model play the people (the world's "
        "args, people: {speaker: ...}), or choose the world 'smileworld'"
    )
