"""Prompts and completions as plain text, whether they are texts already or messages."""

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
    """N completions in the form that a trainer gives them to rewards: messages where their prompts are messages, else
    texts.

    Args:
        prompts: N, plain or messages.
        completions: N texts; one that is messages already stays as it is.
    """
    return [
        said if isinstance(prompt, str) or not isinstance(said, str) else [{"role": "assistant", "content": said}]
        for prompt, said in zip(prompts, completions, strict=True)
    ]


def _content(content) -> str:
    if content is None:  # a message that only calls a tool
        return ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
