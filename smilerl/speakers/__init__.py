"""Speakers: chat models that answer, in process or behind an endpoint. A short name is a module in this folder with `build(**args)`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Speaker(Protocol):
    """A chat model that answers: in process or behind an endpoint. Batched; one reply a conversation, None where none could be had."""

    name: str

    def __call__(
        self,
        conversations: Sequence[list[dict[str, str]]],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> list[str | None]:
        """One reply to each conversation."""
        ...


def build(spec: Mapping[str, Any] | str) -> Speaker:
    """The speaker of `{name: ..., args: {...}}`: a module of this folder, or the dotted path of the user's own class or factory.

    Raises:
        ValueError: it is not written so, or there is no such speaker.
    """
    given: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    if "name" not in given or set(given) - {"name", "args"}:
        raise ValueError(f"a speaker is written {{name: ..., args: {{...}}}}, not {spec!r}")
    name, args = str(given["name"]), dict(given.get("args") or {})
    try:
        if "." not in name:
            return importlib.import_module(f"{__name__}.{name}").build(**args)
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)(**args)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(
            f"no speaker '{name}': {error}. Your own: a dotted path, my_package.my_module.MySpeaker"
        ) from None
