"""What scoring by a reward model costs where completions share their prompt, beside reading each text whole.

    OMP_NUM_THREADS=1 python benchmarks/rewards.py --groups 8 --rounds 9

Replies of a scripted helper to people of SmileWorld, 8 to each, and the embedded model with a head of one number.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext
from unittest import mock

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from smilerl import worlds
from smilerl.rewards import _shared
from smilerl.rewards.preference import build
from smilerl.training.models import model_dir

OF = 8


def main() -> None:
    """Time both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=8, help="prompts, 8 completions to each")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    world = worlds.build("smileworld")
    people = world.people("train", given.groups, 0)
    prompts, who = ([one for one in people[name][:] for _ in range(OF)] for name in ("prompt", "person"))
    completions = world.helpers["random"](who, 0)
    with tempfile.TemporaryDirectory() as folder:
        base = model_dir("recipes/smileworld/pretrain.yaml")
        tokenizer = AutoTokenizer.from_pretrained(base)
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
        model.config.pad_token_id = tokenizer.pad_token_id
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        reward = build(model=folder, pair=False, eos=True)
        found = {}
        seconds: dict[str, list[float]] = {"prompts read once": [], "texts read whole": []}
        reward(prompts=prompts, completions=completions)  # loads, and compares both ways
        for _ in range(given.rounds):
            for name, own in seconds.items():
                nothing = mock.patch.object(_shared, "batches", return_value=())
                with nothing if name == "texts read whole" else nullcontext():
                    started = time.perf_counter()
                    found[name] = reward(prompts=prompts, completions=completions)
                own.append(time.perf_counter() - started)
    medians = {name: statistics.median(own) for name, own in seconds.items()}
    apart = (torch.tensor(found["prompts read once"]) - torch.tensor(found["texts read whole"])).abs().max()
    print(
        f"{len(prompts)} replies to {given.groups} prompts, {torch.get_num_threads()} thread(s), {given.rounds} rounds"
    )
    print("\n| | ms, median (fastest, slowest) |\n|---|---|")
    for name, own in seconds.items():
        print(f"| {name} | {1e3 * medians[name]:.1f} ({1e3 * min(own):.1f}, {1e3 * max(own):.1f}) |")
    print(f"| **ratio** | **{medians['prompts read once'] / medians['texts read whole']:.2f}** |")
    print(f"\nLargest difference of a score: {float(apart):.1e}.")


if __name__ == "__main__":
    main()
