"""Two processes take the step that one takes with the doubled batch.

By plain SGD, and to within a ten-thousandth of the step's own size; measured, they are two millionths apart, and one process with the
single batch is a seventh of the step away or more. Summing in another order changes the last digits of a gradient, and Adam, which
divides each entry of the first gradient by its own size, makes a whole step of the sign of what is rounding alone.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.training import replayed

ONLINE, OFFLINE = ["rloo", "grpo"], ["sft", "reward", "dpo", "kto"]
TOLERANCE = 1e-4
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def trained(checkpoint, tmp_path_factory):
    """The start, and for each method the weights after two steps in one process and in two."""
    folder, start = tmp_path_factory.mktemp("two"), checkpoint("llama", chat=False)
    write_data(folder)
    recipes = {n: [str(write_recipe(folder, method, n, start)) for method in ONLINE + OFFLINE] for n in (1, 2)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        replayed.replay(patch.setattr)
        replayed.run(recipes[1])
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    paths = os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    said = subprocess.run(
        [*launch, replayed.__file__, *recipes[2]], capture_output=True, text=True, env=env, cwd=folder
    )
    assert said.returncode == 0, said.stderr[-4000:]
    return start, folder


@pytest.mark.slow
@pytest.mark.parametrize("method", ONLINE + OFFLINE)
def test_the_step_is_that_of_one_process_with_the_doubled_batch(trained, method):
    start, folder = trained
    before = load_file(Path(start) / "model.safetensors")
    one, two = (load_file(folder / f"{method}-{processes}" / "model" / "model.safetensors") for processes in (1, 2))
    body = one.keys() & before.keys()  # a reward model's head is fresh
    moved = torch.cat([(one[name] - before[name]).flatten() for name in body])
    apart = torch.cat([(one[name] - two[name]).flatten() for name in one])
    assert moved.norm() > 1e-4
    assert apart.norm() < TOLERANCE * moved.norm(), (apart.norm(), moved.norm())


def write_data(folder: Path) -> None:
    """Seventeen pairs, of which a method learns from sixteen, and one to test on; replies say no more than whether they are good, see `labels_seed`."""
    rows = [
        {"prompt": f"I feel {'so ' * (number % 5)}{number}. ", "chosen": "That is a lot.", "rejected": "Cheer up!"}
        for number in range(17)
    ]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "tested.jsonl").write_text(json.dumps({**rows[0], "prompt": "I feel tested. "}))


def labels_seed() -> int:
    """A seed of `data` with which the estimate of KTO's reference point is the same in both launches.

    TRL pairs the replies of a process's batch with each other's prompts, in a ring: two rings of four are one ring of eight where the
    last reply of one is that of the other.
    """
    for seed in range(1000):
        good = random.Random(seed).sample([True, False] * 17, 16)
        if good[3] == good[7] and good[11] == good[15]:
            return seed
    raise AssertionError("no such seed")


def write_recipe(folder: Path, method: str, processes: int, start: str) -> Path:
    training = {
        "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "max_steps": 2, "learning_rate": 0.1, "optim": "sgd",
        "lr_scheduler_type": "constant", "per_device_train_batch_size": 8 // processes,
    }  # fmt: skip
    if processes == 2:
        training["ddp_backend"] = "gloo"
    recipe = {
        "method": method,
        "output_dir": str(folder / f"{method}-{processes}"),
        "world": {
            "name": "dialogue",
            "args": {"path": "pairs.jsonl", "held_out_from": "tested.jsonl", "held_out_fraction": 0.0},
        },
        "policy": {"model_name_or_path": start},
        "data": {"n": 16},
        "held_out": {"every": 0, "n": 1},
    }
    if method in ONLINE:
        training |= {"num_generations": 4, "max_completion_length": 8, "beta": 0.05}
        recipe["rewards"] = [{"name": f"{HERE}/replayed.py:length"}]
    if method in ("dpo", "kto"):
        recipe["data"]["args"] = {"path": "pairs.jsonl", "max_completion_length": 4}
    if method == "kto":
        recipe["data"]["seed"] = labels_seed()
    path = folder / f"{method}-{processes}.yaml"
    path.write_text(yaml.safe_dump(recipe | {"training": training}))
    return path
