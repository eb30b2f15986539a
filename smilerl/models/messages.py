"""Converts prompts and completions between plain text and messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def text(item: str | Sequence[Mapping]) -> str:
    """Plain text of a prompt or completion: itself, or the contents of its messages, one a line."""
    if isinstance(item, str):
        return item
    return "\n".join(_content(message.get("content")) for message in item)


def texts(items: Sequence) -> list[str]:
    """Plain text of each prompt or completion, whether plain or messages."""
    return [text(item) for item in items]


def as_trained(prompts: Sequence, completions: Sequence) -> list:
    """N texts as a trainer passes them to rewards: messages where the prompt is messages. Messages stay as they are."""
    return [
        said if isinstance(prompt, str) or not isinstance(said, str) else [{"role": "assistant", "content": said}]
        for prompt, said in zip(prompts, completions, strict=True)
    ]


def _content(content) -> str:
    if content is None:  # a message that only calls a tool
        return ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
