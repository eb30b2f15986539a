"""Asking several rewards about the same completions, async ones together, and counting the calls that are too late."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from accelerate import PartialState

from smilerl.io.terminal import say
from smilerl.io.time_limit import TimedOut, within
from smilerl.rewards._failures import RewardError
from smilerl.rewards._process import settings_kept
from smilerl.rewards.base import Reward, build_reward

#: Calls over which the share of missing rows is measured.
LAST = 10
#: Share of them that may be missing, where nothing else is said.
MOST_MISSING = 0.5
#: Seconds after its own limit in which an async reward may still end by itself, before it is ended as sync ones are.
_SLACK = 2.0
#: One loop for all calls in a process: clients that an async reward keeps belong to the loop they were made in.
_loop: asyncio.AbstractEventLoop | None = None
#: Loops in which something was left that did not end; kept, as asyncio complains of each that is thrown away.
_left: list[asyncio.AbstractEventLoop | None] = []


class RewardTimeout(RewardError):
    """A reward did not come back in time, too often to go on."""


class StopAsked(BaseException):
    """The run was asked to stop, and a reward that was still running has been ended: it has no values."""


class Clock:
    """The time limits of rewards that are asked again and again. Look at it after each time."""

    def __init__(self, rewards: Sequence[Callable], most_missing: Sequence[float] | None = None) -> None:
        """
        Args:
            rewards: R; those that are not `checked` have no limit.
            most_missing: R shares of the last `LAST` calls, each in [0, 1]; see `RewardSpec.most_missing`. None:
                `MOST_MISSING`.
        """
        self.rewards = [build_reward(reward) for reward in rewards]
        self.most_missing = [MOST_MISSING] * len(self.rewards) if most_missing is None else list(most_missing)
        self._late: list[deque[bool]] = [deque(maxlen=LAST) for _ in self.rewards]
        self._given_up: str | None = None

    def check(self) -> None:
        """Raises RewardTimeout where a reward has been given up: asking again would take its time limit once more."""
        if self._given_up is not None:
            raise RewardTimeout(self._given_up)

    def look(
        self, rows: int, asked: Sequence[int] | None = None, log_metric: Callable[[str, float], None] | None = None
    ) -> None:
        """Counts what is missing after rewards were asked.

        Args:
            rows: that they were asked about.
            asked: the places of those that were; None: all.
            log_metric: takes `rewards/<name>/missing`, 1 where a call was ended.

        Raises:
            RewardTimeout: more calls than `most_missing` of the last ones were ended by their limit.
            StopAsked: one was ended because the run is to stop. Several processes finish the step without its rows
                instead.
        """
        for place in range(len(self.rewards)) if asked is None else asked:
            reward, late, most = self.rewards[place], self._late[place], self.most_missing[place]
            last = reward.last_call
            late.append(last is not None and last.late)
            if last is None or not last.late:
                continue
            if last.hurried and PartialState().num_processes == 1:
                raise StopAsked
            if log_metric is not None:
                log_metric(f"rewards/{reward.__name__}/missing", 1.0)
            limit = f"within {last.seconds:g} s" if not last.hurried else "in time, as the run is asked to stop"
            said = f"the reward '{reward.__name__}' gave no answer {limit}"
            say(f"{said}: its {rows} rows are missing")
            if sum(late) / len(late) > most and not last.hurried:
                where = f"{reward.place}: " if reward.place else ""
                self._given_up = (
                    f"{where}{said}, in {sum(late)} of the last {len(late)} calls (most_missing: {most:g}).\n"
                    "Mend it, or raise `timeout:` (seconds) or `most_missing:` beside its `name:`."
                )
                self.check()


def ask(rewards: Sequence[Reward], **given: Any) -> list[list[float | None]]:
    """The values of each reward, R lists of N: first of the sync ones in turn, then of the async ones together.

    Args:
        given: `prompts`, `completions` (N each), and what else TRL passes.
    """
    found = [[] if reward.is_async else list(reward(**given)) for reward in rewards]
    later = [place for place, reward in enumerate(rewards) if reward.is_async]
    if later:
        for place, values in zip(later, _ask_async([rewards[place] for place in later], given), strict=True):
            found[place] = values
    return found


def _ask_async(rewards: list[Reward], given: dict[str, Any]) -> list[list[float | None]]:
    """The loop runs in this thread, not in one of its own as TRL's does: see `io.time_limit`."""
    global _loop
    found: list[list[float | None] | None] = [None] * len(rewards)

    async def one(place: int) -> None:
        found[place] = list(await rewards[place](**given))

    async def all_of_them() -> None:
        await asyncio.gather(*(one(place) for place in range(len(rewards))))

    limits = [limit for reward in rewards if (limit := reward.limit(given["completions"])) < float("inf")]
    longest = max(limits, default=float("inf")) + _SLACK
    streams = rewards[0].streams
    with settings_kept(), nullcontext() if streams is None else streams.own():
        try:
            within(longest, lambda: _run(all_of_them()), "an async reward")
        except TimedOut as ended:
            _left.append(_loop)
            _loop = None
            for reward, values in zip(rewards, found, strict=True):
                if values is None and reward.last_call is not None:
                    reward.last_call.late, reward.last_call.hurried = True, ended.hurried
    missing: list[float | None] = [None] * len(given["completions"])
    return [missing if values is None else values for values in found]


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
