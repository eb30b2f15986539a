"""Asking several rewards about the same completions: one after the other, and the async ones together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from smilerl.io.time_limit import TimedOut, within
from smilerl.rewards._carried import is_async
from smilerl.rewards._process import settings_kept

#: Seconds after its own limit in which an async reward may still end by itself, before it is ended as sync ones are.
_SLACK = 2.0
#: One loop for all calls in a process: clients that an async reward keeps belong to the loop they were made in.
_loop: asyncio.AbstractEventLoop | None = None
#: Loops in which something was left that did not end; kept, as asyncio complains of each that is thrown away.
_left: list[asyncio.AbstractEventLoop | None] = []


def ask(rewards: Sequence[Callable], **given: Any) -> list[list[float | None]]:
    """The values of each reward, R lists of N.

    Args:
        rewards: R, as `checked` makes them, or wrapped.
        given: `prompts`, `completions` (N each), and what else TRL passes.
    """
    found: list[list[float | None]] = [[] for _ in rewards]
    later = []
    for place, reward in enumerate(rewards):
        if is_async(reward):
            later.append(place)
        else:
            found[place] = list(reward(**given))
    if later:
        for place, values in zip(later, _ask_async([rewards[place] for place in later], given), strict=True):
            found[place] = values
    return found


def _ask_async(rewards: list[Any], given: dict[str, Any]) -> list[list[float | None]]:
    """The loop runs in this thread, not in one of its own as TRL's does: see `io.time_limit`."""
    global _loop
    found: list[list[float | None] | None] = [None] * len(rewards)

    async def one(place: int) -> None:
        found[place] = list(await rewards[place](**given))

    async def all_of_them() -> None:
        await asyncio.gather(*(one(place) for place in range(len(rewards))))

    records = [getattr(reward, "last_call", None) for reward in rewards]
    with ExitStack() as kept:
        kept.enter_context(settings_kept())
        if hasattr(rewards[0], "streams"):
            kept.enter_context(rewards[0].streams.own())
        try:
            within(_longest(rewards, given), lambda: _run(all_of_them()), "an async reward")
        except TimedOut as ended:
            _left.append(_loop)
            _loop = None
            for place, record in enumerate(records):
                if found[place] is None and record is not None:
                    record.late, record.hurried = True, ended.hurried
    missing: list[float | None] = [None] * len(given["completions"])
    return [missing if values is None else values for values in found]


def _longest(rewards: list[Any], given: dict[str, Any]) -> float:
    limits = [reward.limit(given["completions"]) for reward in rewards if hasattr(reward, "limit")]
    return max(limits, default=float("inf")) + _SLACK


def _run(work: Coroutine[Any, Any, None]) -> None:
    global _loop
    if _loop is None or _loop.is_closed():
        _loop = asyncio.new_event_loop()
    loop = _loop
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop.run_until_complete(work)
    else:  # in a notebook, whose own loop runs in this thread
        with ThreadPoolExecutor(1) as pool:
            pool.submit(loop.run_until_complete, work).result()
