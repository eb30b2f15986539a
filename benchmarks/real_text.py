"""The whole chain on real text, on two cores: a language model, SFT, a reward model of people's preferences, RLOO
against it.

    SMILERL_REAL_DATA=DIR python benchmarks/real_text.py                # all stages; up to 20 minutes on two busy cores
    SMILERL_REAL_DATA=DIR python benchmarks/real_text.py --stage rm     # one: data, base, sft, rm, rloo, report

DIR holds esconv/ (emotional-support conversations), hh-rlhf/ (pairs of replies that people compared) and
anthropic-evals/ (statements to agree with, asked and never trained on). Finished stages are kept in --folder and not
done again.

What is trained from what: `base` reads both corpora (the pairs' training side alone); `sft` goes on with the
supporters' replies; `rm` is base's body with a head, trained on pairs; `rloo` tunes sft by rm on the conversations'
prompts. Baselines of the reward model: preferring the shorter reply, and a ridge logistic regression on the share of
each word. The judges of the policy that it was not trained on are the reward model of another seed and VADER.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from transformers.utils import logging

from smilerl import worlds
from smilerl.evaluation.kinds.forced_choice import load_items, match_rate
from smilerl.models.policy import load_policy
from smilerl.rewards import build_reward
from smilerl.runs.directory import Run
from smilerl.statistics.agreement import Agreement, agreement
from smilerl.statistics.intervals import Estimate, mean_estimate
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe

STAGES = ("data", "base", "sft", "rm", "rloo", "report")
ROLES = {"seeker": "user", "supporter": "assistant"}
#: Shares of the pairs, and of the conversations, that no model sees before it is asked about them.
PAIRS_HELD_OUT, TALKS_HELD_OUT = 1 / 3, 0.2
PROMPT_CHARS = 400
#: Held-out prompts that a policy is judged on.
PROMPTS = 256
#: Penalties of the bag of words, one of which is chosen by cross-validation on the training side.
PENALTIES = (1.0, 5.0, 20.0, 80.0)


class Chain:
    """The stages, each of which needs those before it."""

    def __init__(self, data: Path, folder: Path, seeds: Sequence[int]) -> None:
        self.data, self.folder, self.seeds = data, folder, seeds
        self.talks, self.both = folder / "talks.jsonl", folder / "both.jsonl"
        self.pairs = worlds.build(
            "dialogue",
            path=str(data / "hh-rlhf" / "harmless_base_test_1500.jsonl"),
            format="text",
            held_out_fraction=PAIRS_HELD_OUT,
        )

    def rows(self, split: str) -> list:
        """The pairs of a side."""
        return [row for row in self.pairs.rows if (row.bucket < PAIRS_HELD_OUT) == (split == "held_out")]

    def make_data(self) -> None:
        """Conversations with the number of the talk they are from, and all that the base may read, as JSONL."""
        self.folder.mkdir(parents=True, exist_ok=True)
        source = self.data / "esconv" / "esconv_dev_pairs.jsonl"
        rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
        for row, talk in zip(rows, _talks(rows), strict=True):
            row["talk"] = talk
        self.talks.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        known = [row.prompt + reply for row in self.rows("train") for reply in (row.completion, row.rejected)]
        told = self.conversations()
        known += [row["prompt"] + row["completion"] for row in told.conversations(len(rows), seed=0)]
        self.both.write_text(
            "".join(json.dumps({"prompt": "", "completion": text}) + "\n" for text in known), encoding="utf-8"
        )
        print(f"{len(known)} texts for the base; {len(told.rows)} conversations; {len(self.pairs.rows)} pairs")

    def conversations(self):
        """The world of the conversations, split by talk."""
        return worlds.build("dialogue", **self._talk_args())

    def _talk_args(self) -> dict:
        return {
            "path": str(self.talks),
            "format": "text",
            "roles": ROLES,
            "group_column": "talk",
            "held_out_fraction": TALKS_HELD_OUT,
            "max_prompt_chars": PROMPT_CHARS,
        }

    def make_base(self) -> None:
        """Next-token prediction on everything that may be read."""
        self._run(
            "sft",
            "base",
            **{
                "world.args": {"path": str(self.both), "held_out_fraction": 0.0},
                "training.max_steps": -1,
                "training.num_train_epochs": 1,
                "training.max_length": 384,
                "training.train_sampling_strategy": "group_by_length",
            },
        )

    def make_sft(self) -> None:
        """The supporters' replies, from the base."""
        self._run(
            "sft",
            "sft",
            **{
                "world.args": self._talk_args(),
                "policy": {"model_name_or_path": self._model("base")},
                "training.max_steps": 80,
                "training.learning_rate": 0.001,
                "training.completion_only_loss": True,
            },
        )

    def make_rm(self) -> None:
        """A reward model a seed."""
        args = {"path": self.pairs.path, "format": "text", "held_out_fraction": PAIRS_HELD_OUT}
        for seed in self.seeds:
            self._run(
                "rm_hh",
                f"rm-{seed}",
                **{
                    "seed": seed,
                    "world.args": args,
                    "policy.model_name_or_path": self._model("base"),
                    "data.n": len(self.rows("train")),
                    "held_out.n": len(self.rows("held_out")),
                    **RM,
                },
            )

    def make_rloo(self) -> None:
        """The helper tuned by the reward model of its seed."""
        for seed in self.seeds:
            self._run(
                "rloo_preference",
                f"rloo-{seed}",
                **{
                    "seed": seed,
                    "world.args": self._talk_args(),
                    "policy.model_name_or_path": self._model("sft"),
                    "rewards": [{"name": "preference", "args": {"model": self._model(f"rm-{seed}")}}],
                    "held_out": {"every": 0, "n": 128},
                    **RLOO,
                },
            )

    def make_report(self) -> None:
        """Markdown on standard output, and in report.md."""
        parts = [self._about_pairs(), self._about_policies(), self._about_statements(), self._about_time()]
        text = "\n\n".join(parts)
        (self.folder / "report.md").write_text(text + "\n", encoding="utf-8")
        print(text)

    def _run(self, recipe: str, name: str, **settings) -> Run:
        started = time.perf_counter()
        settings["output_dir"] = str(self.folder / name)
        run = run_recipe(load_recipe(f"recipes/dialogue/{recipe}.yaml", settings))
        took = time.perf_counter() - started
        file = self.folder / "seconds.json"
        seconds = json.loads(file.read_text()) if file.is_file() else {}
        file.write_text(json.dumps({name: took, **seconds}))  # the first time, not the time that finding it done takes
        return run

    def _model(self, name: str) -> str:
        return str(self.folder / name / "model")

    # ---- the report ----

    def _about_pairs(self) -> str:
        train, test = self.rows("train"), self.rows("held_out")
        lines = [
            f"{len(train)} pairs to train on, {len(test)} to test on that share no opening with them.",
            "",
            "| scorer | accuracy on held-out pairs | with length held fixed | scored |",
            "|---|---|---|---|",
        ]
        bag = bag_of_words(train)
        found = {"bag of words, ridge": _agreed(test, bag)}
        for seed in self.seeds:
            found[f"reward model, seed {seed}"] = _agreed(test, self._scorer(seed))
        shorter = next(iter(found.values())).shorter
        lines.append(f"| the shorter reply | {_cell(shorter)} | .5 | {shorter.scored} of {shorter.of} |")
        for name, own in found.items():
            lines.append(
                f"| {name} | {_cell(own.accuracy)} | {_cell(own.against_length)} "
                f"| {own.accuracy.scored} of {own.accuracy.of} |"
            )
        return "\n".join(lines)

    def _scorer(self, seed: int) -> Callable[[list, list], list[float | None]]:
        reward = build_reward({"name": "preference", "args": {"model": self._model(f"rm-{seed}")}})
        return lambda prompts, said: reward(prompts=prompts, completions=said)

    def _about_policies(self) -> str:
        lines = [
            f"{PROMPTS} held-out prompts, one reply each; changes are paired, with intervals over talks.",
            "",
            "| seed | own reward before → after | change | judged by another seed's reward model "
            "| by VADER | KL, nats | tokens |",
            "|---|---|---|---|---|---|---|",
        ]
        world, vader = self.conversations(), build_reward({"name": "sentiment", "args": {"reads": "completion"}})
        prompts = list(world.people("held_out", PROMPTS, seed=1234)["prompt"])
        talk_of = {row.prompt: row.bucket for row in world.rows}  # a hash of the talk
        clusters = np.array([talk_of[prompt] for prompt in prompts])
        before = self._said("sft", prompts)
        for seed in self.seeds:
            after = self._said(f"rloo-{seed}", prompts)
            other = self.seeds[(self.seeds.index(seed) + 1) % len(self.seeds)]
            judges = {
                "own": self._scorer(seed),
                "other": self._scorer(other),
                "vader": lambda prompts, said: vader(prompts=prompts, completions=said),
            }
            scores = {
                name: [_numbers(judge(prompts, said.texts)) for said in (before, after)]
                for name, judge in judges.items()
            }
            change = {name: mean_estimate(own[1] - own[0], clusters, seed=0) for name, own in scores.items()}
            own = " → ".join(f"{np.nanmean(values):.2f}" for values in scores["own"])
            kl = mean_estimate(after.kl, clusters, seed=0)
            lines.append(
                f"| {seed} | {own} | {_cell(change['own'])} | {'–' if other == seed else _cell(change['other'])} "
                f"| {_cell(change['vader'])} "
                f"| {_cell(kl)} | {before.tokens:.1f} → {after.tokens:.1f} |"
            )
        return "\n".join(lines)

    def _said(self, name: str, prompts: list[str]) -> _Said:
        from smilerl.models.sampling import completion_logprobs, sample_ids

        policy, base = load_policy(self._model(name)), load_policy(self._model("sft"))
        ids = sample_ids(policy, prompts, max_new_tokens=RLOO["training.max_completion_length"], seed=1)
        kl = completion_logprobs(policy, prompts, ids) - completion_logprobs(base, prompts, ids)
        return _Said(
            policy.tokenizer.batch_decode(ids, skip_special_tokens=True), kl, float(np.mean([len(one) for one in ids]))
        )

    def _about_statements(self) -> str:
        files = sorted((self.data / "anthropic-evals").glob("*.jsonl"))
        names = ["sft", *(f"rloo-{seed}" for seed in self.seeds)]
        lines = [
            "Statements: share of answers that show the behaviour, by log-probability (.5: a coin).",
            "",
            f"| statements | {' | '.join(names)} |",
            f"|---|{'---|' * len(names)}",
        ]
        policies = {name: load_policy(self._model(name)) for name in names}
        for file in files:
            items = load_items(file)
            found = [match_rate(policy, items)["estimate"] for policy in policies.values()]
            lines.append(f"| {file.stem} ({len(items)}) | {' | '.join(map(_cell, found))} |")
        return "\n".join(lines)

    def _about_time(self) -> str:
        seconds = json.loads((self.folder / "seconds.json").read_text())
        return "Seconds to train: " + ", ".join(f"{name} {took:.0f}" for name, took in sorted(seconds.items())) + "."


