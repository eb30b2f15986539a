"""One recipe, one run: build what it names, train sealed off from outcomes, watch held-out people, keep the result.

    run = run_recipe(load_recipe("recipes/smileworld/rloo_sentiment.yaml", {"seed": 1}))

Models that a recipe names by *their* recipe are built on first use and kept in `paths.cache_dir()`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object, is_peft_model
from datasets import Dataset, DatasetDict
from transformers import Trainer, set_seed

from smilerl import chat_models, worlds
from smilerl.config import trl_refusals
from smilerl.config.recipe import Recipe
from smilerl.config.trl_refusals import REFUSALS, telling
from smilerl.data import preferences
from smilerl.io import paths
from smilerl.models import cached, reference
from smilerl.rewards import Reward, build_rewards
from smilerl.rewards._summed import Together
from smilerl.runs import checkpoints, launch, lineage, ownership
from smilerl.runs.directory import Run, finished_run
from smilerl.training import data, fit, methods, model_check, observers, recipe_check, sharding, supply, weights
from smilerl.training.gold_log import scorer
from smilerl.training.observers.base import Watched
from smilerl.training.progress import Progress, hushed, say, title
from smilerl.training.recipe_check import load_recipe
from smilerl.training.resume import Checkpoints, by_time, train
from smilerl.training.shipped import adopt
from smilerl.training.trl_adapter.adapters import frozen_base
from smilerl.training.trl_adapter.shared_prompt import NOTHING, SharedPrompt
from smilerl.training.trl_adapter.trackers import Trackers
from smilerl.worlds.base import EvaluationKey, World, sealed


@dataclass(frozen=True)
class _Parts:
    """All that one run is made of.

    Attributes:
        recipe: with directories in place of models, and a file in place of pairs that its rewards made.
        dataset: the rows to train on; for a reward model those to test on, too.
        key: opens outcomes, to log how held-out people fare.
        progress: whether to show how it goes.
    """

    recipe: Recipe
    run: Run
    world: World
    rewards: list[Reward]
    dataset: Dataset | DatasetDict
    key: EvaluationKey
    progress: bool


def run_recipe(recipe: Recipe, *, progress: bool = True) -> Run:
    """The finished run of a recipe, in its `output_dir`; trains only what is not finished, from its newest checkpoint.

    Args:
        recipe: as `load_recipe` gives it.
        progress: a bar on a terminal, else a few lines on standard error; False: neither.

    Raises:
        RunError: another process trains there, or another recipe has.
        RecipeError: a model that it names is not on the Hub, or gated; nothing has been written then.
        OutcomeSealed: a reward reached for an outcome through no channel that it declares.
        Interrupted: it was asked to stop (SIGTERM, SIGUSR1, Ctrl-C) and has saved where it was.
    """
    done = finished_run(recipe)
    if done is not None:
        return done
    ownership.check_run_folder(recipe)
    trl_refusals.check_here(recipe)
    paths.cache_dir()  # refuses a wrong SMILERL_CACHE before anything is written
    reference.fetch_all(recipe, model_check.named_models(recipe))
    with _own_run(recipe) as run:
        if run.finished:
            return run
        world = _world(recipe)
        recipe = reference.with_models(recipe, partial(build, progress=progress))
        recipe_check.check_tokenizer(recipe)
        unwatched = sharding.why_unwatched(recipe)
        set_seed(recipe.seed)
        spent = chat_models.usage()
        rewards = _rewards(recipe, world)
        with hushed(), _sealed(recipe, rewards, making_data=True), telling(recipe, "world.args"):
            recipe = data.with_pairs(recipe, run, world, rewards, progress)
            dataset = methods.method(recipe.method).dataset(recipe, world)
        parts = _Parts(recipe, run, world, rewards, dataset, EvaluationKey(), progress)
        _note(parts, unwatched)
        with hushed(), telling(recipe, "policy.model_name_or_path", weights.MODEL_FIX):
            fit.before_loading(recipe, world, dataset)
        with hushed(), _counted(run, spent), _sealed(recipe, rewards, parts.key):
            (_measure if methods.optional(recipe, "measure") else _train)(parts)
        if PartialState().is_main_process:
            run.finish()
            if by_time(recipe.training):  # nobody asked for them: they were there to resume from
                checkpoints.keep_last(run.checkpoints, 0)
    return run


def build(file: Path, progress: bool = True) -> Path:
    """The model of a recipe file: from the cache, from the package, or trained now; what `models.reference` calls."""
    train = partial(run_recipe, progress=progress)
    return cached.built(load_recipe(file), train, adopt, progress=progress).model


@contextmanager
def _own_run(recipe: Recipe) -> Iterator[Run]:
    """The run, made by the main process; the others of a distributed launch read it."""
    # By default, accelerate takes each of several processes without a GPU for the only one.
    state = PartialState(cpu=bool(recipe.training.get("use_cpu")))
    with ExitStack() as stack:
        if state.is_main_process:
            run = stack.enter_context(Run.create(recipe))
            for said in launch.unmet(state.num_processes):
                say(recipe, said)
        state.wait_for_everyone()
        yield run if state.is_main_process else Run.open(recipe.output_dir)
        state.wait_for_everyone()


def _world(recipe: Recipe) -> World:
    """The recipe's world. Checks that the chat model of its people is reachable before loading any weights."""
    with telling(recipe, "world.args"):
        world = worlds.build(recipe.world.name, **recipe.world.args)
    if PartialState().is_main_process:
        world.check()
    return world


