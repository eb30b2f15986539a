"""The run directory: everything that one run made, and everything needed to repeat it.

recipe.yaml      the recipe as resolved          metrics.jsonl   one JSON object per log, with `step`
manifest.json    versions, git, hashes, command  samples/        step-000010.parquet, ...
status.json      running, finished, failed ...   checkpoints/    to resume from, see `smilerl.runs.checkpoints`
lock             held while a process trains     model/          the final model or adapter, and its tokenizer
uncommitted.diff what git had not recorded       evals/<suite>/  results.json, samples.parquet
earlier/<n>/     what cannot be resumed          traceback.txt   where the last attempt failed, if it did
*sealed.json     of a finished run: what its files are, see `smilerl.runs.seals`
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from smilerl.config.recipe import Recipe, read_recipe
from smilerl.config.yaml_lines import dump
from smilerl.io import bounded, disk, errors, lock
from smilerl.io.files import RunError as RunError
from smilerl.io.files import plain, read_json, read_rows, reading, replacing, write
from smilerl.io.files import write_json as write_json
from smilerl.io.terminal import brief, named, say
from smilerl.runs import checkpoints, ownership, seals, signature
from smilerl.runs import manifest as provenance
from smilerl.runs.identity import content_hash

_STATES = ("running", "finished", "failed", "interrupted")
#: The types of what a run's own files say, and what to do where one is damaged.
_STATUS = {"state": str, "step": int, "seconds": int | float, "goes_on_from": str | None, "error": str | None}
_MANIFEST = {
    **dict.fromkeys(("content_hash", "data_hash"), str),
    **dict.fromkeys(("packages", "inputs", "hub", "speakers"), dict),
    **dict.fromkeys(("resumed", "channels", "learnt_from"), list),
}
_MEND = {
    "status.json": "Delete it: the same command then goes on from the newest checkpoint, or begins anew.",
    "manifest.json": "Without it nobody knows what made this run. Delete the folder, or give another --output_dir.",
    "metrics.jsonl": "Delete it, and run the same command again.",
}


class Interrupted(SystemExit):
    """Training was asked to stop, and has saved where it was.

    Attributes:
        code: 75 (EX_TEMPFAIL: run the same command again to go on), or 130 after Ctrl-C.
    """

    def __init__(self, asked: signal.Signals) -> None:
        super().__init__(130 if asked == signal.SIGINT else 75)


class Run:
    """A run directory. Made by `Run.create` (to train in it; holds its lock) or `Run.open` (to read it).

    As a context manager it releases the lock at the end, and notes the error if there was one:

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
        #: Each is called with every row that `log` has written.
        self.listeners: list[Callable[[Mapping[str, Any]], None]] = []
        self._lock: IO[str] | None = None
        self._began = time.monotonic()

    @classmethod
    def create(cls, recipe: Recipe, command: Sequence[str] | None = None) -> Run:
        """The run of this recipe in its `output_dir`, with the lock held.

        A finished run of a recipe with the same content is returned as it is (`finished`). An unfinished one goes on
        from its newest whole checkpoint (`goes_on_from`); without one it starts afresh, and what it left is moved to
        `earlier/`.

        Args:
            recipe: as loaded.
            command: as typed, for the manifest; `sys.argv` when None.

        Raises:
            RunError: another process trains there, or the directory holds the run of another recipe.
            RecipeError: the directory cannot be written, or holds something that is no run.
        """
        run = cls(Path(recipe.output_dir))
        ownership.check_run_folder(recipe)
        with disk.told_when_full(run.path):  # also where the lock cannot be closed: the disk has no room for its text
            try:
                try:
                    run.path.mkdir(parents=True, exist_ok=True)
                    run._take_lock()
                except OSError as error:
                    if disk.is_full(error, run.path):
                        raise
                    text = f"output_dir: {run.path} cannot be written in: {error.strerror or error}."
                    raise recipe.error("output_dir", text, "Give another folder.") from error
                run._begin(recipe, sys.argv if command is None else command)
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
    def made_here(self) -> bool:
        """Whether this user made it, with the recipe that is there now; see `smilerl.runs.signature`."""
        written = self.path / "recipe.yaml"
        return written.is_file() and signature.is_ours(bounded.text(written), self.status.get("made_here"))

    @property
    def manifest(self) -> dict[str, Any]:
        """What it was made from; see `smilerl.runs.manifest`."""
        return self._read("manifest.json", _MANIFEST)

    @property
    def status(self) -> dict[str, Any]:
        """`state` (running, finished, failed, interrupted), `step`, `started` (UTC), `seconds` of all attempts,
        `error`, `goes_on_from` (the checkpoint that this attempt began with, or None)."""
        found = self._read("status.json", _STATUS, ("state", "step", "seconds"))
        with reading(self.path / "status.json", _MEND["status.json"]):
            if found and found["state"] not in _STATES:
                raise ValueError(f"'state' in it is {found['state']!r}"[:80])
        return found

    @property
    def state(self) -> str:
        """The state, where `running` is said only of a run that a process holds the lock of; else `interrupted`."""
        state = self.status.get("state", "interrupted")
        return "interrupted" if state == "running" and self._lock is None and not self.in_use else state

    @property
    def in_use(self) -> bool:
        """Whether some process trains here now."""
        return lock.is_held(self.path / "lock")

    @property
    def finished(self) -> bool:
        """Whether it ran to its end."""
        return self.status.get("state") == "finished"

    def finished_as(self, recipe: Recipe) -> bool:
        """Whether it ran to its end with a recipe of the same content as this one."""
        return self.finished and self.manifest.get("content_hash") == content_hash(recipe)

    def damage(self, *, thoroughly: bool = True) -> str | None:
        """What is wrong with the model of a finished run, in one line; None for one that is whole or has no seal.

        Args:
            thoroughly: False: recognise large files by size and time, see `smilerl.runs.seals`.
        """
        return seals.damage_of_model(self.path, thoroughly=thoroughly)

    def check(self, *parts: str) -> None:
        """Verifies what is read of a finished run: its model, and these files and folders besides.

        Args:
            parts: such as `samples`; all that is sealed when there are none.

        Raises:
            RunError: something is not what was saved.
        """
        self._refuse_damaged(self.damage() or seals.damage_inside(self.path, *parts))
        if self.finished and not seals.has_seal(self.path):
            say(f"{self.path}: there is no {seals.RUN}, so its files are not verified")

    def notice(self) -> None:
        """Says on standard error what is wrong with a finished run besides its model."""
        if wrong := seals.damage_inside(self.path):
            say(f"{self.path}: {wrong}. (The model is whole.)")

    @property
    def goes_on_from(self) -> Path | None:
        """The checkpoint that this attempt goes on from, a folder; None where it began at the first step."""
        name = self.status.get("goes_on_from")
        return self.checkpoints / name if name else None

    def log(self, row: Mapping[str, Any]) -> None:
        """Appends one row to metrics.jsonl, and notes its step in the status. NaN and infinities become null."""
        if "step" not in row:
            raise ValueError(f"a row of metrics needs 'step'; it has {', '.join(row)}")
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain(row), allow_nan=False) + "\n")
        self._set_status(step=int(row["step"]))
        for listener in self.listeners:
            listener(row)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, in the order of logging; says on standard error how many could not be read."""
        return read_rows(self.metrics_path, fix=_MEND["metrics.jsonl"]) if self.metrics_path.exists() else []

    def save_samples(self, step: int, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Writes samples/step-XXXXXX.parquet, one row a completion, and returns its path."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path / "samples" / f"step-{step:06d}.parquet"
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as unfinished:
            pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), unfinished)
        return path

    def sync(self) -> None:
        """Waits until logs and samples are on the disk: a checkpoint goes on from a log that has its step."""
        for path in [self.metrics_path, *self.path.glob("samples/*.parquet"), *self.path.glob("initial/*")]:
            if path.is_file():
                seals.sync(path)

    def note(self, **facts: Any) -> None:
        """Adds facts to the manifest that were not known at the start, such as `data_hash`."""
        write_json(self.path / "manifest.json", self.manifest | facts)

    def finish(self) -> None:
        """Marks the run as finished, and seals what it made."""
        (self.path / errors.KEPT).unlink(missing_ok=True)
        seals.seal_run(self.path)
        self._set_status(state="finished", error=None)

    def fail(self, error: BaseException) -> None:
        """Notes that the run ended with this error, or was interrupted."""
        stopped = isinstance(error, Interrupted | KeyboardInterrupt)
        said = None if stopped else brief(provenance.without_home(named(error)))
        changes = {"state": "interrupted" if stopped else "failed", "error": said}
        try:
            self._set_status(**changes)
        except OSError:  # a full disk has no room for a second file, but for other words in the first
            disk.overwrite(self.path / "status.json", plain(self.status | changes))

    def close(self) -> None:
        """Releases the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with disk.told_when_full(self.path):
                if error is not None:
                    raise error
        except BaseException as told:
            if not self.finished:
                # The failure of a user's reward has a text for users; its author wants the traceback, too.
                if isinstance(told, Exception) and not (errors.is_for_users(told) and told.__cause__ is None):
                    errors.keep(told, self.path)
                self.fail(told)
            if told is not error:
                raise
        finally:
            self.close()
        if isinstance(error, SystemExit) and not isinstance(error, Interrupted):  # its status might be that of success
            text = f"{self.path}: something called sys.exit({error.code!r}) in the middle of the run"
            raise RunError(text) from error

    def _take_lock(self) -> None:
        path = self.path / "lock"
        try:
            self._lock = lock.take(path)
        except OSError as error:
            raise RunError(f"{path} cannot be opened: {error.strerror}.\n    Delete it.") from None
        if self._lock is None:
            holder = path.read_text(encoding="utf-8").strip() or "unknown"
            text = (
                f"{self.path}: another process (pid {holder}) trains here. Wait for it, or give another --output_dir."
            )
            raise RunError(text)
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _refuse_other(self, recipe: Recipe) -> None:
        """Raises an error that says how the run of another recipe in this directory differs."""
        if not (self.path / "manifest.json").exists():
            raise RunError(f"{self.path / 'manifest.json'} is missing.\n    {_MEND['manifest.json']}")
        if self.finished:
            self._refuse_damaged(seals.damage_inside(self.path, "manifest.json", "recipe.yaml"))
        changes = _differences(self.recipe.to_dict(), recipe.to_dict())
        what = changes[:5] or ["the code, data or base model that it names has changed"]
        if len(changes) > 5:
            what.append(f"... and {len(changes) - 5} more")
        raise RunError(
            f"{self.path} holds the run of another recipe (there → here):\n"
            + "".join(f"    {change}\n" for change in what)
            + "Give another --output_dir, or delete the directory."
        )

    def _refuse_damaged(self, wrong: str | None) -> None:
        if wrong is not None:
            raise RunError(f"{self.path}: {wrong}.\n    {seals.REBUILT.format(self.path)}")

    def _begin(self, recipe: Recipe, command: Sequence[str]) -> None:
        """Prepares the directory: leaves a finished run as it is, goes on from a checkpoint, or starts afresh."""
        digest = content_hash(recipe)  # once an attempt, under the lock: what the files say now is what is noted
        same = self.manifest.get("content_hash") == digest
        if not same and (self.metrics_path.exists() or self.finished):
            self._refuse_other(recipe)
        done = self.finished and same
        wrong = self.damage(thoroughly=False) if done else "it is not finished"
        if wrong is None or (same and self._go_on(recipe, command)):
            return
        if done:
            self._refuse_damaged(wrong)
        self._start(recipe, digest, command)

    def _start(self, recipe: Recipe, digest: str, command: Sequence[str]) -> None:
        self._move_aside()
        manifest = provenance.describe(recipe, command, digest)
        self._save_diff("uncommitted.diff")
        written = dump(recipe.to_dict())
        write(self.path / "recipe.yaml", written)
        write_json(self.path / "manifest.json", manifest)
        status = {"state": "running", "step": 0, "started": provenance.now(), "seconds": 0.0}
        more = {"error": None, "goes_on_from": None, "made_here": signature.sign(written)}
        write_json(self.path / "status.json", status | more)

    def _go_on(self, recipe: Recipe, command: Sequence[str]) -> bool:
        """Makes the directory what it was at its newest whole checkpoint; False where there is none."""
        checkpoint, passed_over = checkpoints.newest(self.checkpoints)
        for damaged, wrong in passed_over.items():
            say(f"{damaged} is passed over: {wrong}")
        if checkpoint is None:
            return False
        if self.finished:
            say(f"{self.path}: {self.damage(thoroughly=False)}; goes on from {checkpoint.name}")
        self._move_aside(passed_over)
        step = checkpoints.step_of(checkpoint)
        self._cut_back(step)
        status = {"state": "running", "step": step, "error": None, "goes_on_from": checkpoint.name}
        self._began -= self.status.get("seconds", 0.0)
        write_json(self.path / "status.json", self.status | status)
        self._note_resumption(step, passed_over, provenance.describe(recipe, command))
        return True

    def _note_resumption(self, step: int, passed_over: Mapping[Path, str], now: Mapping[str, Any]) -> None:
        before = self.manifest.get("resumed", [])
        self._save_diff(f"uncommitted-{len(before) + 1}.diff")
        what = {"time": provenance.now(), "step": step, **{key: now[key] for key in ("git", "command", "packages")}}
        if passed_over:
            what["passed_over"] = {damaged.name: wrong for damaged, wrong in passed_over.items()}
        self.note(resumed=[*before, what])
        last = (before or [self.manifest])[-1]["packages"]
        changed = [f"{name} {last.get(name)} → {new}" for name, new in now["packages"].items() if last.get(name) != new]
        if changed:
            say(f"{self.path}: goes on, but not bit by bit: {', '.join(changed)}")

    def _save_diff(self, name: str) -> None:
        if diff := provenance.uncommitted():
            write(self.path / name, diff)

    def _cut_back(self, step: int) -> None:
        """Deletes what was written after a step, so that log and samples read as those of one run."""

        def is_later(path: Path) -> bool:
            number = path.stem.removeprefix("step-")
            return path.suffix == ".writing" or (number.isdigit() and int(number) > step)

        kept = [row for row in self.metrics() if row["step"] <= step]
        write(self.metrics_path, "".join(json.dumps(row) + "\n" for row in kept))
        later = filter(is_later, self.path.glob("samples/step-*"))
        for path in [*later, self.model, seals.beside(self.model), self.path / seals.RUN]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _move_aside(self, entries: Iterable[Path] | None = None) -> None:
        """Moves these, or all that earlier attempts made, to `earlier/<n>/`."""
        if entries is None:
            made = (entry for entry in self.path.iterdir() if ownership.made_by_a_run(entry.name))
            entries = [entry for entry in made if entry.name not in ("lock", "earlier")]
        attempts = [int(entry.name) for entry in (self.path / "earlier").glob("*") if entry.name.isdigit()]
        aside = self.path / "earlier" / str(max(attempts, default=0) + 1)
        for entry in list(entries):
            there = aside / entry.relative_to(self.path)
            there.parent.mkdir(parents=True, exist_ok=True)
            entry.rename(there)

    def _set_status(self, **changes: Any) -> None:
        if self._lock is None:
            text = f"{self.path} is open to read only: only the process that made it with Run.create writes its status."
            raise RunError(text)
        seconds = round(time.monotonic() - self._began, 1)
        write_json(self.path / "status.json", self.status | changes | {"seconds": seconds})

    def _read(self, name: str, types: Mapping[str, Any], needed: Sequence[str] = ()) -> dict[str, Any]:
        """What a file of the run says; nothing where it is not there yet."""
        path = self.path / name
        return read_json(path, _MEND[name], types, needed) if path.exists() else {}


def finished_run(recipe: Recipe) -> Run | None:
    """The finished run of this recipe in its `output_dir`, if there is one and its model is whole."""
    run = Run(Path(recipe.output_dir))
    if not ownership.is_run(run.path) or not run.finished_as(recipe):
        return None
    return run if run.damage(thoroughly=False) is None else None


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