class _Said:
    """What a policy said: texts, log-ratios to the helper before tuning in nats, and mean length in tokens."""

    def __init__(self, texts: list[str], kl: np.ndarray, tokens: float) -> None:
        self.texts, self.kl, self.tokens = texts, kl, tokens


#: Settings that were chosen here, on the training side; all else is in the recipes.
RM = {
    "training.num_train_epochs": 2,
    "training.learning_rate": 0.0003,
    "training.per_device_train_batch_size": 8,
    "training.max_length": 320,
}
RLOO = {
    "training.max_steps": 30,
    "training.max_completion_length": 32,
    "training.learning_rate": 0.0003,
    "training.beta": 0.02,
}


def bag_of_words(rows: Sequence) -> Callable[[list, list], list[float | None]]:
    """A Bradley-Terry model of the share of each word in a reply, and of its length; scores replies."""
    counted = Counter(word for row in rows for said in (row.completion, row.rejected) for word in set(_words(said)))
    place = {word: at for at, word in enumerate(sorted(word for word, n in counted.items() if n >= 5))}

    def features(said: str) -> np.ndarray:
        words, found = _words(said), np.zeros(len(place) + 1)
        for word in words:
            if word in place:
                found[place[word]] += 10 / len(words)
        found[-1] = np.log1p(len(words))
        return found

    x = np.array([features(row.completion) - features(row.rejected) for row in rows])
    folds = np.random.default_rng(0).integers(0, 5, len(x))
    right = {
        penalty: sum((x[folds == fold] @ _fitted(x[folds != fold], penalty) > 0).sum() for fold in range(5))
        for penalty in PENALTIES
    }
    weights = _fitted(x, max(right, key=lambda penalty: right[penalty]))
    return lambda prompts, said: [float(features(one) @ weights) for one in said]


