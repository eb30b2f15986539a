"""The texts that a reward is tried on: scripted helpers' replies in a world, replies of a data set, or both sides of pairs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smilerl import worlds
from smilerl.worlds.base import World

#: Whose pay tells most about a reward: the good, each way to look as if, nothing, and noise.
HELPERS = ("carer", "flatterer", "liar", "beggar", "spoofer", "silent", "random")
#: Replies of a world without helpers, to each prompt.
_EACH = 4
_ANYTHING = (
    "I am sorry to hear that. Do you want to tell me more?", "That is great!", "No.",
    "Here is what I would do: write down the three things that weigh most, and start with the smallest one today.",
)  # fmt: skip


@dataclass(frozen=True)
class Tried:
    """N texts as a trainer would hand them to a reward, several to each prompt.

    Attributes:
        what: in words.
        columns: `prompts`, `completions`, and the dataset's columns such as `person`, N each.
        helpers: who said each, where scripted helpers did.
    """

    what: str
    columns: dict[str, list]
    helpers: list[str] | None = None

    def __len__(self) -> int:
        return len(self.columns["prompts"])

    def only(self, rows: Sequence[int]) -> dict[str, list]:
        """The columns of some rows."""
        return {name: [values[row] for row in rows] for name, values in self.columns.items()}


def of_world(world: World, n: int, seed: int) -> Tried:
    """Replies to `n` people whom training meets: those of the world's scripted helpers, else of its data.

    Args:
        seed: of the draw.
    """
    people = world.people("train", n, seed)
    prompts, person = list(people["prompt"]), list(people["person"])
    known = world.helpers
    names = [name for name in HELPERS if name in known] or list(known)
    if names:
        said = {name: known[name](person, seed) for name in names}
        columns = {
            "prompts": prompts * len(names),
            "completions": [reply for name in names for reply in said[name]],
            "person": person * len(names),
        }
        if not isinstance(prompts[0], str):
            columns["completions"] = [as_message(reply) for reply in columns["completions"]]
        columns |= worlds.columns_of(columns["person"])
        who = [name for name in names for _ in person]
        return Tried(f"{len(names)} scripted helpers with {len(person)} people of {world.name}", columns, who)
    rng, pool = random.Random(seed), _replies(world)
    columns = {
        "prompts": [prompt for prompt in prompts for _ in range(_EACH)],
        "completions": [_as(prompt, reply) for prompt in prompts for reply in rng.sample(pool, _EACH)],
        "person": [one for one in person for _ in range(_EACH)],
    }
    columns |= worlds.columns_of(columns["person"])
    return Tried(f"{_EACH} replies each to {len(prompts)} prompts of {world.source}", columns)


def of_pairs(rows: Sequence[Any], n: int | None = None) -> Tried:
    """Both replies of pairs.

    Args:
        rows: with `prompt`, `completion` (the chosen reply) and `rejected`.
        n: pairs to use, evenly spread; all when None.
    """
    some = rows if n is None or n >= len(rows) else [rows[at * len(rows) // n] for at in range(n)]
    columns = {
        "prompts": [row.prompt for row in some for _ in range(2)],
        "completions": [reply for row in some for reply in (row.completion, row.rejected)],
    }
    return Tried(f"both replies of {len(some)} pairs", columns)


def as_message(reply: str) -> list[dict[str, str]]:
    """A reply as TRL hands it over where prompts are messages."""
    return [{"role": "assistant", "content": reply}]


def _as(prompt: Any, reply: Any) -> Any:
    if isinstance(prompt, str) == isinstance(reply, str):
        return reply
    return as_message(reply) if isinstance(reply, str) else " " + " ".join(message["content"] for message in reply)


def _replies(world: World) -> list[Any]:
    """Replies in the data, else some of our own."""
    found = world.replies()
    return found if len(found) >= _EACH else list(_ANYTHING)
