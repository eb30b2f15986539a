"""What a chat endpoint answers: a reply, or trouble, of which some may pass, some is about one request, and some will stay."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from smilerl.models.replies import visible

#: Status codes that another try may change, and those that are about this one request and no other.
_AGAIN = {408, 409, 425, 429}
_THIS_ONE = {400, 413, 422}


class Reply(NamedTuple):
    """What the model said, and how many tokens the server counted (0 where it does not say)."""

    text: str
    tokens_in: int
    tokens_out: int


class Trouble(Exception):
    """One try that brought no reply.

    Attributes:
        again: whether another try may bring one.
        fatal: whether no other request will do better.
        wait: seconds that the server asks for before the next try.
        fix: what a user can do, said after the reason.
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
        raise Trouble(
            f"its answer is no chat completion ({type(error).__name__}): '{shown}'", again=True, fix=fix
        ) from None
    if isinstance(text, list):  # of parts, some of them thoughts
        text = visible([message])
    if not isinstance(text, str):
        why = " ".join(str(message.get("refusal") or f"finish_reason {choice.get('finish_reason')}").split())[:200]
        raise Trouble(
            f"the model answered without text ({why})",
            fix="It declined, called a tool, or had no room for more than its thoughts: take another model, or raise max_new_tokens.",
        )
    # Half of a surrogate pair is legal in JSON and in no file.
    return Reply(text.encode("utf-8", "replace").decode(), *tokens)


def refusal(status: int, headers: Mapping[str, str], content: bytes) -> Trouble:
    """What a status that is no success means; `fix` is left to who knows the address, where nothing can be said without it."""
    said = " ".join(content.decode("utf-8", "replace").split())[:200]
    reason = f"HTTP {status}{f': {said}' if said else ''}"
    if status in _AGAIN or status >= 500:
        fix = "Look at the server's log; lower concurrency if it is too busy."
        return Trouble(reason, again=True, wait=_retry_after(headers.get("retry-after", "")), fix=fix)
    if status in _THIS_ONE:
        return Trouble(reason, fix="The request has something that this server does not take: see `extra`.")
    moved = f"Write the address it leads to: {headers.get('location', 'see the server')[:200]}."
    return Trouble(reason, fatal=True, fix=moved if 300 <= status < 400 else "")


def _retry_after(said: str) -> float:
    """Seconds that the server asks for, as a number or a date; 0 where it does not."""
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", said):
        return float(said)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0
