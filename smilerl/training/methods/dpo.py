"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290), by TRL's DPOTrainer.

`training.beta` is the strength of the implied KL penalty, in nats per unit of reward. The pairs come from a file, the
recipe's rewards, or the world: see `preferences`.
"""

from __future__ import annotations

from trl import DPOConfig, DPOTrainer

from smilerl.data import preferences
from smilerl.training.methods import arguments, loaded, trainer_of

CONFIG = DPOConfig
#: Open while the data is made, if the world's annotators make it.
channels = preferences.channels
policy, dataset = loaded, preferences.pairs


def make_trainer(recipe, *, policy, dataset, reward_funcs=(), callbacks=(), output_dir) -> DPOTrainer:
    """A trainer of `policy` on pairs. It does not call `reward_funcs`, which may have made them."""
    return trainer_of(DPOTrainer, recipe, policy, dataset, callbacks, arguments(DPOConfig, recipe, output_dir))
