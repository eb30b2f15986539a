"""Runs `smilerl` commands with the real Hub client against a stand-in: in a process of their own, as `HF_ENDPOINT` is read at import.

Importing everything takes seconds, so one process does it once and forks for each command: each has a cache of the Hub and a
token of its own, or none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PARENT = """
import json, os, sys, traceback
import huggingface_hub, peft, pandas, datasets, trl
import smilerl.cli, smilerl.training.run, smilerl.evaluation.subject, smilerl.evaluation.runner, smilerl.studies.report, smilerl.publish.push
from huggingface_hub import constants

def child(asked):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    for name in ("HF_TOKEN", *asked["without"]):
        os.environ.pop(name, None)
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    constants.HF_HUB_CACHE = asked["cache"]
    try:
        return (smilerl.cli.main(asked["arguments"]) if asked["code"] is None else exec(asked["code"], {})) or 0
    except SystemExit as left:
        return left.code or 0
    except BaseException:
        traceback.print_exc()
        return 1

for line in sys.stdin:
    process = os.fork()
    if process == 0:
        code = child(json.loads(line))
        sys.stdout.flush(); sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


class Client:
    """Runs commands against the stand-in at a URL, until it is closed."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {
            "HF_ENDPOINT": url,
            "HF_HOME": str(folder / "hf"),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        environment |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PARENT],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(
        self,
        *arguments: str,
        cwd: Path,
        token: str | None = None,
        cache: str = "cache",
        code: str | None = None,
        **env: str,
    ) -> Said:
        """The end of `smilerl ARGUMENTS`, or of a piece of Python.

        Args:
            token: HF_TOKEN of the command.
            cache: name of its Hub cache; another name is a machine that has fetched nothing yet.
        """
        out, err = self.folder / "out.txt", self.folder / "err.txt"
        asked = {"arguments": arguments, "code": code, "cwd": str(cwd), "out": str(out), "err": str(err), "cache": str(cwd / cache),
                 "without": ["SMILERL_CACHE"], "env": {**({"HF_TOKEN": token} if token else {}), "SMILERL_CACHE": str(cwd / f"{cache}-smilerl"), **env}}  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        ended = self._process.stdout.readline()
        return Said(int(ended), out.read_text(), err.read_text())

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
