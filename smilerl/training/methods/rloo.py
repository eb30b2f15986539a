"""REINFORCE leave-one-out, KL penalty in the reward (Ahmadian et al. 2024, arXiv:2402.14740), by TRL's RLOOTrainer."""

from __future__ import annotations

from smilerl.config.trl import config_class
from smilerl.models.replies import opening
from smilerl.rewards import WithOpening
from smilerl.training.methods import arguments, loaded, people, trainer_of
from smilerl.training.trl_adapter.shared_prompt import SharedRLOO

CONFIG = config_class("rloo")
policy, dataset = loaded, people


def make_trainer(recipe, *, policy, dataset, reward_funcs, callbacks=(), output_dir) -> SharedRLOO:
    """A trainer of `policy` on people (columns `prompt`, `person`) for the weighted sum of the rewards.

    TRL takes the KL per completion, log π − log π_base summed over its tokens, off the reward, times `training.beta`.
    """
    args = arguments(CONFIG, recipe, output_dir, reward_weights=[reward.weight for reward in recipe.rewards])
    rewards = [WithOpening(reward, opening(policy.tokenizer)) for reward in reward_funcs]
    return trainer_of(SharedRLOO, recipe, policy, dataset, callbacks, args, reward_funcs=rewards)
