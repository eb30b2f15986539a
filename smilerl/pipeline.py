"""One recipe, one run: build what it names, train it sealed off from outcomes, watch it on held-out people, keep the result.

    run = run_recipe(load_recipe("recipes/smileworld/rloo_sentiment.yaml", {"seed": 1}))

Models that a recipe names by *their* recipe are built on first use and kept in `paths.cache_dir()`.
"""

from __future__ import annotations

import copy
import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from accelerate.utils import is_peft_model
from datasets import Dataset, DatasetDict
from transformers import Trainer, set_seed

from smilerl import baseline, pairs, paths, preferences, training, worlds
from smilerl.fingerprint import hash_path
from smilerl.policies import Policy, load_policy
from smilerl.recipe import Recipe, load_recipe
from smilerl.rewards import build_rewards
from smilerl.rewards._summed import summed, unnoticed
from smilerl.run import Run
from smilerl.training.callbacks import HeldOut, Metrics, Progress, Sampled, frozen_base, hushed
from smilerl.training_settings import FORM_OF
from smilerl.worlds.base import EvaluationKey, World, opened, sealed

_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers")


def run_recipe(recipe: Recipe, *, progress: bool = True) -> Run:
    """The finished run of a recipe, in its `output_dir`; trains only if it is not finished already.

    Args:
        recipe: as `load_recipe` gives it.
        progress: a bar on a terminal, else a few lines on standard error; False: neither.

    Raises:
        RunError: another process trains there, or another recipe has.
        OutcomeSealed: a reward reached for an outcome through no channel that it declares.
    """
    with _own_run(recipe) as run:
        if not run.finished:
            _train(with_models(recipe, progress=progress), run, progress)
    return run


def model_dir(name: str | Path, *, beside: str | Path | None = None, progress: bool = True) -> Path:
    """The directory of a model given by its recipe (built on first use), its run, or the directory itself.

    Args:
        name: `*.yaml`, a run directory, or a model directory; a Hub id is returned as it is.
        beside: the file that mentions it.
    """
    found = paths.find(name, beside)
    if found is None:
        return Path(name)
    if found.suffix in (".yaml", ".yml"):
        return _built(load_recipe(found), progress).model
    return found / "model" if (found / "status.json").is_file() else found


def with_models(recipe: Recipe, *, progress: bool = True) -> Recipe:
    """The recipe with directories in place of the recipes of models that it names, each built if it has to be."""

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: resolved(item) for key, item in value.items()}
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if isinstance(value, str) and value.endswith((".yaml", ".yml")) and paths.find(value, recipe.source):
            return str(model_dir(value, beside=recipe.source, progress=progress))
        return value

    policy, base = recipe.policy, recipe.policy.model_name_or_path
    if base is not None:
        base = str(model_dir(base, beside=recipe.source, progress=progress))
    rewards = tuple(dataclasses.replace(reward, args=resolved(reward.args)) for reward in recipe.rewards)
    return dataclasses.replace(recipe, policy=dataclasses.replace(policy, model_name_or_path=base), rewards=rewards)


