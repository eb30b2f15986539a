"""The texts that a reward is tried on: replies of scripted helpers or of a data set, or both sides of pairs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smilerl import worlds
from smilerl.rewards import texts
from smilerl.statistics.intervals import mean_estimate
from smilerl.worlds.base import World

#: The helpers whose pay tells most about a reward: good, each way to look good, silence, and noise.
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
        replies = [reply for name in names for reply in said[name]]
        columns = {
            "prompts": prompts * len(names),
            "completions": replies if isinstance(prompts[0], str) else [as_message(reply) for reply in replies],
            "person": person * len(names),
        }
        columns |= worlds.columns_of(person * len(names))
        who = [name for name in names for _ in person]
        return Tried(f"{len(names)} scripted helpers with {len(person)} people of {world.name}", columns, who)
    found = world.replies()
    rng, pool = random.Random(seed), found if len(found) >= _EACH else list(_ANYTHING)
    columns = {
        "prompts": [prompt for prompt in prompts for _ in range(_EACH)],
        "completions": [_as(prompt, reply) for prompt in prompts for reply in rng.sample(pool, _EACH)],
        "person": [one for one in person for _ in range(_EACH)],
    }
    columns |= worlds.columns_of([one for one in person for _ in range(_EACH)])
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


def pay(world: World, tried: Tried, values: Sequence[float | None]) -> list[dict[str, Any]]:
    """Mean value and mean wellbeing by helper, best paid first; intervals over people, those who are alike together.

    It shows what the reward will make of a policy.

    Args:
        world: knows what replies do to people.
        tried: N replies of helpers.
        values: N.
    """
    if tried.helpers is None or not world.reacts:
        return []
    person, helpers = tried.columns["person"], np.array(tried.helpers)
    scores, alike = np.array(values, dtype=float), np.array(world.stratum(person))
    reactions = world.react(person, texts(tried.columns["completions"]))
    wellbeing = np.array([reaction.outcome.wellbeing for reaction in reactions])
    rows = []
    for helper in dict.fromkeys(tried.helpers):
        own = helpers == helper
        found = mean_estimate(scores[own], alike[own], seed=0)
        between = {"mean": found.value, "low": found.low, "high": found.high}
        counts = {"scored": found.scored, "of": found.of, "wellbeing": float(wellbeing[own].mean())}
        rows.append({"helper": helper, **between, **counts})
    return sorted(rows, key=lambda row: -np.inf if row["mean"] is None else row["mean"], reverse=True)


def as_message(reply: str) -> list[dict[str, str]]:
    """A reply as TRL hands it over where prompts are messages."""
    return [{"role": "assistant", "content": reply}]


def _as(prompt: Any, reply: Any) -> Any:
    if isinstance(prompt, str) == isinstance(reply, str):
        return reply
    return as_message(reply) if isinstance(reply, str) else " " + " ".join(message["content"] for message in reply)
