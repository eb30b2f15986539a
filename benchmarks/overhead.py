"""What a step of RLOO costs beside bare TRL, and where its time goes.

    OMP_NUM_THREADS=1 python benchmarks/overhead.py --rounds 5 --steps 8

Our run and a bare TRL script (same model, people, reward and settings, logging each step) take turns; the ratio is that
of the medians over all steps but each turn's first. Other options are keys of the recipe, as in smilerl.train. Held-out
sampling is off for the ratio, and timed on its own.

    OMP_NUM_THREADS=1 python benchmarks/overhead.py --recipe recipes/smileworld/dpo_sentiment.yaml --data.n=512 --cpu

Methods that read no prompt twice are TRL's own, and cost what it does.

    OMP_NUM_THREADS=1 python benchmarks/overhead.py --architecture smollm2-135m --rounds 1 --steps 3

The same for SmolLM2-135M's architecture with random weights: 4 prompts of 200 tokens, 8 completions of 48 each.
Both are TRL's trainers, ours with prompts that are read once; peak memory is that of a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, KTOConfig, KTOTrainer, RLOOConfig, RLOOTrainer

from smilerl import worlds
from smilerl.config import sharing
from smilerl.config.recipe import Recipe, parse_overrides
from smilerl.rewards import resolve
from smilerl.training import methods
from smilerl.training.models import model_dir
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe
from smilerl.training.trl_adapter.shared_prompt import SharedRLOO

clock = time.perf_counter


class Clock(TrainerCallback):
    """Seconds from the end of one step to the end of the next: everything that a step costs."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.last: float | None = None

    def on_step_end(self, args, state, control, **kwargs):
        """Note the time."""
        now = clock()
        if self.last is not None:
            self.seconds.append(now - self.last)
        self.last = now


class Parts:
    """Seconds spent in parts of a step, by wrapping the trainer's functions; nested parts are not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.inside = [0.0]

    def timed(self, name: str | Callable[..., str], function: Callable) -> Callable:
        """`function`, with its time put down to `name`, which may depend on its arguments."""

        def run(*args, **kwargs):
            started = clock()
            self.inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                took = clock() - started
                own = name(*args, **kwargs) if callable(name) else name
                self.seconds[own] += took - self.inside.pop()
                self.inside[-1] += took

        return run

    def watch(self, trainer: RLOOTrainer) -> None:
        """Wrap the parts of a trainer's step."""
        if isinstance(trainer, RLOOTrainer):
            self._watch_sampling(trainer)
        trainer.accelerator.backward = self.timed("backward", trainer.accelerator.backward)
        for callback in trainer.callback_handler.callbacks:
            if type(callback).__module__.startswith("smilerl."):
                for event in ("on_step_end", "on_log"):
                    setattr(callback, event, self.timed("smilerl's callbacks", getattr(callback, event)))

    def _watch_sampling(self, trainer: RLOOTrainer) -> None:
        trainer._generate_single_turn = self.timed("generation", trainer._generate_single_turn)
        trainer._get_per_token_logps_and_entropies = self.timed(
            lambda model, *args, **kwargs: (
                "reference log-probabilities"
                if model is trainer.ref_model
                else "forward pass of the update"
                if torch.is_grad_enabled()
                else "policy log-probabilities"
            ),
            trainer._get_per_token_logps_and_entropies,
        )
        trainer.reward_funcs = [self.timed("reward, as checked by smilerl", reward) for reward in trainer.reward_funcs]


#: What our last run trained on: pairs and labels are made once, and a bare script is given the same.
LAST: list[Any] = [None]


def ours(recipe: Recipe, *, parts: Parts | None = None) -> list[float]:
    """Seconds of each step of our run but the first."""
    stopwatch, make = Clock(), methods.make_trainer

    def with_clock(*args, **kwargs):
        LAST[0] = kwargs["dataset"]
        trainer = make(*args, **kwargs)
        trainer.add_callback(stopwatch)
        if parts is not None:
            parts.watch(trainer)
        return trainer

    methods.make_trainer = with_clock
    try:
        with tempfile.TemporaryDirectory() as folder:
            run_recipe(dataclasses.replace(recipe, output_dir=f"{folder}/run"), progress=False)
    finally:
        methods.make_trainer = make
    return stopwatch.seconds


#: The trainers that bare scripts use.
BARE = {
    "rloo": (RLOOTrainer, RLOOConfig),
    "grpo": (GRPOTrainer, GRPOConfig),
    "dpo": (DPOTrainer, DPOConfig),
    "kto": (KTOTrainer, KTOConfig),
}


