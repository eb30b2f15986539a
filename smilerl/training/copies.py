"""Copies of what a trainer changes as it goes: the lists and dicts in which it keeps its counts and its log."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any


def plain_copy(value: Any) -> Any:
    """Dicts, lists and deques of TRL's, of whatever kind, as plain dicts and lists; their factories cannot be saved."""
    if isinstance(value, Mapping):
        return {key: plain_copy(item) for key, item in value.items()}
    if isinstance(value, list | deque):
        return [plain_copy(item) for item in value]
    return value


def refill(log: Any, own: Any) -> None:
    """A deque of TRL's log, or a dict of them, with these contents alone."""
    if isinstance(own, dict):
        for column, values in own.items():
            refill(log[column], values)
    else:
        log.clear()
        log.extend(own)
