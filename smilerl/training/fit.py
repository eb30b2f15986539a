"""Checks that the policy can take its prompts, with its own tokenizer and template, before weights are loaded."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from smilerl.config.recipe import Recipe
from smilerl.config.trl import settings
from smilerl.models import prompts
from smilerl.models.chat_template import set_defaults
from smilerl.models.policy import tokenizer_and_config
from smilerl.training import methods, supply


def before_loading(recipe: Recipe, world: Any, data: Dataset | DatasetDict) -> None:
    """Raises RecipeError where a saved policy cannot take a prompt. A fresh one: see `policy`."""
    if recipe.policy.config is None:
        tokenizer, config = tokenizer_and_config(str(recipe.policy.model_name_or_path))
        try:
            set_defaults(tokenizer, recipe.policy.chat_template_kwargs)
        except ValueError as error:
            raise recipe.error("policy.chat_template_kwargs", str(error)) from None
        policy(recipe, world, data, tokenizer, config)


def policy(recipe: Recipe, world: Any, data: Dataset | DatasetDict, tokenizer: Any, config: Any) -> None:
    """Raises RecipeError where a policy with this tokenizer and this configuration cannot take a prompt."""
    rows = (data["train"] if isinstance(data, DatasetDict) else data)["prompt"][:]
    place, said, room = world.found_at, recipe.held_out, methods.completion_length(recipe)
    try:
        if "num_generations" in settings(recipe):
            prompts.check(tokenizer, config, rows, room * recipe.data.turns, place)
        elif rows and not isinstance(rows[0], str):
            # Whether a template refuses a prompt depends on little but its roles: one of each sequence of them.
            one_each = {tuple(message["role"] for message in prompt): prompt for prompt in reversed(rows)}
            prompts.check(tokenizer, config, list(one_each.values()), 0, place)
        if supply.meets_held_out(recipe):
            prompts.check(tokenizer, config, world.people(said.split, said.n, said.seed)["prompt"][:], room, place)
    except prompts.PromptError as error:
        raise recipe.error("world", error.text, error.fix) from None


def after_tokenizing(recipe: Recipe, trainer: Any) -> None:
    """Raises RecipeError where rows, as TRL tokenizes and cuts them, are longer than the model's context."""
    context, rows, said = prompts.context_of(trainer.model.config), trainer.train_dataset, settings(recipe)
    if context is None or "max_length" not in said:
        return
    limit = said["max_length"]
    if limit is not None and limit <= context:
        return
    long = int(pc.sum(pc.greater(_lengths(rows), context)).as_py() or 0)
    if long:
        text = f"{long} of {len(rows)} rows are longer than the model's context of {context} tokens"
        text += f", and max_length is {limit}."
        key = "training.max_length" if "max_length" in recipe.training else "training"
        raise recipe.error(key, text, f"Write `max_length: {context}` or less.")


def _lengths(rows: Dataset) -> pa.Array:
    """Tokens of the longest sequence that each row makes."""
    table = rows.with_format("arrow")[:]
    names = ("input_ids", "chosen_ids", "rejected_ids", "completion_ids")
    lengths = {
        name: pc.list_value_length(table[name].combine_chunks())
        for name in (*names, "prompt_ids")
        if name in rows.column_names
    }
    longest = [lengths[name] for name in names if name in lengths]
    if not longest:
        return pa.array([], pa.int32())
    most = pc.max_element_wise(*longest)
    return pc.add(most, lengths["prompt_ids"]) if "prompt_ids" in lengths else most
