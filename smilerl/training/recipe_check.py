"""Is everything there that a recipe names, and does it take what the recipe gives it? Asked before a model loads.

Knows no list of worlds or rewards: a short name is a module in a folder.
"""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from smilerl.config import trl_refusals
from smilerl.config.nesting import nested
from smilerl.config.recipe import Recipe, read_recipe
from smilerl.config.trl import FORM_OF, method_problems, training_fields, training_problems
from smilerl.config.validation import bad_arguments, key_named, unknown_keys
from smilerl.config.yaml_lines import Key, Problem, RecipeError, did_you_mean, dotted
from smilerl.io import bounded, paths, places
from smilerl.training import supply

_RECIPE_FILE = (".yaml", ".yml")
#: Stands for the run in what is said of a reward whose module computes outcomes while it is imported.
_CHECKING = "the check of this recipe"
#: Characters of an id on the Hub with its revision; a name there has at most 96.
_LONGEST_ID = 300


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
    problems = [*_model_problems(recipe.policy.model_name_or_path, recipe, ("policy", "model_name_or_path"))]
    problems = problems or [*_tokenizer_problems(recipe), *_config_problems(recipe)]
    problems += _data_set_problems(recipe)
    wrong_method = list(method_problems(recipe))
    wrong_training = wrong_method or training_problems(recipe) or trl_refusals.problems(recipe)
    problems += wrong_training
    problems += _peft_problems(recipe)
    world, world_problems = _world(recipe, world)
    problems += world_problems or _player_problems(recipe)
    if not wrong_method:
        short = [] if world is None or wrong_training else list(supply.problems(recipe, world))
        problems += short + list(_reward_problems(recipe, world, None if short else _columns(recipe, world)))
        problems += _data_problems(recipe, world)
        problems += _turn_problems(recipe, world)
        problems += _preference_problems(recipe, world) if recipe.method in FORM_OF else []
        problems += _choice_problems(recipe) if recipe.method == "best_of_n" else []
    if problems:
        raise recipe.lines.error(*problems)


def check_tokenizer(recipe: Recipe) -> None:
    """Whether the policy's tokenizer, which is here by now, can end a reply.

    Raises:
        RecipeError: it has no end-of-sequence token.
    """
    problems = list(_tokenizer_problems(recipe))
    if problems:
        raise recipe.lines.error(*problems)


def named_models(recipe: Recipe) -> list[tuple[Key, str]]:
    """Every model that a recipe names, and the key where: of the policy, of rewards and those inside them, of who plays the people."""
    base = recipe.policy.model_name_or_path
    named: list[tuple[Key, str]] = [] if base is None else [(("policy", "model_name_or_path"), base)]
    for index, reward in enumerate(recipe.rewards):
        named += _models_in(reward.args, ("rewards", index, "args"))
    speaker = (recipe.world.args.get("people") or {}).get("speaker")
    if (
        isinstance(speaker, dict) and speaker.get("name") == "local"
    ):  # an endpoint's model is not here, and no concern of ours
        named += _models_in(speaker.get("args"), ("world", "args", "people", "speaker", "args"))
    return named


def _tokenizer_problems(recipe: Recipe) -> Iterator[Problem]:
    """A tokenizer without an end-of-sequence token: replies would have no end. Loaded only where its files name none."""
    found = (
        paths.find(recipe.policy.model_name_or_path or "", recipe.source) if recipe.policy.model_name_or_path else None
    )
    folder = found / "model" if found is not None and (found / "model").is_dir() else found
    if folder is None or not (folder / "tokenizer_config.json").is_file() or _names_end(folder):
        return
    from smilerl.models.policy import load_tokenizer

    try:
        endless = load_tokenizer(str(folder)).eos_token_id is None
    except (OSError, ValueError, TypeError) as error:
        yield Problem(("policy", "model_name_or_path"), f"the tokenizer in {folder} cannot be loaded: {error}")
        return
    if endless:
        text = f"the tokenizer in {folder} has no eos_token, so that replies have no end."
        yield Problem(
            ("policy", "model_name_or_path"),
            text,
            'Name the token in its tokenizer_config.json, such as "eos_token": "</s>".',
        )


def _names_end(folder: Path) -> bool:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        try:
            if bounded.mapping(folder / name).get("eos_token"):
                return True
        except (OSError, ValueError):
            continue
    return False


