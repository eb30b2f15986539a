"""The settings under `training:`: what the installed TRL takes for a method, and which values would fail late.

TRL itself accepts `learning_rate: [1]` or a negative batch size, and fails after the model has loaded, if at all.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import pkgutil
import typing
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from smilerl.config.recipe import Recipe
from smilerl.config.validation import bad_arguments
from smilerl.config.yaml_lines import Problem, did_you_mean
from smilerl.io import paths

#: Settings of TRL that a recipe says elsewhere.
_SAID_ELSEWHERE = {
    "output_dir": "Write `output_dir:` at the top of the recipe.",
    "seed": "Write `seed:` at the top of the recipe.",
    "model_init_kwargs": "Write `dtype:` and `attn_implementation:` under `policy:`.",
    "parallelism_config": "Say it to the launcher: accelerate launch --config_file FILE, as in recipes/accelerate.",
    "reward_weights": "Give each reward its own: `rewards: [{name: reading, weight: 0.5}]`.",
    "resume_from_checkpoint": "Run the recipe again: it goes on from its newest whole checkpoint.",
    "enable_jit_checkpoint": "Leave it out: SIGTERM saves anyway, and exits with 75.",
    "save_only_model": "Leave it out: a run goes on from its checkpoints, which takes the optimizer too.",
    "trust_remote_code": "Delete it: code that a repository of weights brings is not run.",
    "ignore_data_skip": "Leave it out: a run that goes on does so with the data that it has not seen.",
    # The trainer's own upload takes training_args.bin along, which holds the token.
    **dict.fromkeys(
        (
            "push_to_hub",
            "hub_token",
            "hub_model_id",
            "hub_strategy",
            "hub_private_repo",
            "hub_always_push",
            "hub_revision",
        ),
        "Delete it, and share the finished run: smilerl push RUN.",
    ),
}


#: Methods that learn from preferences, and in which form; a recipe's rewards may make them.
FORM_OF = {"dpo": "pairs", "kto": "labels"}


@dataclasses.dataclass(frozen=True)
class BestOfNConfig:
    """The settings of `best_of_n`, which TRL does not have: it trains nothing. Names as in TRL.

    Attributes:
        num_generations: n, replies that the reward chooses from.
        max_completion_length: tokens of a reply.
        temperature, top_p: of the sampling.
        use_cpu: sample on the CPU even where there is an accelerator.
    """

    num_generations: int = 16
    max_completion_length: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    use_cpu: bool = False


#: Methods that sample several completions to a prompt; `training.shared_prompt` is a setting of theirs.
SHARING = ("rloo", "grpo")
#: Methods of our own, which TRL has no config for.
_OWN = {"best_of_n": BestOfNConfig}


class _Range(NamedTuple):
    """What a setting may be, where another value would fail only after the model has loaded, or train nothing."""

    fields: str
    holds: Callable[[float], bool]
    said: str
    example: str


#: The most that a whole number under `training:` may be, and that one of these may be: a batch of more fits in no
#: memory.
_MOST, _MOST_BATCH = 2**31 - 1, 65536
_BATCH = frozenset(
    "num_generations num_generations_eval per_device_train_batch_size per_device_eval_batch_size "
    "gradient_accumulation_steps "
    "generation_batch_size steps_per_generation num_iterations dataloader_num_workers dataset_num_proc".split()
)
_RANGES = (
    _Range(
        "per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps num_iterations max_length "
        "max_completion_length generation_batch_size steps_per_generation num_generations_eval save_total_limit "
        "ref_model_sync_steps pad_to_multiple_of",
        lambda value: value >= 1, "at least 1", "8",
    ),
    _Range("num_generations", lambda value: value >= 2, "at least 2: completions to a prompt are compared", "4"),
    _Range("learning_rate num_train_epochs temperature logging_steps save_steps eval_steps repetition_penalty",
           lambda value: value > 0, "above 0", "0.001"),
    _Range("max_steps", lambda value: value >= 1 or value == -1, "at least 1, or -1 to go by num_train_epochs", "100"),
    _Range(
        "beta epsilon weight_decay warmup_steps max_grad_norm adam_epsilon top_k neftune_noise_alpha",
        lambda value: value >= 0, "at least 0", "0",
    ),
    _Range("top_p", lambda value: 0 < value <= 1, "above 0 and at most 1", "1.0"),
    _Range("min_p label_smoothing_factor", lambda value: 0 <= value <= 1, "from 0 to 1", "0.1"),
    _Range("adam_beta1 adam_beta2", lambda value: 0 <= value < 1, "at least 0 and below 1", "0.9"),
)  # fmt: skip


def methods() -> list[str]:
    """The training methods there are: the files of `smilerl/training/methods`."""
    return sorted(module.name for module in pkgutil.iter_modules([str(paths.PACKAGE / "training" / "methods")]))


@lru_cache
def training_fields(method: str) -> dict[str, Any]:
    """The settings of a method's TRL config and their types; importing a config takes seconds, so once."""
    return typing.get_type_hints(config_class(method))


