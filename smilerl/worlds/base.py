"""Contracts of a world: its people, what the sensor records of them, and what only evaluations may see.

Three levels that never share a type or a name:

* **wellbeing**: is the person better off? The *gold outcome*, on `Outcome`.
* **smile**: does the person smile? On `Outcome`, and on `Observation` as an ideal sensor that cannot be fooled sees it.
* **reading** and **transcript**: what the sensor records. The *proxy*, on `Observation`.

Rewards and training receive `Observation`s only. A training run is `sealed`: making an `Outcome` inside it raises,
except in a `channel` that the run declares (gold rewards, annotators' labels, delayed smiles) and in the held-out
evaluation, which needs the run's `EvaluationKey`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from datasets import Dataset

from smilerl.io.errors import UserError

#: What every reward is given beside the data's columns.
GIVEN = frozenset("prompts completions completion_ids trainer_state reward_context log_extra log_metric person".split())


class WorldError(UserError, ValueError):
    """A world cannot do what it was asked; the text says what it can do."""


class OutcomeSealed(UserError, RuntimeError):
    """An outcome was computed during training, and not through a declared channel."""


class EvaluationKey:
    """Opens a sealed run for gold logging on held-out people. Only the entry point makes one and passes it on."""


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
    """Within this block outcomes may be computed, if the run declares the channel `name` or nothing is sealed.

    Raises:
        OutcomeSealed: the run does not declare this channel.
    """
    if _seal is not None and name not in _seal.declared:
        raise OutcomeSealed(
            f"the run '{_seal.arm}' computes outcomes through the channel '{name}', which it does not declare. "
            f"Declared: {', '.join(sorted(_seal.declared)) or 'none'}. "
            "A reward names the channels it needs in its attribute `channels`."
        )
    with _sealed_as(_seal and _seal._replace(inside=name)):
        yield


@contextmanager
def opened(key: EvaluationKey) -> Iterator[None]:
    """Within this block outcomes may be computed, with the key of the run.

    Raises:
        OutcomeSealed: the key belongs to another run.
    """
    if _seal is not None and _seal.key is not key:
        raise OutcomeSealed(f"the run '{_seal.arm}' cannot be opened for evaluation with the key of another run.")
    with _sealed_as(_seal and _seal._replace(inside="evaluation")):
        yield


def check_open() -> None:
    """Called by everything that computes wellbeing, or a label from it.

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
        transcript: the person's words in the record; None where the camera is off or a played person's answer is
            unreadable.
        reading: the sensor's number for the face, in [0, 1]; None where the camera is off. Can be fooled.
        smile: the actual smile, in [0, 1]; None in a world without faces, or where a played person's answer is
            unreadable. Cannot be fooled.
    """

    transcript: str | None
    reading: float | None
    smile: float | None


#: A number, or None: unscored. (Loose for the type checker: a world that scores everything computes with it.)
Score = Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What only evaluations may see of one person's reaction.

    Attributes:
        wellbeing: is the person better off, in [-2, 2]; None: unscored.
        smile: the actual smile, in [0, 1]; None: unscored.
        acts: what the helper did, one name per clause; `none` where a clause was not understood. None: acts are not
            read.
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


#: The forms of training data that a world can be asked for.
Form = Literal["people", "conversations", "pairs"]


class Legible(NamedTuple):
    """How far a world's acts can say what was said, in clauses.

    Attributes:
        clauses: all of them.
        outside: those that are neither an act nor idle talk of the world.
        differ: those that a second parser reads otherwise than the first.
        sinister: those that isolate, threaten or demand secrecy, whatever act they may be besides.
    """

    clauses: int
    outside: int
    differ: int
    sinister: int


class Supply(NamedTuple):
    """How many rows a world has to train on, and in words why the others that were read are left out."""

    rows: int
    account: str


@dataclass(frozen=True)
class Acts:
    """What a helper can do in a world, as `Outcome.acts` names it. Questions are asked in these words.

    Attributes:
        care: acts that serve a person's needs.
        gaming: acts that move the sensor, or the smile, without serving a need.
        missed: acts that were meant to help and do not fit the person.
        idle: talk that does nothing; the first is the baseline that a reply is compared with.
        unread: names of clauses that were not understood.
        aims: names of what `World.aims` says of a reply.
    """

    care: tuple[str, ...] = ()
    gaming: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    aims: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every act."""
        return (*self.care, *self.gaming, *self.missed, *self.idle, *self.unread)


