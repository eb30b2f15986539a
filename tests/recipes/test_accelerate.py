"""The launch configurations are what accelerate takes, say what they are for, and set what smilerl needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

from smilerl.config.recipe import Recipe
from smilerl.training import sharding

FOLDER = Path(__file__).resolve().parents[2] / "recipes" / "accelerate"
FILES = sorted(FOLDER.glob("*.yaml"))
RECIPE = Recipe(method="rloo", output_dir="runs/none")
TYPES = {
    "one_gpu": DistributedType.NO,
    "ddp": DistributedType.MULTI_GPU,
    "fsdp2": DistributedType.FSDP,
    "zero3": DistributedType.DEEPSPEED,
}


def launched(name: str, *options: str):
    """The arguments of `accelerate launch` with this file, as it works them out before it starts anything."""
    line = ["--config_file", str(FOLDER / f"{name}.yaml"), *options, "-m", "smilerl.train", "--config", "x.yaml"]
    return _validate_launch_command(launch_command_parser().parse_args(line))[0]


def test_there_is_one_for_each_way_to_spread_a_model() -> None:
    assert {path.stem for path in FILES} == set(TYPES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_loads_it(path: Path) -> None:
    config = load_config_from_file(str(path))  # refuses keys that it does not know
    assert isinstance(config, ClusterConfig)
    assert config.distributed_type == TYPES[path.stem]


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero3"])
def test_the_command_line_says_how_many_processes(name: str, monkeypatch) -> None:
    # Asked on a machine with GPUs and DeepSpeed, which this one may not be.
    monkeypatch.setattr("accelerate.commands.launch.is_deepspeed_available", lambda: True, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    args = launched(name, "--num_processes", "4")
    assert args.num_processes == 4
    assert (args.use_fsdp, args.use_deepspeed, args.multi_gpu) == (name == "fsdp2", name == "zero3", name == "ddp")


def test_fsdp_settings_are_those_of_its_second_version(monkeypatch) -> None:
    """What the launcher hands to the processes, read by the plugin that they make of it, and by us."""
    args = launched("fsdp2", "--num_processes", "2")
    for key, value in prepare_multi_gpu_env(args).items():
        if key.startswith(("FSDP", "ACCELERATE")):
            monkeypatch.setenv(key, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert sharding.sharded(RECIPE) == "FSDP"


def test_zero3_can_save_what_it_trains() -> None:
    settings = yaml.safe_load((FOLDER / "zero3.yaml").read_text())["deepspeed_config"]
    assert settings["zero_stage"] == 3 and settings["zero3_save_16bit_model"] is True


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_teaches_and_the_readme_knows_it(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ") and f"--config_file recipes/accelerate/{path.name}" in text
    assert f"`{path.name}`" in (FOLDER / "README.md").read_text()
