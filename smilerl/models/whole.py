"""Loads a second model, such as a reward's, whole in each process of a launch that splits the policy's weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading_whole() -> Iterator[None]:
    """Hides the settings by which `from_pretrained` splits weights (ZeRO-3) or loads them in one rank only (FSDP)."""
    from transformers.integrations import deepspeed

    reference, variable = deepspeed._hf_deepspeed_config_weak_ref, "FSDP_CPU_RAM_EFFICIENT_LOADING"
    before = os.environ.get(variable)
    deepspeed.unset_hf_deepspeed_config()
    os.environ[variable] = "false"
    try:
        yield
    finally:
        deepspeed._hf_deepspeed_config_weak_ref = reference
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before
