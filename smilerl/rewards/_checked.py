"""A reward that cannot harm the run: its mistakes are errors that name it, and it can change neither its inputs nor the trainer's luck.

TRL takes what it is given: infinities train on nothing or make every weight NaN without a word, a wrong type is a torch
error that names no reward, and a reward that writes to its inputs or reseeds a generator changes the training.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import math
import numbers
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from smilerl.errors import UserError


class RewardError(UserError, ValueError):
    """A reward that does not exist, cannot be built so, or returned what is no reward. At most ten lines, with the fix."""


def is_async(reward: Callable) -> bool:
    """Whether calling it gives a coroutine, for functions, partials and instances alike."""
    while isinstance(reward, functools.partial):
        reward = reward.func
    return inspect.iscoroutinefunction(reward) or inspect.iscoroutinefunction(type(reward).__call__)


def checked(reward: Callable, name: str | None = None, seed: int = 0) -> Callable:
    """`reward`, with its values checked, its inputs copied and its random numbers drawn from a stream of its own.

    The global generators of Python, NumPy and torch are swapped for the reward's own while it runs, and back: it draws new
    numbers at each call, and the trainer's are as if it had drawn none. (Only swapping back would give it the same numbers
    at every step.) The streams are part of `state_dict()`. Async rewards run interleaved, so their generators are left alone.

    Args:
        reward: has TRL's protocol; sync or async.
        name: what metrics and errors call it; its `__name__` when not given.
        seed: of its stream.

    Returns:
        A reward that raises `RewardError` on a wrong length, a value that is no number, and ±inf; NaN becomes None.
    """
    label = name or str(getattr(reward, "__name__", type(reward).__name__))
    streams = _Streams(f"{seed}/{label}")

    def run(prompts, completions, **columns):
        with _named(label), streams.own():
            values = reward(prompts=_copied(prompts), completions=_copied(completions), **_copied(columns))
        with _located(reward):
            return as_values(label, values, completions)

    async def run_async(prompts, completions, **columns):
        with _named(label):
            values = await reward(prompts=_copied(prompts), completions=_copied(completions), **_copied(columns))
        with _located(reward):
            return as_values(label, values, completions)

    def state_dict() -> dict:
        inner = reward.state_dict() if hasattr(reward, "state_dict") else None
        return {"streams": streams.state_dict(), "reward": inner}

    def load_state_dict(state: dict) -> None:
        streams.load_state_dict(state["streams"])
        if state["reward"] is not None:
            reward.load_state_dict(state["reward"])

    wrapped: Any = run_async if is_async(reward) else run
    wrapped.__name__ = wrapped.__qualname__ = label
    wrapped.__doc__ = reward.__doc__
    wrapped.channels = tuple(getattr(reward, "channels", ()))
    wrapped.learnt_from = tuple(getattr(reward, "learnt_from", ()))
    wrapped.state_dict, wrapped.load_state_dict = state_dict, load_state_dict
    return wrapped


@contextmanager
def _located(reward: Callable) -> Iterator[None]:
    """What is said about a reward's values begins with the file and line where it is written."""
    try:
        yield
    except RewardError as error:
        while isinstance(reward, functools.partial):
            reward = reward.func
        code = getattr(inspect.unwrap(reward), "__code__", None) or getattr(type(reward).__call__, "__code__", None)
        if code is None:
            raise
        raise RewardError(f"{code.co_filename}:{code.co_firstlineno}: {error}") from None


def as_values(name: str, values, completions) -> list[float | None]:
    """`values` as a list of finite floats and Nones, one a completion; NaN becomes None.

    Raises:
        RewardError: a wrong length, a value that is no number, ±inf.
    """
    if hasattr(values, "tolist"):  # a tensor or an array
        values = values.tolist()
    if not isinstance(values, (list, tuple)):
        raise RewardError(
            f"the reward '{name}' returned a {type(values).__name__}, not a list with one number or None for each completion"
        )
    if len(values) != len(completions):
        raise RewardError(
            f"the reward '{name}' returned {len(values)} values for {len(completions)} completions: return one for each, None for no score"
        )
    return [_value(name, value, row, len(values)) for row, value in enumerate(values)]


def _value(name: str, value, row: int, of: int) -> float | None:
    if value is None:
        return None
    if not isinstance(value, numbers.Real) and hasattr(value, "item") and getattr(value, "size", 1) != 0:
        value = value.item() if getattr(value, "ndim", 0) == 0 else value
    if not isinstance(value, numbers.Real):
        raise RewardError(
            f"the reward '{name}' returned {_short(value)} ({type(value).__name__}) for completion {row} of {of}: return a number, or None for no score"
        )
    if math.isinf(value):
        raise RewardError(
            f"the reward '{name}' returned {value} for completion {row} of {of}: return a finite number, or None for no score"
        )
    return None if math.isnan(value) else float(value)


def _short(value) -> str:
    shown = repr(value).replace("\n", " ")
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _copied(value):
    """A copy of lists and dicts all the way down, of other objects at the top; what cannot be written to is shared."""
    if isinstance(value, list):
        return [_copied(item) if isinstance(item, (list, dict)) else item for item in value]
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value if callable(value) else copy.copy(value)


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except RewardError:
        raise
    except Exception as error:
        error.add_note(f"This happened inside the reward '{name}'.")
        raise


class _Streams:
    """The states of the global generators that belong to one reward."""

    def __init__(self, key: str) -> None:
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4])
        self._python = random.Random(seed).getstate()
        self._numpy: Any = np.random.RandomState(seed).get_state()
        self._torch = torch.Generator().manual_seed(seed).get_state()
        self._cuda: torch.Tensor | None = None
        self._seed = seed

    @contextmanager
    def own(self) -> Iterator[None]:
        """Within this block the global generators are the reward's."""
        theirs = self._swap_in()
        try:
            yield
        finally:
            self._python, self._numpy, self._torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
            random.setstate(theirs[0])
            np.random.set_state(theirs[1])
            torch.set_rng_state(theirs[2])
            if theirs[3] is not None:
                self._cuda = torch.cuda.get_rng_state()
                torch.cuda.set_rng_state(theirs[3])

    def _swap_in(self) -> tuple:
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        theirs = random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)
        if cuda is not None:
            if self._cuda is None:
                torch.cuda.manual_seed(self._seed)
            else:
                torch.cuda.set_rng_state(self._cuda)
        return theirs

    def state_dict(self) -> dict:
        """Plain lists and numbers, so that JSON can hold it."""
        python, (kind, keys, *rest) = self._python, self._numpy
        return {
            "python": [python[0], list(python[1]), python[2]],
            "numpy": [kind, keys.tolist(), *rest],
            "torch": self._torch.tolist(),
            "cuda": None if self._cuda is None else self._cuda.tolist(),
        }

    def load_state_dict(self, state: dict) -> None:
        version, internal, gauss = state["python"]
        kind, keys, *rest = state["numpy"]
        self._python = (version, tuple(internal), gauss)
        self._numpy = (kind, np.array(keys, dtype=np.uint32), *rest)
        self._torch = torch.tensor(state["torch"], dtype=torch.uint8)
        self._cuda = None if state["cuda"] is None else torch.tensor(state["cuda"], dtype=torch.uint8)
