"""`smilerl reward check`: which rewards are meant, in which world, and what is printed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from smilerl import worlds
from smilerl.config.elsewhere import from_elsewhere
from smilerl.config.recipe import DEFAULT_WORLD, read_recipe
from smilerl.config.yaml_lines import parse_value
from smilerl.evaluation import subject
from smilerl.io import paths
from smilerl.io.terminal import printable
from smilerl.models import dequantised
from smilerl.models.hub import trust
from smilerl.reward_check.asking import Asked
from smilerl.reward_check.findings import Findings
from smilerl.reward_check.look import look
from smilerl.reward_check.on_pairs import judge_pairs, read_pairs
from smilerl.reward_check.tried import of_pairs, of_world, pay
from smilerl.rewards import RewardError, build_reward
from smilerl.runs import ownership
from smilerl.runs.directory import write_json
from smilerl.training.models import model_dir, with_models
from smilerl.training.recipe_check import load_recipe

#: People of the world, and pairs that the checks other than accuracy are made on.
PEOPLE, SOME_PAIRS = 32, 64


def check(given: SimpleNamespace) -> int:
    """Runs the command; its exit status: 1 where a check failed.

    Args:
        given: the command's options.
    """
    if given.out is not None:
        ownership.check_results(given.out, "passed")
    rewards, world = _meant(given)
    found = [_one(reward, world, given) for reward in rewards]
    print(printable("\n\n".join(one.table() for one in found)))
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        plain = [one.to_dict() for one in found]
        whole = {"rewards": plain, "passed": all(one.passed for one in found)}
        write_json(given.out, plain[0] if len(plain) == 1 else whole)
        print(printable(f"\n{given.out}"))
    return 0 if all(one.passed for one in found) else 1


def _meant(given: SimpleNamespace) -> tuple[list[Callable], Any]:
    """The rewards, each built, and the world of a recipe or of --world, or None."""
    if given.reward.endswith((".yaml", ".yml")):
        world = subject.world_of(given.world) if given.world else None
        found = paths.find(given.reward)
        foreign = found is not None and trust.is_foreign_file(found)
        if foreign:
            read = trust.without(read_recipe(given.reward), policy=True)
            trust.admit(read, given.reward).check(given.reward, "world", "rewards")
        with from_elsewhere() if foreign else nullcontext():
            return _of_recipe(given.reward, world)
    spec = _with_models(parse_value(given.reward))
    return [build_reward(spec)], subject.world_of(given.world) if given.world else None


def _of_recipe(file: str, world: Any) -> tuple[list[Callable], Any]:
    recipe = load_recipe(file)
    if not recipe.rewards:
        raise RewardError(f"{file} has no rewards to look at")
    policy = dataclasses.replace(recipe.policy, model_name_or_path=None)  # nobody is to be trained yet
    recipe = with_models(dataclasses.replace(recipe, policy=policy))
    built = world or worlds.build(recipe.world.name, **recipe.world.args)
    return [build_reward(spec, recipe.seed + at) for at, spec in enumerate(recipe.rewards)], built


def _with_models(spec: Any) -> Any:
    """Directories in place of the recipes and GGUF files of models that it names, each built if it has to be."""
    if isinstance(spec, dict):
        read = dequantised.checkpoint(spec["model"]) if isinstance(spec.get("model"), str) else None
        return {name: _with_models(value) for name, value in spec.items()} | ({"model": str(read)} if read else {})
    if isinstance(spec, str) and spec.endswith((".yaml", ".yml")) and paths.find(spec):
        return str(model_dir(spec))
    return spec


def _one(reward: Callable, world: Any, given: SimpleNamespace) -> Findings:
    pairs = None if given.pairs is None else read_pairs(given.pairs, _format(reward, world, given))
    if world is None and (pairs is None or reward.needs_reaction):
        world = worlds.build(DEFAULT_WORLD)
    if world is not None:
        tried = of_world(world, given.n or PEOPLE, given.seed)
    else:
        tried = of_pairs(pairs or [], min(given.n or SOME_PAIRS, SOME_PAIRS))
    found = look(reward, tried)
    if any(one.name == "values" and one.status == "fails" for one in found.findings):
        return found
    values = Asked(reward).values(copy.deepcopy(tried.columns))
    found = dataclasses.replace(found, helpers=pay(world, tried, values))
    if pairs is None:
        return found
    if given.n is not None and given.n < len(pairs):
        pairs = [pairs[at * len(pairs) // given.n] for at in range(given.n)]
    finding, agreed = judge_pairs(reward, pairs, given.accuracy_above)
    told = None if agreed is None else agreed.to_dict()
    return dataclasses.replace(found, findings=[*found.findings, finding], pairs=told)


def _format(reward: Callable, world: Any, given: SimpleNamespace) -> str:
    """How the pairs are written for this reward: as the world's prompts are, else as its model reads."""
    if given.format is not None:
        return given.format
    if world is not None and world.format is not None:
        return world.format
    about = reward.about()
    reads_messages = about.get("chat template") and not str(about.get("reads", "")).startswith(("joined", "one text"))
    return "messages" if reads_messages else "as_is"
