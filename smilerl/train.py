"""Train one recipe, from the command line or under accelerate.

    python -m smilerl.train --config recipes/smileworld/rloo_sentiment.yaml --seed 1 --training.learning_rate=5e-4
    accelerate launch --config_file accelerate_config.yaml -m smilerl.train --config RECIPE.yaml

The same from Python: `smilerl.training.run.run_recipe`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from smilerl.io import errors
from smilerl.io.terminal import printable, say

if TYPE_CHECKING:
    from smilerl.runs.directory import Run

USAGE = """\
usage: python -m smilerl.train --config RECIPE.yaml [--KEY VALUE ...]

Trains the recipe in its output_dir and says how it went; a finished run is not trained again. One that was stopped
or killed is resumed from its newest whole checkpoint. SIGTERM and SIGUSR1 save first and exit with 75, Ctrl-C with 130.
Any key of the recipe can be set, by its dotted path: --seed 1 --training.learning_rate=1e-4 --output_dir runs/mine
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains the recipe named by `--config`; returns the exit status.

    Raises:
        Interrupted: it was asked to stop and has saved; exits with 75 or 130.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return 0 if arguments else 2
    return errors.run(lambda: train(*split_config(arguments)))


def train(recipe: str, overrides: Sequence[str]) -> int:
    """Trains a recipe, or recognises its finished run, and prints how it went; the exit status. What each entry does.

    Raises:
        Interrupted: it was asked to stop and has saved; exits with 75 or 130.
    """
    # Imported late, the light before the heavy: a mistake in a recipe is reported before torch has loaded.
    from smilerl.training.recipe_check import load_recipe

    run = trained(load_recipe(recipe, list(overrides)))
    if int(os.environ.get("RANK", 0)) == 0:
        print(printable(summary(run)))
    return 0


def trained(recipe) -> Run:
    """The finished run of a recipe: recognised without loading a library, or trained."""
    from smilerl.runs.directory import finished_run

    run = finished_run(recipe)
    if run is None:
        from smilerl.training.run import run_recipe

        return run_recipe(recipe)
    run.notice()
    if int(os.environ.get("RANK", 0)) == 0:
        say(f"{run.path} is finished already: nothing to do")
    return run


def split_config(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The value of `--config FILE` or `--config=FILE`, and the other arguments.

    Raises:
        RecipeError: there is no `--config`, or it has no value.
    """
    from smilerl.config.recipe import RecipeError

    rest = list(arguments)
    for place, argument in enumerate(rest):
        if argument.startswith("--config="):
            return argument.removeprefix("--config="), rest[:place] + rest[place + 1 :]
        if argument == "--config" and place + 1 < len(rest):
            return rest[place + 1], rest[:place] + rest[place + 2 :]
    fix = "Write --config recipes/smileworld/rloo_sentiment.yaml"
    raise RecipeError(f"command line: --config RECIPE.yaml is missing.\n    {fix}")


def summary(run) -> str:
    """How a run went: held-out people under the first and the last policy, remarks on its log, and its launch."""
    from smilerl.runs.launch import line
    from smilerl.runs.remarks import kl_text, remarks

    rows, launch = run.metrics(), run.manifest.get("launch")
    lines = [f"{run.path}  ({run.status['step']} steps, {run.status['seconds']:.0f} s)"]
    held_out = [row for row in rows if "held_out/kl" in row]
    ends = held_out[:1] + held_out[-1:]
    for name in ("reading", "smile", "wellbeing", "reward"):
        values = [row.get(f"held_out/{name}") for row in ends]
        if any(value is not None for value in values):
            shown = " → ".join("none" if value is None else f"{value:.3f}" for value in values)
            lines.append(f"  held-out {name:<10}{shown}")
    if held_out:
        lines.append(f"  held-out kl        {' → '.join(map(kl_text, ends))} nats per completion")
    for row in (row for row in rows if "best_of_n/n" in row):
        said = {name: row.get(f"best_of_n/{name}") for name in ("kl_bound", "reward", "reading", "smile", "wellbeing")}
        shown = "  ".join(f"{name} {value:.3f}" for name, value in said.items() if value is not None)
        lines.append(f"  best of {row['best_of_n/n']:<4}{shown}")
    lines += [f"  note: {said}" for said in remarks(rows)]
    if launch:
        lines += [*(f"  not as asked: {said}" for said in launch["unmet"]), f"  {line(launch)}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