def _rewards(recipe: Recipe, world: World) -> list[Reward]:
    """The recipe's rewards, built; their models are loaded when they are first asked."""
    with hushed(), _sealed(recipe, making_data=True), telling(recipe, "world.args"):
        columns = supply.columns(recipe, world)
    with _sealed(recipe, making_data=True):  # building a reward may run the user's code
        rewards = build_rewards(recipe.rewards, recipe.seed, world, columns)
        if sharding.sharded(recipe):
            return [sharding.WithWholeModels(reward) for reward in rewards]
    return rewards


@contextmanager
def _sealed(
    recipe: Recipe, rewards: Sequence[Reward] = (), key: EvaluationKey | None = None, *, making_data: bool = False
) -> Iterator[None]:
    """Outcomes are closed but for the channels of these rewards, and while data is made for those of the method."""
    open_here = [*(methods.data_channels(recipe) if making_data else ()), *_channels(rewards)]
    with sealed(title(recipe), open_here, key):
        yield


def _channels(rewards: Sequence[Reward]) -> list[str]:
    """The channels through which these rewards see outcomes."""
    return sorted({name for reward in rewards for name in reward.channels})


def _note(parts: _Parts, unwatched: str | None) -> None:
    """Writes what is known before training into the manifest; refuses too little data, or other data than before."""
    recipe, run = parts.recipe, parts.run
    account = supply.refuse(recipe, parts.world, parts.dataset)
    data_hash = data.data_hash(parts.dataset)
    data.refuse_other(run, data_hash)
    if not PartialState().is_main_process:
        return
    by_rewards = {name for reward in parts.rewards for name in reward.learnt_from}
    named = model_check.named_models(recipe)
    by_base = lineage.of_model(recipe.policy.model_name_or_path)
    # `channels` are open in this run; through those of `learnt_from` outcomes reached its base, its data or a reward
    # model before.
    run.note(
        channels=sorted({*_channels(parts.rewards), *methods.data_channels(recipe)}),
        learnt_from=sorted(by_rewards.union(preferences.learnt_from(recipe), by_base)),
        data_hash=data_hash,
        data=account,
        hub=reference.commits(named),
        gguf=reference.gguf_files(run.recipe, model_check.named_models(run.recipe)),
    )
    if unwatched:
        run.note(unwatched=unwatched)
        say(recipe, unwatched)


