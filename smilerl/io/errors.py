"""How a command ends where something goes wrong: a short text for users, an exit status, and a traceback in a file.

An error with a text for users is shown as it is; any other in a few lines that name the file with the traceback.
`SMILERL_TRACEBACK=1` shows tracebacks on the screen instead.
"""

from __future__ import annotations

import dis
import errno
import functools
import logging
import os
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from smilerl.io.terminal import brief, first_line, named, one_line, printable, say

#: Exit statuses: something is written wrong; something failed while running; Ctrl-C.
WRONG, FAILED, STOPPED = 2, 1, 130
#: EX_TEMPFAIL: stopped and saved; the same command goes on.
TRY_AGAIN = 75
#: Shows tracebacks on the screen where it is set.
SHOW = "SMILERL_TRACEBACK"
#: The file of a run directory that takes the traceback of its last failure.
KEPT = "traceback.txt"
_PACKAGE = Path(__file__).resolve().parents[1]
#: Errors of the operating system that are the user's business, and what they mean; all else is treated as a bug.
_SYSTEM = {
    errno.ENOSPC: (FAILED, "no space is left on the disk"),
    errno.EDQUOT: (FAILED, "the disk quota is used up"),
    errno.EFBIG: (FAILED, "the file is too large for this file system"),
    errno.EIO: (FAILED, "the disk could not be read or written (input/output error)"),
    errno.EMFILE: (FAILED, "too many files are open; raise the limit (ulimit -n)"),
    errno.ENFILE: (FAILED, "too many files are open on this machine"),
    errno.EACCES: (WRONG, "permission denied"),
    errno.EPERM: (WRONG, "not permitted"),
    errno.EROFS: (WRONG, "the file system is read-only"),
    errno.EISDIR: (WRONG, "this is a folder, and not a file"),
    errno.ENOTDIR: (WRONG, "this is no folder, or lies below what is none"),
    errno.ENAMETOOLONG: (WRONG, "the name is too long"),
    errno.ELOOP: (WRONG, "links lead in a circle"),
}
_NO_SPACE = ("No space left on device", "os error 28)")
_NO_MEMORY = ("out of memory", "can't allocate memory", "Unable to allocate", "not enough memory")
#: Seconds within which the other processes of a launch do not repeat what one of them has said.
_ONCE = 60.0


class UserError(Exception):
    """An error whose text says by itself what is wrong and what to do. Shown without a traceback."""


def run(command: Callable[[], int]) -> int:
    """Runs a command and returns its exit status; shows every error on standard error, in at most ten lines.

    Of several processes of one launch on a machine, only the first that fails shows its error.

    Raises:
        SystemExit: as the command raises it; `Interrupted` among them.
    """
    _quiet()
    try:
        return command()
    except SystemExit as error:
        if error.code in (STOPPED, TRY_AGAIN) or _is_ours(error.__traceback__):
            raise
        # The status of code that was called, such as a chat model's, might say that all went well.
        place = users_place(error)
        say(f"{place + ': ' if place else ''}sys.exit({error.code!r}) was called in the middle of the command")
        return FAILED
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:
        # The reader of our output has left (`| head`); what is still buffered has nowhere to go.
        sys.stdout = None
        return 0
    except BaseException as error:  # noqa: BLE001 - every error ends here; a panic of a Rust library is no Exception
        status, text = told(error)
        if _speaks():
            if os.environ.get(SHOW, "0") not in ("", "0"):
                traceback.print_exception(error, file=sys.stderr)
            else:
                print(text, file=sys.stderr)
        return status


def _quiet() -> None:
    """Shows what libraries log, and what threads and destructors raise, as printable text without a traceback.

    The Hub's client, and the trainers of TRL, report no use over the network; bars are for terminals.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.setLogRecordFactory(_PrintableRecord)
    threading.excepthook = lambda failed: _aside("a thread failed", failed.exc_value)
    sys.unraisablehook = lambda failed: _aside("something that was cleaned up failed", failed.exc_value)


class _PrintableRecord(logging.LogRecord):
    """A log record whose text moves no cursor, nor does the traceback that comes with it."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.exc_info and self.exc_info[0] is not None:  # a formatter takes this text where there is one
            self.exc_text = printable("".join(traceback.format_exception(*self.exc_info)).rstrip("\n"))

    def getMessage(self) -> str:
        return printable(super().getMessage())


def _aside(what: str, error: BaseException | None) -> None:
    if error is not None and sys.stderr is not None:
        at = users_place(error)
        say(f"{what}: {_headed(error)}{f' ({at})' if at else ''}")


