"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306), by TRL's KTOTrainer.

The labels come from a file, the recipe's rewards, or the world: see `preferences`.
"""

from __future__ import annotations

from trl import KTOConfig, KTOTrainer

from smilerl.data import preferences
from smilerl.training.methods import arguments, loaded, trainer_of

CONFIG = KTOConfig
#: Open while the data is made, if the world's annotators make it.
channels = preferences.channels
policy, dataset = loaded, preferences.labels
#: TRL's `kl` is the method's reference point: a log-ratio over replies paired with other people's prompts, never below
#: 0. It is no KL of what the policy says, which `held_out/kl` is.
RENAMED = {"kl": "reference_point"}


def make_trainer(recipe, *, policy, dataset, reward_funcs=(), callbacks=(), output_dir) -> KTOTrainer:
    """A trainer of `policy` on labelled replies. It does not call `reward_funcs`, which may have labelled them."""
    return trainer_of(KTOTrainer, recipe, policy, dataset, callbacks, arguments(KTOConfig, recipe, output_dir))
