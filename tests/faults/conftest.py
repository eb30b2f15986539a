"""The product as its users meet it: in a process of its own, judged by its exit status, what it prints and what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from smilerl.io.paths import PACKAGE
from tests.fixtures.recipes import RL, TINY

#: Lines that an error may have.
MOST_LINES = 10


@dataclass
class Process:
    """A command that runs, or has ended.

    Attributes:
        code: exit status, or minus the signal that ended it; None while it runs.
    """

    pid: int
    out_path: Path
    err_path: Path
    _server: Server
    code: int | None = None

    def wait(self, timeout: float = 120) -> Process:
        """Waits for its end. Fails the test where it does not come in time."""
        if self.code is None:
            self.code = self._server.ask({"wait": self.pid, "timeout": timeout})["code"]
        if self.code is None:
            os.killpg(self.pid, 9)
            self._server.ask({"wait": self.pid, "timeout": 10})
            pytest.fail(f"still running after {timeout} s:\n{self.err[-2000:]}")
        return self

    @property
    def out(self) -> str:
        """What it printed."""
        return self.out_path.read_text(encoding="utf-8", errors="replace")

    @property
    def err(self) -> str:
        """What it printed to standard error."""
        return self.err_path.read_text(encoding="utf-8", errors="replace")

    def refused(self, *says: str, code: int = 2) -> Process:
        """Checks that it ended as a mistake of the user's should: this status, at most ten lines, no traceback, these words."""
        said = self.err
        assert self.code == code, f"exit status {self.code}, not {code}:\n{self.out[-1000:]}\n{said[-3000:]}"
        assert "Traceback (most recent call last)" not in said + self.out, said[-3000:]
        assert "\x1b" not in said + self.out, f"escape characters reach the terminal: {said!r}"
        assert 0 < len(said.strip().splitlines()) <= MOST_LINES, f"{len(said.splitlines())} lines:\n{said[:3000]}"
        for words in says:
            assert words in said, f"'{words}' is not said:\n{said}"
        return self


@dataclass
class Server:
    """The process that starts the others; see `server.py`."""

    process: subprocess.Popen

    def ask(self, request: dict) -> dict:
        """The answer to one request."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@dataclass
class Product:
    """Runs `smilerl ARGS` in a process: `product("train", "recipe.yaml").refused("recipe.yaml:3")`."""

    server: Server
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)

    def start(self, *args: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> Process:
        """Starts it and comes back at once."""
        stem = self.cwd / f"said-{time.monotonic_ns()}"
        files = stem.with_suffix(".out"), stem.with_suffix(".err")
        for file in files:
            file.touch()
        request = {
            "args": [str(arg) for arg in args],
            "cwd": str(cwd or self.cwd),
            "env": {**self.env, **(env or {})},
            "out": str(files[0]),
            "err": str(files[1]),
        }
        return Process(self.server.ask({"start": request})["pid"], *files, self.server)

    def __call__(
        self, *args: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 120
    ) -> Process:
        return self.start(*args, cwd=cwd, env=env).wait(timeout)


@pytest.fixture(scope="session")
def product_server() -> Iterator[Server]:
    """One process a worker that has the libraries loaded."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(PACKAGE.parent),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [sys.executable, "-m", "tests.faults.server"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=PACKAGE.parent
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield Server(process)
    process.stdin.close()  # type: ignore[union-attr]
    process.wait(60)


@pytest.fixture
def product(product_server: Server, tmp_path: Path) -> Product:
    """The command `smilerl` in a process of its own, in a folder of the test, with a cache of the test."""
    return Product(product_server, tmp_path, {"SMILERL_CACHE": str(tmp_path / "cache")})


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Path]:
    """Writes the recipe of a run of two steps that takes about a second: `tiny(rewards=[...], training={"max_steps": 4})`."""

    def make(name: str = "recipe", method: str = "rloo", training: dict | None = None, **sections) -> Path:
        recipe = {
            "method": method,
            "output_dir": f"runs/{name}",
            "policy": {"config": TINY},
            "data": {"n": 16},
            "rewards": [{"name": "smile"}],
            "training": {**RL, **(training or {})},
            "held_out": {"every": 0, "n": 4},
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**recipe, **sections}, sort_keys=False))
        return path

    return make