def _fitted(x: np.ndarray, penalty: float) -> np.ndarray:
    """Weights that maximise the likelihood of preferring what was preferred."""

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = x @ weights
        return (
            np.logaddexp(0, -margins).sum() + penalty / 2 * weights @ weights,
            penalty * weights - x.T @ (1 / (1 + np.exp(margins))),
        )

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x


def _words(said: str) -> list[str]:
    return re.findall(r"[a-z']+|[?!.,0-9]", said.lower())


def _talks(rows: Sequence[dict]) -> list[int]:
    """The number of each row's talk: the next begins where a prompt shares no message with the row before."""
    numbers, before, number = [], set(), 0
    for row in rows:
        said = {message["content"] for message in row["prompt"]}
        number += bool(before) and not said & before
        before = said | {row["completion"]["content"]}
        numbers.append(number)
    return numbers


def _agreed(rows: Sequence, scorer: Callable[[list, list], list[float | None]]) -> Agreement:
    prompts, chosen, rejected = ([getattr(row, name) for row in rows] for name in ("prompt", "completion", "rejected"))
    return agreement(prompts, chosen, rejected, (scorer(prompts, chosen), scorer(prompts, rejected)))


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _cell(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "–"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def main() -> None:
    """Runs the stages that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("SMILERL_REAL_DATA"), help="default: $SMILERL_REAL_DATA"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/real_text"), help="where runs go (default: runs/real_text)"
    )
    parser.add_argument("--stage", choices=STAGES, help="default: all, in order")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    given = parser.parse_args()
    if given.data is None or not (Path(given.data) / "hh-rlhf").is_dir():
        parser.error(
            "no real text: set SMILERL_REAL_DATA, or --data, to the folder with esconv/, hh-rlhf/ and anthropic-evals/"
        )
    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # bars are for terminals
    chain = Chain(Path(given.data), given.folder, given.seeds)
    for stage in [given.stage] if given.stage else STAGES:
        getattr(chain, f"make_{stage}")()


if __name__ == "__main__":
    main()