def _config_problems(recipe: Recipe) -> Iterator[Problem]:
    """The config of a fresh model: a type that there is, with settings of that type."""
    config, key = recipe.policy.config, ("policy", "config")
    if config is None:
        return
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    for name, value in config.items():
        if isinstance(value, int) and value < 0 and not name.endswith("_id"):
            yield Problem((*key, name), f"policy.config.{name} is {value}, but should be at least 0.")
            return
    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING_NAMES:
        said = "has no model_type" if kind is None else f"has the model_type '{kind}', which transformers does not know"
        near = did_you_mean(str(kind), CONFIG_MAPPING_NAMES) if kind else "Write for example `model_type: llama`."
        yield Problem((*key, "model_type"), f"policy.config {said}. {near}"[:300])
        return
    try:
        AutoConfig.for_model(**config)
    except Exception as error:  # noqa: BLE001 - each type checks its settings in its own way
        text = " ".join(str(error).split())
        yield Problem(key_named(text, config, key), f"policy.config is refused by transformers: {text}")


def _data_problems(recipe: Recipe, world: Any) -> Iterator[Problem]:
    """Arguments that the world does not take when it gives people or conversations."""
    talks = recipe.method in ("rloo", "grpo")
    if world is None or not (talks or recipe.method == "sft") or not recipe.data.args:
        return
    parameters = inspect.signature(world.people if talks else world.conversations).parameters
    taken = set(parameters) - {"n", "seed", *(["split"] if talks else [])}
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return
    yield from unknown_keys(recipe.data.args, taken, ("data", "args"))


def _data_set_problems(recipe: Recipe) -> Iterator[Problem]:
    """A data set whose name can only be a folder here, where there is none."""
    for key, args in ((("world", "args"), recipe.world.args), (("data", "args"), recipe.data.args)):
        name = args.get("dataset")
        if isinstance(name, str) and name and looks_local(name) and paths.find(name, recipe.source) is None:
            text = f"{dotted((*key, 'dataset'))} is '{name}', and there is nothing there."
            yield Problem(
                (*key, "dataset"), text, "Write a folder that holds a data set, or an id on the Hub (org/name)."
            )


def _peft_problems(recipe: Recipe) -> list[Problem]:
    if recipe.policy.peft is None:
        return []
    if recipe.training.get("use_vllm") and recipe.policy.dtype != "float32":
        text = f"at each step TRL merges the adapter into the base for vLLM and takes it out again; in {recipe.policy.dtype} that wears the base away."
        fix = "Write `dtype: float32` under policy, train without `peft`, or without vLLM (huggingface/trl issue 6688)."
        return [Problem(("training", "use_vllm"), text, fix)]
    from peft import LoraConfig

    peft, key = recipe.policy.peft, ("policy", "peft")
    problems = bad_arguments(LoraConfig, peft, key)
    if not problems and peft.get("r", 8) < 1:
        problems.append(
            Problem((*key, "r"), f"policy.peft.r is {peft['r']}, but should be at least 1.", "Write `r: 8`.")
        )
    return problems


def _world(recipe: Recipe, built: Any = None) -> tuple[Any, list[Problem]]:
    """The world, or None and why not."""
    from smilerl import worlds
    from smilerl.chat_models import ChatModelError
    from smilerl.worlds.base import OutcomeSealed, sealed

    name, args = recipe.world.name, recipe.world.args
    if name not in worlds.names():
        return None, [Problem(("world", "name"), f"no world '{name}'. {did_you_mean(name, worlds.names())}")]
    build = importlib.import_module(f"smilerl.worlds.{name}").build
    problems = bad_arguments(build, args, ("world", "args"))
    if problems:
        return None, problems
    try:
        with sealed(_CHECKING):  # whoever plays the people may be the user's code
            world = worlds.build(name, **args) if built is None else built
    except (ChatModelError, OutcomeSealed) as error:
        return None, [Problem(("world", "args", "people", "speaker"), str(error))]
    except (ValueError, TypeError, OSError) as error:
        return None, [Problem(key_named(str(error), args, ("world", "args")), str(error))]
    return world, [*_split_problems(recipe, world.splits), *_same_split_problems(recipe, world)]


