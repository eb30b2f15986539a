"""Rewards: one file each. A short name is a module in this folder with `build(**args)` and a ready `reward`; a dotted
path is yours.

Every reward has TRL's protocol, `f(prompts, completions, *, person=None, **columns) -> list[float | None]`, so it works
unchanged in `trl rloo --reward_funcs smilerl.rewards.sentiment.reward`, and a bare TRL reward works in a recipe. What a
reward may know of a person is what `smilerl.worlds.observe` records; one that reaches further says so in its attribute
`channels`. Weights are TRL's `reward_weights`: a wrapper here is a reward around rewards (`base.Reward`).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from smilerl import worlds
from smilerl.config import elsewhere, named_code
from smilerl.io import paths
from smilerl.models.replies import all_visible, visible
from smilerl.rewards._carried import carry, is_async, name_of
from smilerl.rewards._checked import LARGEST, TIMEOUT, checked
from smilerl.rewards._failures import RewardError, failures_named
from smilerl.rewards._opened import with_opening
from smilerl.rewards._process import streams_guarded
from smilerl.rewards._reported import reported
from smilerl.worlds.base import GIVEN, Observation, World

__all__ = [
    "LARGEST",
    "RewardError",
    "build_reward",
    "build_rewards",
    "carry",
    "checked",
    "is_async",
    "lacking",
    "name_of",
    "names",
    "observed",
    "resolve",
    "text",
    "texts",
    "with_opening",
]

#: Under these names rewards have the visible reply of a completion, plain or messages, and of each of several.
text, texts = visible, all_visible


#: What a recipe says beside a reward's name, and what means nothing for a reward inside another.
_OUTSIDE = ("weight", "timeout", "most_missing")
#: The columns of the data that the rewards being built will be given; None: not known.
_columns: ContextVar[Collection[str] | None] = ContextVar("columns", default=None)


def names() -> list[str]:
    """The rewards there are."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith("_") and name != "base")


def build_rewards(
    specs: Sequence, seed: int = 0, world: World | None = None, columns: Collection[str] | None = None
) -> list[Callable]:
    """The checked rewards of a recipe, ready for a TRL trainer, each under a name of its own.

    Args:
        specs: each a `RewardSpec`, a mapping with `name` and `args`, or a bare name.
        seed: given, plus the reward's position, to rewards that draw random numbers and whose args set no seed.
        world: when given, a reward that needs a reaction is refused in a world where nobody reacts.
        columns: of the data; a reward, or one inside it, that needs another is refused. None: not known.

    Raises:
        RewardError: no such reward, or arguments that it does not take; before any model is loaded.
    """
    rewards: list[Callable] = []
    taken: dict[str, int] = {}
    for position, spec in enumerate(specs):
        inner = {key: said for key, said in spec.items() if key not in _OUTSIDE} if isinstance(spec, Mapping) else spec
        with _given(columns):
            reward = build_reward(inner, seed + position)
        name = getattr(reward, "__name__", type(reward).__name__)
        if world is not None and getattr(reward, "needs_reaction", False) and not world.reacts:
            raise RewardError(_no_reaction(name, world.name))
        taken[name] = taken.get(name, 0) + 1
        own_name = name if taken[name] == 1 else f"{name}_{taken[name]}"
        limits = {"weight": float(_said(spec, "weight", 1.0)), "timeout": float(_said(spec, "timeout", TIMEOUT))}
        rewards.append(reported(checked(reward, name=own_name, seed=seed + position, **limits)))
    return rewards


def build_reward(spec, seed: int = 0) -> Callable:
    """One reward, unchecked: what a wrapper calls for the reward inside it.

    Args:
        spec: a `RewardSpec`, a mapping with `name` and `args`, a bare name, or a reward itself (returned as it is).
        seed: for a reward that draws random numbers and whose args set no seed.
    """
    if callable(spec):
        return spec
    if isinstance(spec, Mapping):
        unknown = set(spec) - {"name", "args"}
        if unknown or "name" not in spec:
            raise RewardError(f"a reward is written {{name: ..., args: {{...}}}}, not {dict(spec)!r}")
    name, args = (spec, {}) if isinstance(spec, str) else (_field(spec, "name"), dict(_field(spec, "args") or {}))
    target = resolve(name)
    if not inspect.ismodule(target):
        return _users_reward(name, target, args)
    build = getattr(target, "build", None)
    if build is None:
        raise RewardError(
            f"the module '{name}' has no function build(**args). Name the callable in it: {name}.my_reward"
        )
    if "seed" in inspect.signature(build).parameters:
        args.setdefault("seed", seed)
    return _call(name, build, args)


