"""The global generators of Python, NumPy and torch: their states, and how they are put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generators(all_devices: bool = True) -> tuple:
    """The states of the global generators: Python's, NumPy's, torch's, and of CUDA a list, one for each device.

    Args:
        all_devices: False: of CUDA the state of the current device alone. In both cases None before CUDA is used.
    """
    cuda = None
    if torch.cuda.is_initialized():
        cuda = torch.cuda.get_rng_state_all() if all_devices else torch.cuda.get_rng_state()
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def put_back(states: tuple) -> None:
    """Sets the global generators to what `generators` gave; those of CUDA stay as they are where their state is
    None.
    """
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
    """Afterwards the global generators of Python, NumPy and torch (all devices) are where they were."""
    if torch.cuda.is_available():
        torch.cuda.init()  # else the states of its generators are not known, and what is done in here may use it
    before = generators()
    try:
        yield
    finally:
        put_back(before)
