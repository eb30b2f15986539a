"""What smilerl adds to RLOO and GRPO of a model of real size on a GPU, with a reward model on the same card.

    python benchmarks/gpu.py                          # Qwen3-0.6B's architecture, random weights, bfloat16; 20 minutes
    python benchmarks/gpu.py --rows rloo rloo_lora    # half of it
    python benchmarks/gpu.py --tiny                   # a few thousand weights on the CPU: measures nothing

Nothing is downloaded: the architecture and the vocabulary's size are real, weights and words are made up, so replies
never end and every step has the same number of tokens. Our run and a bare TRL script (same models, prompts and
settings; the reward model handed to TRL, which scores by itself) take turns. Tokens a second are completion tokens over
everything that a step costs, generation, reward and update, the median over all steps but each turn's first. Memory is
the most that torch has had allocated in a turn.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import torch
import transformers
import yaml
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from smilerl import worlds
from smilerl.config.recipe import Recipe
from smilerl.training import methods
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe

ROWS = ("rloo", "rloo_lora", "grpo", "grpo_lora")
TRL = {"rloo": (RLOOConfig, RLOOTrainer), "grpo": (GRPOConfig, GRPOTrainer)}
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|> {{ m['role'] }} {{ m['content'] }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)
SPECIALS = ("<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "user", "assistant")


@dataclass(frozen=True)
class Size:
    """How large everything is.

    Attributes:
        model: fields of the Qwen3 configuration, for policy and reward model alike.
        prompt: words in a prompt.
        completion: tokens in a reply.
        micro_batch: completions in one pass of the update; `accumulation` of them are one step.
    """

    model: dict
    prompt: int
    completion: int
    micro_batch: int
    accumulation: int
    group: int = 8

    @property
    def completions(self) -> int:
        """Completions a step."""
        return self.micro_batch * self.accumulation


#: As published in Qwen/Qwen3-0.6B's config.json.
REAL = Size(
    {
        "vocab_size": 151936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40960,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    },
    prompt=150,
    completion=128,
    micro_batch=16,
    accumulation=8,
)
TINY = Size(
    {
        "vocab_size": 128,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
    },
    prompt=6,
    completion=5,
    micro_batch=4,
    accumulation=2,
    group=4,
)


class Clock(TrainerCallback):
    """Seconds and completion tokens of each step but the first."""

    def __init__(self, completions: int) -> None:
        self.completions, self.last = completions, None
        self.seconds: list[float] = []
        self.tokens: list[float] = []

    def on_step_end(self, args, state, control, **kwargs):
        """Note the time, once the GPU has done what it was given."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.last is not None:
            self.seconds.append(now - self.last)
        self.last = now

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Note how long the replies of the step that has just ended were."""
        if logs and "completions/mean_length" in logs:
            self.tokens.append(logs["completions/mean_length"] * self.completions)

    def rates(self) -> list[float]:
        """Tokens a second of each step but the first."""
        return [tokens / seconds for tokens, seconds in zip(self.tokens[1:], self.seconds, strict=True)]


@dataclass
class Side:
    """What one of the two has taken, over all its turns."""

    rates: list[float] = field(default_factory=list)
    peak: int = 0

    def add(self, clock: Clock) -> None:
        """One turn; frees what it held."""
        self.rates += clock.rates()
        if torch.cuda.is_available():
            self.peak = max(self.peak, torch.cuda.max_memory_allocated())
        _fresh()


def make_inputs(folder: Path, size: Size, dtype: str) -> None:
    """A policy, a reward model of the same size, and prompts: `policy/`, `rm/`, `talks.jsonl`."""
    tokenizer = _tokenizer(size.model["vocab_size"])
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    torch.manual_seed(0)
    for name, auto, more in (
        ("policy", AutoModelForCausalLM, {}),
        ("rm", AutoModelForSequenceClassification, {"num_labels": 1}),
    ):
        config = AutoConfig.for_model("qwen3", **size.model, **ids, **more)
        auto.from_config(config, dtype=getattr(torch, dtype)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    draw = random.Random(0)
    with (folder / "talks.jsonl").open("w") as file:
        for _ in range(1024):
            said = " ".join(f"w{draw.randrange(len(SPECIALS), size.model['vocab_size'])}" for _ in range(size.prompt))
            file.write(json.dumps({"prompt": [{"role": "user", "content": said}]}) + "\n")


def _tokenizer(words: int) -> PreTrainedTokenizerFast:
    """As many words as the real one has tokens, so that policy and reward model count the same number of tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    numbered = {word: place for place, word in enumerate([*SPECIALS, *(f"w{n}" for n in range(len(SPECIALS), words))])}
    tokenizer = Tokenizer(models.WordLevel(numbered, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)  # no word begins so: joined by spaces
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        padding_side="left",
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<|im_end|>",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )
    made.chat_template = CHAT_TEMPLATE
    return made


def make_recipe(folder: Path, row: str, size: Size, given: argparse.Namespace) -> Recipe:
    """The recipe of one row, such as `rloo_lora`."""
    method, _, lora = row.partition("_")
    on_cpu = {"use_cpu": True, "bf16": False} if given.tiny else {"bf16": True}
    said = {
        "method": method,
        "output_dir": str(folder / "run"),
        "world": {"name": "dialogue", "args": {"path": str(folder / "talks.jsonl"), "held_out_fraction": 0.1}},
        "policy": {"model_name_or_path": str(folder / "policy"), "dtype": given.weights},
        "data": {"n": 512},
        "rewards": [{"name": "preference", "args": {"model": str(folder / "rm"), "dtype": given.weights}}],
        "training": {
            "max_steps": given.steps,
            "per_device_train_batch_size": size.micro_batch,
            "gradient_accumulation_steps": size.accumulation,
            "num_generations": size.group,
            "max_completion_length": size.completion,
            "learning_rate": 1e-6,
            "beta": 0.05,
            "gradient_checkpointing": True,
            **on_cpu,
        },
        "held_out": {"every": 0},
    }
    if lora:
        said["policy"]["peft"] = {"r": 32, "lora_alpha": 64, "target_modules": "all-linear"}
    path = folder / f"{row}.yaml"
    path.write_text(yaml.safe_dump(said))
    return load_recipe(path)


def ours(recipe: Recipe, size: Size) -> Clock:
    """A turn of our run."""
    clock, make = Clock(size.completions), methods.make_trainer

    def with_clock(*args, **kwargs):
        trainer = make(*args, **kwargs)
        trainer.add_callback(clock)
        return trainer

    methods.make_trainer = with_clock
    try:
        with tempfile.TemporaryDirectory() as folder:
            run_recipe(dataclasses.replace(recipe, output_dir=f"{folder}/run"), progress=False)
    finally:
        methods.make_trainer = make
    return clock


def bare(recipe: Recipe, size: Size) -> Clock:
    """A turn of a script that knows TRL alone."""
    clock, dtype = Clock(size.completions), getattr(torch, recipe.policy.dtype)
    config, trainer_class = TRL[recipe.method]
    reward_model = recipe.rewards[0].args["model"]
    base = recipe.policy.model_name_or_path
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_class(
            model=AutoModelForCausalLM.from_pretrained(base, dtype=dtype),
            processing_class=AutoTokenizer.from_pretrained(base, padding_side="left"),
            reward_funcs=AutoModelForSequenceClassification.from_pretrained(reward_model, num_labels=1, dtype=dtype),
            reward_processing_classes=AutoTokenizer.from_pretrained(reward_model),
            args=config(
                output_dir=folder,
                seed=recipe.seed,
                report_to="none",
                disable_tqdm=True,
                save_strategy="no",
                logging_steps=1,
                **recipe.training,
            ),
            train_dataset=worlds.build(recipe.world.name, **recipe.world.args).people(
                "train", recipe.data.n, recipe.data.seed
            ),
            peft_config=methods.peft_config(recipe.policy),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock


def measure(recipe: Recipe, size: Size, rounds: int) -> tuple[Side, Side]:
    """Ours and bare TRL, in turns."""
    sides = Side(), Side()
    _fresh()
    for _ in range(rounds):
        for side, turn in zip(sides, (ours, bare), strict=True):
            side.add(turn(recipe, size))
    return sides


def _fresh() -> None:
    """Nothing of a turn is left on the card for the next."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def line(row: str, mine: Side, theirs: Side) -> str:
    """One row of the table."""
    own, other = statistics.median(mine.rates), statistics.median(theirs.rates)
    method, _, lora = row.partition("_")

    def rate(value: float, rates: list[float]) -> str:
        return f"{value:,.0f} ({min(rates):,.0f}, {max(rates):,.0f})"

    def peak(side: Side) -> str:
        return f"{side.peak / 2**30:.1f} GiB" if side.peak else "–"

    return (
        f"| {method.upper()}, {'LoRA' if lora else 'full'} | {rate(own, mine.rates)} | {rate(other, theirs.rates)} "
        f"| **{own / other:.3f}** | {peak(mine)} | {peak(theirs)} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures each row and prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--weights", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--tiny", action="store_true", help="a very small model, on the CPU")
    given = parser.parse_args(arguments)
    if given.tiny:
        given.weights = "float32"
    elif not torch.cuda.is_available():
        parser.error("there is no GPU here. Write --tiny to see that it runs.")
    warnings.simplefilter("ignore", FutureWarning)  # on names that TRL's own configs use
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()

    size = TINY if given.tiny else REAL
    where = "CPU" if given.tiny else torch.cuda.get_device_name()
    print(
        f"{where}, torch {torch.__version__}; {given.weights} weights; "
        f"{size.completions} completions of {size.completion} tokens a step, "
        f"{size.group} to a prompt of {size.prompt} words; {given.rounds} rounds of {given.steps} steps\n",
        flush=True,
    )
    print(
        "| | smilerl, tokens a second, median (slowest, fastest) | bare TRL | ratio | peak, smilerl | peak, bare TRL |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(Path(folder), size, given.weights)
        for row in given.rows:
            recipe = make_recipe(Path(folder), row, size, given)
            print(line(row, *measure(recipe, size, given.rounds)), flush=True)


if __name__ == "__main__":
    main()
