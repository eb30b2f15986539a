"""Best of n: draw n replies from the base and say the one that the rewards like best. Trains nothing, and has no trainer.

The same reward objects as in training, searched instead of optimised: what a recipe's rewards ask for, with as little of the
optimiser's own doing as there can be. The run is made by `smilerl.training.baseline`.
"""

from __future__ import annotations

from datasets import Dataset

from smilerl.config.trl import BestOfNConfig
from smilerl.data.candidates import Sampling, device_of
from smilerl.models.policy import Policy, as_spoken

CONFIG = BestOfNConfig


def dataset(recipe, world) -> Dataset:
    """The held-out people for whom it chooses while the run is made: columns `prompt` and `person`."""
    held_out = recipe.held_out
    return world.people(held_out.split, held_out.n, held_out.seed)


def policy(recipe, world=None) -> Policy:
    """The policy that draws, on the accelerator where there is one."""
    return as_spoken(recipe.policy, device=device_of(recipe.training))


def sampling(recipe) -> Sampling:
    """How it draws."""
    config = CONFIG(**recipe.training)
    return Sampling(
        config.num_generations,
        config.max_completion_length,
        config.temperature,
        config.top_p,
        seed=recipe.seed,
    )
