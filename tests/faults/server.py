"""Starts the product in processes of its own, each in a fraction of a second: imports its libraries once, and forks.

Reads one JSON request a line from standard input and answers each with one line:

    {"start": {"args": [...], "cwd": ..., "env": {...}, "out": FILE, "err": FILE}}   → {"pid": ...}
    {"wait": PID, "timeout": SECONDS}                                               → {"code": ... or null: it still runs}

A child is a real process: it can be killed, it can exit, and what it does to its interpreter ends with it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback

PRELOADED = "smilerl.cli smilerl.train smilerl.training.run smilerl.evaluation.subject smilerl.evaluation.runner trl peft datasets pandas"


def start(request: dict) -> int:
    """Forks a child that runs `smilerl ARGS`; `train` under its own module where the first argument is `--config`."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    for descriptor, file in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), descriptor)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    code = 1
    try:
        code = run(request["args"])
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else 0 if asked.code is None else 1
    except BaseException:  # noqa: BLE001  (as the interpreter does at the top)
        traceback.print_exc()
    finally:
        sys.stdout.flush() if sys.stdout else None
        sys.stderr.flush()
        os._exit(code & 0xFF)


def run(args: list[str]) -> int:
    """What the console script does, or `python -m smilerl.train`."""
    from smilerl import cli, train

    sys.argv = ["smilerl", *args]
    return train.main(args) if args and args[0].startswith("--config") else cli.main(args)


def wait(pid: int, timeout: float) -> int | None:
    """Exit code, or minus the signal that ended it; None where it still runs."""
    deadline = time.monotonic() + timeout
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.01)


def main() -> None:
    """Serves until standard input ends."""
    import importlib

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints while it is imported is no answer
    for name in PRELOADED.split():
        importlib.import_module(name)
    answers.write("ready\n")
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer = {"pid": start(request["start"])}
        else:
            answer = {"code": wait(request["wait"], request["timeout"])}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
