"""`smilerl pairs`: a file of pairs or labels from the replies of any policy, scored by any reward."""

from __future__ import annotations

import dataclasses
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from smilerl.config.recipe import (
    DataSpec,
    PolicySpec,
    Recipe,
    RecipeError,
    RewardSpec,
    WorldSpec,
    reward_spec,
)
from smilerl.config.trl import FORM_OF
from smilerl.config.yaml_lines import Lines, parse_value
from smilerl.io import places

if TYPE_CHECKING:
    from smilerl.evaluation.subject import Subject

_METHOD_OF = {form: method for method, form in FORM_OF.items()}


def make(given: SimpleNamespace) -> str:
    """Makes the file and says what came out. Nothing is left behind where it fails.

    Args:
        given: the command's options.

    Raises:
        RecipeError: an option is wrong, or the file is there already.
        ValueError: no pair or label came out.
    """
    from smilerl.data import pairs
    from smilerl.rewards import build_rewards
    from smilerl.runs.lineage import provenance_path
    from smilerl.training.models import with_models
    from smilerl.training.recipe_check import check
    from smilerl.worlds.base import sealed

    wrong = places.why_not(given.out.parent)
    if wrong is not None:
        raise RecipeError(f"command line: --out {given.out}: {wrong}.\n    Name another file.")
    for file in (given.out, provenance_path(given.out)):
        if os.path.lexists(file):
            raise RecipeError(f"command line: --out {file} is there already.\n    Name another file, or delete it.")
    who = _subject(given)
    recipe, world = _recipe(given, who), who.world
    check(recipe, world)
    with who.bolted():  # the model may be of a run from elsewhere; the rewards are the user's own
        policy = with_models(dataclasses.replace(recipe, rewards=())).policy
    unnamed = dataclasses.replace(recipe.policy, model_name_or_path=None)
    recipe = dataclasses.replace(with_models(dataclasses.replace(recipe, policy=unnamed)), policy=policy)
    with sealed("pairs"):  # building a reward may run the user's code
        rewards = build_rewards(recipe.rewards, recipe.seed, world)
    said = pairs.make_for(recipe, world, rewards, given.out, progress=sys.stderr.isatty())
    return f"{said}\n{given.out}\n{provenance_path(given.out)}"


def _subject(given: SimpleNamespace) -> Subject:
    """The replying model, and the world: the command line's, else that of the run, which may be from elsewhere."""
    from smilerl.evaluation import subject

    who = subject.find(given.model, world=given.world, told=given.chat_template_kwargs, trusting=given.trust)
    if who.recipe is not None and who.recipe.method == "best_of_n":
        raise RecipeError(
            f"command line: {given.model} is a run of best_of_n, which has no model of its own.\n"
            f"    Write {who.recipe.policy.model_name_or_path}"
        )
    if who.model is None:
        raise RecipeError(
            f"command line: {given.model} is a scripted helper, and pairs are sampled from a language model.\n"
            "    Write a run, a model directory, a Hub id, or recipes/smileworld/pretrain.yaml"
        )
    return who


def _recipe(given: SimpleNamespace, who: Subject) -> Recipe:
    """The recipe of which these pairs would be the data, so that a mistake is told as in a recipe."""
    sampled: dict[str, Any] = {
        "k": given.k,
        "temperature": given.temperature,
    }
    if given.max_completion_length is not None:
        sampled["max_completion_length"] = given.max_completion_length
    if given.threshold is not None:
        sampled["threshold"] = given.threshold
    return Recipe(
        method=_METHOD_OF[given.format],
        output_dir="",
        seed=given.seed,
        world=_world(given, who.recipe),
        policy=PolicySpec(
            model_name_or_path=str(who.model),
            dtype=given.dtype,
            chat_template_kwargs=who.spoken.chat_template_kwargs,
        ),
        data=DataSpec(split=given.split, n=given.n, seed=given.seed, args=sampled),
        rewards=_specs(given.reward),
        lines=Lines("command line"),
    )


def _world(given: SimpleNamespace, ran: Recipe | None) -> WorldSpec:
    if given.world:
        said = parse_value(given.world)
        return WorldSpec(**said) if isinstance(said, dict) else WorldSpec(str(said))
    return WorldSpec() if ran is None else ran.world


def _specs(text: str) -> tuple[RewardSpec, ...]:
    said = parse_value(text)
    specs = said if isinstance(said, list) else [said]
    if not all(isinstance(one, str) or (isinstance(one, dict) and "name" in one) for one in specs):
        raise RecipeError(
            f"command line: --reward is {text}, but should be a name or {{name: ..., args: {{...}}}}.\n"
            "    Write --reward sentiment."
        )
    return tuple(reward_spec(one, ("rewards", at), Lines("command line")) for at, one in enumerate(specs))