def resolve(name: str):
    """The module of a short name, or the object that `pkg.mod.fn` or `path/to/file.py:fn` leads to.

    Raises:
        RewardError: there is none; lists what there is and the nearest match.
    """
    if "." in name:
        elsewhere.refuse(name, "imported")
    if ".py:" in name:
        return _from_file(*name.rsplit(":", 1))
    if "." in name:
        return _from_package(*name.rsplit(".", 1))
    if name not in names():
        raise RewardError(
            f"no reward '{name}'. There are: {', '.join(names())}.{_nearest(name, names())}\n"
            "Your own: a dotted path such as my_package.my_module.my_reward, or my_file.py:my_reward."
        )
    return importlib.import_module(f"{__name__}.{name}")


def observed(name: str, completions: Sequence, person: Sequence[str] | None) -> list[Observation]:
    """What the sensors record of each person's reaction: all that a reward may know of it.

    Args:
        name: the reward that asks, for its error messages.
        completions: N completions, plain or messages.
        person: the dataset column `person`, N JSONs.

    Raises:
        RewardError: no `person` column, or people of a world in which nobody reacts.
    """
    if person is None:
        raise RewardError(
            f"the reward '{name}' needs the dataset column 'person' beside 'prompt'. "
            "The people of a world have it: smilerl.worlds.build('smileworld').people('train', n=1024, seed=0)"
        )
    stranger = next((one for one in person if not worlds.reacts(one)), None)
    if stranger is not None:
        raise RewardError(_no_reaction(name, worlds.world_of(stranger)))
    return worlds.observe(person, completions)


def _no_reaction(name: str, world: str) -> str:
    return (
        f"the reward '{name}' scores how a person reacts, and nobody in the world '{world}' reacts yet. Score what the "
        "helper says "
        "instead, {name: sentiment, args: {reads: completion}}, let a model play the people (the world's args, "
        "people: {speaker: ...}), or choose the world 'smileworld'"
    )


def _field(spec, key: str):
    return spec.get(key) if isinstance(spec, Mapping) else getattr(spec, key)


def _said(spec, key: str, default: float) -> float:
    """What a spec says under a key; a bare name and a reward itself say nothing."""
    return spec.get(key, default) if isinstance(spec, Mapping) else getattr(spec, key, default)


