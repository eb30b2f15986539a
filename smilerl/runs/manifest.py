"""Where a result comes from: versions, git, seeds, hashes and the command, and nothing about who ran it or where."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smilerl import __version__
from smilerl.config.recipe import Recipe
from smilerl.io import paths
from smilerl.runs.identity import content_hash, inputs

_PACKAGES = (
    "torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "numpy", "vaderSentiment", "vllm",
)  # fmt: skip


def describe(recipe: Recipe, command: Sequence[str], digest: str | None = None) -> dict[str, Any]:
    """What a run is made from.

    Args:
        recipe: as resolved.
        command: as typed, program first.
        digest: the recipe's `content_hash`, where it is known already.

    Returns:
        `smilerl`, `python`, `platform`, `packages` (those installed), `git` (`sha`, `dirty`, `untracked`; None outside
        a checkout), `seed`, `content_hash`, `inputs` (name → hash of base model and data), `recipe` (its file),
        `command`.
    """
    return {
        **software(),
        "seed": recipe.seed,
        "content_hash": digest or content_hash(recipe),
        "inputs": {without_home(name): digest for name, digest in inputs(recipe).items()},
        "recipe": without_home(recipe.source),
        "command": command_line(command),
    }


def command_line(typed: Sequence[str]) -> str:
    """A command as it was typed, without the folder of its program and the home folder."""
    if not typed:
        return ""
    path = Path(typed[0])
    ours = path.suffix == ".py" and path.parent == paths.PACKAGE
    return without_home(shlex.join([f"python -m smilerl.{path.stem}" if ours else path.name, *typed[1:]]))


def software() -> dict[str, Any]:
    """`smilerl`, `python`, `platform`, `packages` and `git`, as in `describe`."""
    installed = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
    return {
        "smilerl": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: installed[name] for name in _PACKAGES if name in installed},
        "git": _git_state(),
    }


def uncommitted() -> str:
    """The diff between smilerl's checkout and its last commit; empty when clean, or when this is no checkout."""
    return (_git("diff", "HEAD") or "") if _is_checkout() else ""


def without_home(text: str) -> str:
    """The text with the path of the home folder written as `~`."""
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def now() -> str:
    """The time (UTC), as manifests write it: `2026-01-31T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _git_state() -> dict[str, Any] | None:
    if not _is_checkout():
        return None
    untracked = (_git("ls-files", "--others", "--exclude-standard") or "").splitlines()
    return {"sha": _git("rev-parse", "HEAD"), "dirty": bool(uncommitted()), "untracked": untracked[:100]}


def _is_checkout() -> bool:
    """False for an installed wheel, even one in an environment inside somebody else's checkout."""
    top = _git("rev-parse", "--show-toplevel")
    return top is not None and Path(top).resolve() == paths.PACKAGE.parent


def _git(*arguments: str) -> str | None:
    """The output of git in smilerl's checkout; None without git, a checkout or a commit."""
    try:
        said = subprocess.run(["git", *arguments], cwd=paths.PACKAGE.parent, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return None
    return said.stdout.strip("\n") if said.returncode == 0 else None
