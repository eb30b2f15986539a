"""What a launch really is: how many processes, on which device, in which precision, how much a step takes; and what was asked, and is not.

`accelerate launch --cpu --num_processes 2` starts one process and says nothing: without MPI it has no way to start two on CPUs.
"""

from __future__ import annotations

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
        `processes`, `device` (its kind), `distributed` (as accelerate names it), `precision`; where something is trained, the batch of one
        step over all processes: `completions` and `num_generations` of methods that sample, else `rows`; and `unmet`, in words.
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
    """What was asked of the launcher about processes, and is not so; known before anything loads.

    Args:
        processes: that run.
    """
    asked = _asked()
    number = asked.get("num_processes")
    # Its launcher of one process sets an address to meet at where it was asked for more than one.
    several = (
        "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ and "ACCELERATE_MIXED_PRECISION" in os.environ
    )
    if isinstance(number, int) and number > 0:
        if number == processes:
            return []
        said = f"accelerate launch was asked for {number} processes, and {processes} run{'s' * (processes == 1)}"
    elif several and processes == 1:
        said = "accelerate launch was asked for several processes, and 1 runs"
    else:
        return []
    fix = f"torchrun --nproc_per_node {number or 'N'} -m smilerl.train --config RECIPE --training.ddp_backend=gloo"
    return [f"{said}: on CPUs it starts more only through MPI, on GPUs only with --multi_gpu. On CPUs write: {fix}"]


def _unmet_of(recipe: Recipe, found: dict[str, Any]) -> list[str]:
    """The same of devices, sharding and precision, known once the trainer is made."""
    said = []
    if flag("ACCELERATE_USE_CPU") and found["device"] != "cpu":
        said.append(
            f"the launcher was asked for the CPU, and the run is on {found['device']}: write `use_cpu: true` under training"
        )
    for part, name, kind in (("FSDP", "FSDP", "FSDP"), ("DEEPSPEED", "DeepSpeed", "DEEPSPEED")):
        if flag(f"ACCELERATE_USE_{part}") and found["distributed"] != kind:
            said.append(f"the launcher was asked for {name}, and the run is without it ({found['distributed']})")
    asked, runs = os.environ.get("ACCELERATE_MIXED_PRECISION", "no"), found["precision"].removeprefix("mixed ")
    if asked in ("bf16", "fp16", "fp8"):
        if found["precision"] != f"mixed {asked}":
            said.append(
                f"the launcher was asked for mixed precision {asked}, and the run is in {runs}: the recipe's `bf16:` or `fp16:` decides"
            )
        elif recipe.training.get(asked) is False:
            said.append(f"the recipe says `{asked}: false`, and the launcher's --mixed_precision {asked} is what runs")
    return said


def _asked() -> dict[str, Any]:
    """`num_processes` as `accelerate launch` was told, by its options or its file; on Linux, where a process can see how its parent began."""
    if not sys.platform.startswith("linux"):
        return {}
    try:
        typed = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return asked_of(typed)


def asked_of(typed: list[str]) -> dict[str, Any]:
    """`num_processes` as a command says it, by option or file; nothing where it is no `accelerate launch`.

    Args:
        typed: words of the command, the interpreter first where there is one.
    """
    said = " ".join(typed[:5])
    launcher = re.search(r"\baccelerate(?:\S*[ /.-]commands[./])?[ -]?launch(?:\.py)?(?= |$)", said)
    if launcher is None:
        return {}
    options, found = typed[len(said[: launcher.end()].split(" ")) :], {}
    for place, word in enumerate(options):
        option, equals, value = word.partition("=")
        if not equals and place + 1 < len(options):
            value = options[place + 1]
        name = option.lstrip("-").replace("-", "_")
        if option.startswith("--") and name in ("num_processes", "config_file") and name not in found:
            found[name] = value
        if word in ("-m", "--module") or word.endswith(".py"):
            break  # what follows is the program's own
    asked = str(found.get("num_processes", ""))
    if asked.isdigit():
        return {"num_processes": int(asked)}
    try:
        said = yaml.safe_load(bounded.text(found["config_file"]))
        return {"num_processes": said["num_processes"]}
    except (KeyError, OSError, TypeError, ValueError, yaml.YAMLError):
        return {}


def flag(name: str) -> bool:
    """Whether an environment variable of the launcher is set to true."""
    return os.environ.get(name, "false").lower() in ("true", "1")
