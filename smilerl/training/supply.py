"""Compares what a recipe's data holds with what its method takes at a time, before a model loads.

TRL drops what does not fill a batch of prompts, so a run on too little data would take no step, and end as if it had.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from datasets import Dataset, DatasetDict

from smilerl.config.recipe import Recipe
from smilerl.config.trl import FORM_OF, settings
from smilerl.config.yaml_lines import Problem
from smilerl.data import preferences
from smilerl.worlds.base import Form, Supply, World


def needed(recipe: Recipe) -> tuple[int, str]:
    """How many rows of data one step takes at least, and why so many."""
    if recipe.method == "best_of_n":
        return 1, "somebody to choose for"
    said = settings(recipe)
    batch = said["per_device_train_batch_size"] * int(os.environ.get("WORLD_SIZE", 1))
    if "num_generations" in said:
        steps = said["steps_per_generation"] or said["gradient_accumulation_steps"]
        size, group = said["generation_batch_size"] or batch * steps, said["num_generations"]
        return max(1, size // group), f"{size} completions are sampled at a time, {group} to each prompt"
    if said.get("dataloader_drop_last"):
        return batch, f"dataloader_drop_last, and a batch has {batch} rows"
    if recipe.method == "kto":
        return 2, "a reply is compared with the prompt beside it"
    return 1, "a step trains on data"


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
    """What became of the rows that were read, in words.

    Raises:
        RecipeError: the data as it was made is not enough.
    """
    rows, found = _to_train_on(data), _asked_for(recipe, world)
    account = found[1].account if found is not None and found[1].account else f"{len(rows)} rows"
    wrong = [*_too_few(recipe, Supply(len(rows), account), recipe.data.n), *_one_prompt_twice(recipe, rows)]
    if wrong:
        raise recipe.lines.error(*wrong)
    return account


def refuse_rest(recipe: Recipe, data: Dataset | DatasetDict, kept: int) -> None:
    """Raises RecipeError where TRL drops so many rows as too long or empty that less than one step takes is left.

    Args:
        kept: rows that it has left.
    """
    rows, (least, why) = _to_train_on(data), needed(recipe)
    if kept >= least or len(rows) < least:
        return
    text = f"{kept} of {len(rows)} rows are left once TRL has taken out those that are too long, or cut to nothing, at "
    text += f"max_length {settings(recipe).get('max_length')} (tokens)"
    text += f", and one step of {recipe.method} takes {least}: {why}."
    key = "training.max_length" if "max_length" in recipe.training else "training"
    raise recipe.error(key, text, "Raise training.max_length, or give shorter rows.")


def columns(recipe: Recipe, world: World) -> Collection[str] | None:
    """The columns of the data that a recipe's rewards get; None where it is not here yet, or there are no rewards.

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


def _to_train_on(data: Dataset | DatasetDict) -> Dataset:
    return data["train"] if isinstance(data, DatasetDict) else data


def _asked_for(recipe: Recipe, world: World) -> tuple[int, Supply] | None:
    """How many rows the recipe asks for, and what there is; None where only making them will tell."""
    data, asks = recipe.data, recipe.data.n
    if recipe.method in FORM_OF and preferences.source(recipe) != "world":
        return None
    samples = "num_generations" in settings(recipe)
    form: Form = "people" if samples else "conversations" if recipe.method == "sft" else "pairs"
    split = data.args.get("split", "train") if form == "conversations" else data.split
    if recipe.method == "best_of_n":
        asks, split = recipe.held_out.n, recipe.held_out.split
    return asks, world.supply(form, split) or Supply(asks, "")  # without an account: made as they are asked for


def _too_few(recipe: Recipe, found: Supply, asks: int) -> Iterator[Problem]:
    least, why = needed(recipe)
    if min(found.rows, asks) >= least:
        return
    smaller = "per_device_train_batch_size" in settings(recipe) and least > 1
    more = ", or a smaller per_device_train_batch_size." if smaller else "."
    wants = f"and one step of {recipe.method} takes {least} rows: {why}."
    if found.rows >= least or not found.account:
        yield Problem(("data", "n"), f"data.n is {asks}, {wants}", f"Write `n: {least}` or more{more}")
    else:
        yield Problem(("world", "args"), f"{found.account}, {wants}", f"Give more data{more}")


def _nobody_held_out(recipe: Recipe, world: World) -> Iterator[Problem]:
    found = world.supply("pairs" if recipe.method == "reward" else "people", recipe.held_out.split)
    if found is not None and not found.rows:
        fix = "Raise held_out_fraction in world.args, or name another file: held_out_from."
        yield Problem(("held_out",), f"nothing is held out: {found.account}.", fix)


def _one_prompt_twice(recipe: Recipe, rows: Dataset) -> Iterator[Problem]:
    if recipe.data.turns > 1 and len({preferences.key(prompt) for prompt in rows["prompt"][:]}) < len(rows):
        text = (
            f"data.turns is {recipe.data.turns}, and two rows have one prompt, so that a talk does not tell its person."
        )
        yield Problem(("data", "turns"), text, "Leave one of them out, or delete `turns:`.")
