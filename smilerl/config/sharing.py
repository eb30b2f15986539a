"""TRL's configs of the methods that sample several completions to a prompt, with one setting of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from trl.trainer import grpo_config, rloo_config

_HELP = {"help": "auto: each prompt is read once for its group, where that is exact. off: TRL's own passes."}


@dataclass
class RLOOConfig(rloo_config.RLOOConfig):
    """TRL's, and `shared_prompt`."""

    shared_prompt: Literal["auto", "off"] = field(default="auto", metadata=_HELP)


@dataclass
class GRPOConfig(grpo_config.GRPOConfig):
    """TRL's, and `shared_prompt`."""

    shared_prompt: Literal["auto", "off"] = field(default="auto", metadata=_HELP)
