"""Compares our decoding with the model's `generate`: `python benchmarks/decoding.py [--model DIR] [--rounds 5]`.

Both draw the same tokens for a seed, which is checked each time. They run in turn on the workloads of a study: replies
to held-out people, several candidates a prompt, and greedy replies; medians over rounds. Our decoding stays as long as
sampling is at least 1.3 times as fast with it.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from smilerl import worlds
from smilerl.models import decoding, sampling
from smilerl.models.policy import Policy, load_policy
from smilerl.training.models import model_dir

BASE = "recipes/smileworld/pretrain.yaml"
#: Name, different prompts, replies to each, temperature.
WORKLOADS = (
    ("64 people, one reply each", 64, 1, 1.0),
    ("512 people, one reply each", 512, 1, 1.0),
    ("32 prompts, 16 candidates each", 32, 16, 1.0),
    ("512 people, greedy", 512, 1, 0.0),
)
WAYS = {"ours": decoding.decode, "generate": decoding.generated}


def measure(policy: Policy, prompts: list, temperature: float, rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds of each way to decode the prompts, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        found = []
        for name, way in WAYS.items():
            sampling.decode = way
            started = time.perf_counter()
            found.append(
                sampling.sample_ids(policy, prompts, max_new_tokens=steps, temperature=temperature, seed=number)
            )
            seconds[name] += [time.perf_counter() - started] if number else []  # the first round warms up
        assert found[0] == found[1], "the two ways draw different tokens"
    return seconds


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=BASE, help="a model reference")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max_new_tokens", type=int, default=32)
    given = parser.parse_args()
    policy = load_policy(model_dir(given.model))
    people = list(worlds.build("smileworld").people("held_out", 512, 0)["prompt"])
    print(f"{torch.get_num_threads()} thread(s), {given.rounds} rounds, torch {torch.__version__}\n")
    print("| workload | ours, s, median (fastest, slowest) | generate, s | generate / ours |\n|---|---|---|---|")
    for name, different, each, temperature in WORKLOADS:
        prompts = [prompt for prompt in people[:different] for _ in range(each)]
        seconds = measure(policy, prompts, temperature, given.rounds, given.max_new_tokens)
        ours, theirs = (statistics.median(own) for own in seconds.values())
        spans = [f"{statistics.median(own):.2f} ({min(own):.2f}, {max(own):.2f})" for own in seconds.values()]
        print(f"| {name} | {spans[0]} | {spans[1]} | **{theirs / ours:.2f}** |", flush=True)


if __name__ == "__main__":
    main()
