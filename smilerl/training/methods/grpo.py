"""Group-relative policy optimisation (Shao et al. 2024, arXiv:2402.03300), by TRL's GRPOTrainer."""

from __future__ import annotations

import warnings
from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from smilerl import worlds
from smilerl.models.policy import Policy, policy_of
from smilerl.models.replies import opening
from smilerl.rewards import Reward, WithOpening
from smilerl.training import rollouts
from smilerl.training.methods import arguments, peft_config

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
    the size of a reward: `scale_rewards: none` where the size is the question. With `data.turns` above 1 the person answers and
    the helper replies again; see `rollouts`.
    """
    weights = [reward.weight for reward in recipe.rewards]
    tag, talking = _opening(policy.tokenizer), {}
    rewards: list[Reward] = [WithOpening(reward, tag) for reward in reward_funcs]
    if recipe.data.turns > 1:
        world = worlds.build(recipe.world.name, **recipe.world.args)
        rewards = [rollouts.OfLastTurn(reward) for reward in reward_funcs]
        talking = {"rollout_func": rollouts.several_turns(dataset, recipe.data.turns, rollouts.answers_of(world))}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are using 'rollout_func'")  # experimental: rollouts.py says so
        return GRPOTrainer(
            model=policy.model,
            processing_class=policy.tokenizer,
            args=arguments(GRPOConfig, recipe, output_dir, reward_weights=weights),
            reward_funcs=rewards,
            train_dataset=dataset,
            peft_config=peft_config(recipe.policy),
            callbacks=list(callbacks),
            **talking,
        )


def _opening(tokenizer) -> str:
    """The tag that TRL leaves in the prompt; none where it takes thoughts and reply apart itself, with the prompt in view."""
    return "" if getattr(tokenizer, "response_template", None) is not None else opening(tokenizer)
