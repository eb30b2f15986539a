"""Checks that everything a recipe names is there and takes what the recipe gives it, before a model loads.

Keeps no list of worlds or rewards: a short name is a module in a folder.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from smilerl.config import trl_refusals
from smilerl.config.nesting import nested
from smilerl.config.recipe import Recipe, read_recipe
from smilerl.config.trl import FORM_OF, method_problems, training_fields, training_problems
from smilerl.config.validation import bad_arguments, key_named, unknown_keys
from smilerl.config.yaml_lines import Problem, did_you_mean
from smilerl.io import paths, places
from smilerl.training import model_check, supply

#: Stands for the run in errors about a reward whose module computes outcomes while it is imported.
_CHECKING = "the check of this recipe"


def load_recipe(path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """The recipe in a file, with overrides, checked against everything it names. No model is loaded.

    Args:
        path: a YAML file; looked for from here and among the recipes that came with the package.
        overrides: `["--seed", "1", "--training.beta=0.1"]`, or `{"seed": 1, "training.beta": 0.1}`.

    Raises:
        RecipeError: anything is wrong that can be known without loading a model.
    """
    recipe = read_recipe(path, overrides)
    with nested(recipe.source, "check"):
        check(recipe)
    return recipe


def check(recipe: Recipe, world: Any = None) -> None:
    """Checks a recipe against its method, model, world and rewards.

    Args:
        world: the recipe's, where it has been built already; built here when None.

    Raises:
        RecipeError: something is missing, misspelt, of the wrong type or out of range.
    """
    problems = [*model_check.problems(recipe, load_recipe), *_data_set_problems(recipe)]
    wrong_method = list(method_problems(recipe))
    wrong_training = wrong_method or training_problems(recipe) or trl_refusals.problems(recipe)
    problems += wrong_training
    world, world_problems = _world(recipe, world)
    problems += world_problems or _player_problems(recipe)
    if not wrong_method:
        short = [] if world is None or wrong_training else list(supply.problems(recipe, world))
        problems += short + list(_reward_problems(recipe, world, None if short else _columns(recipe, world)))
        problems += [*_data_problems(recipe, world), *_turn_problems(recipe, world)]
        problems += _preference_problems(recipe, world) if recipe.method in FORM_OF else []
        problems += _choice_problems(recipe) if recipe.method == "best_of_n" else []
    if problems:
        raise recipe.lines.error(*problems)


def check_tokenizer(recipe: Recipe) -> None:
    """Raises RecipeError where the policy's tokenizer, which is here by now, has no end-of-sequence token."""
    problems = list(model_check.of_tokenizer(recipe))
    if problems:
        raise recipe.lines.error(*problems)


def _data_set_problems(recipe: Recipe) -> Iterator[Problem]:
    """A data set whose name can only be a folder here, where there is none."""
    for key, args in ((("world", "args"), recipe.world.args), (("data", "args"), recipe.data.args)):
        name = args.get("dataset")
        if isinstance(name, str) and name and model_check.looks_local(name) and not paths.find(name, recipe.source):
            text = f"{'.'.join(key)}.dataset is '{name}', and there is nothing there."
            fix = "Write a folder that holds a data set, or an id on the Hub (org/name)."
            yield Problem((*key, "dataset"), text, fix)


def _data_problems(recipe: Recipe, world: Any) -> Iterator[Problem]:
    """Arguments that the world does not take when it gives people or conversations."""
    talks = "num_generations" in training_fields(recipe.method) and recipe.method != "best_of_n"
    if world is None or not (talks or recipe.method == "sft") or not recipe.data.args:
        return
    parameters = inspect.signature(world.people if talks else world.conversations).parameters
    if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        taken = set(parameters) - {"n", "seed", *(["split"] if talks else [])}
        yield from unknown_keys(recipe.data.args, taken, ("data", "args"))


