"""Bad recipes through the real command: each ends in at most ten lines that name file and line, before a model loads, and leaves nothing.

`tests/config/test_bad_input.py` asks the reader of recipes about one mistake each; here are those that need the libraries, the disk, the command
line or the environment. A row is what is spoilt, where the mistake must be placed, and words that must be said.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.fixtures.recipes import SFT, TINY

pytestmark = [pytest.mark.slow, pytest.mark.attack("bad recipes")]


class Bad(NamedTuple):
    """A recipe with a mistake.

    Attributes:
        where: the key whose line is named, or the option as it is typed.
        says: words of the message.
        training: settings of the recipe.
        sections: other sections of the recipe.
        options: of the command line.
        env: environment variables.
        method: of the recipe.
    """

    where: str
    says: tuple[str, ...]
    training: dict[str, Any] = {}
    sections: dict[str, Any] = {}
    options: tuple[str, ...] = ()
    env: dict[str, str] = {}
    method: str = "rloo"


def setting(name: str, value: Any, *says: str, method: str = "rloo", **others: Any) -> Bad:
    """A setting under `training` that is refused at its own line."""
    return Bad(name, (name, *says), {name: value, **others}, method=method)


#: What TRL, transformers and peft refuse.
LIBRARIES = {
    "auto_find_batch_size": setting("auto_find_batch_size", True, "per_device_train_batch_size"),
    "auto_find_batch_size of grpo": setting("auto_find_batch_size", True, "GRPO", method="grpo"),
    "bf16 and fp16": Bad("fp16", ("fp16 and bf16",), {"fp16": True, "bf16": True, "use_cpu": False}),
    "fp16 on the CPU": setting("fp16", True, "needs a GPU", bf16=False),
    "fp16 without a GPU": setting("fp16", True, "needs a GPU", bf16=False, use_cpu=False),
    "bf16 without a GPU": setting("bf16", True, "bf16/gpu", "use_cpu: true", use_cpu=False),
    "tf32 without a GPU": setting("tf32", True, "Ampere"),
    "evaluations by steps": setting("eval_strategy", "steps", "held_out: {every: 10}"),
    "evaluations by epochs of dpo": setting("eval_strategy", "epoch", "dpo has no data", method="dpo"),
    "an evaluation on start": setting("eval_on_start", True, "no data"),
    "saving the best": setting("save_strategy", "best", "save_steps: 100"),
    "loading the best": setting("load_best_model_at_end", True, "the last policy is kept"),
    "an unknown loss": setting("loss_type", "dapoo", "Did you mean 'dapo'?", method="grpo"),
    "an unknown loss of kto": setting("loss_type", "kt", "Did you mean 'kto'?", method="kto"),
    "an unknown loss of sft": setting("loss_type", "nlll", "Did you mean 'nll'?", method="sft"),
    "an unknown loss of dpo": setting("loss_type", ["sigmoid", "ip"], "Did you mean 'ipo'?", method="dpo"),
    "vllm that is not installed": setting("use_vllm", True, "not installed", "pip install vllm"),
    "liger that is not installed": setting("use_liger_kernel", True, "pip install liger-kernel"),
    "a deepspeed file that is not there": setting("deepspeed", "ds.json", "no such file"),
    "deepspeed that is not installed": setting("deepspeed", {"zero_optimization": {"stage": 2}}, "pip install deepspeed"),
    "a tracker that is not installed": setting("report_to", "clearml", "not installed", "report_to: none"),
    "a tracker that there is not": setting("report_to", ["wandbb"], "Did you mean 'wandb'?"),
    "an optimizer of bitsandbytes": setting("optim", "adamw_bnb_8bit", "bitsandbytes"),
    "an optimizer of torchao": setting("optim", "adamw_torch_4bit", "torchao"),
    "an optimizer of galore": setting("optim", "galore_adamw", "galore"),
    "a schedule-free optimizer": setting("optim", "schedule_free_adamw", "schedulefree"),
    "arguments of an optimizer that are none": setting("optim_args", "fast", optim="adamw_torch"),
    "a schedule without what it needs": setting("lr_scheduler_type", "cosine_with_min_lr", "min_lr"),
    "a schedule with what it does not take": setting("lr_scheduler_kwargs", {"num_cycle": 1}, "num_cycle", lr_scheduler_type="cosine"),
    "a schedule that wants evaluations": setting("lr_scheduler_type", "reduce_lr_on_plateau", "eval"),
    "prefetching without workers": setting("dataloader_prefetch_factor", 2, "dataloader_num_workers"),
    "an unknown start of workers": setting("dataloader_multiprocessing_context", "frok", "Did you mean 'fork'?"),
    "a log level that is none": setting("log_level", "loud", "There are: "),
    "a debug option that is none": setting("debug", "overflow", "underflow_overflow"),
    "advantages scaled by nothing known": setting("scale_rewards", "groups", "Did you mean 'group'?", method="grpo"),
    "importance by what is unknown": setting("importance_sampling_level", "tokens", "Did you mean 'token'?", method="grpo"),
    "an unknown setting of generation": Bad("top_pp", ("unknown key 'top_pp'", "'top_p'"), {"generation_kwargs": {"top_pp": 0.9}}),
    "an accelerator file that is not there": setting("accelerator_config", "acc.json", "no such file"),
    "an accelerator setting that is none": setting("accelerator_config", {"split_batch": True}, "split_batch")._replace(where="split_batch", says=("split_batch",)),
    "fsdp settings that are not JSON": setting("fsdp_config", "recipe.yaml", "not JSON"),
    "half a step between saves": setting("save_steps", 2.5, "integer"),
    "half a step between logs": setting("logging_steps", 1.5, "integer"),
    "an emptied cache every no steps": setting("torch_empty_cache_steps", 0, "bigger than 0"),
    "checkpointing told what it does not know": Bad("foo", ("unknown key 'foo'",), {"gradient_checkpointing_kwargs": {"foo": 1}}),
    "columns taken from the rewards": setting("remove_unused_columns", True, "person"),
    "noise below nothing": setting("neftune_noise_alpha", -1, "at least 0"),
    "a reference that is never updated": setting("ref_model_sync_steps", 0, "at least 1", sync_ref_model=True),
    "a reference without a penalty": setting("sync_ref_model", True, "beta=0.0", beta=0.0),
    "offloading without a GPU": setting("activation_offloading", True, "there is none here", method="sft"),
    "a template that is not there": setting("chat_template_path", "gone", "huggingface.co", method="sft")._replace(where="training", says=("huggingface.co",)),
    "an end that is no token": setting("eos_token", "<nope>", "not found in the vocabulary", method="sft"),
    "a backend of distribution that is none": setting("ddp_backend", "goo", "Did you mean 'gloo'?"),
    "a compiler that is none": setting("torch_compile_backend", "inducto", "DynamoBackend")._replace(where="torch_compile_backend", says=("DynamoBackend",)),
    "sharding in one process": setting("fsdp", "full_shard", "distributed"),
    "an unknown argument of the people": Bad("foo", ("unknown key 'foo'", "data.args"), sections={"data": {"n": 16, "args": {"foo": 1}}}),
    "less than no layers": Bad("num_hidden_layers", ("is -1",), sections={"policy": {"config": {**TINY, "num_hidden_layers": -1}}}),
    "heads that do not fit": Bad("hidden_size", ("multiple of the number of attention heads",), sections={"policy": {"config": {**TINY, "hidden_size": 15}}}),
    "an activation that is none": Bad("hidden_act", ("swish_not",), sections={"policy": {"config": {**TINY, "hidden_act": "swish_not"}}}),
    "fewer words than the world has": Bad("vocab_size", ("the tokenizer has",), sections={"policy": {"config": {**TINY, "vocab_size": 3}}}),
    "a template setting without a template": Bad("chat_template_kwargs", ("no chat template",), sections={"policy": {"config": TINY, "chat_template_kwargs": {"x": 1}}}),
    "an adapter on the head": Bad("target_modules", ("lm_head",), sections={"policy": {"config": TINY, "peft": {"target_modules": ["lm_head"]}}}),
    "a reward that is no Python": Bad("- name", ("SyntaxError", "bad_syntax.py:1"), sections={"rewards": [{"name": "bad_syntax.py:f"}]}),
    "a reward whose file fails": Bad("- name", ("KeyError", "bad_import.py:2"), sections={"rewards": [{"name": "bad_import.py:f"}]}),
    "a reward whose file ends the process": Bad("- name", ("called sys.exit(0)", "bad_exit.py:2"), sections={"rewards": [{"name": "bad_exit.py:f"}]}),
    "parallelism that no file can say": setting("parallelism_config", {"tp_size": 2}, "does not go under training"),
    "padding to less than nothing": setting("pad_to_multiple_of", -8, "at least 1"),
    "an unknown packing": setting("packing_strategy", "bdf", "Did you mean 'bfd'?", method="sft"),
    "an unknown sampler": setting("train_sampling_strategy", "randm", "Did you mean 'random'?"),
    "an adapter on layers that are not there": Bad("target_modules", ("queries",), sections={"policy": {"config": ..., "peft": {"target_modules": ["queries"]}}}),
    "an adapter with an unknown init": Bad("init_lora_weights", ("init_lora_weights",), sections={"policy": {"config": ..., "peft": {"init_lora_weights": "gausian"}}}),
    "a model type that is none": Bad("model_type", ("lama",), sections={"policy": {"config": {"model_type": "lama"}}}),
    "an attention that is not installed": Bad("attn_implementation", ("flash_attn", "attn_implementation: sdpa"), sections={"policy": {"model_name_or_path": "MODEL", "attn_implementation": "flash_attention_2"}}),
    "a tokenizer without an end": Bad("model_name_or_path", ("eos",), sections={"policy": {"model_name_or_path": "ENDLESS"}}),
}  # fmt: skip
#: Paths, folders and the environment.
PLACES = {
    "an output that is a file": Bad("output_dir", ("is a file",), sections={"output_dir": "taken"}),
    "an output below a file": Bad("output_dir", ("taken is a file",), sections={"output_dir": "taken/runs/a"}),
    "an output whose name is too long": Bad("output_dir", ("too long",), sections={"output_dir": "x" * 300}),
    "an output whose path is too long": Bad("output_dir", ("too long",), sections={"output_dir": "/".join(["x" * 200] * 25)}),
    "an output that is a link to nothing": Bad("output_dir", ("link to what is not there",), sections={"output_dir": "dangling"}),
    "an output where nothing can be made": Bad("output_dir", ("/proc/here",), sections={"output_dir": "/proc/here/runs"}),
    "an output in a home that is nobody's": Bad("output_dir", ("no such user",), sections={"output_dir": "~nobody_here/x"}),
    "an output in a variable that is not set": Bad("output_dir", ("$SCRATCH_NOT", "not set"), sections={"output_dir": "$SCRATCH_NOT/x"}),
    "an empty output on the command line": Bad("command line: --output_dir", ("is empty",), options=("--output_dir=''",)),
    "an output with a NUL": Bad("output_dir", ("U+0000",), sections={"output_dir": "runs/a\0b"}),
    "a file as output on the command line": Bad("command line: --output_dir", ("is a file",), options=("--output_dir=taken",)),
    "a folder that is no run": Bad("output_dir", ("holds no run", "thesis.txt"), sections={"output_dir": "work"}),
    "the folder here": Bad("command line: --output_dir", ("holds no run",), options=("--output_dir=.",)),
    "a cache that is a file": Bad("", ("SMILERL_CACHE", "is a file"), sections={"policy": {"model_name_or_path": "base.yaml"}}, env={"SMILERL_CACHE": "taken"}),
    "a cache that cannot be made": Bad("", ("SMILERL_CACHE", "/proc/cache"), sections={"policy": {"model_name_or_path": "base.yaml"}}, env={"SMILERL_CACHE": "/proc/cache"}),
    "a cache in a variable that is not set": Bad("", ("$NOT_SET_AT_ALL", "not set"), sections={"policy": {"model_name_or_path": "base.yaml"}}, env={"SMILERL_CACHE": "$NOT_SET_AT_ALL/c"}),
    "data on the command line that is not there": Bad("command line: --world.args.path", ("gone.jsonl",), sections={"world": {"name": "dialogue", "args": {"path": "talks.jsonl", "format": "text"}}}, options=("--world.args.path=~/gone.jsonl",)),
    "a data set on the command line that is not there": Bad("command line: --world.args.dataset", ("gone",), sections={"world": {"name": "dialogue", "args": {"format": "text"}}, "rewards": [{"name": "sentiment", "args": {"reads": "completion"}}]}, options=("--world.args.dataset=./gone",)),
    "pairs on the command line that are not there": Bad("command line: --data.args.path", ("gone.jsonl",), options=("--data.args.path=gone.jsonl",), method="dpo", sections={"data": {"n": 16, "args": {"path": "pairs.jsonl"}}, "rewards": []}),
    "a model on the command line that is not there": Bad("command line: --policy.model_name_or_path", ("./gone", "nothing there"), sections={"policy": {"model_name_or_path": "MODEL"}}, options=("--policy.model_name_or_path=./gone",)),
    "a whole section on the command line": Bad("command line: --world", ("gone.jsonl",), options=("--world={name: dialogue, args: {path: gone.jsonl}}",)),
}  # fmt: skip


@pytest.fixture
def a_folder_with_things(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "bad_syntax.py").write_text("def f(:\n")
    (tmp_path / "bad_import.py").write_text("import os\nos.environ['NOT_THERE_AT_ALL']\n")
    (tmp_path / "bad_exit.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "dangling").symlink_to(tmp_path / "not-there")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    (tmp_path / "talks.jsonl").write_text(json.dumps({"prompt": "I am sad."}) + "\n")


@pytest.mark.parametrize("bad", [*LIBRARIES.values(), *PLACES.values()], ids=[*LIBRARIES, *PLACES])
def test_it_is_told_at_its_line_before_anything_is_made(
    bad: Bad, product, tiny, checkpoint, tmp_path, a_folder_with_things
):
    recipe = written(bad, tiny, checkpoint, tmp_path)
    ended = product("train", "recipe.yaml", *bad.options, env=bad.env)
    ended.refused(where(bad, recipe), *bad.says)
    assert not (tmp_path / "runs").exists() or bad.where in LATE or "/proc/cache" in bad.says, "a run was begun"
    assert (tmp_path / "taken").read_text() == "a file"
    assert os.listdir(tmp_path / "work") == ["thesis.txt"]


#: What only the loaded model or the trainer knows.
LATE = {
    *(
        "target_modules",
        "init_lora_weights",
        "sync_ref_model",
        "eos_token",
        "training",
        "torch_compile_backend",
        "fsdp",
    ),
    *("hidden_act", "vocab_size", "chat_template_kwargs"),
}


def where(bad: Bad, recipe: Path) -> str:
    """What the message begins with: `recipe.yaml:LINE` of the key, or the option."""
    if not bad.where or bad.where.startswith("command line"):
        return bad.where
    lines = recipe.read_text().splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if text.strip().startswith(f"{bad.where}:")][:1]
    return f"recipe.yaml:{line}: "


def written(bad: Bad, tiny, checkpoint, tmp_path: Path) -> Path:
    """The recipe on the disk, with models in place of their stand-ins."""
    sections = json.loads(json.dumps({**bad.sections}, default=lambda _: "TINY"))
    if bad.method in ("sft", "dpo", "kto", "reward") and "rewards" not in sections:
        sections["rewards"] = []
    recipe = tiny(method=bad.method, training=bad.training, **sections)
    said = yaml.safe_load(recipe.read_text())
    if not said["rewards"]:
        del said["rewards"]
    if bad.method not in ("rloo", "grpo"):
        for name in ("num_generations", "max_completion_length"):
            said["training"].pop(name)
    policy = said["policy"]
    if policy.get("config") == "TINY":
        policy["config"] = TINY
    for name in ("MODEL", "ENDLESS"):
        if policy.get("model_name_or_path") == name:
            policy["model_name_or_path"] = model(checkpoint, tmp_path, endless=name == "ENDLESS")
    if policy.get("model_name_or_path") == "base.yaml":
        base = {"method": "sft", "policy": {"config": TINY}, "data": {"n": 8}, "training": {**SFT, "max_steps": 1}}
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    recipe.write_text(yaml.safe_dump(said, sort_keys=False))
    return recipe


def model(checkpoint, tmp_path: Path, endless: bool) -> str:
    """A checkpoint; endless: of a tokenizer without an end-of-sequence token."""
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(checkpoint("llama", chat=False), folder)
    if endless:
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            if (folder / name).is_file():
                said = json.loads((folder / name).read_text())
                said.pop("eos_token", None)
                (folder / name).write_text(json.dumps(said))
    return str(folder)


LAUNCHES = {
    "several processes": ({"MASTER_ADDR": "127.0.0.1", "ACCELERATE_MIXED_PRECISION": "no"}, "asked for several processes, and 1 runs"),
    "bf16 against the recipe": ({"ACCELERATE_MIXED_PRECISION": "bf16"}, "the recipe says `bf16: false`"),
    "FSDP": ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, "asked for FSDP"),
}  # fmt: skip


def test_what_a_launcher_was_asked_and_did_not_do_is_said(product, tiny, tmp_path, record_property):
    tiny()
    record_property("tried", len(LAUNCHES))
    started = [
        product.start("--config", "recipe.yaml", f"--output_dir=runs/{number}", "--training.beta=0.1", env=env)
        for number, (env, _) in enumerate(LAUNCHES.values())
    ]
    for number, (process, (_, words)) in enumerate(zip(started, LAUNCHES.values(), strict=True)):
        assert process.wait().code == 0, process.err
        found = json.loads((tmp_path / f"runs/{number}/manifest.json").read_text())["launch"]
        assert [said for said in found["unmet"] if words in said], found
        *_, unmet, last = process.out.splitlines()
        assert "not as asked" in unmet and last.strip().startswith("1 process on cpu, ")
        assert last.endswith("8 completions a step (4 to a prompt)")
