"""A scripted policy of the user's own: a function in a Python file, named `FILE.py:NAME`.

    def mine(people, seed):             # or any of people, prompts and seed
        return [" i am here with you."] * len(people)

It is a pure function: the same people and seed give the same replies. `people` are hidden states as JSON, as ours see
them; a policy that reads only what a language model reads takes `prompts`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from smilerl import rewards
from smilerl.config import named_code
from smilerl.io.errors import UserError
from smilerl.io.terminal import one_line
from smilerl.rewards._failures import failures_named, place_of
from smilerl.rewards._process import settings_kept
from smilerl.runs import sources
from smilerl.worlds.base import World

#: What such a function may take, by name.
ARGUMENTS = ("people", "prompts", "seed")
_FIX = "    Write `def NAME(people, seed):`, which returns a list with one text for each person."
#: People whom it is tried on before anything loads.
_TRIED = 4


class HelperError(UserError, ValueError):
    """A scripted policy that does not exist, or returned what are no replies. At most ten lines."""


@dataclass(frozen=True)
class UsersHelper:
    """A scripted policy of the user's own.

    Attributes:
        name: as it was named, `FILE.py:NAME`.
        function: takes some of `ARGUMENTS` by name.
        fingerprint: of its name and of the contents of its file, and of the user's own files that this imports.
    """

    name: str
    function: Callable[..., Any]
    fingerprint: str

    def __call__(self, prompts: Sequence[Any], people: Sequence[str], seed: int) -> list[str]:
        """One reply to each of N people.

        Raises:
            HelperError: it raised, or returned anything but N texts.
        """
        given = {"people": list(people), "prompts": list(prompts), "seed": seed}
        taken = {name: given[name] for name in ARGUMENTS if named_code.takes(self.function, name)}
        doing, place = f"the helper '{self.name}'", place_of(self.function)
        with _failures_as_ours(), failures_named(doing, place), settings_kept():
            said = self.function(**taken)
        return _replies(f"{place}: {doing} returned", said, len(people))


def load(name: str, world: World) -> UsersHelper:
    """The function that `FILE.py:NAME` leads to, tried on a few people of the world.

    Raises:
        HelperError: there is none, it takes other arguments, or what it returned are no replies.
    """
    with _failures_as_ours():
        function = rewards.resolve(name, "helper")
    wrong = "a class" if inspect.isclass(function) else named_code.why_not(function)
    if wrong is not None:
        raise HelperError(f"'{name}' is {wrong}, and no function that replies to people.\n{_FIX}")
    if (strange := _strange(function)) is not None:
        raise HelperError(f"{place_of(function)}: the helper '{name}' {strange}.\n{_FIX}")
    attribute = name.rsplit(":", 1)[1]
    helper = UsersHelper(name, function, f"{attribute} {sources.of_users(name)}")
    people = world.people("held_out", _TRIED, 0)
    helper(people["prompt"][:], people["person"][:], 0)
    return helper


@contextmanager
def _failures_as_ours() -> Iterator[None]:
    """Within this block an error of the loader that rewards share with helpers becomes a `HelperError`."""
    try:
        yield
    except rewards.RewardError as error:
        raise HelperError(str(error)) from error.__cause__


def _strange(function: Callable[..., Any]) -> str | None:
    """What is wrong with the arguments of a function, in words; None where it can be called."""
    for name, one in inspect.signature(function).parameters.items():
        if one.kind is one.POSITIONAL_ONLY:
            return f"takes '{name}' by position alone, and arguments are given by name"
        if one.default is one.empty and not one.kind.name.startswith("VAR_") and name not in ARGUMENTS:
            return f"takes '{name}', which is none of {', '.join(ARGUMENTS)}"
    if not any(named_code.takes(function, name) for name in ("people", "prompts")):
        return "takes neither people nor prompts"
    return None


def _replies(said: str, replies: Any, n: int) -> list[str]:
    """The replies as a list of N texts; `said` begins the message where they are none."""
    if not isinstance(replies, list | tuple):
        if inspect.iscoroutine(replies):
            replies.close()
        raise HelperError(f"{said} a {type(replies).__name__}, not a list with one text for each person")
    if len(replies) != n:
        raise HelperError(f"{said} {len(replies)} replies for {n} people: return one for each, '' for silence")
    for row, reply in enumerate(replies):
        which = f"for person {row} of {n}"
        if not isinstance(reply, str):
            shown = one_line(repr(reply), 60)
            raise HelperError(f"{said} {shown} ({type(reply).__name__}) {which}: return a text, '' for silence")
        try:
            reply.encode()
        except UnicodeEncodeError:
            raise HelperError(f"{said} a text {which} that cannot be written as UTF-8") from None
    return [str(reply) for reply in replies]
