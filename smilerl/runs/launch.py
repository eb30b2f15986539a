"""The facts of a launch (processes, device, precision, batch), and what was asked of the launcher but did not happen.

`accelerate launch --cpu --num_processes 2` starts one process silently: without MPI it has no way to start two on CPUs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from smilerl.config.recipe import Recipe
from smilerl.io import bounded

if TYPE_CHECKING:
    from transformers import Trainer


def facts(recipe: Recipe, trainer: Trainer | None) -> dict[str, Any]:
    """What runs, for the manifest.

    Args:
        trainer: as made; None where nothing is trained.

    Returns:
        `processes`, `device` (its kind), `distributed` (as accelerate names it), `precision`; where something is
        trained, the batch of one step over all processes: `completions` and `num_generations` of methods that sample,
        else `rows`; and `unmet`, in words.
    """
    from accelerate import PartialState

    state = PartialState()
    found: dict[str, Any] = {
        "processes": state.num_processes,
        "device": (trainer.args.device if trainer is not None else state.device).type,
        "distributed": str(state.distributed_type.value),
        "precision": recipe.policy.dtype,
    }
    if trainer is not None:
        args: Any = trainer.args
        if trainer.accelerator.mixed_precision != "no":
            found["precision"] = f"mixed {trainer.accelerator.mixed_precision}"
        batch = args.train_batch_size * args.gradient_accumulation_steps * state.num_processes
        sampled = hasattr(args, "num_generations")
        found |= {"completions": batch, "num_generations": args.num_generations} if sampled else {"rows": batch}
    return {**found, "unmet": [*unmet(state.num_processes), *_unmet_of(recipe, found)]}


def line(found: dict[str, Any]) -> str:
    """The facts in a line, for the screen: `2 processes on cpu, float32; 16 completions a step (4 to a prompt)`."""
    number = found["processes"]
    said = f"{number} process{'es' * (number > 1)} on {found['device']}, {found['precision']}"
    if "completions" in found:
        said += f"; {found['completions']} completions a step ({found['num_generations']} to a prompt)"
    return f"{said}; {found['rows']} rows a step" if "rows" in found else said


def unmet(processes: int) -> list[str]:
    """What was asked of the launcher about processes and did not happen; known before anything loads.

    Args:
        processes: that run.
    """
    number, env = _asked(), os.environ
    # Its launcher of one process sets an address to meet at where it was asked for more than one.
    several = "MASTER_ADDR" in env and "WORLD_SIZE" not in env and "ACCELERATE_MIXED_PRECISION" in env
    if number == processes or not (number or (several and processes == 1)):
        return []
    runs = f"{processes} run{'s' * (processes == 1)}"
    return [
        f"accelerate launch was asked for {number or 'several'} processes, and {runs}: on CPUs it starts more only "
        "through MPI, on GPUs only with --multi_gpu. On CPUs write: "
        f"torchrun --nproc_per_node {number or 'N'} -m smilerl.train --config RECIPE --training.ddp_backend=gloo"
    ]


def _unmet_of(recipe: Recipe, found: dict[str, Any]) -> list[str]:
    """The same of devices, sharding and precision, known once the trainer is made."""
    said, was = [], "the launcher was asked for"
    if flag("ACCELERATE_USE_CPU") and found["device"] != "cpu":
        said.append(f"{was} the CPU, and the run is on {found['device']}: write `use_cpu: true` under training")
    for name in ("FSDP", "DeepSpeed"):
        if flag(f"ACCELERATE_USE_{name.upper()}") and found["distributed"] != name.upper():
            said.append(f"{was} {name}, and the run is without it ({found['distributed']})")
    asked, runs = os.environ.get("ACCELERATE_MIXED_PRECISION", "no"), found["precision"].removeprefix("mixed ")
    if asked in ("bf16", "fp16", "fp8"):
        if found["precision"] != f"mixed {asked}":
            decides = "the recipe's `bf16:` or `fp16:` decides"
            said.append(f"{was} mixed precision {asked}, and the run is in {runs}: {decides}")
        elif recipe.training.get(asked) is False:
            said.append(f"the recipe says `{asked}: false`, and the launcher's --mixed_precision {asked} is what runs")
    return said


def _asked() -> int | None:
    """The number of processes that `accelerate launch` was asked for; on Linux, where the parent's command is known."""
    try:
        typed = Path(f"/proc/{os.getppid()}/cmdline").read_bytes() if sys.platform.startswith("linux") else b""
    except OSError:
        return None
    return asked_of(typed.decode(errors="replace").split("\0"))


def asked_of(typed: list[str]) -> int | None:
    """The number of processes that a command asks for, by option or file; None where it is no `accelerate launch`.

    Args:
        typed: words of the command, the interpreter first where there is one.
    """
    said = " ".join(typed[:5])
    launcher = re.search(r"\baccelerate(?:\S*[ /.-]commands[./])?[ -]?launch(?:\.py)?(?= |$)", said)
    if launcher is None:
        return None
    options = typed[len(said[: launcher.end()].split(" ")) :]
    # What follows the program is the program's own.
    ends = (place for place, word in enumerate(options) if word in ("-m", "--module") or word.endswith(".py"))
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--num_processes", "--num-processes")
    parser.add_argument("--config_file", "--config-file")
    try:
        given, _ = parser.parse_known_args(options[: next(ends, None)])
        if given.num_processes is not None:
            return int(given.num_processes)
        number = yaml.safe_load(bounded.text(given.config_file))["num_processes"]
        return number if isinstance(number, int) else None
    except (argparse.ArgumentError, KeyError, OSError, TypeError, ValueError, yaml.YAMLError):
        return None


def flag(name: str) -> bool:
    """Whether an environment variable of the launcher is set to true."""
    return os.environ.get(name, "false").lower() in ("true", "1")
