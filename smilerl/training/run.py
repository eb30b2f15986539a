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

from accelerate import PartialState
from accelerate.utils import gather_object, is_peft_model
from datasets import Dataset, DatasetDict
from transformers import Trainer, set_seed

from smilerl import chat_models, worlds
from smilerl.config import elsewhere, trl_refusals
from smilerl.config.nesting import nested
from smilerl.config.recipe import PolicySpec, Recipe
from smilerl.config.trl import FORM_OF
from smilerl.config.trl_refusals import REFUSALS, telling
from smilerl.data import pairs, preferences
from smilerl.io import paths
from smilerl.io.terminal import printable
from smilerl.models import cached
from smilerl.models.chat_template import set_defaults
from smilerl.models.hub import fetch, ids
from smilerl.models.policy import Policy, load_policy, load_tokenizer, told_of
from smilerl.rewards import build_rewards
from smilerl.rewards._loading import save_trained_as
from smilerl.rewards._together import Together
from smilerl.runs import checkpoints, launch, lineage, ownership
from smilerl.runs.directory import Run, RunError, finished_run
from smilerl.runs.identity import content_hash
from smilerl.training import baseline, fit, methods, recipe_check, sharding, supply
from smilerl.training.observers.callbacks import HeldOut, Metrics, Progress, frozen_base, hushed
from smilerl.training.observers.gold_log import scorer
from smilerl.training.observers.trackers import Trackers
from smilerl.training.recipe_check import load_recipe
from smilerl.training.resume import Checkpoints, by_time, train
from smilerl.worlds.base import EvaluationKey, World, sealed

_MODEL_FIX = "Write a directory, a recipe or a Hub id (org/name); a gated one is asked for on its page and wants `hf auth login`."
_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers")