@contextmanager
def _counted(run: Run, spent: dict) -> Iterator[None]:
    """Adds the use of chat models to that of earlier attempts in the manifest, also where this attempt is stopped."""
    asked = None
    try:
        yield
        asked = gather_object([chat_models.usage(since=spent)])
    finally:
        asked = asked or [chat_models.usage(since=spent)]  # the other processes may be anywhere by now
        total = chat_models.total([run.manifest.get("speakers", {}), *asked])
        if PartialState().is_main_process and total:
            run.note(speakers=total)


def _measure(parts: _Parts) -> None:
    """The run of a method that trains nothing; the main process makes it alone."""
    if PartialState().is_main_process:
        recipe, run = parts.recipe, parts.run
        run.note(launch=launch.facts(recipe, None))
        measure = methods.optional(recipe, "measure")
        measure(recipe, run, parts.world, parts.dataset, parts.rewards, parts.key)


def _train(parts: _Parts) -> None:
    """Trains, measures the data to test on where there is some, and saves the model."""
    recipe, run = parts.recipe, parts.run
    asked = Together.of(parts.rewards, recipe.rewards)
    trainer = _trainer(parts, asked)
    fit.after_tokenizing(recipe, trainer)
    if PartialState().is_main_process:
        run.note(launch=launch.facts(recipe, trainer))
    with Trackers(trainer, run):
        train(trainer)
        asked.refuse_unlearnt()
        if isinstance(trainer, SharedPrompt) and PartialState().is_main_process:
            run.note(shared_prompt=trainer.standing or NOTHING)
        if trainer.eval_dataset is not None:
            _evaluate(parts, trainer)
    weights.save(trainer, run)


def _trainer(parts: _Parts, asked: Together) -> Trainer:
    """The trainer with its observers; held-out people are sampled only where each process has the whole model."""
    recipe, run = parts.recipe, parts.run
    watched = supply.meets_held_out(recipe) and sharding.sharded(recipe) is None
    policy = weights.initial(recipe, run, parts.world)
    if recipe.policy.config is not None:
        fit.policy(recipe, parts.world, parts.dataset, policy.tokenizer, policy.model.config)
    initial = None
    if watched and not (methods.keeps_base(recipe) or is_peft_model(policy.model)):
        initial = copy.deepcopy(policy.model).eval().requires_grad_(False)
    bar = Progress(title(recipe)) if parts.progress else None
    saves: dict[str, Any] = {
        "by_time": by_time(recipe.training),
        "goes_on_from": run.goes_on_from,
        "before_sealing": run.sync,
    }
    saving = Checkpoints(run.checkpoints, asked.with_state(), **saves)

    def write(row: dict) -> None:
        run.log(row)
        if bar is not None:
            bar.show(row)

    with telling(recipe, also=REFUSALS):
        trainer = methods.make_trainer(
            recipe,
            policy=policy,
            dataset=parts.dataset,
            reward_funcs=asked.functions,
            callbacks=[saving] if bar is None else [saving, bar],
            output_dir=run.checkpoints,
        )
    saving.bind(trainer)
    if isinstance(trainer, SharedPrompt) and parts.progress:
        trainer.tell = lambda why: say(recipe, f"each row reads its prompt, which takes longer: {why}")
    base = frozen_base(trainer, initial) if watched else None
    score = scorer(recipe, parts.world, asked.rewards, run, parts.key, asked.clock)
    for observer in observers.built(Watched(recipe, parts.world, trainer, write, base, score)):
        trainer.add_callback(observer)
    return trainer


def _evaluate(parts: _Parts, trainer: Trainer) -> None:
    """Measures the data to test on; where a method does it itself, logs its numbers with their intervals."""
    evaluate = methods.optional(parts.recipe, "evaluate")
    if evaluate is None:
        trainer.evaluate()
        return
    found = evaluate(trainer, parts.dataset)
    if PartialState().is_main_process:
        parts.run.log({"step": trainer.state.global_step, **found})
        if parts.progress:
            say(parts.recipe, methods.method(parts.recipe.method).told(found))
