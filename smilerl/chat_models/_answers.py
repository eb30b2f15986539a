"""Reads the answers of a chat endpoint: a reply, or trouble that may pass, concerns one request, or stays."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from smilerl.models.replies import visible

#: Status codes that another try may change, and those that concern only this request.
_AGAIN = {408, 409, 425, 429}
_THIS_ONE = {400, 413, 422}


class Reply(NamedTuple):
    """What the model said, and how many tokens the server counted (0 where it does not say)."""

    text: str
    tokens_in: int
    tokens_out: int


class Trouble(Exception):
    """One try without a reply.

    Attributes:
        again: whether another try may help.
        fatal: whether all other requests will fail, too.
        wait: seconds that the server asks for before the next try.
        fix: what a user can do.
    """

    def __init__(self, reason: str, *, again: bool = False, fatal: bool = False, wait: float = 0.0, fix: str = ""):
        super().__init__(reason)
        self.again, self.fatal, self.wait, self.fix = again, fatal, wait, fix


def read(content: bytes) -> Reply:
    """The reply in a chat completion.

    Raises:
        Trouble: there is none.
    """
    fix = "Is this address an OpenAI-compatible chat endpoint, and is nothing cut off on the way?"
    try:
        answer = json.loads(content)
        choice = answer["choices"][0]
        message = choice["message"]
        text, counted = message.get("content"), answer.get("usage") or {}
        tokens = int(counted.get("prompt_tokens") or 0), int(counted.get("completion_tokens") or 0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        shown = " ".join(content[:80].decode("utf-8", "replace").split())
        why = f"its answer is no chat completion ({type(error).__name__}): '{shown}'"
        raise Trouble(why, again=True, fix=fix) from None
    if isinstance(text, list):  # of parts, some of them thoughts
        text = visible([message])
    if not isinstance(text, str):
        why = " ".join(str(message.get("refusal") or f"finish_reason {choice.get('finish_reason')}").split())[:200]
        fix = (
            "It declined, called a tool, or used all tokens for thoughts: take another model, or raise max_new_tokens."
        )
        raise Trouble(f"the model answered without text ({why})", fix=fix)
    # JSON may hold half of a surrogate pair; a file may not.
    return Reply(text.encode("utf-8", "replace").decode(), *tokens)


def refusal(status: int, headers: Mapping[str, str], content: bytes) -> Trouble:
    """The trouble that a status other than success means; `fix` is empty where it depends on the address."""
    said = " ".join(content.decode("utf-8", "replace").split())[:200]
    reason = f"HTTP {status}{f': {said}' if said else ''}"
    if status in _AGAIN or status >= 500:
        fix = "Look at the server's log; lower concurrency if it is too busy."
        return Trouble(reason, again=True, wait=_retry_after(headers.get("retry-after", "")), fix=fix)
    if status in _THIS_ONE:
        return Trouble(reason, fix="The server refuses something in the request: see `extra`.")
    moved = f"Write the address it leads to: {headers.get('location', 'see the server')[:200]}."
    return Trouble(reason, fatal=True, fix=moved if 300 <= status < 400 else "")


def _retry_after(said: str) -> float:
    """Seconds that the server asks to wait, by a number or a date; else 0."""
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", said):
        return float(said)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0
