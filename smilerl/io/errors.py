"""How a command ends where something goes wrong: a short text for users, an exit status, and a traceback that is kept in a file.

No traceback reaches the screen: an error with a text for users is shown as it is, and anything else in a few lines that say where the
whole traceback has been written. `SMILERL_TRACEBACK=1` shows it on the screen instead.
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

from smilerl.io.terminal import brief, named, printable

#: Exit statuses: something is written wrong; something failed while running; Ctrl-C.
WRONG, FAILED, STOPPED = 2, 1, 130
#: EX_TEMPFAIL: stopped and saved; the same command goes on.
TRY_AGAIN = 75
#: Shows tracebacks on the screen where it is set.
SHOW = "SMILERL_TRACEBACK"
#: The file of a run directory that takes the traceback of its last failure.
KEPT = "traceback.txt"
_PACKAGE = Path(__file__).resolve().parents[1]
#: Errors of the operating system that are the user's business, and what they mean; all else is looked at as a bug.
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
    """Runs a command and returns its exit status; tells every error on standard error, in at most ten lines.

    Of several processes of one launch on a machine, the first that fails speaks.

    Raises:
        SystemExit: as the command raises it; `Interrupted` among them.
    """
    _quiet()
    try:
        return command()
    except SystemExit as error:
        if error.code in (STOPPED, TRY_AGAIN) or _is_ours(error.__traceback__):
            raise
        # Code that was called, such as a chat model's, has no say in how the command ends: its status might say that all went well.
        place = users_place(error)
        print(
            printable(
                f"{place + ': ' if place else ''}sys.exit({error.code!r}) was called in the middle of the command"
            ),
            file=sys.stderr,
        )
        return FAILED
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:
        # The reader of our output has left (`| head`); what is still buffered has nowhere to go.
        sys.stdout = None
        return 0
    except BaseException as error:  # noqa: BLE001 - the one place where an error ends; a panic of a Rust library is no Exception
        status, text = told(error)
        if _speaks():
            if os.environ.get(SHOW, "0") not in ("", "0"):
                traceback.print_exception(error, file=sys.stderr)
            else:
                print(text, file=sys.stderr)
        return status


def _quiet() -> None:
    """What libraries log, threads raise and destructors raise reaches the screen as text, in a line, and not as a traceback.

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
        print(
            printable(f"{what}: {_headed(error)}{f' ({at})' if at else ''}"),
            file=sys.stderr,
        )


def told(error: BaseException) -> tuple[int, str]:
    """The exit status of an error, and its text for the screen: printable, at most ten lines."""
    if is_for_users(error):
        return WRONG, brief("\n".join([printable(error), *_notes(error)]))
    if isinstance(error, OSError) and error.errno in _SYSTEM:
        status, meaning = _SYSTEM[error.errno]
        return status, brief(_about_file(error, meaning))
    if isinstance(error, FileNotFoundError) and error.filename is not None and _is_ours(error.__traceback__):
        return WRONG, brief(_about_file(error, "there is no such file"))
    if any(words in printable(error) for words in _NO_SPACE):
        return FAILED, brief(f"{_SYSTEM[errno.ENOSPC][1]}: {_first_line(error)}")
    return FAILED, brief("\n".join([_headline(error), *_notes(error), *_where(error), _kept_where(error)]))


def is_for_users(error: BaseException) -> bool:
    """Whether an error says by itself what is wrong, so that a traceback would only hide it."""
    if isinstance(error, UserError):
        return True
    # Our own checks raise ValueError with a text for users. The same type from a library, or from a built-in that we called, is a bug.
    return isinstance(error, ValueError | FileNotFoundError) and _raised_by_us(error.__traceback__)


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
    """Whether the operating system is out of something, such as room on the disk or open files: no mistake in what was written."""
    return isinstance(error, OSError) and _SYSTEM.get(error.errno or 0, (WRONG, ""))[0] == FAILED


def is_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up: of this machine, or of an accelerator."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or any(words in printable(error) for words in _NO_MEMORY))
    )


def _headline(error: BaseException) -> str:
    if is_memory(error):
        return (
            f"Out of memory: {_first_line(error)}\n"
            "    Lower training.per_device_train_batch_size (and raise gradient_accumulation_steps as much), max_completion_length or\n"
            "    max_length; or write `gradient_checkpointing: true`, or a smaller model. For `smilerl eval`, lower --n."
        )
    return _headed(error)


def _headed(error: BaseException) -> str:
    return named(error, _first_line(error))


def _first_line(error: BaseException) -> str:
    line = next((line.strip() for line in printable(error).splitlines() if line.strip()), "")
    return line if len(line) <= 500 else f"{line[:500]} ..."


def _notes(error: BaseException) -> list[str]:
    return [f"    {_short(note)}" for note in getattr(error, "__notes__", [])[:2]]


def _short(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 300 else f"{line[:297]}..."


def users_place(error: BaseException) -> str | None:
    """`FILE:LINE` of the innermost line of a user's own code that an error went through, not that of a library; None where there is none."""
    if isinstance(error, SyntaxError) and error.filename and _is_users_file(error.filename):
        return f"{_short(error.filename)}:{error.lineno}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users_file(frame.filename)]
    return f"{_short(own[-1].filename)}:{own[-1].lineno}" if own else None


def _where(error: BaseException) -> list[str]:
    """`raised at FILE:LINE`; and of a user's own code that was called, its innermost line."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return []
    lines = [f"    raised at {_place(frames[-1])}"]
    own = [frame for frame in frames if _is_users_file(frame.filename)]
    if own and own[-1] is not frames[-1]:
        lines.append(f"    called from your {_place(own[-1])}")
    return lines


def _place(frame: traceback.FrameSummary) -> str:
    return f"{_short(frame.filename)}:{frame.lineno}, in {_short(frame.name)}"


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
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    place = f"{' → '.join(printable(name)[:300] for name in names)}: " if names else ""
    return f"{place}{meaning}{'' if place else f' ({_first_line(error)})'}"


def _last(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _is_ours(trace: TracebackType | None) -> bool:
    last = _last(trace)
    return last is not None and Path(last.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE)


def _raised_by_us(trace: TracebackType | None) -> bool:
    """Whether a `raise` of this package raised it, and no function that it called."""
    last = _last(trace)
    if last is None or not _is_ours(last):
        return False
    operation = dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]]
    return operation in ("RAISE_VARARGS", "RERAISE")


def _speaks() -> bool:
    """Whether this process tells what went wrong: of several of one launch, the first that comes here."""
    if int(os.environ.get("WORLD_SIZE") or 1) < 2:
        return True
    claim = Path(tempfile.gettempdir()) / f"smilerl-{os.getuid()}-launch-{os.getppid()}"
    try:
        if time.time() - claim.stat().st_mtime > _ONCE:
            claim.unlink()
    except OSError:
        pass
    try:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    except OSError:
        return int(os.environ.get("RANK") or 0) == 0
    return True