def _built(recipe: Recipe, progress: bool) -> Run:
    """The finished run of a recipe in the cache. Two processes that need it do not build it twice."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    parts = [recipe.content_hash(), hash_path(paths.PACKAGE / "policies.py"), versions]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    folder = paths.cache_dir() / "models" / f"{Path(recipe.source).stem}-{digest}"
    recipe = dataclasses.replace(recipe, output_dir=str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = Run(folder)
        if run.finished_as(recipe):
            return run
        if PartialState().num_processes > 1:
            raise RuntimeError(
                f"{recipe.source} has to be built first, which several processes cannot do together.\n"
                f"Run: python -m smilerl.train --config {recipe.source} --output_dir {folder}"
            )
        return run_recipe(recipe, progress=progress)


@contextmanager
def _own_run(recipe: Recipe) -> Iterator[Run]:
    """The run, made by the main process; the others of a distributed launch read it."""
    # Unless it is told that it is to be CPUs, accelerate takes every process of a launch on CPUs for the main one.
    state = PartialState(cpu=bool(recipe.training.get("use_cpu")))
    with ExitStack() as stack:
        if state.is_main_process:
            run = stack.enter_context(Run.create(recipe))
        state.wait_for_everyone()
        yield run if state.is_main_process else Run.open(recipe.output_dir)
        state.wait_for_everyone()


def _train(recipe: Recipe, run: Run, progress: bool) -> None:
    set_seed(recipe.seed)
    arm, method = _title(recipe), training.method(recipe.method)
    making_data = training.data_channels(recipe)
    world = worlds.build(recipe.world.name, **recipe.world.args)
    with sealed(arm, making_data):  # building a reward may run the user's code
        rewards = build_rewards(recipe.rewards, recipe.seed, world)
    channels = sorted({name for reward in rewards for name in reward.channels})
    by_rewards = {name for reward in rewards for name in getattr(reward, "learnt_from", ())}
    learnt_from = sorted(by_rewards.union(preferences.learnt_from(recipe)))
    with hushed(), sealed(arm, (*making_data, *channels)):
        recipe = _with_pairs(recipe, run, world, rewards, progress)
        dataset = method.dataset(recipe, world)
    if PartialState().is_main_process:
        # `channels` are open in this run; through those of `learnt_from` outcomes reached a reward model before it.
        run.note(channels=sorted({*channels, *making_data}), learnt_from=learnt_from, data_hash=_data_hash(dataset))
    key = EvaluationKey()
    with hushed():
        if recipe.method == "best_of_n":
            if PartialState().is_main_process:  # there is nothing for the others to do
                with sealed(arm, channels, key):
                    baseline.measure(recipe, run, world, dataset, rewards, key)
        else:
            with sealed(arm, channels, key):
                trainer = _trainer(recipe, run, world, dataset, rewards, progress, key)
                trainer.train()
                if trainer.eval_dataset is not None:
                    trainer.evaluate()
            _save(trainer, run)
    if PartialState().is_main_process:
        run.finish()


def _with_pairs(recipe: Recipe, run: Run, world: World, rewards: list[Callable], progress: bool) -> Recipe:
    """The recipe with a file in place of the pairs or labels that its rewards are to make, sampled into the run's directory.

    The main process of several samples alone; for a large model make the file before, with `smilerl pairs`.
    """
    if recipe.method not in FORM_OF or preferences.source(recipe) != "rewards":
        return recipe
    path = run.path / "pairs.jsonl"
    if PartialState().is_main_process and not path.is_file():
        made = pairs.make_for(recipe, world, rewards, path, progress=progress and sys.stderr.isatty())
        if progress:
            print(f"{_title(recipe)}  {made}", file=sys.stderr, flush=True)
    PartialState().wait_for_everyone()
    args = {"path": str(path), "max_completion_length": preferences.completion_length(recipe)}
    # `data.n` was how many people were asked, who may have given more rows or fewer: all are used.
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, args=args, n=pairs.count(path)))


def _title(recipe: Recipe) -> str:
    return f"{Path(recipe.source).stem} (seed {recipe.seed})"


def _trainer(
    recipe: Recipe, run: Run, world: World, dataset, rewards: list[Callable], progress: bool, key: EvaluationKey
) -> Trainer:
    """The trainer with all that watches it."""
    talks = training.has_base(recipe)
    policy = _policy(recipe, run, world, talks)
    initial = None
    if talks and not (training.keeps_base(recipe) or is_peft_model(policy.model)):
        initial = copy.deepcopy(policy.model).eval().requires_grad_(False)
    bar = Progress(_title(recipe))

    def write(row: dict) -> None:
        run.log(row)
        if progress:
            bar.show(row)

    renamed = getattr(training.method(recipe.method), "RENAMED", None)
    trainer = training.make_trainer(
        recipe,
        policy=policy,
        dataset=dataset,
        reward_funcs=rewards,
        callbacks=[Metrics(write, renamed), *([bar] if progress else [])],
        output_dir=run.checkpoints,
    )
    # Where TRL measures no KL it is measured at least once, at the end.
    if talks and (recipe.held_out.every or not training.logs_kl(recipe)):
        held_out = recipe.held_out
        watch = HeldOut(
            world.people(held_out.split, held_out.n, held_out.seed),
            every=held_out.every,
            tokenizer=policy.tokenizer,
            max_new_tokens=training.completion_length(recipe),
            base=frozen_base(trainer, initial),
            score=_scorer(recipe, world, rewards, run, key),
            write=write,
            seed=held_out.seed,
        )
        trainer.add_callback(watch)
    return trainer


def _policy(recipe: Recipe, run: Run, world: World, talks: bool) -> Policy:
    """What is trained. TRL's reference model and an adapter's base are found by path, so a fresh policy gets one."""
    policy = training.method(recipe.method).policy(recipe, world)
    if recipe.policy.config is None or not (talks or recipe.policy.peft):
        return policy
    initial = run.path / "initial"
    if PartialState().is_main_process:
        policy.model.save_pretrained(initial)
        policy.tokenizer.save_pretrained(initial)
    PartialState().wait_for_everyone()
    return load_policy(initial, dtype=recipe.policy.dtype)


def _scorer(
    recipe: Recipe, world: World, rewards: list[Callable], run: Run, key: EvaluationKey
) -> Callable[[Sampled], dict[str, float]]:
    """What to log of a sample of held-out people: the one place where outcomes are looked at during training.

    The trainer gets back numbers to log, which it does not learn from; each person's part goes to the run's samples.

    Args:
        rewards: those that the policy trains on, as checked; asking them leaves their state as it was.
    """

    def score(sampled: Sampled) -> dict[str, float]:
        values = _rewards(recipe, rewards, sampled)
        columns: dict[str, list] = {"reward": values}
        if getattr(world, "reacts", True):
            with opened(key):
                reactions = world.react(sampled.people, sampled.completions)
            columns |= {
                "reading": [reaction.observation.reading for reaction in reactions],
                "smile": [reaction.outcome.smile for reaction in reactions],
                "wellbeing": [reaction.outcome.wellbeing for reaction in reactions],
                "transcript": [reaction.observation.transcript for reaction in reactions],
                "acts": [list(reaction.outcome.acts) for reaction in reactions],
            }
        said = {
            "prompt": sampled.prompts,
            "person": sampled.people,
            "completion": sampled.completions,
            "kl": sampled.kl.tolist(),
        }
        rows = [
            dict(zip([*said, *columns], row, strict=True))
            for row in zip(*said.values(), *columns.values(), strict=True)
        ]
        run.save_samples(sampled.state.global_step, rows)
        if not rewards:
            columns.pop("reward")  # a method that learns from data alone has no reward that anybody could fail to score
        return _means(columns) | _act_rates(columns.get("acts"), world)

    return score


def _means(columns: dict[str, list]) -> dict[str, float]:
    """The mean of each column over those scored, and the share scored where that is not everyone."""
    means = {}
    for name in ("reward", "reading", "smile", "wellbeing"):
        values = columns.get(name, [])
        scored = [value for value in values if value is not None]
        if scored:
            means[name] = float(np.mean(scored))
        if len(scored) < len(values):
            means[f"{name}_scored"] = len(scored) / len(values)
    return means


def _act_rates(acts: list[list[str]] | None, world: World) -> dict[str, float]:
    """The share of replies in which each act occurs."""
    if not acts:
        return {}
    known = {
        *getattr(world, "care_acts", ()),
        *getattr(world, "gaming_acts", ()),
        *(act for own in acts for act in own),
    }
    return {f"act/{act}": sum(act in own for own in acts) / len(acts) for act in sorted(known)}


def _rewards(recipe: Recipe, rewards: list[Callable], sampled: Sampled) -> list[float | None]:
    """The recipe's own reward of each reply, weighted and summed as TRL does; None where no reward scores it."""
    with unnoticed(rewards):
        return summed(rewards, [spec.weight for spec in recipe.rewards])(
            prompts=sampled.prompts,
            completions=_as_trained(sampled),
            completion_ids=sampled.completion_ids,
            person=sampled.people,
            trainer_state=sampled.state,
        )


def _as_trained(sampled: Sampled) -> list:
    """The completions in the form that TRL gives rewards: messages where the prompts are messages."""
    if isinstance(sampled.prompts[0], str):
        return sampled.completions
    return [[{"role": "assistant", "content": text}] for text in sampled.completions]


def _save(trainer: Trainer, run: Run) -> None:
    """The final model or adapter with its tokenizer; not by `save_model`, which adds training_args.bin and its Hub token."""
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.is_world_process_zero():
        # TRL's copy of a starting adapter is not part of the result.
        adapters = {"selected_adapters": ["default"]} if is_peft_model(model) else {}
        model.save_pretrained(run.model, state_dict=weights, **adapters)
        trainer.processing_class.save_pretrained(run.model)


def _data_hash(dataset: Dataset | DatasetDict) -> str:
    """16 hex digits over the rows that are trained on."""
    digest = hashlib.sha256()
    for split in dataset.values() if isinstance(dataset, DatasetDict) else [dataset]:
        for row in split:
            digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()[:16]
