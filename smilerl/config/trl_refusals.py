"""What TRL, transformers and peft refuse of a recipe's settings, found out before a model loads and told at the
setting's line.

The method's TRL config is made, which checks much; what only a trainer checks, some of it minutes later, is looked at
here: packages that are not installed, files that are not there, words that are none of a choice, optimizers and
    schedules, evaluations without data.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smilerl.config.recipe import Recipe
from smilerl.config.trl import config_class
from smilerl.config.validation import key_named
from smilerl.config.yaml_lines import Problem, did_you_mean
from smilerl.io import bounded, errors, places
from smilerl.io.terminal import named

#: Settings that need a package: what is imported, and what pip calls it.
_PACKAGES = {
    "use_vllm": ("vllm", "vllm"),
    "use_liger_kernel": ("liger_kernel", "liger-kernel"),
    "deepspeed": ("deepspeed", "deepspeed"),
}
#: Choices that TRL names in no place that a program can read.
_CHOICES = {
    "scale_rewards": ("group", "batch", "none"),
    "importance_sampling_level": ("token", "sequence"),
    "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    "vllm_mode": ("server", "colocate"),
}
#: Methods with data to evaluate on while they train.
_EVALUATED = ("reward",)
#: What transformers calls a tracker in the function that looks for its package, where that differs.
_TRACKERS = {"azure_ml": "azureml", "comet_ml": "comet", "flyte": "flytekit"}
_ON_CPU = "To train on a CPU, write `use_cpu: true`, `bf16: false` and `gradient_checkpointing: false` under training."
#: What libraries raise where they refuse a setting.
REFUSALS = (ValueError, TypeError, ImportError, RuntimeError, OSError)


def problems(recipe: Recipe) -> list[Problem]:
    """What the libraries refuse of a recipe's settings on any machine; loads nothing."""
    said = recipe.training
    if recipe.method == "best_of_n":
        return []
    found = [*_unknown_words(recipe), *_unread_files(said), *_evaluations(recipe), *_unknown_trackers(said)]
    found += [*_sampling(said), *_without_a_gpu(said), *_checkpointing(said), *_columns(recipe)]
    if found:
        return found
    try:
        with _hushed():
            # The device is looked at where it trains (`check_here`): recipes for GPUs are checked on machines without
            # one.
            _try_schedule(said, _made(recipe, {"use_cpu": True, "tf32": None}))
    except (*REFUSALS, AttributeError, KeyError) as error:
        return [_problem(recipe, error)]
    return []


def check_here(recipe: Recipe) -> None:
    """Whether this machine can do what the settings ask of it, before anything is written or loaded.

    Raises:
        RecipeError: it cannot: a package is not installed, or there is no GPU that knows bf16.
    """
    said = recipe.training
    found = list(_missing_attention(recipe))
    if recipe.method != "best_of_n":
        found += [*_missing_packages(said), *_missing_trackers(said), *_without_a_gpu(said, here=True)]
        try:
            with _hushed():
                _try_optimizer(said, _made(recipe, {}))
        except REFUSALS as error:
            problem = _problem(recipe, error)
            found.append(problem._replace(fix=_ON_CPU) if "bf16" in problem.text else problem)
    if found:
        raise recipe.lines.error(*found)