def told(error: BaseException) -> tuple[int, str]:
    """The exit status of an error, and its text for the screen: printable, at most ten lines."""
    notes = [f"    {one_line(note, 300)}" for note in getattr(error, "__notes__", [])[:2]]
    if is_for_users(error):
        return WRONG, brief("\n".join([printable(error), *notes]))
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        status, meaning = _SYSTEM[error.errno]
        return status, brief(_about_file(error, meaning))
    if isinstance(error, FileNotFoundError) and error.filename is not None and _is_ours(error.__traceback__):
        return WRONG, brief(_about_file(error, "there is no such file"))
    if any(words in printable(error) for words in _NO_SPACE):
        return FAILED, brief(f"{_SYSTEM[errno.ENOSPC][1]}: {first_line(error, 500)}")
    head = _headed(error)
    if is_memory(error):
        head = (
            f"Out of memory: {first_line(error, 500)}\n"
            "    Lower training.per_device_train_batch_size (and raise gradient_accumulation_steps as much),\n"
            "    max_completion_length or max_length; or write `gradient_checkpointing: true`, or a smaller model.\n"
            "    For `smilerl eval`, lower --n."
        )
    return FAILED, brief("\n".join([head, *notes, *_where(error), _kept_where(error)]))


def is_for_users(error: BaseException) -> bool:
    """Whether an error says by itself what is wrong, so that a traceback would only hide it."""
    if isinstance(error, UserError):
        return True
    # Our own checks raise ValueError with a text for users. From a library or built-in that we called, it is a bug.
    if not isinstance(error, ValueError | FileNotFoundError) or not _is_ours(error.__traceback__):
        return False
    last: Any = _last(error.__traceback__)
    return dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] in ("RAISE_VARARGS", "RERAISE")


def keep(error: BaseException, folder: Path) -> Path | None:
    """Writes the traceback of an error into a folder, once; None where that fails.

    Raises nothing: an error that is being handled must not be replaced by another one.
    """
    if isinstance(getattr(error, "_kept", None), Path):
        return error._kept
    path = folder / KEPT
    try:
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
        error._kept = path
    except (OSError, AttributeError):
        return None
    return path


def is_of_machine(error: BaseException) -> bool:
    """Whether the operating system is out of something, such as room on the disk or open files."""
    return isinstance(error, OSError) and _SYSTEM.get(error.errno or 0, (WRONG, ""))[0] == FAILED


def is_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up: of this machine, or of an accelerator."""
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    return type(error).__name__ == "OutOfMemoryError" or any(words in printable(error) for words in _NO_MEMORY)


def users_place(error: BaseException) -> str | None:
    """`FILE:LINE` of the innermost line of a user's own code that an error went through; None where there is none."""
    if isinstance(error, SyntaxError) and error.filename and _is_users_file(error.filename):
        return f"{one_line(error.filename, 300)}:{error.lineno}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users_file(frame.filename)]
    return f"{one_line(own[-1].filename, 300)}:{own[-1].lineno}" if own else None


def _headed(error: BaseException) -> str:
    return named(error, first_line(error, 500))


def _where(error: BaseException) -> list[str]:
    """`raised at FILE:LINE`; and of a user's own code that was called, its innermost line."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{one_line(one.filename, 300)}:{one.lineno}, in {one_line(one.name, 300)}" for one in frames]
    own = [place for place, frame in zip(places, frames, strict=True) if _is_users_file(frame.filename)]
    called = [f"    called from your {own[-1]}"] if own and own[-1] != places[-1] else []
    return [f"    raised at {places[-1]}", *called] if places else []


def _is_users_file(name: str) -> bool:
    """Whether code is neither ours nor of Python or an installed library, and lies in a file."""
    path = Path(name)
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not (name.startswith("<") or installed or any(path.is_relative_to(folder) for folder in _libraries()))


@functools.cache
def _libraries() -> list[Path]:
    return [_PACKAGE, *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib", "scripts"))]


def _kept_where(error: BaseException) -> str:
    folder = Path(tempfile.gettempdir())
    if getattr(error, "_kept", None) is None:
        try:
            folder = Path(tempfile.mkdtemp(prefix="smilerl-"))
        except OSError:
            return f"    {SHOW}=1 shows the whole traceback."
    path = keep(error, folder)
    at = f"    The whole traceback: {path}" if path else "    The whole traceback could not be written."
    return f"{at} ({SHOW}=1 shows it here)"


def _about_file(error: OSError, meaning: str) -> str:
    names = [printable(name)[:300] for name in (error.filename, error.filename2) if name is not None]
    return f"{' → '.join(names)}: {meaning}" if names else f"{meaning} ({first_line(error, 500)})"


def _last(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _is_ours(trace: TracebackType | None) -> bool:
    """Whether code of this package raised an error, or a built-in that it called."""
    last = _last(trace)
    return last is not None and Path(last.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE)


def _speaks() -> bool:
    """Whether this process shows its error: of several of one launch, the first that comes here."""
    if int(os.environ.get("WORLD_SIZE") or 1) < 2:
        return True
    claim = Path(tempfile.gettempdir()) / f"smilerl-{os.getuid()}-launch-{os.getppid()}"
    try:
        if claim.exists() and time.time() - claim.stat().st_mtime > _ONCE:
            claim.unlink(missing_ok=True)
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    except OSError:
        return int(os.environ.get("RANK") or 0) == 0
    return True
