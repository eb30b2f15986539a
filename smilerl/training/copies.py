"""Copies of what a trainer changes as it goes: its generators, and the lists and dicts in which it keeps its counts and its log."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def generators() -> tuple:
    """The states of the global generators: Python's, NumPy's, torch's, and those of all CUDA devices."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def put_back(states: tuple) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    if states[3] is not None:
        torch.cuda.set_rng_state_all(states[3])


def plain_copy(value: Any) -> Any:
    """Dicts, lists and deques of TRL's, of whatever kind, as plain dicts and lists; their factories cannot be saved."""
    if isinstance(value, Mapping):
        return {key: plain_copy(item) for key, item in value.items()}
    if isinstance(value, list | deque):
        return [plain_copy(item) for item in value]
    return value


def refill(log: Any, own: Any) -> None:
    """A deque of TRL's log, or a dict of them, with these contents alone."""
    if isinstance(own, dict):
        for column, values in own.items():
            refill(log[column], values)
    else:
        log.clear()
        log.extend(own)
