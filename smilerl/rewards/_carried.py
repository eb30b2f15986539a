"""What is known of a reward, and how a wrapper keeps it: channels, lineage, state and what `smilerl reward check` asks.

Each wrapper here calls `carry`: the class `base.Reward` for rewards around rewards, and the functions that a trainer's
rewards go through (`checked`, `reported`, `summed`, `rollouts.of_last_turn`, `sharding.with_whole_models`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

#: Attributes that are tuples of words. A wrapper has its own and those of all that is inside.
WORDS = ("channels", "learnt_from", "by_design")
#: What tells of the model in a reward (`about`, `tokens`), and of a checked reward's calls. A wrapper has it where one
#: inside does.
TOLD = ("about", "tokens", "last_call", "streams", "place", "limit")


def is_async(reward: Callable) -> bool:
    """Whether calling it gives a coroutine, for functions, partials and instances alike."""
    while isinstance(reward, functools.partial):
        reward = reward.func
    if getattr(reward, "is_async", False):  # a `Reward` around one
        return True
    return inspect.iscoroutinefunction(reward) or inspect.iscoroutinefunction(type(reward).__call__)


def name_of(reward: Callable) -> str:
    """What metrics and errors call it."""
    return str(getattr(reward, "__name__", type(reward).__name__))


def carry(wrapper: Any, *inner: Callable, name: str | None = None) -> Any:
    """Gives a wrapper what the rewards inside it are known by, and returns it.

    Sets `inner`, the words of `WORDS`, `needs_reaction`, and where there is one to take them from the attributes of
    `TOLD`; on a function also `state_dict` and `load_state_dict`, those of the one reward inside, or one for all. What
    the wrapper has of its own stays.

    Args:
        wrapper: a function, or an instance of `base.Reward`.
        name: of the wrapper; its own when None.
    """
    wrapper.inner = inner
    for words in WORDS:
        own = [word for one in (wrapper, *inner) for word in getattr(one, words, ())]
        setattr(wrapper, words, tuple(dict.fromkeys(own)))
    wrapper.needs_reaction = any(getattr(one, "needs_reaction", False) for one in (wrapper, *inner))
    for told in TOLD:
        those = [getattr(one, told) for one in inner if hasattr(one, told)]
        if len(those) == 1 and not hasattr(wrapper, told):
            setattr(wrapper, told, those[0])
    if name is not None:
        wrapper.__name__ = wrapper.__qualname__ = name
    if inspect.isfunction(wrapper):
        wrapper.__doc__ = inner[0].__doc__ if len(inner) == 1 else wrapper.__doc__
        _carry_state(wrapper, inner)
    return wrapper


def states(rewards: Sequence[Callable]) -> list[Any]:
    """The state of each reward, None for one without."""
    return [reward.state_dict() if hasattr(reward, "state_dict") else None for reward in rewards]


def load_states(rewards: Sequence[Any], saved: Sequence[Any]) -> None:
    """Puts the states of `states` back."""
    for reward, state in zip(rewards, saved, strict=True):
        if state is not None:
            reward.load_state_dict(state)


def _carry_state(wrapper: Any, inner: Sequence[Callable]) -> None:
    if len(inner) != 1:
        wrapper.state_dict = lambda: {"inner": states(inner)}
        wrapper.load_state_dict = lambda state: load_states(inner, state["inner"])
        return
    for part in ("state_dict", "load_state_dict"):
        if hasattr(inner[0], part):
            setattr(wrapper, part, getattr(inner[0], part))