def bare(recipe: Recipe, model: Path) -> list[float]:
    """Seconds of each step but the first of a script that knows TRL alone; the reward as it is, unchecked."""
    stopwatch, (trainer_class, config) = Clock(), BARE[recipe.method]
    world = worlds.build(recipe.world.name, **recipe.world.args)
    samples = recipe.method in ("rloo", "grpo")
    rewards = [resolve(reward.name).build(**reward.args) for reward in recipe.rewards]
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_class(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
            args=config(
                output_dir=folder,
                seed=recipe.seed,
                report_to="none",
                disable_tqdm=True,
                save_strategy="no",
                logging_steps=1,
                **recipe.training,
            ),
            train_dataset=world.people(recipe.data.split, recipe.data.n, recipe.data.seed) if samples else LAST[0],
            callbacks=[stopwatch],
            **({"reward_funcs": rewards} if samples else {}),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return stopwatch.seconds


#: Settings of `--architecture`.
LARGE = {
    "vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "intermediate_size": 1536, "max_position_embeddings": 8192,
    "tie_word_embeddings": True, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1,
}  # fmt: skip
PROMPT, COMPLETION, GROUP, PROMPTS = 200, 48, 8, 4


def large(trainer: type, config: type, steps: int, sender: Any) -> None:
    """Sends the seconds of each step but the first, and the peak memory in bytes, of a process of its own."""
    transformers.logging.set_verbosity_error()
    stopwatch = Clock()
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(**LARGE)).save_pretrained(folder)
        words = {f"t{number}": number for number in range(LARGE["vocab_size"])}
        spoken = Tokenizer(WordLevel(words, unk_token="t2"))
        spoken.pre_tokenizer = WhitespaceSplit()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=spoken, pad_token="t0", eos_token="t1")
        rng = random.Random(0)
        prompts = [" ".join(f"t{rng.randrange(2, len(words))}" for _ in range(PROMPT)) for _ in range(64)]
        made = trainer(
            model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            processing_class=tokenizer,
            train_dataset=datasets.Dataset.from_dict({"prompt": prompts}),
            reward_funcs=[lambda completions, **columns: [float(len(set(text.split()))) for text in completions]],
            args=config(
                output_dir=folder, report_to="none", disable_tqdm=True, save_strategy="no", max_steps=steps, beta=0.02,
                per_device_train_batch_size=GROUP * PROMPTS, num_generations=GROUP, max_completion_length=COMPLETION,
                learning_rate=1e-5, use_cpu=True, bf16=False, gradient_checkpointing=False,
            ),
            callbacks=[stopwatch],
        )  # fmt: skip
        made.remove_callback(PrinterCallback)
        made.train()
    sender.send((stopwatch.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def compare_large(rounds: int, steps: int) -> None:
    """Both trainers in turn, each time in a fresh process."""
    context, seconds, memory = multiprocessing.get_context("spawn"), defaultdict(list), defaultdict(list)
    sides = {"bare TRL": (RLOOTrainer, RLOOConfig), "prompts read once": (SharedRLOO, sharing.RLOOConfig)}
    for _ in range(rounds):
        for name, (trainer, config) in sides.items():
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=large, args=(trainer, config, steps, sender))
            process.start()
            took, most = receiver.recv()
            process.join()
            seconds[name] += took
            memory[name].append(most)
    print(f"{torch.get_num_threads()} thread(s), {rounds} rounds of {steps} steps\n")
    print("| | seconds a step, median (fastest, slowest) | peak memory, GB |\n|---|---|---|")
    for name, values in seconds.items():
        spread = f"({min(values):.1f}, {max(values):.1f})"
        print(f"| {name} | {statistics.median(values):.1f} {spread} | {max(memory[name]) / 1e9:.2f} |")
    ratio = statistics.median(seconds["prompts read once"]) / statistics.median(seconds["bare TRL"])
    print(f"| **ratio** | **{ratio:.3f}** | |")


def main() -> None:
    """Runs both in turn and prints the comparison as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="recipes/smileworld/rloo_sentiment.yaml")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument(
        "--cpu", action="store_true", help="CPU seconds of this process, for a machine that others use too"
    )
    parser.add_argument("--architecture", choices=["smollm2-135m"], help="random weights in place of a recipe's model")
    given, overrides = parser.parse_known_args()
    if given.architecture:
        compare_large(given.rounds, given.steps)
        return
    global clock
    clock = time.process_time if given.cpu else time.perf_counter
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()

    said = parse_overrides(overrides) | {"training.max_steps": given.steps}
    recipe = load_recipe(given.recipe, said | {"held_out.every": 0})
    model = model_dir(recipe.policy.model_name_or_path, beside=recipe.source)
    seconds: dict[str, list[float]] = {"smilerl": [], "bare TRL": []}
    for _ in range(given.rounds):
        seconds["smilerl"] += ours(recipe)
        seconds["bare TRL"] += bare(recipe, model)
    parts = Parts()
    whole = sum(ours(recipe, parts=parts)) * given.steps / (given.steps - 1)
    watched = ours(load_recipe(given.recipe, said | {"held_out.every": 1}))

    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        f"{recipe.training['per_device_train_batch_size']} completions a step, {torch.get_num_threads()} thread(s), "
        f"{given.rounds} rounds of {given.steps} steps, torch {torch.__version__}\n"
    )
    print(f"| | {'CPU ' * given.cpu}seconds a step, median (fastest, slowest) |\n|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {medians[name]:.3f} ({min(values):.3f}, {max(values):.3f}) |")
    print(f"| **smilerl / bare TRL** | **{medians['smilerl'] / medians['bare TRL']:.3f}** |")
    extra = statistics.median(watched) - medians["smilerl"]
    print(f"| one sample of {recipe.held_out.n} held-out people | {extra:.3f} more |\n")
    print("| part of a step | seconds | share |\n|---|---|---|")
    rest = whole - sum(parts.seconds.values())
    for name, took in [*sorted(parts.seconds.items(), key=lambda part: -part[1]), ("all else, TRL's", rest)]:
        print(f"| {name} | {took / given.steps:.3f} | {took / whole:.1%} |")


if __name__ == "__main__":
    main()
