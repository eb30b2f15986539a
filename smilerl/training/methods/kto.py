"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306), by TRL's KTOTrainer: good replies and bad ones, unpaired.

Its labels are read from a file, made by the recipe's rewards from the policy's own replies, or the world's: see `preferences`.
"""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset
from trl import KTOConfig, KTOTrainer

from smilerl.data import preferences
from smilerl.models.policy import Policy, policy_of
from smilerl.training.methods import arguments, peft_config

CONFIG = KTOConfig
#: Open while the data is made, if the world's annotators make it.
channels = preferences.channels
#: TRL's `kl` is the method's reference point: a log-ratio over replies paired with other people's prompts, never below 0. It is
#: no KL of what the policy says, which `held_out/kl` is.
RENAMED = {"kl": "reference_point"}


def policy(recipe, world) -> Policy:
    """The recipe's policy, loaded."""
    return policy_of(recipe.policy, world)


def dataset(recipe, world) -> Dataset:
    """Labelled replies: columns `prompt`, `completion`, `label`."""
    return preferences.labels(recipe, world)


def make_trainer(recipe, *, policy: Policy, dataset, reward_funcs=(), callbacks=(), output_dir: Path) -> KTOTrainer:
    """A trainer of `policy` on labelled replies.

    Args:
        reward_funcs: have made the labels; the trainer has no use for them.
    """
    return KTOTrainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        args=arguments(KTOConfig, recipe, output_dir),
        train_dataset=dataset,
        peft_config=peft_config(recipe.policy),
        callbacks=list(callbacks),
    )
