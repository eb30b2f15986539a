"""REINFORCE leave-one-out with a KL penalty in the reward (Ahmadian et al. 2024, arXiv:2402.14740), by TRL's RLOOTrainer."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset
from trl import RLOOConfig, RLOOTrainer

from smilerl.models.policy import Policy, policy_of
from smilerl.models.replies import opening
from smilerl.rewards import WithOpening
from smilerl.training.methods import arguments, peft_config

CONFIG = RLOOConfig


def policy(recipe, world) -> Policy:
    """The recipe's policy, fresh or loaded."""
    return policy_of(recipe.policy, world)


def dataset(recipe, world) -> Dataset:
    """The people to talk to: columns `prompt` and `person`."""
    data = recipe.data
    return world.people(data.split, data.n, data.seed, **data.args)


def make_trainer(recipe, *, policy: Policy, dataset, reward_funcs, callbacks=(), output_dir: Path) -> RLOOTrainer:
    """A trainer of `policy` on the people of `dataset` (columns `prompt`, `person`) for the weighted sum of the rewards.

    TRL takes the KL per completion, log π − log π_base summed over its tokens, off the reward, times `training.beta`.
    """
    weights = [reward.weight for reward in recipe.rewards]
    return RLOOTrainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        args=arguments(RLOOConfig, recipe, output_dir, reward_weights=weights),
        reward_funcs=[WithOpening(reward, opening(policy.tokenizer)) for reward in reward_funcs],
        train_dataset=dataset,
        peft_config=peft_config(recipe.policy),
        callbacks=list(callbacks),
    )
