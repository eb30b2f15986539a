"""A reward's state as plain data, which a checkpoint can hold without running anything when it is loaded."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch

_SCALARS = (type(None), bool, int, float, str)
_ARRAY = "\0array"
_ALLOWED = "Return numbers, text, None, lists, tuples, dicts, NumPy arrays and tensors"
_INSTEAD = {
    **dict.fromkeys(("set", "frozenset"), "sorted(...) of it"), "deque": "list(...) of it",
    **dict.fromkeys(("defaultdict", "Counter"), "dict(...) of it"), "Random": "its getstate()",
    "Generator": "its bit_generator.state (NumPy) or get_state() (torch)", "RandomState": "its get_state()",
    **dict.fromkeys(("Path", "PosixPath"), "str(...) of it"),
}  # fmt: skip


class NotPlain(ValueError):
    """Something in a state is no plain data. Says where, and what to write instead."""


def plain(value: Any, where: str = "state_dict()") -> Any:
    """A copy of `value` that `torch.load(weights_only=True)` reads; `restored` undoes what it does to arrays.

    Args:
        value: None, numbers, text, NumPy scalars (become numbers), arrays, tensors; lists, tuples and dicts of them.
        where: how the value is reached, for the error message.

    Raises:
        NotPlain: it is or holds something else, or itself.
    """
    try:
        return _plain(value, where)
    except RecursionError:
        raise NotPlain(f"{where} holds itself, or is nested too deep") from None


def restored(value: Any) -> Any:
    """What `plain` was given: arrays are arrays again."""
    if type(value) is dict:
        if set(value) == {_ARRAY}:
            return value[_ARRAY].numpy()
        return {key: restored(item) for key, item in value.items()}
    return type(value)(map(restored, value)) if type(value) in (list, tuple) else value


def _plain(value: Any, where: str) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind in (list, tuple):
        return kind(_plain(item, f"{where}[{index}]") for index, item in enumerate(value))
    if kind in (dict, OrderedDict):
        for key in value:
            if type(key) not in _SCALARS:
                raise NotPlain(f"{where} has a key that is a {type(key).__name__}. Use text or numbers as keys")
        return {key: _plain(item, f"{where}[{key!r:.40}]") for key, item in value.items()}
    if isinstance(value, torch.Tensor) and kind in (torch.Tensor, torch.nn.Parameter):
        return value.detach().clone()
    if isinstance(value, np.generic) and type(value.item()) in _SCALARS:
        return value.item()
    if kind is np.ndarray and value.dtype.kind in "biufc":
        try:
            return {_ARRAY: torch.from_numpy(np.array(value))}
        except TypeError:
            pass  # a number type that torch does not know
    instead = _INSTEAD.get(kind.__name__)
    raise NotPlain(f"{where} is a {kind.__name__}. {f'Return {instead}' if instead else _ALLOWED}")
