"""A Bradley-Terry preference model from pairs, by TRL's RewardTrainer."""

from __future__ import annotations

from pathlib import Path

from datasets import DatasetDict
from trl import RewardConfig, RewardTrainer

from smilerl.policies import Policy, reward_model_of
from smilerl.training import arguments, peft_config

CONFIG = RewardConfig
#: Who compares the replies. They know part of the wellbeing; the model learns from their frozen labels alone.
CHANNELS = ("annotators",)


def policy(recipe, world) -> Policy:
    """The body of the recipe's policy with a fresh head of one number."""
    return Policy(*reward_model_of(recipe.policy), "reward model")


def dataset(recipe, world) -> DatasetDict:
    """Pairs, `data.n` to train on and `held_out.n` more to test on: columns `prompt`, `chosen`, `rejected`."""
    data = recipe.data
    pairs = world.pairs(data.n + recipe.held_out.n, data.seed, **data.args)
    pairs = pairs.select_columns(["prompt", "chosen", "rejected"])
    return DatasetDict(train=pairs.select(range(data.n)), test=pairs.select(range(data.n, data.n + recipe.held_out.n)))


def make_trainer(recipe, *, policy: Policy, dataset, reward_funcs=(), callbacks=(), output_dir: Path) -> RewardTrainer:
    """A trainer of a reward model on pairs.

    Args:
        policy: its model classifies sequences into one label, the preference in nats.
        dataset: splits `train` and `test`, columns `prompt`, `chosen`, `rejected`. TRL puts EOS after each reply.

    Raises:
        ValueError: there are rewards, which a reward model does not learn from.
    """
    if reward_funcs:
        raise ValueError("the method reward learns from pairs, not from rewards; remove them")
    return RewardTrainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        args=arguments(RewardConfig, recipe, output_dir),
        train_dataset=dataset["train"],
        eval_dataset=dataset["test"],
        peft_config=peft_config(recipe.policy, "SEQ_CLS"),
        callbacks=list(callbacks),
    )
