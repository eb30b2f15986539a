"""Where a result comes from: versions, git, seeds, hashes and the command, and nothing about who ran it or where."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import subprocess
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
        `smilerl`, `python`, `platform`, `packages` (those installed), `git` (`sha`, `dirty`, `untracked`; None outside a
        checkout), `seed`, `content_hash`, `inputs` (hash by name of base model and data), `recipe` (its file), `command`.
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
    """A command as it was typed, but for where programs are installed and who called it."""
    return without_home(shlex.join([_program(typed[0]), *typed[1:]])) if typed else ""


def software() -> dict[str, Any]:
    """`smilerl`, `python`, `platform`, `packages` and `git`, as in `describe`."""
    return {
        "smilerl": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _versions(),
        "git": _git_state(),
    }


def uncommitted() -> str:
    """The diff between smilerl's checkout and its last commit; empty when clean, or when this is no checkout."""
    return (_git("diff", "HEAD") or "") if _is_checkout() else ""


def without_home(text: str) -> str:
    """The text with the path of the home folder written as `~`."""
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def _versions() -> dict[str, str]:
    installed = {
        distribution.metadata["Name"]: distribution.version for distribution in importlib.metadata.distributions()
    }
    return {name: installed[name] for name in _PACKAGES if name in installed}


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
    """What git says about smilerl's checkout, or None: no git, no checkout, no commit."""
    try:
        said = subprocess.run(["git", *arguments], cwd=paths.PACKAGE.parent, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return None
    return said.stdout.strip("\n") if said.returncode == 0 else None


def _program(name: str) -> str:
    """`smilerl` or `python -m smilerl.train`, and not where they are installed."""
    path = Path(name)
    return f"python -m smilerl.{path.stem}" if path.suffix == ".py" and path.parent == paths.PACKAGE else path.name
