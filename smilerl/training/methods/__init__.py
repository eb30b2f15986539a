"""Training methods, one file each, thin over TRL's own trainers.

A method's file has

* `CONFIG`: the TRL config whose fields a recipe's `training` may set;
* `policy(recipe, world)`: what is trained, such as `loaded`;
* `dataset(recipe, world)`: what it is trained on, such as `people`; `channels(recipe)` where it needs a channel;
* `make_trainer(recipe, *, policy, dataset, reward_funcs, callbacks, output_dir)`, by `trainer_of`;
* `RENAMED`, where TRL logs something under a name that means something else here;
* `evaluate(trainer, dataset)` and `told(found)`, where it measures the data to test on itself, and shows that;
* `measure(recipe, run, world, dataset, rewards, key)` in place of `make_trainer`, where it trains nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from smilerl.config.trl import settings
from smilerl.data import preferences
from smilerl.training import supply

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import Trainer

    from smilerl.config.recipe import PolicySpec, Recipe
    from smilerl.models.policy import Policy
    from smilerl.worlds.base import World

#: A run writes its own log and progress line, saves checkpoints by time (see `resume`), and one model at the end.
QUIET = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "save_total_limit": 2, "logging_steps": 1}


class NothingLeft(ValueError):
    """No row of the data has anything left to learn once it is cut to `max_length`."""


def names() -> list[str]:
    """The methods there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def method(name: str) -> ModuleType:
    """The file of a method."""
    return importlib.import_module(f"{__name__}.{name}")


def optional(recipe: Recipe, part: str) -> Any:
    """A part of the method's file that not every method has, such as `evaluate`; None where it has none."""
    return getattr(method(recipe.method), part, None)


def make_trainer(recipe: Recipe, **parts) -> Trainer:
    """The TRL trainer of a recipe, ready for `train()`; `parts` as in the method's `make_trainer`.

    Raises:
        RecipeError: TRL has left less of the data than one step takes.
    """
    from transformers import PrinterCallback

    try:
        trainer = method(recipe.method).make_trainer(recipe, **parts)
    except NothingLeft:
        supply.refuse_rest(recipe, parts["dataset"], 0)
        raise
    supply.refuse_rest(recipe, parts["dataset"], len(trainer.train_dataset))
    trainer.remove_callback(PrinterCallback)  # prints each log as a dict; `observers.progress` shows it instead
    return trainer


def trainer_of(
    trainer: type,
    recipe: Recipe,
    policy: Policy,
    dataset: Any,
    callbacks: Iterable,
    args: Any,
    *,
    task="CAUSAL_LM",
    **more,
) -> Any:
    """The TRL trainer of a policy.

    Args:
        trainer: its class.
        args: the TRL config, see `arguments`.
        task: peft's name of what an adapter is for.
        more: further arguments of this trainer.
    """
    return trainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        args=args,
        train_dataset=dataset,
        peft_config=peft_config(recipe.policy, task),
        callbacks=list(callbacks),
        **more,
    )


def arguments(config: type, recipe: Recipe, output_dir: Path, **more: Any):
    """The TRL config of a recipe: its `training`, its seed, and `QUIET` where the recipe says nothing else."""
    quiet = {**QUIET, "save_strategy": "steps"} if "save_steps" in recipe.training else QUIET
    return config(**{**quiet, **recipe.training, **more, "seed": recipe.seed, "output_dir": str(output_dir)})


def loaded(recipe: Recipe, world: World) -> Policy:
    """The recipe's policy, fresh or loaded."""
    from smilerl.models.policy import policy_of

    return policy_of(recipe.policy, world)


def people(recipe: Recipe, world: World) -> Dataset:
    """The people to talk to: columns `prompt`, `person` and those of the data."""
    data = recipe.data
    return world.people(data.split, data.n, data.seed, **data.args)


def data_channels(recipe: Recipe) -> tuple[str, ...]:
    """The declared channels that are open while the method's data is made."""
    channels = optional(recipe, "channels")
    return channels(recipe) if channels else ()


def has_base(recipe: Recipe) -> bool:
    """Whether the method tunes a policy against a base, from which its KL is measured: those with a `beta` do."""
    return "beta" in settings(recipe)


def keeps_base(recipe: Recipe) -> bool:
    """Whether TRL's trainer keeps the frozen base: under an adapter, or as the reference model of a KL penalty."""
    said = settings(recipe)
    # A synced reference does not stay the base, and one whose log-probabilities are computed beforehand is dropped.
    moves = said.get("sync_ref_model") or said.get("precompute_ref_log_probs")
    return recipe.policy.peft is not None or (said.get("beta", 0) != 0 and not moves)


def completion_length(recipe: Recipe) -> int:
    """Tokens of a reply: as it is sampled while training, or from held-out people where training samples none."""
    said = settings(recipe)
    if "max_completion_length" in said:
        return said["max_completion_length"] or 512
    return preferences.completion_length(recipe)


def peft_config(policy: PolicySpec, task: str = "CAUSAL_LM"):
    """The `peft.LoraConfig` of a recipe's policy, or None for full-parameter training."""
    if policy.peft is None:
        return None
    from peft import LoraConfig

    return LoraConfig(**{"task_type": task, **policy.peft})