def _player_problems(recipe: Recipe) -> list[Problem]:
    """A model in this process that plays the people must be there, as one that is trained."""
    played = [(key, model) for key, model in named_models(recipe) if key[0] == "world"]
    return [problem for key, model in played for problem in _model_problems(model, recipe, key)]


def _split_problems(recipe: Recipe, splits: typing.Collection[str]) -> Iterator[Problem]:
    for section in ("data", "held_out"):
        split = getattr(recipe, section).split
        if splits and split not in splits:
            yield Problem(
                (section, "split"),
                f"the world '{recipe.world.name}' has no split '{split}'. {did_you_mean(split, splits)}",
            )


def _same_split_problems(recipe: Recipe, world: Any) -> Iterator[Problem]:
    """People who are trained on are not held out."""
    tests = recipe.method == "reward" or recipe.held_out.every
    if tests and world.splits and recipe.held_out.split == recipe.data.split:
        text = f"held_out.split is '{recipe.held_out.split}', which is trained on."
        yield Problem(("held_out", "split"), text, "Write `split: held_out`.")


def _turn_problems(recipe: Recipe, world: Any) -> Iterator[Problem]:
    """Several turns need a trainer that can hold a conversation, and somebody who answers."""
    if recipe.data.turns == 1:
        return
    text = f"data.turns is {recipe.data.turns}, and"
    if recipe.method != "grpo":
        yield Problem(
            ("data", "turns"),
            f"{text} {recipe.method} knows one turn only.",
            "Write `method: grpo`, or delete `turns:`.",
        )
    elif world is not None and not world.reacts:
        yield Problem(
            ("data", "turns"),
            f"{text} nobody answers in the world '{recipe.world.name}' as it is set up here.",
            "Delete `turns:`, or choose a world in which people react, such as `world: {name: smileworld}`.",
        )


def _columns(recipe: Recipe, world: Any) -> typing.Collection[str] | None:
    """What rewards are given of the data, where that is known before a download."""
    try:
        return supply.columns(recipe, world) if world is not None and world.is_here else None
    except (ValueError, TypeError):  # a split or argument that the world does not have: told elsewhere
        return None


def _reward_problems(recipe: Recipe, world: Any, columns: typing.Collection[str] | None) -> Iterator[Problem]:
    rewarded = "num_generations" in training_fields(recipe.method)
    if rewarded and not recipe.rewards:
        yield Problem(
            (),
            f"the recipe has no rewards, and {recipe.method} learns from nothing else.",
            "Add `rewards: [{name: reading}]`.",
        )
    if recipe.rewards and not rewarded and recipe.method not in FORM_OF:
        yield Problem(
            ("rewards",), f"the method {recipe.method} learns from data and takes no rewards.", "Delete `rewards:`."
        )
    for index, reward in enumerate(recipe.rewards):
        yield from _one_reward_problems(recipe, index, world, columns)
        if all(other.weight == 0 for other in recipe.rewards) and index == 0:
            yield Problem(
                ("rewards", 0, "weight"),
                "all rewards have weight 0.",
                f"Give one a weight: `{{name: {reward.name}, weight: 1.0}}`.",
            )


def _one_reward_problems(
    recipe: Recipe, index: int, world: Any, columns: typing.Collection[str] | None
) -> Iterator[Problem]:
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
        text = f"the weight {reward.weight:g} is larger than {rewards.LARGEST:g}, which does not fit into the float32 of training."
        problems.append(Problem((*key, "weight"), text, "Write for example `weight: 1.0`."))
    models = list(_models_in(reward.args, (*key, "args")))
    for place, model in models:
        problems += _model_problems(model, recipe, place)
    yield from problems
    if problems or any(paths.find(model, recipe.source) is None or model.endswith(_RECIPE_FILE) for _, model in models):
        return  # a model on the Hub, or one that its recipe has yet to build, cannot be asked what it is
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
        return [] if world is None else list(_world_pairs_problems(recipe, world))
    problems = bad_arguments(preferences.FileArgs if where == "file" else preferences.SampledArgs, args, key)
    if where == "rewards":
        return problems or list(_sampling_problems(recipe))
    named = next(name for name in ("path", "dataset") if name in args)
    if recipe.rewards:
        text = f"the {FORM_OF[recipe.method]} come from data.args.{named}, and `rewards:` would make others."
        problems.append(Problem(("rewards",), text, f"Delete `rewards:`, or `{named}` under data.args."))
    if problems or (named == "dataset" and not Path(places.expanded(args["dataset"])).exists()):
        return problems  # a data set on the Hub is looked at when it is needed: checking a recipe downloads nothing
    read = preferences.read_pairs if recipe.method == "dpo" else preferences.read_labels
    try:
        read(preferences.FileArgs(**args), recipe.source)
    except (ValueError, OSError) as error:
        return [Problem((*key, named), str(error))]
    return []


