"""Train one recipe, from the command line or under accelerate.

    python -m smilerl.train --config recipes/smileworld/rloo_sentiment.yaml --seed 1 --training.learning_rate=5e-4
    accelerate launch --config_file accelerate_config.yaml -m smilerl.train --config recipes/smileworld/rloo_sentiment.yaml

The same from Python: `smilerl.pipeline.run_recipe`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

USAGE = """\
usage: python -m smilerl.train --config RECIPE.yaml [--KEY VALUE ...]

Trains the recipe in its output_dir and says how it went; a finished run is not trained again. One that was stopped or killed goes
on from its newest whole checkpoint. SIGTERM and SIGUSR1 save first and exit with 75, Ctrl-C with 130.
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
    # Trainers of TRL report their use over the network, which nobody here has asked for.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Imported late, the light before the heavy: a mistake in a recipe is told before torch has loaded.
    from smilerl.recipe import RecipeError, load_recipe
    from smilerl.run import RunError, finished_run

    try:
        config, overrides = split_config(arguments)
        recipe = load_recipe(config, overrides)
        run = finished_run(recipe)
        if run is not None:
            run.notice()
        else:
            from smilerl.pipeline import run_recipe
            from smilerl.rewards import RewardError
            from smilerl.speakers import SpeakerError

            try:
                run = run_recipe(recipe)
            except (RewardError, SpeakerError) as error:
                print(error, file=sys.stderr)
                return 2
    except (RecipeError, RunError) as error:
        print(error, file=sys.stderr)
        return 2
    if int(os.environ.get("RANK", 0)) == 0:
        print(summary(run))
    return 0


def split_config(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The value of `--config FILE` or `--config=FILE`, and the other arguments.

    Raises:
        RecipeError: there is no `--config`, or it has no value.
    """
    from smilerl.recipe import RecipeError

    rest = list(arguments)
    for place, argument in enumerate(rest):
        if argument.startswith("--config="):
            return argument.removeprefix("--config="), rest[:place] + rest[place + 1 :]
        if argument == "--config" and place + 1 < len(rest):
            return rest[place + 1], rest[:place] + rest[place + 2 :]
    raise RecipeError(
        "command line: --config RECIPE.yaml is missing.\n    Write --config recipes/smileworld/rloo_sentiment.yaml"
    )


def summary(run) -> str:
    """Where the run is, and how the held-out people fared under the first and the last policy."""
    lines = [f"{run.path}  ({run.status['step']} steps, {run.status['seconds']:.0f} s)"]
    held_out = [row for row in run.metrics() if "held_out/kl" in row]
    for name in ("reading", "smile", "wellbeing", "reward", "kl"):
        values = [row.get(f"held_out/{name}") for row in (held_out[:1] + held_out[-1:])]
        if any(value is not None for value in values):
            lines.append(
                f"  held-out {name:<10}" + " → ".join("none" if value is None else f"{value:.3f}" for value in values)
            )
    for row in run.metrics():
        if "best_of_n/n" in row:
            said = {
                name: row.get(f"best_of_n/{name}") for name in ("kl_bound", "reward", "reading", "smile", "wellbeing")
            }
            shown = "  ".join(f"{name} {value:.3f}" for name, value in said.items() if value is not None)
            lines.append(f"  best of {row['best_of_n/n']:<4}{shown}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
