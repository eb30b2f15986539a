"""What was asked of a launcher, and what a launch is called on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from smilerl.runs import launch


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("python /env/bin/accelerate launch --cpu --num_processes 2 -m smilerl.train --config r.yaml", 2),
        ("accelerate launch --num-processes=3 train.py --num_processes 9", 3),
        ("python -m accelerate.commands.launch --num_processes 4 -m smilerl.train", 4),
        ("accelerate-launch --num_processes 4 -m smilerl.train", 4),
        ("accelerate launch --config_file four.yaml -m smilerl.train", 4),
        ("accelerate launch --config_file four.yaml --num_processes 2 -m smilerl.train", 2),
        ("accelerate launch --config_file gone.yaml -m smilerl.train", None),
        ("accelerate launch -m smilerl.train --config r.yaml --num_processes 2", None),
        ("bash launch --num_processes 2", None),
        ("python -m torch.distributed.run --nproc_per_node 2 -m smilerl.train", None),
        ("", None),
    ],
)
def test_the_number_of_processes_is_read_as_accelerate_reads_it(
    typed: str, number: int | None, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("four.yaml").write_text("num_processes: 4\n")
    assert launch.asked_of(typed.split(" ")) == number


def test_a_launch_in_a_line() -> None:
    found = {"processes": 2, "device": "cpu", "precision": "float32"}
    assert launch.line(found | {"completions": 16, "num_generations": 4}) == (
        "2 processes on cpu, float32; 16 completions a step (4 to a prompt)"
    )
    assert launch.line(found | {"processes": 1, "rows": 8}) == "1 process on cpu, float32; 8 rows a step"
    assert launch.line(found) == "2 processes on cpu, float32"
