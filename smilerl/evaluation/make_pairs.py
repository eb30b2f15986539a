"""`smilerl pairs`: a file of pairs or labels from the replies of any policy, scored by any reward."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from typing import TYPE_CHECKING, Any

from smilerl.config.recipe import (
    MOST_ROWS,
    MOST_SEED,
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
from smilerl.io.terminal import brief

if TYPE_CHECKING:
    from smilerl.evaluation.subject import Subject

EXAMPLES = """\
  smilerl pairs recipes/smileworld/pretrain.yaml --reward sentiment --out pairs.jsonl --n 2048 --max_completion_length 32
  smilerl pairs ./my-model --reward '{name: preference, args: {model: OpenAssistant/reward-model-deberta-v3-large-v2}}' \\
      --world '{name: dialogue, args: {path: talks.jsonl}}' --format labels --dtype bfloat16 --out labels.jsonl
Then, in a recipe of `method: dpo` or `kto`: `data: {n: 100000, args: {path: pairs.jsonl}}`. A recipe with `rewards:` and no path
makes its pairs itself: recipes/smileworld/dpo_sentiment.yaml."""
_MOST_K = 65536
_METHOD_OF = {form: method for method, form in FORM_OF.items()}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "model", metavar="RUN_OR_MODEL", help="a run, model directory, Hub id, or the recipe of a model"
    )
    parser.add_argument(
        "--reward",
        required=True,
        help="what scores the replies: a name, YAML such as '{name: sentiment, args: {reads: completion}}', or a list of such with weights",
    )
    parser.add_argument(
        "--out", type=places.written, required=True, metavar="FILE", help="JSONL; FILE.provenance.json goes beside it"
    )
    parser.add_argument("--format", choices=list(_METHOD_OF), default="pairs", help="default: pairs")
    parser.add_argument("--n", type=int, default=1024, help="people (default: 1024)")
    parser.add_argument("--k", type=int, default=8, help="replies to each (default: 8)")
    parser.add_argument("--world", help="a name, or YAML with name and args (default: the run's own, else smileworld)")
    parser.add_argument("--split", default="train", help="of people (default: train)")
    parser.add_argument("--threshold", type=float, help="of labels (default: the median of the replies to a person)")
    parser.add_argument(
        "--max_completion_length", type=int, metavar="TOKENS", help="default: 256, or what fits into the context"
    )
    parser.add_argument("--temperature", type=float, default=1.0, help="default: 1.0")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16", "auto"], help="of the policy (default: float32)")  # fmt: skip
    parser.add_argument(
        "--seed", type=lambda text: whole(text, 0, MOST_SEED), default=0, help="of people and sampling (default: 0)"
    )


def whole(text: str, least: int, most: int) -> int:
    """A whole number on the command line.

    Raises:
        ArgumentTypeError: it is none, or out of range.
    """
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise argparse.ArgumentTypeError(f"{brief(text, most=100)} is not a whole number")
    if len(digits) > len(str(most)) or not least <= int(text) <= most:
        bound = f"at least {least}" if text.strip().startswith("-") or int(digits[:9]) < least else f"at most {most}"
        raise argparse.ArgumentTypeError(f"{brief(text, most=100)} is not {bound}")
    return int(text)


def told(text: str) -> dict[str, Any]:
    """What the option --chat_template_kwargs says."""
    said = parse_value(text)
    if not isinstance(said, dict):
        raise argparse.ArgumentTypeError(f"{text} names no settings. Write '{{enable_thinking: false}}'")
    return said


def make(given: argparse.Namespace) -> str:
    """Makes the file and says what came out. Nothing is left behind where it fails.

    Args:
        given: as `add_options` parses them.

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


def _subject(given: argparse.Namespace) -> Subject:
    """Who replies, and the world of the people: the command line's, else that of the run, which may be from elsewhere."""
    from smilerl.evaluation import subject

    for name, least, most in (("n", 1, MOST_ROWS), ("k", 0, _MOST_K), ("max_completion_length", 0, MOST_ROWS)):
        value = getattr(given, name)
        if value is not None and not least <= value <= most:
            bound = f"at least {least}" if value < least else f"at most {most}"
            raise RecipeError(f"command line: --{name} is {value}, but should be {bound}.")
    who = subject.find(given.model, world=given.world, told=given.chat_template_kwargs, trusting=given.trust)
    if who.recipe is not None and who.recipe.method == "best_of_n":
        raise RecipeError(
            f"command line: {given.model} is a run of best_of_n, which has no model of its own.\n    Write {who.recipe.policy.model_name_or_path}"
        )
    if who.model is None:
        raise RecipeError(
            f"command line: {given.model} is a scripted helper, and pairs are sampled from a language model.\n"
            "    Write a run, a model directory, a Hub id, or recipes/smileworld/pretrain.yaml"
        )
    return who


def _recipe(given: argparse.Namespace, who: Subject) -> Recipe:
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


def _world(given: argparse.Namespace, ran: Recipe | None) -> WorldSpec:
    if given.world:
        said = parse_value(given.world)
        return WorldSpec(**said) if isinstance(said, dict) else WorldSpec(str(said))
    return WorldSpec() if ran is None else ran.world


def _specs(text: str) -> tuple[RewardSpec, ...]:
    said = parse_value(text)
    specs = said if isinstance(said, list) else [said]
    if not all(isinstance(one, str) or (isinstance(one, dict) and "name" in one) for one in specs):
        raise RecipeError(
            f"command line: --reward is {text}, but should be a name or {{name: ..., args: {{...}}}}.\n    Write --reward sentiment."
        )
    return tuple(reward_spec(one, ("rewards", at), Lines("command line")) for at, one in enumerate(specs))
