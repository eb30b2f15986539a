"""The Slurm script, with stand-ins for Slurm's commands: what it launches, that it passes on a warning, and when it requeues."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "recipes" / "slurm" / "train.sbatch"
RECIPE = "recipes/qwen3-0.6b/grpo_sentiment.yaml"
COMMANDS = {
    # Runs its command here, as the first of the tasks.
    "srun": """
        echo "srun $*" >>"$LOG"
        while [[ $1 == --* ]]; do shift; done
        SLURM_PROCID=0 exec "$@" """,
    "scontrol": """
        case $1 in
            show) for host in ${3//,/ }; do echo "$host"; done ;;
            listpids) echo "PID JOBID"; ps -o pid= -s "$(ps -o sid= -p $$ | tr -d " ")" ;;  # of this job: its session
            requeue) echo "requeue $2" >>"$LOG" ;;
        esac""",
    # As accelerate: starts the program, and makes 1 of any failure.
    "accelerate": """
        echo "accelerate $*" >>"$LOG"
        while [[ $1 != -m ]]; do shift; done
        cd "$STAND_IN" && "$PYTHON" -u "$@" || exit 1""",
    "trl": 'echo "trl $* on $CUDA_VISIBLE_DEVICES" >>"$LOG"; exec sleep 30',
    "python": 'exec "$PYTHON" "$@"',
}
TRAIN = """
import os, signal, sys, time
def asked(number, frame):
    print("saved", flush=True)
    sys.exit(75)
signal.signal(signal.SIGUSR1, asked)
print("training", flush=True)
time.sleep(float(os.environ["SECONDS_TO_TRAIN"]))
sys.exit(int(os.environ["STATUS"]))
"""


@pytest.fixture
def job(tmp_path) -> Callable[..., subprocess.Popen]:
    """Starts the script as Slurm does, on one node of eight GPUs unless told otherwise."""
    bin = tmp_path / "venv" / "bin"
    bin.mkdir(parents=True)
    for name, body in COMMANDS.items():
        (bin / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (bin / name).chmod(0o755)
    (bin / "activate").write_text(f'export PATH="{bin}:$PATH"\n')
    stand_in = tmp_path / "stand_in" / "smilerl"
    stand_in.mkdir(parents=True)
    (stand_in / "train.py").write_text(TRAIN)
    (stand_in / "__init__.py").write_text("")
    started = []

    def start(*arguments: str, seconds: float = 0, status: int = 0, **variables: str) -> subprocess.Popen:
        environment = {
            **os.environ, "PATH": f"{bin}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), "PYTHON": sys.executable,
            "VENV": str(bin.parent), "SLURM_JOB_ID": "42", "SLURM_GPUS_ON_NODE": "8", "SLURM_NNODES": "1",
            "SLURM_JOB_NODELIST": "node1", "SECONDS_TO_TRAIN": str(seconds), "STATUS": str(status),
            "STAND_IN": str(stand_in.parent), "PYTHONPATH": str(SCRIPT.parents[2]), **variables,
        }  # fmt: skip
        process = subprocess.Popen(
            ["bash", str(SCRIPT), RECIPE, *arguments], cwd=SCRIPT.parents[2], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def log(tmp_path: Path) -> str:
    return (tmp_path / "log").read_text()


@pytest.mark.parametrize("check", [["bash", "-n"], ["shellcheck"]], ids=["bash", "shellcheck"])
def test_it_is_sound(check: list[str]) -> None:
    if shutil.which(check[0]) is None:
        pytest.skip(f"{check[0]} is not installed")
    found = subprocess.run([*check, str(SCRIPT)], capture_output=True, text=True)
    assert not found.returncode, found.stdout + found.stderr


def test_one_node_trains_on_all_gpus_with_what_was_changed(job, tmp_path) -> None:
    process = job("--seed", "1")
    assert process.wait(timeout=30) == 0, process.stdout.read()
    assert (
        "--num_machines 1 --machine_rank 0 --num_processes 8 --main_process_ip node1 --main_process_port 29500 "
        f"-m smilerl.train --config {RECIPE} --seed 1"
    ) in log(tmp_path)
    assert "requeue" not in log(tmp_path)


def test_several_nodes_have_a_launcher_each_and_meet_at_the_first(job, tmp_path) -> None:
    config = "recipes/accelerate/fsdp2.yaml"
    process = job(SLURM_NNODES="2", SLURM_JOB_NODELIST="node1,node2", ACCELERATE_CONFIG=config)
    assert process.wait(timeout=30) == 0, process.stdout.read()
    assert "--nodes=2 --ntasks=2 --ntasks-per-node=1 --nodelist=node1,node2" in log(tmp_path)
    assert f"--config_file {config} --num_machines 2 --machine_rank 0 --num_processes 16" in log(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "serves", "trains"),
    [
        ("node1", "trl vllm-serve --model Qwen/Qwen3-0.6B --port 8000 --tensor_parallel_size 1 on 7", "--num_processes 7"),
        ("node1,node2", "trl vllm-serve --model Qwen/Qwen3-0.6B --port 8000 --tensor_parallel_size 1 on 0", "--num_machines 1"),
    ],
)  # fmt: skip
def test_a_vllm_server_has_gpus_of_its_own(job, tmp_path, nodes, serves, trains) -> None:
    process = job(VLLM="1", SLURM_NNODES=str(len(nodes.split(","))), SLURM_JOB_NODELIST=nodes, seconds=1)
    assert process.wait(timeout=60) == 0, process.stdout.read()
    said = log(tmp_path)
    assert serves in said and trains in said
    assert (
        f"--training.use_vllm=true --training.vllm_mode=server --training.vllm_server_host={nodes.split(',')[-1]}"
        in said
    )


def test_a_failed_run_is_not_requeued(job, tmp_path) -> None:
    process = job(status=2)
    assert process.wait(timeout=30) == 1
    assert "requeue" not in log(tmp_path)


def test_warned_it_has_training_save_and_is_requeued(job, tmp_path) -> None:
    process = job(seconds=60)
    assert process.stdout.readline() == "training\n"
    started = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)  # to the script alone, as --signal=B: does
    assert process.wait(timeout=30) == 0
    assert time.monotonic() - started < 20
    assert "saved" in process.stdout.read() and "requeue 42" in log(tmp_path)
