"""Is there enough data for one step? Compared before a model loads: what a recipe's data holds with what its method takes at a time.

TRL drops what does not fill a batch of prompts, so a run on too little data would take no step, and end as if it had.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from datasets import Dataset, DatasetDict

from smilerl.config.recipe import Recipe
from smilerl.config.trl import FORM_OF, settings, training_fields
from smilerl.config.yaml_lines import Key, Problem
from smilerl.data import preferences
from smilerl.worlds.base import Form, Supply, World


def needed(recipe: Recipe) -> tuple[int, str]:
    """How many rows of data one step takes at least, and why so many."""
    if recipe.method == "best_of_n":
        return 1, "somebody to choose for"
    said = settings(recipe)
    processes = int(os.environ.get("WORLD_SIZE", 1))
    batch = said["per_device_train_batch_size"] * processes
    if "num_generations" in said:
        size = said["generation_batch_size"] or batch * (
            said["steps_per_generation"] or said["gradient_accumulation_steps"]
        )
        group = said["num_generations"]
        return max(1, size // group), f"{size} completions are sampled at a time, {group} to each prompt"
    if said.get("dataloader_drop_last"):
        return batch, f"dataloader_drop_last, and a batch has {batch} rows"
    return (
        (2, "a reply is compared with the prompt beside it") if recipe.method == "kto" else (1, "a step trains on data")
    )


def problems(recipe: Recipe, world: World) -> Iterator[Problem]:
    """What is missing of the data, as far as it is on this disk, or is made as it is asked for."""
    if not world.is_here:
        return  # on the Hub: looked at once it is here, see `refuse`
    try:
        found = _asked_for(recipe, world)
        if found is not None:
            yield from _too_few(recipe, found[1], found[0])
        if recipe.method == "reward" or meets_held_out(recipe):
            yield from _nobody_held_out(recipe, world)
    except ValueError as error:  # of columns that hold no single type
        yield Problem(("world", "args"), str(error))


def refuse(recipe: Recipe, world: World, data: Dataset | DatasetDict) -> str:
    """Whether the data as it was made is enough.

    Returns:
        What became of the rows that were read, in words.

    Raises:
        RecipeError: it is not.
    """
    rows = data["train"] if isinstance(data, DatasetDict) else data
    found = _asked_for(recipe, world)
    account = found[1].account if found is not None and found[1].account else f"{len(rows)} rows"
    wrong = [*_too_few(recipe, Supply(len(rows), account), recipe.data.n), *_one_prompt_twice(recipe, rows)]
    if wrong:
        raise recipe.lines.error(*wrong)
    return account


def refuse_rest(recipe: Recipe, data: Dataset | DatasetDict, kept: int) -> None:
    """Whether what TRL leaves of the data is enough: it takes out rows that are longer than `max_length`, or have nothing to learn.

    Args:
        kept: rows that it has left.

    Raises:
        RecipeError: it is not.
    """
    rows = data["train"] if isinstance(data, DatasetDict) else data
    least, why = needed(recipe)
    if kept >= least or len(rows) < least:
        return
    limit = settings(recipe).get("max_length")
    key = "training.max_length" if "max_length" in recipe.training else "training"
    raise recipe.error(
        key,
        f"{kept} of {len(rows)} rows are left once TRL has taken out those that are too long, or cut to nothing, at max_length {limit} "
        f"(tokens), and one step of {recipe.method} takes {least}: {why}.",
        "Raise training.max_length, or give shorter rows.",
    )


def columns(recipe: Recipe, world: World) -> Collection[str] | None:
    """The columns that the rewards of a recipe are given of the data; None where it is not here yet, or there are no rewards.

    Raises:
        ValueError: the world has no such people.
    """
    if not recipe.rewards or world is None or (recipe.method in FORM_OF and preferences.source(recipe) != "rewards"):
        return None
    if recipe.method == "best_of_n":
        return world.people(recipe.held_out.split, 1, recipe.held_out.seed).column_names
    more = recipe.data.args if recipe.method not in FORM_OF else {}
    return world.people(recipe.data.split, 1, recipe.data.seed, **more).column_names


def meets_held_out(recipe: Recipe) -> bool:
    """Whether the policy talks to held-out people while it trains: every so often, or once where TRL measures no KL.

    A recipe without a folder is no run: its data is made, and nothing else (`smilerl pairs`).
    """
    said = settings(recipe)
    logs_kl = "max_completion_length" in said and said.get("beta") != 0
    return bool(recipe.output_dir) and "beta" in said and (recipe.held_out.every > 0 or not logs_kl)


def _asked_for(recipe: Recipe, world: World) -> tuple[int, Supply] | None:
    """How many rows the recipe asks for, and what there is; None where only making them will tell."""
    data, asks = recipe.data, recipe.data.n
    if recipe.method in FORM_OF and preferences.source(recipe) != "world":
        return None
    form: Form = "people" if _talks_to_people(recipe) else "conversations" if recipe.method == "sft" else "pairs"
    split = data.args.get("split", "train") if form == "conversations" else data.split
    if recipe.method == "best_of_n":
        asks, form, split = recipe.held_out.n, "people", recipe.held_out.split
    return asks, world.supply(form, split) or Supply(asks, "")  # without an account: made as they are asked for


def _too_few(recipe: Recipe, found: Supply, asks: int) -> Iterator[Problem]:
    least, why = needed(recipe)
    if min(found.rows, asks) >= least:
        return
    key: Key = ("data", "n") if found.rows >= least or not found.account else ("world", "args")
    what = f"data.n is {asks}" if key[0] == "data" else found.account
    smaller = (
        " or a smaller per_device_train_batch_size"
        if "per_device_train_batch_size" in training_fields(recipe.method) and least > 1
        else ""
    )
    fix = f"Write `n: {least}` or more" if key[0] == "data" else "Give more data"
    yield Problem(
        key,
        f"{what}, and one step of {recipe.method} takes {least} rows: {why}.",
        f"{fix},{smaller}.".replace(",.", "."),
    )


def _nobody_held_out(recipe: Recipe, world: World) -> Iterator[Problem]:
    found = world.supply("pairs" if recipe.method == "reward" else "people", recipe.held_out.split)
    if found is not None and not found.rows:
        text = f"nothing is held out: {found.account}."
        yield Problem(
            ("held_out",), text, "Raise held_out_fraction in world.args, or name another file: held_out_from."
        )


def _one_prompt_twice(recipe: Recipe, rows: Dataset) -> Iterator[Problem]:
    if recipe.data.turns > 1 and len({preferences.key(prompt) for prompt in rows["prompt"][:]}) < len(rows):
        text = f"data.turns is {recipe.data.turns}, and two rows have one prompt: a prompt is all that is known of whom a talk is with."
        yield Problem(("data", "turns"), text, "Leave one of them out, or delete `turns:`.")


def _talks_to_people(recipe: Recipe) -> bool:
    return "num_generations" in training_fields(recipe.method)
