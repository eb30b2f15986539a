"""Group-relative policy optimisation (Shao et al. 2024, arXiv:2402.03300), by TRL's GRPOTrainer."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from smilerl.policies import Policy, policy_of
from smilerl.training import arguments, peft_config

CONFIG = GRPOConfig


def policy(recipe, world) -> Policy:
    """The recipe's policy, fresh or loaded."""
    return policy_of(recipe.policy, world)


def dataset(recipe, world) -> Dataset:
    """The people to talk to: columns `prompt` and `person`."""
    data = recipe.data
    return world.people(data.split, data.n, data.seed, **data.args)


def make_trainer(recipe, *, policy: Policy, dataset, reward_funcs, callbacks=(), output_dir: Path) -> GRPOTrainer:
    """A trainer of `policy` on the people of `dataset` (columns `prompt`, `person`) for the weighted sum of the rewards.

    GRPO's own default is `beta: 0`, no penalty. Its default `scale_rewards` divides by the spread within a group, which hides
    the size of a reward: `scale_rewards: none` where the size is the question.
    """
    weights = [reward.weight for reward in recipe.rewards]
    return GRPOTrainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        args=arguments(GRPOConfig, recipe, output_dir, reward_weights=weights),
        reward_funcs=list(reward_funcs),
        train_dataset=dataset,
        peft_config=peft_config(recipe.policy),
        callbacks=list(callbacks),
    )
