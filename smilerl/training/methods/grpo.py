"""Group-relative policy optimisation (Shao et al. 2024, arXiv:2402.03300), by TRL's GRPOTrainer."""

from __future__ import annotations

import warnings
from typing import Any

from smilerl import worlds
from smilerl.config.trl import config_class
from smilerl.models.replies import opening
from smilerl.rewards import WithOpening
from smilerl.training import rollouts
from smilerl.training.methods import arguments, loaded, people, trainer_of
from smilerl.training.trl_adapter.shared_prompt import SharedGRPO

CONFIG = config_class("grpo")
policy, dataset = loaded, people


def make_trainer(recipe, *, policy, dataset, reward_funcs, callbacks=(), output_dir) -> SharedGRPO:
    """A trainer of `policy` on people (columns `prompt`, `person`) for the weighted sum of the rewards.

    GRPO's own default is `beta: 0`, no penalty. Its default `scale_rewards` divides by the spread within a group, which
    hides the size of a reward: `scale_rewards: none` where the size is the question. With `data.turns` above 1 the
    person answers and the helper replies again; see `rollouts`.
    """
    args = arguments(CONFIG, recipe, output_dir, reward_weights=[reward.weight for reward in recipe.rewards])
    # TRL leaves the tag that opens thoughts in the prompt, unless it takes thoughts and reply apart itself.
    tokenizer = policy.tokenizer
    tag = "" if getattr(tokenizer, "response_template", None) is not None else opening(tokenizer)
    more: dict[str, Any] = {"reward_funcs": [WithOpening(reward, tag) for reward in reward_funcs]}
    if recipe.data.turns > 1:
        answers = rollouts.answers_of(worlds.build(recipe.world.name, **recipe.world.args))
        more = {
            "reward_funcs": [rollouts.OfLastTurn(reward) for reward in reward_funcs],
            "rollout_func": rollouts.several_turns(dataset, recipe.data.turns, answers),
        }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are using 'rollout_func'")  # experimental: rollouts.py says so
        return trainer_of(SharedGRPO, recipe, policy, dataset, callbacks, args, **more)