@contextmanager
def telling(
    recipe: Recipe, key: str = "training", fix: str = "", also: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """What a library, data or a model turns out to refuse is told as a mistake in the recipe.

    Args:
        key: dotted, of what is read or made; the mistake is placed at the setting below it that the refusal names, if
            it names one.
        fix: what to write instead.
        also: errors that are told besides ValueError and OSError, such as `REFUSALS`.

    Raises:
        RecipeError: as said. Errors for users, want of memory and a full disk pass as they are.
    """
    kinds: tuple[type[Exception], ...] = (ValueError, OSError, *also)
    try:
        yield
    except errors.UserError:
        raise
    except kinds as error:
        if errors.is_memory(error) or errors.is_of_machine(error):
            raise
        raise recipe.lines.error(_problem(recipe, error, key, fix)) from error


def _problem(recipe: Recipe, error: BaseException, key: str = "training", fix: str = "") -> Problem:
    first, *more = str(error).strip().splitlines() or [""]
    if isinstance(error, TypeError | KeyError | AttributeError) or not first:  # whose text alone says little
        first = named(error, first)
    text, place = " ".join([first, *more]), tuple(key.split("."))
    settings: Any = recipe.to_dict()
    for part in place:
        settings = settings.get(part) or {}
    where = key_named(text, settings, place) if isinstance(settings, dict) else place
    if where == ("training",) and recipe.policy.peft:
        in_peft = key_named(text, recipe.policy.peft, ("policy", "peft"))
        where = in_peft if len(in_peft) > 2 else where
    return Problem(where, first, " ".join([*more, fix]).strip())


def _made(recipe: Recipe, instead: Mapping[str, Any]) -> Any:
    """The TRL config of a recipe, without a device or a process group, which making one would set up."""
    import torch

    config = config_class(recipe.method)
    alone = {"_setup_devices": torch.device("cpu"), "_n_gpu": 0, "distributed_state": None}
    bare = type(config.__name__, (config,), {**alone, "world_size": int(os.environ.get("WORLD_SIZE") or 1)})
    settings = {key: value for key, value in {**recipe.training, **instead}.items() if key != "deepspeed"}
    quiet = {"report_to": "none", "save_strategy": "steps" if "save_steps" in settings else "no"}
    return bare(**{**quiet, **settings, "output_dir": "none", "seed": recipe.seed})


@contextmanager
def _hushed() -> Iterator[None]:
    """Without warnings, and without what a launcher asks of DeepSpeed, which would be set up."""
    asked = os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if asked is not None:
            os.environ["ACCELERATE_USE_DEEPSPEED"] = asked


def _missing_packages(said: Mapping[str, Any]) -> Iterator[Problem]:
    for name, (module, pip) in _PACKAGES.items():
        if said.get(name) and importlib.util.find_spec(module) is None:
            text = f"training.{name} needs the package {pip}, which is not installed."
            yield Problem(("training", name), text, f"Run `pip install {pip}`, or delete `{name}:`.")


def _unknown_words(recipe: Recipe) -> Iterator[Problem]:
    """Words that are none of a setting's choices, where TRL types them as any text."""
    for field in dataclasses.fields(config_class(recipe.method)):
        value = recipe.training.get(field.name)
        choices = _choices(field)
        for word in value if isinstance(value, list) else [value]:
            if choices and isinstance(word, str) and word not in choices:
                yield Problem(
                    ("training", field.name), f"training.{field.name} is '{word}'. {did_you_mean(word, choices)}"
                )


def _choices(field: dataclasses.Field) -> tuple[str, ...]:
    """The words that a setting may be, as TRL says them in its metadata or in its help; () where it says none."""
    if field.name in _CHOICES:
        return _CHOICES[field.name]
    if field.metadata.get("choices"):
        return tuple(str(choice) for choice in field.metadata["choices"])
    listed = re.search(r"(?:Possible|Supported) values are:? ([^.]*)\.", str(field.metadata.get("help", "")))
    words = tuple(re.findall(r"'(\w+)'", listed[1])) if listed else ()
    default = field.default_factory() if callable(field.default_factory) else field.default
    defaults = default if isinstance(default, list) else [default]
    return words if words and all(word in words for word in defaults if isinstance(word, str)) else ()


def _unread_files(said: Mapping[str, Any]) -> Iterator[Problem]:
    """Settings that are a mapping, or the JSON file that holds one."""
    for name in ("deepspeed", "accelerator_config", "fsdp_config"):
        value = said.get(name)
        if not isinstance(value, str) or value.lstrip().startswith("{"):
            continue
        path = Path(places.expanded(value))
        try:
            bounded.json_value(path)
        except OSError as error:
            what = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
            yield Problem(("training", name), f"training.{name} is '{value}': {what}.", "Name a JSON file.")
        except ValueError as error:
            yield Problem(("training", name), f"training.{name} is '{value}', which is not JSON: {error}")


def _evaluations(recipe: Recipe) -> Iterator[Problem]:
    said, evaluated = recipe.training, recipe.method in _EVALUATED
    asked = said.get("eval_strategy", "no") != "no"
    for name, on in (("eval_strategy", asked), ("eval_on_start", said.get("eval_on_start"))):
        if on and not evaluated:
            text = f"training.{name} asks TRL for evaluations, and {recipe.method} has no data for them here."
            fix = f"Delete `{name}:`. Held-out people are sampled every so many steps by `held_out: {{every: 10}}`."
            yield Problem(("training", name), text, fix)
    if said.get("save_strategy") == "best" and not (evaluated and asked and said.get("metric_for_best_model")):
        text = "save_strategy 'best' saves after evaluations by `metric_for_best_model`, and there are none."
        yield Problem(
            ("training", "save_strategy"), text, "Write `save_steps: 100`, or delete it: one is saved every minute."
        )
    if said.get("load_best_model_at_end") and not evaluated:
        text = f"load_best_model_at_end needs evaluations, and {recipe.method} has no data for them here."
        yield Problem(("training", "load_best_model_at_end"), text, "Delete it: the last policy is kept.")


def _unknown_trackers(said: Mapping[str, Any]) -> Iterator[Problem]:
    for name in _asked_trackers(said):
        known = _trackers().INTEGRATION_TO_CALLBACK
        if name not in known:
            text = f"training.report_to is '{name}'. {did_you_mean(name, ['none', 'all', *known])}"
            yield Problem(("training", "report_to"), text)


def _missing_trackers(said: Mapping[str, Any]) -> Iterator[Problem]:
    for name in _asked_trackers(said):
        is_here = getattr(_trackers(), f"is_{_TRACKERS.get(name, name)}_available", None)
        if is_here is not None and not is_here():
            text = f"training.report_to is '{name}', and its package is not installed."
            fix = f"Run `pip install {name.replace('_', '-')}`, or write `report_to: none`."
            yield Problem(("training", "report_to"), text, fix)


def _asked_trackers(said: Mapping[str, Any]) -> list[str]:
    asked = said.get("report_to") or "none"
    return [name for name in (asked if isinstance(asked, list) else [asked]) if name not in ("none", "all")]


def _trackers() -> Any:
    from transformers.integrations import integration_utils

    return integration_utils


def _checkpointing(said: Mapping[str, Any]) -> Iterator[Problem]:
    """Settings of activation checkpointing that torch does not take: it refuses them at the first step."""
    import inspect

    from torch.utils.checkpoint import checkpoint

    known = {name for name, one in inspect.signature(checkpoint).parameters.items() if one.kind is one.KEYWORD_ONLY}
    known |= {"use_reentrant", "preserve_rng_state"}
    for setting in ("gradient_checkpointing_kwargs", "activation_checkpointing_kwargs"):
        asked = said.get(setting)
        for name in asked.keys() - known if isinstance(asked, dict) else ():
            text = f"unknown key '{name}' in training.{setting}. {did_you_mean(name, known)}"
            yield Problem(("training", setting, name), text)


def _columns(recipe: Recipe) -> Iterator[Problem]:
    if recipe.training.get("remove_unused_columns") and recipe.rewards:
        text = "training.remove_unused_columns takes away the columns that rewards read, such as `person`."
        yield Problem(("training", "remove_unused_columns"), text, "Delete it.")


def _without_a_gpu(said: Mapping[str, Any], here: bool = False) -> Iterator[Problem]:
    import torch

    if said.get("fp16") and (said.get("use_cpu") or (here and not torch.accelerator.is_available())):
        why = "use_cpu is true" if said.get("use_cpu") else "there is none here"
        yield Problem(("training", "fp16"), f"training.fp16 needs a GPU, and {why}.", "Write `fp16: false`.")
    if said.get("activation_offloading") and here and not torch.accelerator.is_available():
        text = "training.activation_offloading moves activations from a GPU, and there is none here."
        yield Problem(("training", "activation_offloading"), text, "Delete it.")


def _sampling(said: Mapping[str, Any]) -> Iterator[Problem]:
    """Settings of generation that nothing reads: transformers refuses them at the first step."""
    asked = said.get("generation_kwargs")
    if not isinstance(asked, dict):
        return
    from transformers import GenerationConfig

    known = GenerationConfig().to_dict()
    for name in asked.keys() - known.keys():
        text = f"unknown key '{name}' in training.generation_kwargs. {did_you_mean(name, known)}"
        yield Problem(("training", "generation_kwargs", name), text)


def _missing_attention(recipe: Recipe) -> Iterator[Problem]:
    asked = recipe.policy.attn_implementation
    if not asked or not asked.startswith("flash_attention"):
        return
    package = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}.get(asked, "kernels")
    if not any(importlib.util.find_spec(name) for name in (package, "kernels")):
        text = f"policy.attn_implementation is '{asked}', and neither {package} nor kernels is installed."
        yield Problem(
            ("policy", "attn_implementation"), text, "Write `attn_implementation: sdpa`, or install one of them."
        )


