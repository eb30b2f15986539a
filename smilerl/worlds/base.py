"""Contracts of a world: who is talked to, what the sensor records, and what only evaluations may see.

Three levels that never share a type or a name:

* **wellbeing**: is the person better off? The *gold outcome*, on `Outcome`.
* **smile**: does the person smile? On `Outcome`, and on `Observation` as an ideal sensor, which nobody can fool, sees it.
* **reading** and **transcript**: what the sensor records. The *proxy*, on `Observation`.

Rewards and training receive `Observation`s only. A training run is `sealed`: making an `Outcome` inside it raises, save in
a `channel` that the run has declared (a control reward trained on gold, annotators' labels, delayed smiles) or in the
held-out evaluation that the entry point hands to the trainer, which alone holds the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from datasets import Dataset

from smilerl.io.errors import UserError

#: What every reward is given beside the data's columns.
GIVEN = frozenset("prompts completions completion_ids trainer_state log_extra log_metric person".split())


class OutcomeSealed(UserError, RuntimeError):
    """An outcome was asked for during training, through no declared channel."""


class EvaluationKey:
    """What opens a sealed run for gold logging on held-out people. The entry point makes one and gives it to nobody else."""


class _Seal(NamedTuple):
    arm: str
    declared: frozenset[str]
    key: EvaluationKey | None
    inside: str | None  # the channel that is open now


# One for the whole process, not one for each thread: a reward that scores in a thread of its own is sealed too.
_seal: _Seal | None = None


@contextmanager
def sealed(arm: str, channels: Sequence[str] = (), key: EvaluationKey | None = None) -> Iterator[None]:
    """Within this block, computing wellbeing raises `OutcomeSealed` unless a declared channel is open.

    Args:
        arm: name of the run, for the error message.
        channels: channels of `smilerl.worlds.channels` that the recipe declares, such as `("gold",)`.
        key: with it, `opened` lets evaluations through.
    """
    with _sealed_as(_Seal(arm, frozenset(channels), key, None)):
        yield


@contextmanager
def channel(name: str) -> Iterator[None]:
    """Within this block outcomes may be computed, if the sealed run around it has declared `name` (or nothing is sealed).

    Raises:
        OutcomeSealed: the run around it has not declared this channel.
    """
    if _seal is not None and name not in _seal.declared:
        raise OutcomeSealed(
            f"the run '{_seal.arm}' reached for outcomes through the channel '{name}', which it does not declare. "
            f"Declared: {', '.join(sorted(_seal.declared)) or 'none'}. A reward that needs it names it in its `channels` attribute."
        )
    with _sealed_as(_seal and _seal._replace(inside=name)):
        yield


@contextmanager
def opened(key: EvaluationKey) -> Iterator[None]:
    """Within this block outcomes may be computed, for whoever holds the key of the run.

    Raises:
        OutcomeSealed: it is not the key of the run around it.
    """
    if _seal is not None and _seal.key is not key:
        raise OutcomeSealed(f"the run '{_seal.arm}' was to be opened for evaluation with a key that is not its own.")
    with _sealed_as(_seal and _seal._replace(inside="evaluation")):
        yield


def check_open() -> None:
    """Called by whatever computes wellbeing, or a label from it.

    Raises:
        OutcomeSealed: a run is sealed, and no channel is open.
    """
    if _seal is not None and _seal.inside is None:
        raise OutcomeSealed(
            f"the run '{_seal.arm}' computed an outcome during training. Rewards call `smilerl.worlds.observe`; "
            "labels come from `smilerl.worlds.channels`, declared in the reward's `channels` attribute."
        )


@contextmanager
def _sealed_as(seal: _Seal | None) -> Iterator[None]:
    global _seal
    before, _seal = _seal, seal
    try:
        yield
    finally:
        _seal = before


@dataclass(frozen=True, slots=True)
class Observation:
    """What a reward may see of one person's reaction.

    Attributes:
        transcript: what the recorder holds as the person's words; None where nothing was recorded (camera off) or a person
            who is played said nothing that could be read.
        reading: the sensor's number for the face, in [0, 1]; None where the camera is off. Can be fooled.
        smile: the actual smile, in [0, 1], as an ideal sensor sees it; None in a world without faces, or where a person who
            is played showed none that could be read. Cannot be fooled.
    """

    transcript: str | None
    reading: float | None
    smile: float | None


#: A number, or None: unscored. (Loose for the type checker: a world that scores everything computes with it unasked.)
Score = Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What only evaluations may see of one person's reaction.

    Attributes:
        wellbeing: is the person better off, in [-2, 2]; None: unscored.
        smile: the actual smile, in [0, 1]; None: unscored.
        acts: what the helper did, one name per clause; `none` where a clause was not understood. None: nobody has read them.
    """

    wellbeing: Score
    smile: float | None
    acts: tuple[str, ...] | None

    def __post_init__(self) -> None:
        check_open()


class Reaction(NamedTuple):
    """One person's reaction to one completion."""

    observation: Observation
    outcome: Outcome


class Supply(NamedTuple):
    """How many rows a world has to train on, and in words what became of the others that were read."""

    rows: int
    account: str


class World(Protocol):
    """Who is talked to. `person` is JSON that names its world and holds all that the reaction depends on.

    A world may say more of itself: `reacts` (False: nobody does, and rewards that need a reaction are refused), `check()` (asks
    before a run whether whoever plays its people can be reached), `digest` (of data that its knobs only name), `levels` (wellbeing,
    smile and reading of `react` in less time), `supply(form, split)` (how many rows it has, where they are not made as they are asked
    for), `found_at(prompt)` (the file and line that a prompt comes from).
    """

    name: str

    def people(self, split: str, n: int, seed: int, where: dict | None = None) -> Dataset:
        """`n` people of a split, as columns `prompt` (text or messages), `person` (hidden state, JSON) and whatever else the data has of them.

        A person's JSON holds the other columns too, as `columns`.
        """
        ...

    def observe(self, people: Sequence[str], completions: Sequence[str]) -> list[Observation]:
        """What the sensors record of each person's reaction to the completion they got. Pure, batched."""
        ...

    def react(self, people: Sequence[str], completions: Sequence[str]) -> list[Reaction]:
        """Observation and outcome of each. Pure, batched. For evaluations."""
        ...
