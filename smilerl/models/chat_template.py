"""Writes settings of a chat template, such as `enable_thinking: false` for Qwen3, into the template itself.

So they hold wherever the tokenizer is used: in TRL's generation and tokenisation, our sampling, and inference servers.
Passed as arguments, one could be forgotten, and the model would silently talk in another mode than it was trained in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

_WORDS = {True: "true", False: "false", None: "none"}


def set_defaults(tokenizer: PreTrainedTokenizerBase, settings: Mapping[str, Any] | None) -> None:
    """Makes these the defaults of the tokenizer's chat template. Doing so again changes nothing.

    Args:
        settings: names that the template knows, and numbers, texts, true, false or null.

    Raises:
        ValueError: there is no chat template, or it does not know a name, or a value has another type.
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
