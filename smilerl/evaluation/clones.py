"""Clones of the scripted helpers: the base model, tuned by SFT to talk as a helper does.

A measure made from log-probabilities is trusted only if it gives their known answers: a clone of the liar is a liar.
Each is built once for a base model and world, and kept.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from datasets import Dataset

from smilerl.config.recipe import Recipe
from smilerl.evaluation.agents import Agent
from smilerl.evaluation.cohorts import identity
from smilerl.io import disk, lock, paths
from smilerl.models.policy import Policy, load_policy
from smilerl.runs import seals
from smilerl.runs.identity import evaluation_hash
from smilerl.worlds.base import World

STEPS = 200
BATCH = 8
#: A model smaller than this learns at the larger rate.
SMALL = 50e6
LEARNING_RATES = (1e-3, 2e-5)


def clone(base: Agent, model: Policy, helper: str, world: World, *, steps: int = STEPS, seed: int = 0) -> Policy:
    """The base tuned on a helper's replies to training people; from the cache when it has been built.

    Args:
        base, model: the base as an agent, and its language model.
        helper: name of a scripted helper of the world.
        steps: of SFT, at 8 conversations each.
    """
    name = evaluation_hash([base.fingerprint, helper, identity(world), steps, seed])
    folder = paths.cache_dir() / "clones" / f"{helper}-{name}"
    from smilerl.training.progress import hushed

    with hushed():
        if _wrong_with(folder) is not None:  # looked at without a lock first: the cache may be read-only
            # Two evaluations may want the same clone at the same moment: the second waits for the first.
            with lock.in_cache(folder.with_name(f"{folder.name}.lock")):
                wrong = _wrong_with(folder)  # another evaluation may have built it meanwhile
                if wrong is not None:
                    if os.path.lexists(folder):
                        disk.clear(folder, wrong)
                    _build(model, _conversations(world, helper, steps * BATCH, seed), folder, steps, seed)
        built = load_policy(folder, device=model.model.device)
    return dataclasses.replace(built, name=f"{helper}'s clone")


def _conversations(world: World, helper: str, n: int, seed: int) -> Dataset:
    people = world.people("train", n, seed)
    completions = world.helpers[helper](list(people["person"]), seed)
    return Dataset.from_dict({"prompt": list(people["prompt"]), "completion": completions})


def _wrong_with(folder: Path) -> str | None:
    """What is wrong with a clone in the cache; None for a whole one."""
    return seals.damage_beside(folder) if os.path.lexists(seals.beside(folder)) else "it is not sealed"


def _build(base: Policy, conversations: Dataset, folder: Path, steps: int, seed: int) -> None:
    # TRL takes seconds to import, and only the first evaluation of a base builds clones.
    from smilerl.training.methods import make_trainer

    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        recipe = Recipe(method="sft", output_dir=scratch, seed=seed, training=_settings(base, steps))
        copied = Policy(copy.deepcopy(base.model), copy.deepcopy(base.tokenizer), base.name)
        trainer = make_trainer(recipe, policy=copied, dataset=conversations, output_dir=Path(scratch))
        trainer.train()
        built = Path(scratch) / "model"
        trainer.save_model(str(built))
        (built / "training_args.bin").unlink(missing_ok=True)  # it may hold a Hub token
        shutil.move(built, folder)
        seals.seal_beside(folder)


def _settings(base: Policy, steps: int) -> dict[str, Any]:
    small = sum(parameter.numel() for parameter in base.model.parameters()) < SMALL
    on_cpu = base.model.device.type == "cpu"
    return {
        "max_steps": steps,
        "per_device_train_batch_size": BATCH,
        "learning_rate": LEARNING_RATES[0 if small else 1],
        "lr_scheduler_type": "constant",
        "logging_strategy": "no",
        "use_cpu": on_cpu,
        "bf16": not on_cpu,
        "gradient_checkpointing": not on_cpu,
    }