def _world(recipe: Recipe, built: Any = None) -> tuple[Any, list[Problem]]:
    """The world, or None and why not."""
    from smilerl import worlds
    from smilerl.chat_models import ChatModelError
    from smilerl.worlds.base import OutcomeSealed, sealed

    name, args = recipe.world.name, recipe.world.args
    if name not in worlds.names():
        return None, [Problem(("world", "name"), f"no world '{name}'. {did_you_mean(name, worlds.names())}")]
    problems = bad_arguments(importlib.import_module(f"smilerl.worlds.{name}").build, args, ("world", "args"))
    if problems:
        return None, problems
    try:
        with sealed(_CHECKING):  # the model that plays the people may be the user's code
            world = worlds.build(name, **args) if built is None else built
    except (ChatModelError, OutcomeSealed) as error:
        return None, [Problem(("world", "args", "people", "speaker"), str(error))]
    except (ValueError, TypeError, OSError) as error:
        return None, [Problem(key_named(str(error), args, ("world", "args")), str(error))]
    return world, [*_split_problems(recipe, world.splits)]


def _player_problems(recipe: Recipe) -> list[Problem]:
    """A model in this process that plays the people must be there, as one that is trained."""
    played = [(key, model) for key, model in model_check.named_models(recipe) if key[0] == "world"]
    return [one for key, model in played for one in model_check.of_model(model, recipe, key, load_recipe)]


def _split_problems(recipe: Recipe, splits: Collection[str]) -> Iterator[Problem]:
    """Splits that the world does not have, and people who are trained on and held out."""
    for section, split in (("data", recipe.data.split), ("held_out", recipe.held_out.split)):
        if splits and split not in splits:
            text = f"the world '{recipe.world.name}' has no split '{split}'. {did_you_mean(split, splits)}"
            yield Problem((section, "split"), text)
    tests = recipe.method == "reward" or recipe.held_out.every
    if tests and splits and recipe.held_out.split == recipe.data.split:
        text = f"held_out.split is '{recipe.held_out.split}', which is trained on."
        yield Problem(("held_out", "split"), text, "Write `split: held_out`.")


def _turn_problems(recipe: Recipe, world: Any) -> Iterator[Problem]:
    """Several turns need a trainer that can hold a conversation, and people who answer."""
    key, text = ("data", "turns"), f"data.turns is {recipe.data.turns}, and"
    if recipe.data.turns == 1:
        return
    if recipe.method != "grpo":
        text = f"{text} {recipe.method} knows one turn only."
        yield Problem(key, text, "Write `method: grpo`, or delete `turns:`.")
    elif world is not None and not world.reacts:
        text = f"{text} nobody answers in the world '{recipe.world.name}' as it is set up here."
        fix = "Delete `turns:`, or choose a world in which people react, such as `world: {name: smileworld}`."
        yield Problem(key, text, fix)


def _columns(recipe: Recipe, world: Any) -> Collection[str] | None:
    """The columns of the data that rewards get, where that is known before a download."""
    try:
        return supply.columns(recipe, world) if world is not None and world.is_here else None
    except (ValueError, TypeError):  # a split or argument that the world does not have is another problem
        return None


def _reward_problems(recipe: Recipe, world: Any, columns: Collection[str] | None) -> Iterator[Problem]:
    rewarded = "num_generations" in training_fields(recipe.method)
    if rewarded and not recipe.rewards:
        text = f"the recipe has no rewards, and {recipe.method} learns from nothing else."
        yield Problem((), text, "Add `rewards: [{name: reading}]`.")
    if recipe.rewards and not rewarded and recipe.method not in FORM_OF:
        text = f"the method {recipe.method} learns from data and takes no rewards."
        yield Problem(("rewards",), text, "Delete `rewards:`.")
    for index, reward in enumerate(recipe.rewards):
        yield from _one_reward_problems(recipe, index, world, columns)
        if index == 0 and not any(other.weight for other in recipe.rewards):
            fix = f"Give one a weight: `{{name: {reward.name}, weight: 1.0}}`."
            yield Problem(("rewards", 0, "weight"), "all rewards have weight 0.", fix)