def _world_pairs_problems(recipe: Recipe, world: Any) -> Iterator[Problem]:
    from smilerl.data import preferences

    if not world.is_here:
        return  # on the Hub, and not looked at before it is needed
    try:  # one pair is enough to ask a world that makes them; where they are data, there have to be enough
        preferences.of_world(recipe, world, 1 if world.reacts else recipe.data.n)
    except ValueError as error:
        yield Problem(("data", "args") if recipe.data.args else ("data",), str(error))


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
        yield Problem(
            ("data", "args", "threshold"), "pairs have no threshold: the best reply stands against the worst."
        )
    if recipe.policy.config is not None:
        text = f"the rewards make the {form} from what the policy says, and a fresh model has nothing to say."
        yield Problem(
            ("policy", "config"), text, "Write `model_name_or_path:` instead, such as the recipe that trains it."
        )


def _choice_problems(recipe: Recipe) -> Iterator[Problem]:
    if recipe.policy.config is not None:
        yield Problem(
            ("policy", "config"), "best_of_n chooses among what a trained model says.", "Write `model_name_or_path:`."
        )
    if recipe.policy.peft is not None:
        yield Problem(
            ("policy", "peft"), "best_of_n trains nothing, so there is no adapter to make.", "Delete `peft:`."
        )


def _models_in(value: Any, key: Key) -> Iterator[tuple[Key, str]]:
    """Every `model: ...` in a reward's arguments, those of rewards inside it included, and where it stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        if name == "model" and isinstance(item, str):
            yield (*key, name), item
        else:
            yield from _models_in(item, (*key, name))


def _model_problems(name: str | None, recipe: Recipe, key: Key) -> Iterator[Problem]:
    """Problems with a model that is a directory, the recipe that builds it, or an id on the Hub."""
    if name is None:
        return
    found = paths.find(name, recipe.source)
    if found is None and (
        looks_local(name) or len(name) > _LONGEST_ID or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", name)
    ):
        yield Problem(key, f"{dotted(key)} is '{name[:200]}', and there is nothing there.", _models_there(name))
    elif found is not None and found.is_file():
        yield from _nested_problems(name, found, recipe, key)
    elif found is not None and not any(
        (found / file).exists() for file in ("config.json", "adapter_config.json", "model")
    ):
        text = f"{dotted(key)} is '{name}', a folder with neither config.json nor adapter_config.json nor a run's model/ in it."
        yield Problem(key, text, _models_there(name))


def _nested_problems(name: str, found: Path, recipe: Recipe, key: Key) -> Iterator[Problem]:
    if not name.endswith(_RECIPE_FILE):
        yield Problem(
            key,
            f"{dotted(key)} is the file '{name}'.",
            "Write a model's directory, or the recipe (.yaml) that builds it.",
        )
    elif Path(recipe.source).exists() and found.samefile(recipe.source):
        yield Problem(
            key, f"{dotted(key)} is this recipe itself.", "Write the recipe, directory or Hub id that it starts from."
        )
    else:
        try:
            load_recipe(found)
        except RecipeError as error:
            yield Problem(key, f"{dotted(key)} is a recipe with mistakes of its own: {error}")


def looks_local(name: str) -> bool:
    """Whether a name means a place on this disk, and not an id such as `org/name` on the Hub."""
    return (
        name.startswith((".", "/", "~"))
        or name.endswith(_RECIPE_FILE)
        or name.partition("@")[0].count("/") > 1
        or Path(name).parts[0] in _local_folders()
    )


def _local_folders() -> set[str]:
    return {folder.name for folder in Path().iterdir() if folder.is_dir()} | {"recipes", "runs"}


def _models_there(name: str) -> str:
    near = paths.near(name)
    if near is not None:
        return f"Did you mean '{near}'?"
    return "Write a directory that holds a model, the recipe that builds one, or a Hub id (org/name)."
