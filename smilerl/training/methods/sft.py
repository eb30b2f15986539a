"""Supervised training on conversations, by TRL's SFTTrainer: how the embedded LM learns to speak, and how helpers are cloned."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from smilerl.models.policy import Policy, policy_of
from smilerl.training.methods import NothingLeft, arguments, peft_config
from smilerl.training.trl_adapter.tokenizing import can_be_tokenized_at_once, tokenized

CONFIG = SFTConfig


def policy(recipe, world) -> Policy:
    """The recipe's policy, fresh or loaded."""
    return policy_of(recipe.policy, world)


def dataset(recipe, world) -> Dataset:
    """Conversations: columns `prompt` and `completion`."""
    data = recipe.data
    return world.conversations(data.n, data.seed, **data.args)


def make_trainer(recipe, *, policy: Policy, dataset, reward_funcs=(), callbacks=(), output_dir: Path) -> SFTTrainer:
    """A trainer of `policy` on `dataset` (columns `prompt`, `completion`, or any that SFTTrainer takes).

    Raises:
        ValueError: there are rewards, which supervised training would ignore.
        NothingLeft: of no row.
    """
    if reward_funcs:
        raise ValueError("the method sft has no use for rewards; remove them, or use rloo or grpo")
    args = arguments(SFTConfig, recipe, output_dir)
    if can_be_tokenized_at_once(dataset, args):
        dataset = tokenized(dataset, policy.tokenizer, args)
        if not len(dataset):  # which the trainer cannot even be made with
            raise NothingLeft
        args.dataset_kwargs = {"skip_prepare_dataset": True}
    return SFTTrainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        args=args,
        train_dataset=dataset,
        peft_config=peft_config(recipe.policy),
        callbacks=list(callbacks),
    )
