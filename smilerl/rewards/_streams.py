"""Random numbers of a reward's own: Python's, NumPy's and torch's global generators are its own while it runs."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from smilerl.models.randomness import generators, put_back


class Streams:
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
        theirs = generators(all_devices=False)
        self._swap_in()
        try:
            yield
        finally:
            self._python, self._numpy, self._torch, cuda = generators(all_devices=False)
            self._cuda = cuda if theirs[3] is not None else self._cuda
            put_back(theirs)

    def _swap_in(self) -> None:
        begun = torch.cuda.is_initialized()
        put_back((self._python, self._numpy, self._torch, self._cuda if begun else None))
        if begun and self._cuda is None:
            torch.cuda.manual_seed(self._seed)

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
