"""What a chat template is told each time, such as `enable_thinking: false` for Qwen3, written into the template itself.

A setting that travels beside the tokenizer has to be handed to every place that writes a prompt: TRL's generation, its
SFT and DPO tokenisation (which take it from a column of the data), our sampling, an inference server, whoever loads the
model later. One that is forgotten makes the model talk in another mode than it was trained in, and nothing fails. In
the template, it goes wherever the tokenizer goes, and the saved model is spoken to as it was trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

_WORDS = {True: "true", False: "false", None: "none"}


def set_defaults(tokenizer: PreTrainedTokenizerBase, settings: Mapping[str, Any] | None) -> None:
    """Makes these the values that the tokenizer's chat template sees where its caller says nothing else. Twice is as
    once.

    Args:
        settings: names that the template knows, and numbers, texts, true, false or null.

    Raises:
        ValueError: there is no chat template, it does not know one of the names, or a value is none of these.
    """
    if not settings:
        return
    template = tokenizer.chat_template
    if not isinstance(template, str):
        raise ValueError(
            "policy.chat_template_kwargs is set, and the model's tokenizer has "
            + ("no chat template. Delete the key." if template is None else "several chat templates, not one.")
        )
    for name in settings:
        if name not in template:
            raise ValueError(
                f"policy.chat_template_kwargs sets '{name}', which the model's chat template does not know. Delete it."
            )
    head = "".join(f"{{% set {name} = {name} | default({_jinja(value)}) %}}" for name, value in settings.items())
    if not template.startswith(head):
        tokenizer.chat_template = head + template


def _jinja(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return _WORDS[value]
    if not isinstance(value, int | float | str):
        raise ValueError(f"policy.chat_template_kwargs takes numbers, texts, true, false and null, not {value!r}.")
    return json.dumps(value, ensure_ascii=False)