def _try_optimizer(said: Mapping[str, Any], made: Any) -> None:
    """Makes an optimizer as the trainer will: some need packages, and their arguments are read only then."""
    if "optim" not in said and "optim_args" not in said:
        return
    import torch
    from transformers import Trainer

    model = torch.nn.Linear(1, 1)
    try:
        kind, kwargs = Trainer.get_optimizer_cls_and_kwargs(made, model)
        if not {"model", "params", "optimizer_dict"} & kwargs.keys():
            kind(model.parameters(), **kwargs)
    except REFUSALS as error:
        name = "optim_args" if said.get("optim_args") and not isinstance(error, ImportError) else "optim"
        wanted = " (wanted: name=value,name=value)" if name == "optim_args" else ""
        raise ValueError(f"{name} is {said.get(name)!r}{wanted}: {error}") from error


def _try_schedule(said: Mapping[str, Any], made: Any) -> None:
    """Makes a schedule as the trainer will: some need settings of their own under `lr_scheduler_kwargs`."""
    if "lr_scheduler_type" not in said and "lr_scheduler_kwargs" not in said:
        return
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=made.learning_rate or 1e-3)
    steps = made.max_steps if made.max_steps > 0 else 100
    try:
        get_scheduler(
            made.lr_scheduler_type,
            optimizer=optimizer,
            num_warmup_steps=made.get_warmup_steps(steps),
            num_training_steps=steps,
            scheduler_specific_kwargs=made.lr_scheduler_kwargs,
        )
    except REFUSALS as error:
        name = "lr_scheduler_kwargs" if said.get("lr_scheduler_kwargs") else "lr_scheduler_type"
        raise ValueError(f"{name} is {said.get(name)!r}: {error}") from error