def _nearest(name: str, candidates: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, candidates, 1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _from_package(module_name: str, attribute: str):
    if (wrong := named_code.why_not_module(module_name)) is not None:
        raise RewardError(f"'{module_name}.{attribute}' is {wrong}, and no reward(prompts, completions, **kwargs)")
    # TRL does the same, but in front, where a file called datasets.py would shadow the library.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        doing = f"importing '{module_name}' for the reward '{module_name}.{attribute}'"
        with failures_named(doing), streams_guarded():
            module = importlib.import_module(module_name)
    except RewardError as told:
        error = told.__cause__
        if not isinstance(error, ModuleNotFoundError) or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and something in it is wrong
        raise RewardError(
            f"no module '{error.name}' for the reward '{module_name}.{attribute}': not installed, and not in "
            f"{os.getcwd()}"
        ) from None
    return _attribute(module, attribute, module_name)


def _from_file(file: str, attribute: str):
    path = paths.find(file)
    if path is None:
        raise RewardError(f"no file '{file}' for the reward '{file}:{attribute}': looked from {os.getcwd()}")
    spec = importlib.util.spec_from_file_location(Path(file).stem, path)
    if spec is None or spec.loader is None:
        raise RewardError(f"'{file}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    with failures_named(f"importing '{file}' for the reward '{file}:{attribute}'"), streams_guarded():
        spec.loader.exec_module(module)
    return _attribute(module, attribute, file)


def _attribute(module, attribute: str, where: str):
    if hasattr(module, attribute):
        return getattr(module, attribute)
    try:  # a dotted path may end at a module that has build(), as ours do
        return importlib.import_module(f"{module.__name__}.{attribute}")
    except ModuleNotFoundError:
        there = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise RewardError(
            f"no '{attribute}' in '{where}'. There are: "
            f"{', '.join(there[:12]) or 'no callables'}.{_nearest(attribute, there)}"
        ) from None


def _users_reward(name: str, target, args: dict) -> Callable:
    """The user's reward at a dotted path: a callable with a reward's signature, or what makes one when it is called
    with `args`.

    A reward takes `**kwargs` (TRL passes every dataset column). A class makes one if its instances can be called; a
    function as `named_code.may_make` says. Nothing else is called.
    """
    wrong = named_code.why_not(target)
    if wrong is not None:
        raise RewardError(f"'{name}' is {wrong}, and no reward(prompts, completions, **kwargs) nor what makes one")
    is_reward = not inspect.isclass(target) and (
        "completions" in inspect.signature(target).parameters
        or (named_code.takes(target, "completions") and not named_code.is_library(target))
    )
    if is_reward and args:
        raise RewardError(
            f"'{name}' is a reward, which takes no args. For args, name a class or a factory that returns the reward"
        )
    if is_reward:
        return _takes_columns(name, target)
    if not named_code.may_make(target):
        raise RewardError(
            f"'{name}' is neither a reward(prompts, completions, **kwargs) nor a class or function that makes one, so "
            "it is not called. "
            "A function that makes a reward says so: `def make(...) -> Callable:`"
        )
    return _takes_columns(name, _call(name, target, args))


def _takes_columns(name: str, reward) -> Callable:
    if not callable(reward):
        raise RewardError(
            f"'{name}' gave a {type(reward).__name__}, not a callable reward(prompts, completions, **kwargs)"
        )
    if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(reward).parameters.values()):
        raise RewardError(
            f"the reward '{name}' must take **kwargs: TRL passes it every dataset column, trainer_state and more"
        )
    _check_columns(name, reward)
    return reward


def _check_columns(name: str, reward: Callable) -> None:
    """Raises RewardError where the data lacks a column that a reward cannot do without."""
    there = _columns.get()
    lack = None if there is None else _lack(name, reward, there)
    if lack is not None:
        raise RewardError(lack)


def lacking(rewards: Sequence[Callable], columns: Collection[str]) -> str | None:
    """Which column these rewards, or those inside them, need and the data does not have, in words; None where they have
    all.

    Args:
        rewards: as `build_rewards` makes them.
        columns: of the data.
    """
    for reward in rewards:
        found = _lack(name_of(reward), reward, columns) or lacking(getattr(reward, "inner", ()), columns)
        if found is not None:
            return found
    return None


def _lack(name: str, reward: Callable, there: Collection[str]) -> str | None:
    for needed, parameter in inspect.signature(reward).parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if not named or parameter.default is not parameter.empty or needed in GIVEN or needed in there:
            continue
        others = sorted(set(there) - {"prompt", "person"})
        return (
            f"the reward '{name}' needs the column '{needed}', which the data does not have. Beside the prompt it has: "
            f"{', '.join(others) or 'nothing'}.{_nearest(needed, others)}"
        )
    return None


@contextmanager
def _given(columns: Collection[str] | None) -> Iterator[None]:
    """Within this block rewards are built for data with these columns, also those inside others."""
    token = _columns.set(columns)
    try:
        yield
    finally:
        _columns.reset(token)


def _call(name: str, build: Callable, args: dict) -> Callable:
    """`build(**args)`, with a misspelt or missing argument named."""
    parameters = inspect.signature(build).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in args:
            if key not in parameters:
                raise RewardError(
                    f"the reward '{name}' takes no '{key}'. It takes: "
                    f"{', '.join(parameters) or 'nothing'}.{_nearest(key, list(parameters))}"
                )
    missing = [
        key
        for key, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and key not in args
    ]
    if missing:
        raise RewardError(f"the reward '{name}' needs args: {{{', '.join(f'{key}: ...' for key in missing)}}}")
    with failures_named(f"building the reward '{name}'"), streams_guarded():
        return build(**args)