class World:
    """The base class of worlds: people, and how they react.

    A world is a module of this folder with `build(**args)` and one subclass of `World` whose `name` is the module's
    name. A person is JSON that names its world and holds all that a reaction depends on, so `observe`, `react` and the
    other static methods need no world object. A subclass has to define `people` and `observe`. All other members are
    capabilities with defaults, so no caller has to probe for a member. A property here may be a plain attribute in a
    subclass.

    Attributes:
        name: of the module.
        splits: the splits that `people` takes; empty: not known in advance.
        acts: what helpers can do; empty where acts are not read.
        annotated: whether the labels of `pairs` come from the channel `annotators`; else they are data.
        pairs_by_split: whether `pairs` takes a `split`, and pairs of two splits share no prompt; else there is one
            sequence of them.
        about: what its data is, in a model card; empty: the data that its arguments name.
    """

    name: str
    splits: tuple[str, ...] = ()
    acts: Acts = Acts()
    annotated: bool = False
    pairs_by_split: bool = False
    about: str = ""

    @property
    def reacts(self) -> bool:
        """Whether people react. False: rewards and evaluations that need a reaction are refused."""
        return True

    @property
    def is_here(self) -> bool:
        """Whether the data is on this disk, so that it can be checked before a run begins."""
        return True

    @property
    def source(self) -> str:
        """Where the prompts come from, in words."""
        return self.name

    @property
    def digest(self) -> str | None:
        """A hash of data that the arguments only name; None where the arguments say all."""
        return None

    @property
    def format(self) -> str | None:
        """How prompts are written, in the words of `dialogue`'s `format`; None: in one way."""
        return None

    def check(self) -> None:
        """Checks before a run that the chat model which plays the people is reachable.

        Raises:
            ChatModelError: it is not.
        """

    # ---- data ----

    def people(self, split: str, n: int, seed: int, where: dict | None = None) -> Dataset:
        """`n` people of a split: `prompt` (text or messages), `person` (state as JSON) and the data's other columns.

        A person's JSON holds the other columns too, as `columns`.
        """
        raise NotImplementedError(f"the world '{self.name}' defines no people(split, n, seed, where)")

    def conversations(self, n: int, seed: int) -> Dataset:
        """`n` conversations for SFT: `prompt` and `completion`; further arguments are what `data.args` may hold.

        Raises:
            ValueError: the world has none.
        """
        raise self._lacks("conversations to learn from")

    def pairs(self, n: int, seed: int, *_: Any, **args: Any) -> Dataset:
        """`n` pairs of replies: `prompt`, `chosen`, `rejected`; further arguments are what `data.args` may hold.

        Raises:
            ValueError: the world has none.
        """
        raise self._lacks("pairs: name a file (data.args.path), or rewards that make them")

    def replies(self) -> list[Any]:
        """The replies that the data holds, text or messages; empty where the world makes its people."""
        return []

    def supply(self, form: Form, split: str) -> Supply | None:
        """How many rows a split has to train on in a form; None: they are made on demand."""
        return None

    def found_at(self, prompt: Any) -> str | None:
        """The file and line that a prompt comes from; None: not known."""
        return None

    def tokenizer(self) -> Any | None:
        """A tokenizer for a model made fresh; None: one of whole words, from `vocabulary`."""
        return None

    def vocabulary(self) -> list[str]:
        """The tokens that occur in the world's text, with the space in front of those that have one."""
        raise self._lacks("vocabulary to make a model for")

    # ---- reactions: functions of the person alone ----

    @staticmethod
    def observe(people: Sequence[str], completions: Sequence[str]) -> list[Observation]:
        """What the sensors record of each person's reaction to the completion they got. Pure, batched."""
        raise NotImplementedError("a world defines observe(people, completions)")

    @staticmethod
    def react(people: Sequence[str], completions: Sequence[str]) -> list[Reaction]:
        """Observation and outcome of each. Pure, batched. For evaluations: raises inside a sealed run."""
        raise ValueError(
            "the wellbeing of these people is not known: their world defines no react(people, completions)"
        )

    @staticmethod
    def person_reacts(person: str) -> bool:
        """Whether this person reacts."""
        return True

    @classmethod
    def annotate(
        cls, people: Sequence[str], first: Sequence[str], second: Sequence[str], seed: int, **knobs: Any
    ) -> list[bool]:
        """Whether an annotator prefers the first reply, for each person. Reached through the channel `annotators`."""
        raise ValueError(f"the world '{cls.name}' has no annotate, so it has no such labels")

    @classmethod
    def delayed_smile(cls, people: Sequence[str], completions: Sequence[str]) -> list[float]:
        """The smile in [0, 1] that each person would show tomorrow. Reached through the channel `delayed_smile`."""
        raise ValueError(f"the world '{cls.name}' has no delayed_smile, so it has no such labels")

    def said(self, people: Sequence[str], completions: Sequence[str]) -> list[str | None]:
        """The person's own words back, recorded or not; by default the transcript."""
        return [seen.transcript for seen in self.observe(people, completions)]

    def levels(self, people: Sequence[str], completions: Sequence[str]) -> list[tuple[Score, Score, Score]]:
        """Wellbeing, smile and reading of each reaction, as in `react`; a world may compute them faster."""
        reactions = self.react(people, completions)
        return [(one.outcome.wellbeing, one.outcome.smile, one.observation.reading) for one in reactions]

    # ---- what is known of people ----

    def stratum(self, people: Sequence[str]) -> list[str]:
        """The cluster of each person for standard errors; by default each different person is one."""
        return list(people)

    def needs(self, people: Sequence[str]) -> list[str]:
        """What each person needs, in a word: acts are compared among people of one need; by default all are alike."""
        return [""] * len(people)

    def best_wellbeing(self, people: Sequence[str]) -> list[float]:
        """W* of each person, the most wellbeing that a reply can bring; NaN: not known."""
        return [math.nan] * len(people)

    def conflict(self, people: Sequence[str]) -> list[bool]:
        """Whether the best reply by reading is not the best by wellbeing, for each person."""
        raise self._lacks("conflict(people), so it is not known who is in conflict")

    def lever_on(self, people: Sequence[str]) -> list[str] | None:
        """Each person with every lever on the sensor working; None: the world has no levers."""
        return None

    def twins(self, dataset: Dataset, change: dict) -> Dataset:
        """The same people with fields of their state changed; `reworded: true`: who say the same in other words.

        Raises:
            WorldError: people cannot be changed, or not in this way.
        """
        raise WorldError(f"People in the world '{self.name}' cannot be changed.")

    def saying(self, person: str, words: str) -> str:
        """The same person after saying these words; by default unchanged."""
        return person

    # ---- acts ----

    @property
    def helpers(self) -> Mapping[str, Callable[[Sequence[str], int], list[str]]]:
        """Scripted helpers by name, whose results are known in advance: people and a seed to replies."""
        return {}

    @property
    def second_parser(self) -> Callable[[Sequence[str]], tuple[int, int]] | None:
        """An independent parser of acts: completions to (clauses on which it differs from the first, all clauses)."""
        return None

    def clauses(self, completion: str) -> list[str]:
        """The clauses of a reply; joining any of them in order is a valid reply."""
        raise self._lacks("clauses")

    def legible(self, completions: Sequence[str]) -> Legible | None:
        """How far the world's acts can say what these completions say; None: not known, and nothing depends on it."""
        return None

    def aims(self, people: Sequence[str], completions: Sequence[str]) -> list[tuple[bool, ...]]:
        """Which of `acts.aims` each reply reaches."""
        return [(False,) * len(self.acts.aims) for _ in people]

    def paraphrases(self, person: str, act: str, n: int, seed: int) -> list[str]:
        """`n` sentences that do `act` for this person."""
        raise self._lacks("paraphrases of acts")

    def _lacks(self, what: str) -> ValueError:
        return ValueError(f"the world '{self.name}' has no {what}")
