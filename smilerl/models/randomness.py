"""Saves and restores the states of the global random generators of Python, NumPy and torch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generators(all_devices: bool = True) -> tuple:
    """The states of Python, NumPy, torch, and CUDA: a list of all devices, the current one's, or None before use."""
    cuda = None
    if torch.cuda.is_initialized():
        cuda = torch.cuda.get_rng_state_all() if all_devices else torch.cuda.get_rng_state()
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def put_back(states: tuple) -> None:
    """Restores the states that `generators` returned; a CUDA state of None changes nothing."""
    python, array, cpu, cuda = states
    random.setstate(python)
    np.random.set_state(array)
    torch.set_rng_state(cpu)
    if isinstance(cuda, list):
        torch.cuda.set_rng_state_all(cuda)
    elif cuda is not None:
        torch.cuda.set_rng_state(cuda)


@contextmanager
def unmoved_randomness() -> Iterator[None]:
    """Restores the global generators of Python, NumPy and torch (all devices) after the block."""
    if torch.cuda.is_available():
        torch.cuda.init()  # else the block might use generators whose states are not known
    before = generators()
    try:
        yield
    finally:
        put_back(before)
