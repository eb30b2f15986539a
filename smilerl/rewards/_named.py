"""What the name of a reward leads to: a module of this folder, an object of a package, or one in a file."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smilerl.config import elsewhere, named_code
from smilerl.io import paths
from smilerl.rewards._failures import RewardError, failures_named
from smilerl.rewards._process import streams_guarded


def names() -> list[str]:
    """The rewards there are."""
    found = (module.name for module in pkgutil.iter_modules(sys.modules["smilerl.rewards"].__path__))
    return sorted(name for name in found if not name.startswith("_") and name != "base")


def resolve(name: str, what: str = "reward") -> Any:
    """The module of a short name, or the object that `pkg.mod.fn` or `path/to/file.py:fn` leads to.

    Args:
        what: it is to be, for error messages; a short name is a reward's.

    Raises:
        RewardError: there is none; lists what there is and the nearest match.
    """
    if "." in name:
        elsewhere.refuse(name, "imported")
    if ".py:" in name:
        return _from_file(*name.rsplit(":", 1), what=what)
    if "." in name:
        return _from_package(*name.rsplit(".", 1))
    if name not in names():
        raise RewardError(
            f"no reward '{name}'. There are: {', '.join(names())}.{nearest(name, names())}\n"
            "Your own: a dotted path such as my_package.my_module.my_reward, or my_file.py:my_reward."
        )
    return importlib.import_module(f"smilerl.rewards.{name}")


def users_callable(name: str, target: Any, args: dict[str, Any]) -> Callable:
    """The user's reward: what a dotted path leads to, or what that gives when it is called with `args`.

    A reward takes `**kwargs` (TRL passes every dataset column). A class makes one if its instances can be called; a
    function as `named_code.may_make` says. Nothing else is called.
    """
    wrong = named_code.why_not(target)
    if wrong is not None:
        raise RewardError(f"'{name}' is {wrong}, and no reward(prompts, completions, **kwargs) nor what makes one")
    is_reward = not inspect.isclass(target) and (
        "completions" in _parameters(target)
        or (named_code.takes(target, "completions") and not named_code.is_library(target))
    )
    if is_reward and args:
        raise RewardError(
            f"'{name}' is a reward, which takes no args. For args, name a class or a factory that returns the reward"
        )
    if not is_reward and not named_code.may_make(target):
        raise RewardError(
            f"'{name}' is neither a reward(prompts, completions, **kwargs) nor a class or function that makes one, so "
            "it is not called. A function that makes a reward says so: `def make(...) -> Callable:`"
        )
    reward = target if is_reward else called(name, target, args)
    if not callable(reward):
        kind = type(reward).__name__
        raise RewardError(f"'{name}' gave a {kind}, not a callable reward(prompts, completions, **kwargs)")
    if not _takes_any(_parameters(reward)):
        raise RewardError(
            f"the reward '{name}' must take **kwargs: TRL passes it every dataset column, trainer_state and more"
        )
    return reward


def called(name: str, build: Callable, args: dict[str, Any]) -> Any:
    """`build(**args)`, with a misspelt or missing argument named."""
    parameters = _parameters(build)
    unknown = next((key for key in args if key not in parameters), None)
    if unknown is not None and not _takes_any(parameters):
        raise RewardError(
            f"the reward '{name}' takes no '{unknown}'. It takes: {', '.join(parameters) or 'nothing'}."
            f"{nearest(unknown, list(parameters))}"
        )
    needed = {key for key, p in parameters.items() if p.default is p.empty and not p.kind.name.startswith("VAR_")}
    missing = [f"{key}: ..." for key in parameters if key in needed - {*args}]
    if missing:
        raise RewardError(f"the reward '{name}' needs args: {{{', '.join(missing)}}}")
    with failures_named(f"building the reward '{name}'"), streams_guarded():
        return build(**args)


def nearest(name: str, candidates: Sequence[str]) -> str:
    """A question after the nearest candidate, as the end of a message; empty where none is near."""
    near = difflib.get_close_matches(name, candidates, 1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _parameters(function: Callable) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def _from_package(module_name: str, attribute: str) -> Any:
    whole = f"{module_name}.{attribute}"
    if (wrong := named_code.why_not_module(module_name)) is not None:
        raise RewardError(f"'{whole}' is {wrong}, and no reward(prompts, completions, **kwargs)")
    # TRL does the same, but in front, where a file called datasets.py would shadow the library.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        with failures_named(f"importing '{module_name}' for the reward '{whole}'"), streams_guarded():
            module = importlib.import_module(module_name)
    except RewardError as failed:
        error = failed.__cause__
        if not isinstance(error, ModuleNotFoundError) or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and something in it is wrong
        raise RewardError(
            f"no module '{error.name}' for the reward '{whole}': not installed, and not in {os.getcwd()}"
        ) from None
    return _attribute(module, attribute, module_name)


def _from_file(file: str, attribute: str, *, what: str) -> Any:
    path = paths.find(file)
    if path is None:
        near = f"\n    Did you mean {found}?" if (found := paths.near(file)) is not None else ""
        raise RewardError(f"no file '{file}' for the {what} '{file}:{attribute}': looked from {os.getcwd()}{near}")
    spec = importlib.util.spec_from_file_location(named_code.module_name(file), path)
    if spec is None or spec.loader is None:
        raise RewardError(f"'{file}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    with failures_named(f"importing '{file}' for the {what} '{file}:{attribute}'"), streams_guarded():
        spec.loader.exec_module(module)
    return _attribute(module, attribute, file)


def _attribute(module: Any, attribute: str, where: str) -> Any:
    if hasattr(module, attribute):
        return getattr(module, attribute)
    try:  # a dotted path may end at a module that has build(), as ours do
        return importlib.import_module(f"{module.__name__}.{attribute}")
    except ModuleNotFoundError:
        there = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise RewardError(
            f"no '{attribute}' in '{where}'. There are: "
            f"{', '.join(there[:12]) or 'no callables'}.{nearest(attribute, there)}"
        ) from None
