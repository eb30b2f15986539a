"""Runs recipes one after the other, with completions that are replayed instead of drawn: `torchrun ... replayed.py RECIPE ...`.

Processes draw their own completions, so an online method takes another step with two of them than with one. Here the k-th
completion to a prompt is the same whoever asks.
"""

from __future__ import annotations

import random
import sys
import zlib

from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe
from smilerl.training.trl_adapter.shared_prompt import SharedGRPO, SharedRLOO


def replayed(prompt_ids: list[list[int]]) -> list[list[int]]:
    """Token ids for each prompt; a prompt that comes again gets another completion."""
    asked: dict[tuple, int] = {}
    said = []
    for ids in prompt_ids:
        asked[tuple(ids)] = visit = asked.get(tuple(ids), -1) + 1
        luck = random.Random(f"{zlib.crc32(bytes(str(ids), 'ascii'))}:{visit}")
        said.append([luck.randrange(4, 260) for _ in range(luck.randrange(2, 7))])
    return said


def length(prompts, completions, **columns) -> list[float]:
    """A reward that needs no world."""
    return [float(len(text)) for text in completions]


def replay(put=setattr) -> None:
    """From now on trainers replay; `put` sets an attribute, for good or for a while."""
    put(SharedRLOO, "_generate_single_turn", lambda self, prompt_ids, *more, **named: replayed(prompt_ids))
    put(SharedGRPO, "_generate_single_turn", lambda self, prompt_ids, *more, **named: (replayed(prompt_ids), None))


def run(recipes: list[str]) -> None:
    """Trains them."""
    for recipe in recipes:
        run_recipe(load_recipe(recipe), progress=False)


if __name__ == "__main__":
    replay()
    run(sys.argv[1:])
