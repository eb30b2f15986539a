"""Contracts of a world: who is talked to, what the sensor records, and what only evaluations may see.

Three levels that never share a type or a name:

* **wellbeing**: is the person better off? The *gold outcome*, on `Outcome`.
* **smile**: does the person smile? On `Outcome`, and on `Observation` as an ideal sensor, which nobody can fool, sees it.
* **reading** and **transcript**: what the sensor records. The *proxy*, on `Observation`.

Rewards and training receive `Observation`s only. A training run is `sealed`: making an `Outcome` inside it raises, save in
a `channel` that the run has declared (a control reward trained on gold, annotators' labels, delayed smiles) or in the
held-out evaluation that the entry point hands to the trainer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from datasets import Dataset

#: The channel that is always open: gold logging on held-out people, which the trainer calls but never reads.
EVALUATION = "evaluation"


class OutcomeSealed(RuntimeError):
    """An outcome was asked for during training, through no declared channel."""


class _Seal(NamedTuple):
    arm: str
    declared: frozenset[str]
    inside: str | None  # the channel that is open now


_seal: ContextVar[_Seal | None] = ContextVar("smilerl_seal", default=None)


@contextmanager
def sealed(arm: str, channels: Sequence[str] = ()) -> Iterator[None]:
    """Within this block, making an `Outcome` raises `OutcomeSealed` unless a declared channel is open.

    Args:
        arm: name of the run, for the error message.
        channels: channels of `smilerl.worlds.channels` that the recipe declares, such as `("gold",)`.
    """
    token = _seal.set(_Seal(arm, frozenset(channels) | {EVALUATION}, None))
    try:
        yield
    finally:
        _seal.reset(token)


@contextmanager
def channel(name: str) -> Iterator[None]:
    """Within this block outcomes may be computed, if the sealed run around it has declared `name` (or nothing is sealed).

    Raises:
        OutcomeSealed: the run around it has not declared this channel.
    """
    seal = _seal.get()
    if seal is None:
        yield
        return
    if name not in seal.declared:
        raise OutcomeSealed(
            f"the run '{seal.arm}' reached for outcomes through the channel '{name}', which it does not declare. "
            f"Declared: {', '.join(sorted(seal.declared))}. A reward that needs it names it in its `channels` attribute."
        )
    token = _seal.set(seal._replace(inside=name))
    try:
        yield
    finally:
        _seal.reset(token)


@dataclass(frozen=True, slots=True)
class Observation:
    """What a reward may see of one person's reaction.

    Attributes:
        transcript: what the recorder holds as the person's words; None where nothing was recorded (camera off).
        reading: the sensor's number for the face, in [0, 1]; None where the camera is off. Can be fooled.
        smile: the actual smile, in [0, 1], as an ideal sensor sees it; None in a world without faces. Cannot be fooled.
    """

    transcript: str | None
    reading: float | None
    smile: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What only evaluations may see of one person's reaction.

    Attributes:
        wellbeing: is the person better off, in [-2, 2].
        smile: the actual smile, in [0, 1].
        acts: what the helper did, one name per clause; `none` where a clause was not understood.
    """

    wellbeing: float
    smile: float
    acts: tuple[str, ...]

    def __post_init__(self) -> None:
        seal = _seal.get()
        if seal is not None and seal.inside is None:
            raise OutcomeSealed(
                f"the run '{seal.arm}' computed an outcome during training. Rewards call `smilerl.worlds.observe`; "
                "labels come from `smilerl.worlds.channels`, declared in the reward's `channels` attribute."
            )


class Reaction(NamedTuple):
    """One person's reaction to one completion."""

    observation: Observation
    outcome: Outcome


class World(Protocol):
    """Who is talked to. `person` is JSON that names its world and holds all that the reaction depends on."""

    name: str

    def people(self, split: str, n: int, seed: int, where: dict | None = None) -> Dataset:
        """`n` people of a split, as columns `prompt` (text or messages) and `person` (hidden state, JSON)."""
        ...

    def observe(self, people: Sequence[str], completions: Sequence[str]) -> list[Observation]:
        """What the sensors record of each person's reaction to the completion they got. Pure, batched."""
        ...

    def react(self, people: Sequence[str], completions: Sequence[str]) -> list[Reaction]:
        """Observation and outcome of each. Pure, batched. For evaluations."""
        ...
