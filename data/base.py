"""Makes the model that travels with the package, in some minutes: `python data/base.py`.

Run it when a test says that `data/smileworld/base` is not what its recipe makes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from smilerl.training import shipped
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe

RECIPE = "recipes/smileworld/pretrain.yaml"
HERE = Path(__file__).resolve().parent / "smileworld" / "base"


def make(folder: Path = HERE) -> None:
    """Train the model, and keep it in a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        recipe = load_recipe(RECIPE, {"output_dir": f"{scratch}/run"})
        shipped.keep(run_recipe(recipe), recipe, folder)


if __name__ == "__main__":
    make()
