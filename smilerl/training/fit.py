"""Can the policy of a recipe take what it will be given? Looked at before its weights are loaded, with its own tokenizer and template."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from smilerl.config.recipe import Recipe
from smilerl.config.trl import settings, training_fields
from smilerl.models import prompts
from smilerl.models.chat_template import set_defaults
from smilerl.models.policy import tokenizer_and_config
from smilerl.training import methods, supply


def before_loading(recipe: Recipe, world: Any, data: Dataset | DatasetDict) -> None:
    """Raises RecipeError where the policy cannot take a prompt that it will be trained on or watched with; a fresh one: see `policy`."""
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
    samples = "num_generations" in training_fields(recipe.method)
    try:
        if samples:
            prompts.check(tokenizer, config, rows, room * recipe.data.turns, place)
        else:
            prompts.check(tokenizer, config, _one_of_each_form(rows), 0, place)
        if supply.meets_held_out(recipe):
            prompts.check(tokenizer, config, world.people(said.split, said.n, said.seed)["prompt"][:], room, place)
    except prompts.PromptError as error:
        raise recipe.error("world", error.text, error.fix) from None


def after_tokenizing(recipe: Recipe, trainer: Any) -> None:
    """Raises RecipeError where rows that are trained on are longer than the model's context, as TRL has tokenized and will cut them."""
    context, rows = prompts.context_of(trainer.model.config), trainer.train_dataset
    limit = settings(recipe).get("max_length")
    if (
        context is None
        or "max_length" not in training_fields(recipe.method)
        or (limit is not None and limit <= context)
    ):
        return
    long = int(pc.sum(pc.greater(_lengths(rows), context)).as_py() or 0)
    if long:
        raise recipe.error(
            "training.max_length" if "max_length" in recipe.training else "training",
            f"{long} of {len(rows)} rows are longer than the model's context of {context} tokens, and max_length is {limit}.",
            f"Write `max_length: {context}` or less.",
        )


def _lengths(rows: Dataset) -> pa.Array:
    """Tokens of the longest sequence that each row makes."""
    table = rows.with_format("arrow")[:]

    def of(name: str) -> Any:
        return pc.list_value_length(table[name].combine_chunks()) if name in rows.column_names else None

    whole = [of(name) for name in ("input_ids", "chosen_ids", "rejected_ids", "completion_ids")]
    longest = [one for one in whole if one is not None]
    if not longest:
        return pa.array([], pa.int32())
    most = pc.max_element_wise(*longest)
    before = of("prompt_ids")
    return most if before is None else pc.add(most, before)


def _one_of_each_form(rows: list) -> list:
    """A prompt of each sequence of roles: whether a template refuses one depends on little else. None of plain text."""
    if not rows or isinstance(rows[0], str):
        return []
    return list({tuple(message["role"] for message in prompt): prompt for prompt in reversed(rows)}.values())