def defaults(method: str) -> dict[str, Any]:
    """What the settings of a method are where a recipe says nothing."""
    return {field.name: field.default for field in dataclasses.fields(config_class(method))}


def settings(recipe: Recipe) -> dict[str, Any]:
    """The settings of a recipe's method: what the recipe says, else the defaults."""
    return {**defaults(recipe.method), **recipe.training}


@lru_cache
def config_class(method: str) -> type:
    """The config of a method: ours, TRL's (`SHARING` with one setting more), or the `CONFIG` of the method's file."""
    if method in _OWN:
        return _OWN[method]
    if importlib.util.find_spec(f"trl.trainer.{method}_config") is None:
        return importlib.import_module(f"smilerl.training.methods.{method}").CONFIG
    module = importlib.import_module("smilerl.config.sharing" if method in SHARING else f"trl.trainer.{method}_config")
    return next(value for name, value in vars(module).items() if name.lower() == f"{method}config")


def method_problems(recipe: Recipe) -> Iterator[Problem]:
    if recipe.method not in methods():
        yield Problem(("method",), f"no method '{recipe.method}'. {did_you_mean(recipe.method, methods())}")


def training_problems(recipe: Recipe) -> list[Problem]:
    fields, training = training_fields(recipe.method), recipe.training
    problems = [
        Problem(("training", name), f"'{name}' does not go under training.", fix)
        for name, fix in _SAID_ELSEWHERE.items()
        if name in training
    ]
    problems += bad_arguments(config_class(recipe.method), training, ("training",))
    if problems:
        return problems
    problems = [*_range_problems(training)]
    problems += _group_problems(recipe) if "steps_per_generation" in fields and not problems else ()
    return [*problems, *(_neighbour_problems(training) if recipe.method == "kto" else ())]


def _neighbour_problems(training: dict[str, Any]) -> Iterator[Problem]:
    if training.get("loss_type", "kto") == "kto" and training.get("per_device_train_batch_size", 8) == 1:
        text = "kto pairs each reply with the prompt beside it in the batch, and per_device_train_batch_size is 1."
        key = ("training", "per_device_train_batch_size")
        yield Problem(key, text, "Write at least 2, with fewer gradient_accumulation_steps.")


def _range_problems(training: dict[str, Any]) -> Iterator[Problem]:
    for name, value in training.items():
        most = _MOST_BATCH if name in _BATCH else _MOST
        if isinstance(value, int) and abs(value) > most:
            yield Problem(("training", name), f"training.{name} is {value}, but should be at most {most}.")
    for limit in _RANGES:
        for name in limit.fields.split():
            value = training.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and not limit.holds(value):
                text = f"training.{name} is {value}, but should be {limit.said}."
                yield Problem(("training", name), text, f"Write for example `{name}: {limit.example}`.")


def _group_problems(recipe: Recipe) -> Iterator[Problem]:
    """Completions are compared within groups that share a prompt, so a generation batch holds whole groups."""
    said = settings(recipe)
    if said["generation_batch_size"] is not None and said["steps_per_generation"] is not None:
        text = "generation_batch_size and steps_per_generation are both set, and each follows from the other."
        yield Problem(("training", "generation_batch_size"), text, "Keep one of them.")
        return
    processes = int(os.environ.get("WORLD_SIZE", 1))
    batch, size = said["per_device_train_batch_size"] * processes, said["generation_batch_size"]
    if size is None:
        size = batch * (said["steps_per_generation"] or said["gradient_accumulation_steps"])
    elif size % batch:
        text = (
            f"generation_batch_size is {size}, which per_device_train_batch_size x processes ({batch}) does not divide."
        )
        yield Problem(("training", "generation_batch_size"), text, f"Write a multiple of {batch}.")
    group = said["num_generations"]
    if group and size % group:
        key = "num_generations" if "num_generations" in recipe.training else "per_device_train_batch_size"
        text = f"num_generations is {group}, which does not divide the generation batch of {size} completions"
        text += f" ({processes} process{'es' * (processes > 1)})."
        divisors = [number for number in range(2, min(size, _MOST_BATCH) + 1) if size % number == 0]
        fix = f"Write one of {', '.join(map(str, divisors[:8]))}, or change per_device_train_batch_size."
        yield Problem(("training", key), text, fix)
