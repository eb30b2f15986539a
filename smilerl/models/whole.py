"""Loads a second model whole in every process of a launch that splits the policy's weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading_whole() -> Iterator[None]:
    """Within this block weights are loaded whole in every process, even where the policy's are to be split.

    `from_pretrained` looks at settings of the process: under ZeRO-3 it would give each rank a slice, and under FSDP with
    efficient loading it leaves all ranks but the first without weights, for a wrapping that a reward never gets.
    """
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
