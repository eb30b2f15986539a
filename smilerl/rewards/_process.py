"""What a reward shares with training: the settings of the process, and the global generators of random numbers."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from smilerl.io.terminal import printable
from smilerl.models.randomness import generators, put_back

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@contextmanager
def settings_kept() -> Iterator[None]:
    """Afterwards these are as they were: torch's default dtype and device, gradient mode, threads and determinism, the
    working directory, the handlers of the signals that stop a run, and standard output and error, which cannot be
    closed within and take printable text."""
    before, folder, handlers = _torch_settings(), _folder(), _handlers()
    try:
        with streams_guarded():
            yield
    finally:
        if _torch_settings() != before:
            _put_back(before)
        if folder is not None and _folder() != folder:
            with suppress(OSError):  # the folder may be gone
                os.chdir(folder)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@contextmanager
def streams_guarded() -> Iterator[None]:
    """Within this block standard output and error take printable text and cannot be closed."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (None if stream is None else _Guarded(stream) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


class _Guarded:
    """A stream that writes printable text, and whose `close` only flushes, as the run goes on using it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes `text` without what moves the cursor; returns its length, as a stream does."""
        self._stream.write(printable(text) if isinstance(text, str) else text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        """The stream of bytes below, which takes printable text, too."""
        return _GuardedBytes(self)

    def close(self) -> None:
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)


class _GuardedBytes:
    def __init__(self, above: _Guarded) -> None:
        self._above = above

    def write(self, data: bytes) -> int:
        self._above.write(bytes(data).decode("utf-8", "backslashreplace"))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._above, name)


def _torch_settings() -> tuple:
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_float32_matmul_precision(),
        torch.get_default_device(),
    )


def _put_back(before: tuple) -> None:
    dtype, grad, threads, deterministic, warn_only, precision, device = before
    if torch.get_default_device() != device:
        torch.set_default_device(None if device.type == "cpu" else device)
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(grad)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    torch.set_float32_matmul_precision(precision)


def _folder() -> str | None:
    with suppress(FileNotFoundError):
        return os.getcwd()
    return None


def _handlers() -> dict[int, Any]:
    in_main = threading.current_thread() is threading.main_thread()  # Python sets handlers nowhere else
    return {number: signal.getsignal(number) for number in _SIGNALS} if in_main else {}


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
