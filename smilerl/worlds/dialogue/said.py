"""Reads text or messages from a field of the data, in any of the usual forms:

    "..."                                                       text
    [{"role": "user", "content": "..."}, ...]                   messages; or a single one
    [{"role": "user", "content": [{"type": "text", "text": "..."}]}]   content in parts
    [{"from": "human", "value": "..."}, {"from": "gpt", ...}]   ShareGPT

Other content (a picture, a tool call) is an error that names the field: without it the talk would be another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from smilerl.io.terminal import one_line

#: Other names of the roles of chat templates. (`tool` is none of them: the user has to give its meaning.)
ROLES = {"human": "user", "gpt": "assistant", "model": "assistant", "developer": "system"}
_KNOWN = ("system", "user", "assistant")
_TEXTS = (None, "text", "input_text", "output_text")


def said(value: Any, place: str, role: str, roles: Mapping[str, str]) -> str | list[dict]:
    """Text as it is; messages with known roles and text as their content, neighbours of one role joined.

    Args:
        place: file:line and column, for the error.
        role: the role that this column should have, for the error.
        roles: meanings of the data's roles.

    Raises:
        ValueError: it is neither; names the place and the field.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping | list):
        such = f'[{{"role": "{role}", "content": "..."}}]'
        raise ValueError(f"{place} must be text, or messages such as {such}, not {short(value)}")
    messages: list[dict] = []
    for at, message in enumerate([value] if isinstance(value, Mapping) else value):
        name, content = _message(message, place if isinstance(value, Mapping) else f"{place}[{at}]", roles)
        if messages and messages[-1]["role"] == name:
            messages[-1]["content"] += f"\n{content}"
        else:
            messages.append({"role": name, "content": content})
    if not messages:
        raise ValueError(f"{place} holds no message")
    return messages


def short(value: Any) -> str:
    """A value as JSON, at most 60 characters of it."""
    return one_line(json.dumps(value, ensure_ascii=False, default=str), 60)


def _message(message: Any, place: str, roles: Mapping[str, str]) -> tuple[str, str]:
    if not isinstance(message, Mapping):
        such = '{"role": "user", "content": "..."}'
        raise ValueError(f"{place} must be a message such as {such}, not {short(message)}")
    # A table with both forms has every key in every message, and null for those that a message lacks.
    by, holds = (
        second if message.get(first) is None and message.get(second) is not None else first
        for first, second in (("role", "from"), ("content", "value"))
    )
    name = message.get(by)
    if not isinstance(name, str):
        raise ValueError(f"{place}.{by} is {short(name)}, but should be one of {', '.join(_KNOWN)}")
    name = roles.get(name, ROLES.get(name, name))
    calls = next((key for key in ("tool_calls", "function_call") if message.get(key)), None)
    if calls is not None:
        raise ValueError(f"{place}.{calls}: this message calls a tool, and calls are not read. Take such talks out")
    if name not in _KNOWN:
        strange = f"{place}.{by}: the role '{name}' is none of {', '.join(_KNOWN)}"
        raise ValueError(f"{strange}. Say what it means in the args, roles: {{{name}: user}}")
    return name, _text(message.get(holds), f"{place}.{holds}")


def _text(content: Any, place: str) -> str:
    """The text of a message's content, its parts one after the other."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Mapping | list):
        raise ValueError(f"{place} is {short(content)}, but should be text or a list of its parts")
    parts = []
    for at, part in enumerate([content] if isinstance(content, Mapping) else content):
        if isinstance(part, Mapping) and part.get("type") in _TEXTS:
            part = part.get("text")
        if not isinstance(part, str):
            kind = part.get("type") if isinstance(part, Mapping) else None
            what = f"of the type {kind!r}" if kind else short(part)
            raise ValueError(f"{place}[{at}] is {what}, and only text is read")
        parts.append(part)
    return "".join(parts)