def run_recipe(recipe: Recipe, *, progress: bool = True) -> Run:
    """The finished run of a recipe, in its `output_dir`; trains only if it is not finished already, from its newest checkpoint.

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
    paths.cache_dir()  # a wrong SMILERL_CACHE is told before anything is written
    _fetch_models(recipe)
    with _own_run(recipe) as run:
        if not run.finished:
            with telling(recipe, "world.args"):
                world = worlds.build(recipe.world.name, **recipe.world.args)
            # Whoever plays its people is asked first: not to be able to reach them should cost no minutes of loading.
            if PartialState().is_main_process:
                world.check()
            recipe = with_models(recipe, progress=progress)
            recipe_check.check_tokenizer(recipe)
            _train(recipe, run, world, progress)
    return run


def model_dir(name: str | Path, *, beside: str | Path | None = None, progress: bool = True) -> Path:
    """The directory of a model given by its recipe (built on first use), its run, the directory itself, or its id on the Hub.

    Args:
        name: `*.yaml`, a run directory, a model directory, or `org/name`, `org/name@revision`, which is fetched.
        beside: the file that mentions it.
    """
    found = paths.find(name, beside)
    if found is None:
        return fetch.fetch(str(name)) if ids.parse(str(name)) else Path(name)
    if found.suffix in (".yaml", ".yml"):
        if not paths.is_shared(found):
            elsewhere.refuse(str(name), "built")
        with nested(found, "build"):
            return _built(load_recipe(found), progress).model
    if not (found / "status.json").is_file():
        return found
    run = Run(found)
    if not run.finished:
        raise RunError(
            f"{found}: this run is {run.state}, so it has no final model.\n    Train it first, or name another."
        )
    run.check("manifest.json")
    return run.model


def with_models(recipe: Recipe, *, progress: bool = True) -> Recipe:
    """The recipe with directories in place of the models that it names by recipe or Hub id, each built or fetched if it has to be."""
    policy, base = recipe.policy, recipe.policy.model_name_or_path
    if base is not None:
        base = str(model_dir(base, beside=recipe.source, progress=progress))
    rewards = tuple(
        dataclasses.replace(reward, args=resolved(reward.args, recipe.source, progress)) for reward in recipe.rewards
    )
    return dataclasses.replace(recipe, policy=dataclasses.replace(policy, model_name_or_path=base), rewards=rewards)


def resolved(value: Any, source: str = "", progress: bool = True) -> Any:
    """A reward's arguments with directories in place of models: of their recipes, and of ids on the Hub under `model`.

    Args:
        source: the file that names them.
    """
    if isinstance(value, dict):
        return {
            key: _fetched(item, source, progress) if key == "model" else resolved(item, source, progress)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [resolved(item, source, progress) for item in value]
    if isinstance(value, str) and value.endswith((".yaml", ".yml")) and paths.find(value, source):
        return str(model_dir(value, beside=source, progress=progress))
    return value


def _fetched(model: Any, source: str, progress: bool) -> Any:
    on_hub = isinstance(model, str) and ids.looks_like(model) and paths.find(model, source) is None
    return str(model_dir(model)) if on_hub else resolved(model, source, progress)


def load(name: str, spoken: PolicySpec | None = None, *, device: str | None = None) -> Policy:
    """The policy that a name means, as `model_dir` finds it; reports call it by that name.

    An adapter's base on the Hub is fetched in the revision that the adapter says.

    Args:
        spoken: a recipe's policy, in whose precision it is loaded and as which it is spoken to; by itself, and in float32, when None.
    """
    from peft import PeftModel

    folder, spoken = model_dir(name), spoken or PolicySpec()
    base = fetch.base_on_hub(folder)
    with told_of(name):
        policy = load_policy(folder if base is None else fetch.fetch(base), dtype=spoken.dtype, device=device)
        model, tokenizer = policy.model, policy.tokenizer
        if base is not None:
            model = PeftModel.from_pretrained(model, folder).eval()
            tokenizer = load_tokenizer(str(folder)) if (folder / "tokenizer_config.json").is_file() else tokenizer
    set_defaults(tokenizer, spoken.chat_template_kwargs)
    return Policy(model, tokenizer, name)


def _fetch_models(recipe: Recipe) -> None:
    """Fetches the models on the Hub that a recipe names, so that a missing or gated one is told before anything is written.

    Raises:
        RecipeError: with the line that names it.
    """
    for key, name in recipe_check.named_models(recipe):
        if ids.looks_like(name) and paths.find(name, recipe.source) is None:
            try:
                fetch.fetch(name)
            except ids.HubError as error:
                text, _, fix = str(error).partition("\n")
                raise recipe.error(".".join(map(str, key)), text, fix.strip()) from None


def _built(recipe: Recipe, progress: bool) -> Run:
    """The finished run of a recipe in the cache. Two processes that need it do not build it twice."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    parts = [content_hash(recipe), versions]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    folder = paths.cache_dir() / "models" / f"{Path(recipe.source).stem}-{digest}"
    recipe = dataclasses.replace(recipe, output_dir=str(folder))
    run = Run(folder)
    if cached.damage(folder) is None and run.finished_as(
        recipe
    ):  # also in a cache that is read-only, where nothing could be locked
        return run
    with paths.cache_lock(folder.with_name(f"{folder.name}.lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Hashed again on purpose: while the lock was waited for, another process may have built it, or a file may have changed.
        run, wrong = Run(folder), cached.damage(folder)
        if wrong is None and run.finished_as(recipe):
            return run
        if PartialState().num_processes > 1:
            raise RunError(
                f"{recipe.source} has to be built first, which several processes cannot do together.\n"
                f"Run: python -m smilerl.train --config {recipe.source} --output_dir {folder}"
            )
        if wrong is not None:
            cached.clear(folder, wrong)
        if progress:
            print(
                printable(f"{recipe.source}: trained on first use, and kept in {folder}"), file=sys.stderr, flush=True
            )
        return run_recipe(recipe, progress=progress)


@contextmanager
def _own_run(recipe: Recipe) -> Iterator[Run]:
    """The run, made by the main process; the others of a distributed launch read it."""
    # Unless it is told, accelerate takes each of several processes without a GPU for the only one.
    state = PartialState(cpu=bool(recipe.training.get("use_cpu")))
    with ExitStack() as stack:
        if state.is_main_process:
            run = stack.enter_context(Run.create(recipe))
            for said in launch.unmet(state.num_processes):
                print(printable(f"{_title(recipe)}  {said}"), file=sys.stderr, flush=True)
        state.wait_for_everyone()
        yield run if state.is_main_process else Run.open(recipe.output_dir)
        state.wait_for_everyone()


def _train(recipe: Recipe, run: Run, world: World, progress: bool) -> None:
    unwatched = sharding.why_unwatched(recipe)
    set_seed(recipe.seed)
    arm, method = _title(recipe), methods.method(recipe.method)
    making_data, spent = methods.data_channels(recipe), chat_models.usage()
    with hushed(), sealed(arm, making_data), telling(recipe, "world.args"):
        columns = supply.columns(recipe, world)
    with sealed(arm, making_data):  # building a reward may run the user's code
        rewards = build_rewards(recipe.rewards, recipe.seed, world, columns)
        if sharding.sharded(recipe):
            rewards = [sharding.with_whole_models(reward) for reward in rewards]
    channels = sorted({name for reward in rewards for name in reward.channels})
    by_rewards = {name for reward in rewards for name in getattr(reward, "learnt_from", ())}
    by_base = lineage.of_model(recipe.policy.model_name_or_path)
    learnt_from = sorted(by_rewards.union(preferences.learnt_from(recipe), by_base))
    with hushed(), sealed(arm, (*making_data, *channels)), telling(recipe, "world.args"):
        recipe = _with_pairs(recipe, run, world, rewards, progress)
        dataset = method.dataset(recipe, world)
    account = supply.refuse(recipe, world, dataset)
    data_hash = _data_hash(dataset)
    _refuse_other_data(run, data_hash)
    if PartialState().is_main_process:
        # `channels` are open in this run; through those of `learnt_from` outcomes reached its base, its data or a reward model before.
        run.note(
            channels=sorted({*channels, *making_data}),
            learnt_from=learnt_from,
            data_hash=data_hash,
            data=account,
            hub=_commits(recipe),
        )
        if unwatched:
            run.note(unwatched=unwatched)
            print(printable(f"{arm}  {unwatched}"), file=sys.stderr, flush=True)
    with hushed(), telling(recipe, "policy.model_name_or_path", _MODEL_FIX):
        fit.before_loading(recipe, world, dataset)
    key = EvaluationKey()
    with hushed(), _counted(run, spent):
        if recipe.method == "best_of_n":
            if PartialState().is_main_process:  # there is nothing for the others to do
                run.note(launch=launch.facts(recipe, None))
                with sealed(arm, channels, key):
                    baseline.measure(recipe, run, world, dataset, rewards, key)
        else:
            with sealed(arm, channels, key):
                asked = Together.of(rewards, recipe.rewards)
                trainer = _trainer(recipe, run, world, dataset, asked, progress, key)
                fit.after_tokenizing(recipe, trainer)
                if PartialState().is_main_process:
                    run.note(launch=launch.facts(recipe, trainer))
                with Trackers(trainer, run):
                    train(trainer)
                    asked.refuse_unlearnt()
                    if trainer.eval_dataset is not None:
                        _evaluate(recipe, trainer, dataset, run, progress)
            _save(trainer, run)
    if PartialState().is_main_process:
        run.finish()
        if by_time(recipe.training):  # nobody asked for them: they were there to go on from
            checkpoints.keep_last(run.checkpoints, 0)


@contextmanager
def _counted(run: Run, spent: dict) -> Iterator[None]:
    """Adds what chat models are asked to what the manifest says of earlier attempts, also where this one is stopped."""
    asked = None
    try:
        yield
        asked = gather_object([chat_models.usage(since=spent)])
    finally:
        asked = asked or [chat_models.usage(since=spent)]  # the other processes may be anywhere by now
        total = chat_models.total([run.manifest.get("speakers", {}), *asked])
        if PartialState().is_main_process and total:
            run.note(speakers=total)


def _evaluate(recipe: Recipe, trainer: Trainer, dataset, run: Run, progress: bool) -> None:
    """How it fares with the data to test on; where a method measures it itself, its numbers with their intervals."""
    own = getattr(methods.method(recipe.method), "evaluate", None)
    if own is None:
        trainer.evaluate()
        return
    found = own(trainer, dataset)
    if PartialState().is_main_process:
        run.log({"step": trainer.state.global_step, **found})
        if progress:
            print(printable(f"{_title(recipe)}  {_agreed(found)}"), file=sys.stderr, flush=True)


def _agreed(found: dict[str, float | None]) -> str:
    """The accuracy on held-out pairs, for the screen."""
    value, low, high = (found[f"eval_accuracy{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return (
            f"none of {found['eval_pairs_of']} held-out pairs is short enough to be scored: raise training.max_length"
        )
    return (
        f"accuracy {value:.3f} [{low:.3f}, {high:.3f}] on {found['eval_pairs']} of {found['eval_pairs_of']} held-out pairs; "
        f"preferring the shorter reply: {found['eval_shorter']:.3f}"
    )


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
            print(printable(f"{_title(recipe)}  {made}"), file=sys.stderr, flush=True)
    PartialState().wait_for_everyone()
    args = {"path": str(path), "max_completion_length": preferences.completion_length(recipe)}
    # `data.n` was how many people were asked, who may have given more rows or fewer: all are used.
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, args=args, n=pairs.count(path)))


def _title(recipe: Recipe) -> str:
    return f"{Path(recipe.source).stem} (seed {recipe.seed})"


def _trainer(
    recipe: Recipe, run: Run, world: World, dataset, asked: Together, progress: bool, key: EvaluationKey
) -> Trainer:
    """The trainer with all that watches it; held-out people only where each process has the whole model."""
    talks = methods.has_base(recipe)
    watched = talks and sharding.sharded(recipe) is None
    policy = _policy(recipe, run, world, talks)
    if recipe.policy.config is not None:
        fit.policy(recipe, world, dataset, policy.tokenizer, policy.model.config)
    initial = None
    if watched and not (methods.keeps_base(recipe) or is_peft_model(policy.model)):
        initial = copy.deepcopy(policy.model).eval().requires_grad_(False)
    bar = Progress(_title(recipe))
    saving = Checkpoints(
        run.checkpoints,
        asked.with_state(),
        by_time=by_time(recipe.training),
        goes_on_from=run.goes_on_from,
        before_sealing=run.sync,
    )

    def write(row: dict) -> None:
        run.log(row)
        if progress:
            bar.show(row)

    renamed = getattr(methods.method(recipe.method), "RENAMED", None)
    with telling(recipe, also=REFUSALS):
        trainer = methods.make_trainer(
            recipe,
            policy=policy,
            dataset=dataset,
            reward_funcs=asked.functions,
            callbacks=[saving, Metrics(write, renamed), *([bar] if progress else [])],
            output_dir=run.checkpoints,
        )
    saving.bind(trainer)
    # Where TRL measures no KL it is measured at least once, at the end.
    if watched and (recipe.held_out.every or not methods.logs_kl(recipe)):
        held_out = recipe.held_out
        watch = HeldOut(
            world.people(held_out.split, held_out.n, held_out.seed),
            every=held_out.every,
            tokenizer=policy.tokenizer,
            max_new_tokens=methods.completion_length(recipe),
            base=frozen_base(trainer, initial),
            score=scorer(recipe, world, asked.rewards, run, key, asked.clock),
            write=write,
            seed=held_out.seed,
        )
        trainer.add_callback(watch)
    return trainer


def _policy(recipe: Recipe, run: Run, world: World, talks: bool) -> Policy:
    """What is trained. TRL's reference model and an adapter's base are found by path, so a fresh policy gets one."""
    key, fix = ("policy.config", "") if recipe.policy.config else ("policy.model_name_or_path", _MODEL_FIX)
    with telling(recipe, key, fix, also=(*REFUSALS, KeyError)):
        policy = methods.method(recipe.method).policy(recipe, world)
        words, tokens = policy.model.get_input_embeddings().num_embeddings, len(policy.tokenizer)
        if recipe.policy.config and words < tokens:
            raise ValueError(f"vocab_size is {words}, and the tokenizer has {tokens} tokens: leave vocab_size out")
    with telling(recipe, "policy.chat_template_kwargs"):
        set_defaults(policy.tokenizer, recipe.policy.chat_template_kwargs)
    if recipe.policy.config is None or not (talks or recipe.policy.peft):
        return policy
    initial = run.path / "initial"
    if PartialState().is_main_process:
        cached.keep_initial(policy, run, initial)
    PartialState().wait_for_everyone()
    return load_policy(initial, dtype=recipe.policy.dtype)


def _save(trainer: Trainer, run: Run) -> None:
    """The final model or adapter with its tokenizer; not by `save_model`, which adds training_args.bin and its Hub token."""
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.is_world_process_zero():
        # TRL's copy of a starting adapter is not part of the result.
        adapters = {"selected_adapters": ["default"]} if is_peft_model(model) else {}
        model.save_pretrained(run.model, state_dict=weights, **adapters)
        _name_base(run.model / "adapter_config.json")
        save_trained_as(run.model, model.config)
        trainer.processing_class.save_pretrained(run.model)


def _commits(recipe: Recipe) -> dict[str, str]:
    """The commits of the models that came from the Hub, by id: a name alone means another model tomorrow."""
    found = [fetch.cached_id(name) for _, name in recipe_check.named_models(recipe)]
    return {one.repo: str(one.revision) for one in found if one is not None}


def _name_base(path: Path) -> None:
    """Lets an adapter whose base is on the Hub say so, with the commit, and not where the cache of this machine has it."""
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    base = fetch.cached_id(config.get("base_model_name_or_path") or "")
    if base is not None:
        config |= {"base_model_name_or_path": base.repo, "revision": base.revision}
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _refuse_other_data(run: Run, now: str) -> None:
    """Raises RunError where a run would go on from a checkpoint on other data than it began with."""
    before = run.manifest.get("data_hash")
    if run.goes_on_from is not None and before not in (None, now):
        raise RunError(
            f"{run.path} would go on from {run.goes_on_from.name} on other data than it began with ({before} → {now}).\n"
            "Put the data back, or give another --output_dir."
        )


def _data_hash(dataset: Dataset | DatasetDict) -> str:
    """16 hex digits over the rows that are trained on."""
    digest = hashlib.sha256()
    for split in dataset.values() if isinstance(dataset, DatasetDict) else [dataset]:
        for row in split:
            digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()[:16]
