"""Loads a HF sequence classifier whole and as it was trained, or says why not.

Three failures are silent elsewhere: a head that is not in the checkpoint gets random weights, a sharded launch leaves a
second model without weights, and half precision rounds a reward of 9 to the nearest sixteenth.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from smilerl.io import bounded, packages
from smilerl.io.terminal import first_line
from smilerl.models import model_files
from smilerl.models.policy import NO_CODE, check_finite
from smilerl.models.whole import loading_whole
from smilerl.rewards._failures import RewardError
from smilerl.runs import seals

DTYPES = ("float32", "bfloat16", "float16", "auto")
#: Keys of what a reward model trained here reads: the form, and the most tokens of prompt and completion (longer pairs
#: were left out). They stand in config.json; beside an adapter, which has none, in a file of ours.
TRAINED_ON, TRAINED_LENGTH = "trained_on", "trained_max_length"
_TRAINED = "reward_model.json"


def read_config(path: str, reward: str):
    """The configuration of the model in a directory or on the Hub; a RewardError where it cannot be had."""
    from transformers import AutoConfig

    try:
        model_files.check_configuration(path)
        return AutoConfig.from_pretrained(path, **NO_CODE)
    except (OSError, ValueError) as error:
        raise RewardError(_why_not(path, reward, error)) from None


def base_of(path: str) -> str | None:
    """The directory or id of the model that an adapter directory belongs to; None where it holds no adapter."""
    try:
        return model_files.base_in(path)
    except ValueError as error:
        raise RewardError(str(error)) from None


def trained_as(path: str, config) -> dict:
    """What a reward model reads, `{trained_on: ..., trained_max_length: ...}`; empty for one that was not trained here.

    Args:
        path: a directory (of an adapter, perhaps) or a Hub id.
        config: of the model; for an adapter it is its base's, and is not read.
    """
    if base_of(path) is not None:
        file = Path(path) / _TRAINED
        return bounded.mapping(file) if file.is_file() else {}
    return {key: getattr(config, key) for key in (TRAINED_ON, TRAINED_LENGTH) if getattr(config, key, None) is not None}


def save_trained_as(folder: str | Path, config) -> None:
    """Writes beside the adapter of a reward model in `folder` what it reads; does nothing for other models."""
    if base_of(str(folder)) is not None and getattr(config, TRAINED_ON, None) is not None:
        said = {key: getattr(config, key, None) for key in (TRAINED_ON, TRAINED_LENGTH)}
        (Path(folder) / _TRAINED).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def load_tokenizer(path: str):
    """The model's own tokenizer, else that of an adapter's base; it truncates on the left."""
    from transformers import AutoTokenizer

    own = (Path(path) / "tokenizer_config.json").is_file()
    return AutoTokenizer.from_pretrained(path if own else base_of(path) or path, truncation_side="left", **NO_CODE)


def load_model(path: str, reward: str, dtype: str | None, device: torch.device) -> nn.Module:
    """The weights in evaluation mode on a device, the head in float32 whatever `dtype` is.

    Args:
        reward: the reward that asks, for its error messages.
        dtype: one of `DTYPES`; None: bfloat16 on a CUDA device, which halves the memory, and float32 elsewhere.

    Raises:
        RewardError: weights are missing from the checkpoint, so that they would be random; or they are NaN or infinite.
        RunError: a model that was sealed here is not what was saved.
    """
    for folder in filter(None, (path, base_of(path))):
        seals.check_model(folder)
    named = dtype or ("bfloat16" if device.type == "cuda" else "float32")
    with loading_whole():
        model = _adapted(path, reward, named) if base_of(path) is not None else _plain(path, reward, named)
    try:
        check_finite(model, f"the model '{path}' of the reward '{reward}'")
    except ValueError as error:
        raise RewardError(str(error)) from None
    config = model.config.get_text_config()
    if getattr(config, "use_cache", None):
        config.use_cache = False  # no token is generated, so no keys and values need keeping
    return _with_exact_head(model.to(device).eval().requires_grad_(False))


def _plain(path: str, reward: str, dtype: str) -> nn.Module:
    from transformers import AutoModelForSequenceClassification

    model, found = AutoModelForSequenceClassification.from_pretrained(
        path, dtype=dtype, output_loading_info=True, **NO_CODE
    )
    missing = sorted(found["missing_keys"])
    if missing:
        some = f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}"
        raise RewardError(
            f"the model '{path}' of the reward '{reward}' has no weights for {some}: they would be random numbers. It "
            "is no trained classifier but the body of one. Name one that is, or train it: method: reward"
        )
    return model


def _adapted(path: str, reward: str, dtype: str) -> nn.Module:
    from peft import AutoPeftModelForSequenceClassification, PeftModel
    from safetensors import safe_open
    from transformers import AutoModelForSequenceClassification

    weights, base = Path(path) / "adapter_model.safetensors", base_of(path)
    if weights.is_file() and not (base and _is_classifier(base)):
        with safe_open(weights, "pt") as held:
            if not any(f".{head}." in key for key in held.keys() for head in ("score", "classifier")):  # noqa: SIM118
                raise RewardError(
                    f"the adapter '{path}' of the reward '{reward}' holds no head, and its base {base} is "
                    "no classifier: scores would be random numbers. Train it with task_type SEQ_CLS, or "
                    "modules_to_save: [score]"
                )
    if base and packages.is_name(model_files.base_of(path)):  # PEFT would look for it under this name
        body = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=dtype, **NO_CODE)
        return PeftModel.from_pretrained(body, path)
    return AutoPeftModelForSequenceClassification.from_pretrained(path, num_labels=1, dtype=dtype, **NO_CODE)


def _is_classifier(path: str) -> bool:
    from transformers import AutoConfig

    try:
        architectures = AutoConfig.from_pretrained(path, **NO_CODE).architectures or []
    except (OSError, ValueError):
        return False
    return any("ForSequenceClassification" in name for name in architectures)


def _with_exact_head(model: nn.Module) -> nn.Module:
    """The last layer in float32: bfloat16 has 8 bits, so rewards between 8 and 16 would be multiples of 1/16."""
    outputs = model.config.num_labels
    for name, module in model.named_modules():
        # LoRA's own matrices can have as many outputs.
        if isinstance(module, nn.Linear) and module.out_features == outputs and "lora_" not in name:
            if module.weight.dtype in (torch.bfloat16, torch.float16):
                module.float()
                module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))
    return model


def _why_not(path: str, reward: str, error: Exception) -> str:
    """What to do about a model that cannot be had."""
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import GatedRepoError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GatedRepoError):
            return (
                f"the model '{path}' of the reward '{reward}' is gated. Accept its conditions on "
                f"https://huggingface.co/{path}, then log in: hf auth login (or set HF_TOKEN)"
            )
        cause = cause.__cause__ or cause.__context__
    offline = " HF_HUB_OFFLINE is set, so only what is in the cache is found." if is_offline_mode() else ""
    return (
        f"no model for the reward '{reward}' at '{path}', neither a directory with config.json nor a Hub "
        f"id.{offline}\n{first_line(error, 500)}"
    )
