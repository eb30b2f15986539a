"""Supervised training on conversations, by TRL's SFTTrainer: trains the embedded LM, and clones of helpers."""

from __future__ import annotations

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from smilerl.training.methods import NothingLeft, arguments, loaded, trainer_of
from smilerl.training.trl_adapter.tokenizing import can_be_tokenized_at_once, tokenized

CONFIG = SFTConfig
policy = loaded


def dataset(recipe, world) -> Dataset:
    """Conversations: columns `prompt` and `completion`."""
    return world.conversations(recipe.data.n, recipe.data.seed, **recipe.data.args)


def make_trainer(recipe, *, policy, dataset, reward_funcs=(), callbacks=(), output_dir) -> SFTTrainer:
    """A trainer of `policy` on `dataset` (columns `prompt`, `completion`, or any that SFTTrainer takes).

    Raises:
        ValueError: there are rewards, which supervised training would ignore.
        NothingLeft: no row has anything to learn within `max_length`.
    """
    if reward_funcs:
        raise ValueError("the method sft has no use for rewards; remove them, or use rloo or grpo")
    args = arguments(SFTConfig, recipe, output_dir)
    if can_be_tokenized_at_once(dataset, args):
        dataset = tokenized(dataset, policy.tokenizer, args)
        if not len(dataset):  # SFTTrainer cannot be made without rows
            raise NothingLeft
        args.dataset_kwargs = {"skip_prepare_dataset": True}
    return trainer_of(SFTTrainer, recipe, policy, dataset, callbacks, args)