def _one_reward_problems(recipe: Recipe, index: int, world: Any, columns: Collection[str] | None) -> Iterator[Problem]:
    from smilerl import rewards
    from smilerl.worlds.base import OutcomeSealed, sealed

    reward, key = recipe.rewards[index], ("rewards", index)
    try:
        with sealed(_CHECKING):
            target = rewards.resolve(reward.name)
    except (rewards.RewardError, OutcomeSealed) as error:
        yield Problem((*key, "name"), str(error))
        return
    problems = bad_arguments(target.build, reward.args, (*key, "args")) if hasattr(target, "build") else []
    if abs(reward.weight) > rewards.LARGEST:
        text = f"the weight {reward.weight:g} is larger than {rewards.LARGEST:g}"
        text += ", which does not fit into the float32 of training."
        problems.append(Problem((*key, "weight"), text, "Write for example `weight: 1.0`."))
    models = list(model_check.models_in(reward.args, (*key, "args")))
    problems += [one for place, model in models for one in model_check.of_model(model, recipe, place, load_recipe)]
    yield from problems
    unknown = (model_check.is_made_later(model, recipe.source) for _, model in models)
    if problems or any(unknown):
        return  # a model on the Hub, or one that has yet to be built or read, has no files to look at
    try:
        with sealed(_CHECKING):
            rewards.build_rewards([reward], recipe.seed, world=world, columns=columns)
    except (rewards.RewardError, OutcomeSealed) as error:
        yield Problem((*key, "args") if reward.args else key, str(error))


def _preference_problems(recipe: Recipe, world: Any) -> list[Problem]:
    """Whether the pairs or labels that a method learns from are there, or can be made."""
    from smilerl.data import preferences

    args, key = recipe.data.args, ("data", "args")
    where = preferences.source(recipe)
    if where == "world":
        if world is None or not world.is_here:
            return []  # data on the Hub is looked at when it is needed: checking a recipe downloads nothing
        try:  # one pair is enough of a world that makes them; where they are data, there have to be enough
            preferences.of_world(recipe, world, 1 if world.reacts else recipe.data.n)
        except ValueError as error:
            return [Problem(key if args else ("data",), str(error))]
        return []
    problems = bad_arguments(preferences.FileArgs if where == "file" else preferences.SampledArgs, args, key)
    if where == "rewards":
        return problems or list(_sampling_problems(recipe))
    named = next(name for name in ("path", "dataset") if name in args)
    if recipe.rewards:
        text = f"the {FORM_OF[recipe.method]} come from data.args.{named}, and `rewards:` would make others."
        problems.append(Problem(("rewards",), text, f"Delete `rewards:`, or `{named}` under data.args."))
    if problems or (named == "dataset" and not Path(places.expanded(args["dataset"])).exists()):
        return problems
    read = preferences.read_labels if FORM_OF[recipe.method] == "labels" else preferences.read_pairs
    try:
        read(preferences.FileArgs(**args), recipe.source)
    except (ValueError, OSError) as error:
        return [Problem((*key, named), str(error))]
    return []


def _sampling_problems(recipe: Recipe) -> Iterator[Problem]:
    args, form = recipe.data.args, FORM_OF[recipe.method]
    for name, holds, said in (
        ("k", lambda value: value >= 2, "at least 2: replies to one person are compared"),
        ("temperature", lambda value: value > 0, "above 0: else all replies are one"),
        ("max_completion_length", lambda value: value >= 1, "at least 1"),
    ):
        if name in args and not holds(args[name]):
            yield Problem(("data", "args", name), f"data.args.{name} is {args[name]}, but should be {said}.")
    if "threshold" in args and form == "pairs":
        text = "pairs have no threshold: the best reply stands against the worst."
        yield Problem(("data", "args", "threshold"), text)
    if recipe.policy.config is not None:
        text = f"the rewards make the {form} from what the policy says, and a fresh model has nothing to say."
        fix = "Write `model_name_or_path:` instead, such as the recipe that trains it."
        yield Problem(("policy", "config"), text, fix)


def _choice_problems(recipe: Recipe) -> Iterator[Problem]:
    if recipe.policy.config is not None:
        text = "best_of_n chooses among what a trained model says."
        yield Problem(("policy", "config"), text, "Write `model_name_or_path:`.")
    if recipe.policy.peft is not None:
        text = "best_of_n trains nothing, so there is no adapter to make."
        yield Problem(("policy", "peft"), text, "Delete `peft:`.")
