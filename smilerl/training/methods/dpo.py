"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290), by TRL's DPOTrainer.

Its pairs are read from a file, made by the recipe's rewards from the policy's own replies, or the world's: see `preferences`.
"""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from smilerl.data import preferences
from smilerl.models.policy import Policy, policy_of
from smilerl.training.methods import arguments, peft_config

CONFIG = DPOConfig
#: Open while the data is made, if the world's annotators make it.
channels = preferences.channels


def policy(recipe, world) -> Policy:
    """The recipe's policy, loaded."""
    return policy_of(recipe.policy, world)


def dataset(recipe, world) -> Dataset:
    """Pairs: columns `prompt`, `chosen`, `rejected`."""
    return preferences.pairs(recipe, world)


def make_trainer(recipe, *, policy: Policy, dataset, reward_funcs=(), callbacks=(), output_dir: Path) -> DPOTrainer:
    """A trainer of `policy` on pairs; `training.beta` is the strength of the implied KL penalty, in nats per unit of reward.

    Args:
        reward_funcs: have made the pairs; the trainer has no use for them.
    """
    return DPOTrainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        args=arguments(DPOConfig, recipe, output_dir),
        train_dataset=dataset,
        peft_config=peft_config(recipe.policy),
        callbacks=list(callbacks),
    )
