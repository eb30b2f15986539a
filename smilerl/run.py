"""The run directory: everything that one run made, and everything needed to repeat it.

recipe.yaml      the recipe as resolved          metrics.jsonl   one JSON object per log, with `step`
manifest.json    versions, git, hashes, command  samples/        step-000010.parquet, ...
status.json      running, finished or failed     checkpoints/    of the trainer
lock             held while a process trains     model/          the final model or adapter, and its tokenizer
uncommitted.diff what git had not recorded       evals/<suite>/  results.json, samples.parquet
earlier/<n>/     what unfinished attempts left
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from smilerl import provenance
from smilerl.recipe import Recipe, read_recipe
from smilerl.yaml_lines import dump

_KEPT_ON_RESTART = {"lock", "earlier"}


class RunError(RuntimeError):
    """A run directory cannot be used as asked. Says which, why, and what to do."""


class Run:
    """A run directory. Made by `Run.create` (to train in it; holds its lock) or `Run.open` (to read it).

    As a context manager it lets go of the lock at the end, and notes the error if there was one:

        with Run.create(recipe) as run:
            if not run.finished:
                ...
                run.finish()
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.metrics_path = path / "metrics.jsonl"
        self._lock: IO[str] | None = None
        self._began = time.monotonic()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def create(cls, recipe: Recipe, command: Sequence[str] | None = None) -> Run:
        """The run of this recipe in its `output_dir`, with the lock held.

        A finished run of a recipe with the same content is returned as it is: look at `finished`. An unfinished one is
        started afresh, with what it left moved to `earlier/`.

        Args:
            recipe: as loaded.
            command: as typed, for the manifest; `sys.argv` when None.

        Raises:
            RunError: another process trains there, or the directory holds the run of another recipe.
        """
        run = cls(Path(recipe.output_dir))
        run.path.mkdir(parents=True, exist_ok=True)
        run._take_lock()
        try:
            run._refuse_other(recipe)
            if not run.finished_as(recipe):
                run._start(recipe, sys.argv if command is None else command)
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run, to read.

        Raises:
            RunError: there is no run at this path.
        """
        path = Path(path)
        if not (path / "status.json").is_file():
            raise RunError(f"{path} is no run directory: there is no status.json in it.")
        return cls(path)

    @property
    def recipe(self) -> Recipe:
        """The recipe as resolved."""
        return read_recipe(self.path / "recipe.yaml")

    @property
    def manifest(self) -> dict[str, Any]:
        """What it was made from; see `smilerl.provenance`."""
        return _read_json(self.path / "manifest.json")

    @property
    def status(self) -> dict[str, Any]:
        """`state` (running, finished, failed), `step`, `started` (UTC), `seconds`, `error`."""
        return _read_json(self.path / "status.json")

    @property
    def state(self) -> str:
        """`running`, `finished`, `failed`, or `interrupted`: it says that it runs, and no process holds its lock."""
        state = self.status.get("state", "interrupted")
        return (
            "interrupted" if state == "running" and self._lock is None and not _is_locked(self.path / "lock") else state
        )

    @property
    def finished(self) -> bool:
        """Whether it ran to its end."""
        return self.status.get("state") == "finished"

    def finished_as(self, recipe: Recipe) -> bool:
        """Whether it ran to its end with a recipe of the same content as this one."""
        return self.finished and self.manifest.get("content_hash") == recipe.content_hash()

    def log(self, row: Mapping[str, Any]) -> None:
        """Appends one row to metrics.jsonl, and notes its step in the status. NaN and infinities are written as null."""
        if "step" not in row:
            raise ValueError(f"a row of metrics needs 'step'; it has {', '.join(row)}")
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_plain(row), allow_nan=False) + "\n")
        self._set_status(step=int(row["step"]))

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, in the order of logging."""
        if not self.metrics_path.exists():
            return []
        return [json.loads(line) for line in self.metrics_path.read_text(encoding="utf-8").splitlines()]

    def save_samples(self, step: int, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Writes samples/step-XXXXXX.parquet, one row a completion, and returns its path."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path / "samples" / f"step-{step:06d}.parquet"
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".writing")
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), unfinished)
        unfinished.replace(path)
        return path

    def note(self, **facts: Any) -> None:
        """Adds facts to the manifest that were not known at the start, such as `data_hash`."""
        write_json(self.path / "manifest.json", self.manifest | facts)

    def finish(self) -> None:
        """Says that the run ran to its end."""
        self._set_status(state="finished", error=None)

    def fail(self, error: BaseException) -> None:
        """Says that the run ended with this error."""
        self._set_status(state="failed", error=provenance.without_home(f"{type(error).__name__}: {error}"))

    def close(self) -> None:
        """Lets go of the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self.finished:
            self.fail(error)
        self.close()

    def _take_lock(self) -> None:
        lock = (self.path / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise RunError(
                f"{self.path}: another process (pid {holder}) trains here. Wait for it, or give another --output_dir."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _refuse_other(self, recipe: Recipe) -> None:
        """Raises if the directory holds the run of another recipe that has something to lose."""
        if not (self.path / "manifest.json").exists() or not (self.metrics_path.exists() or self.finished):
            return
        if self.manifest.get("content_hash") == recipe.content_hash():
            return
        changes = _differences(self.recipe.to_dict(), recipe.to_dict())
        what = (
            "\n".join(f"    {change}" for change in changes[:5])
            or "    the code, data or base model that it names has changed"
        )
        more = f"\n    ... and {len(changes) - 5} more" if len(changes) > 5 else ""
        raise RunError(
            f"{self.path} holds the run of another recipe (there → here):\n{what}{more}\n"
            "Give another --output_dir, or delete the directory."
        )

    def _start(self, recipe: Recipe, command: Sequence[str]) -> None:
        self._move_aside()
        manifest = provenance.describe(recipe, command)
        diff = provenance.uncommitted()
        if diff:
            _write(self.path / "uncommitted.diff", diff)
        _write(self.path / "recipe.yaml", dump(recipe.to_dict()))
        write_json(self.path / "manifest.json", manifest)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        write_json(
            self.path / "status.json", {"state": "running", "step": 0, "started": now, "seconds": 0.0, "error": None}
        )

    def _move_aside(self) -> None:
        left = [entry for entry in self.path.iterdir() if entry.name not in _KEPT_ON_RESTART]
        if not left:
            return
        attempts = [int(entry.name) for entry in (self.path / "earlier").glob("*") if entry.name.isdigit()]
        aside = self.path / "earlier" / str(max(attempts, default=0) + 1)
        aside.mkdir(parents=True)
        for entry in left:
            entry.rename(aside / entry.name)

    def _set_status(self, **changes: Any) -> None:
        if self._lock is None:
            raise RunError(
                f"{self.path} is open to read only: only the process that made it with Run.create writes its status."
            )
        seconds = round(time.monotonic() - self._began, 1)
        write_json(self.path / "status.json", self.status | changes | {"seconds": seconds})


def finished_run(recipe: Recipe) -> Run | None:
    """The finished run of this recipe in its `output_dir`, if there is one."""
    run = Run(Path(recipe.output_dir))
    return run if run.finished_as(recipe) else None


def write_json(path: Path, data: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one and nothing between, whatever happens."""
    _write(path, json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.writing")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _plain(value: Any) -> Any:
    """The value for JSON: numpy and torch scalars as numbers, NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("r", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> list[str]:
    """`training.beta: 0.02 → 0.1`, one for each value that differs."""
    changes = []
    for key in dict.fromkeys([*there, *here]):
        old, new = there.get(key), here.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            changes += _differences(old, new, f"{prefix}{key}.")
        elif old != new and key not in ("output_dir", "story"):
            changes.append(f"{prefix}{key}: {old!r} → {new!r}"[:160])
    return changes
