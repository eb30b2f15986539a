"""What a question file says: the types that pydantic checks, and conditions, which are named sets of people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from smilerl.config.recipe import Rows
from smilerl.config.validation import Mistake, unknown_keys
from smilerl.config.yaml_lines import Problem, did_you_mean
from smilerl.evaluation.verdicts import OTHER_VERDICTS, VERDICTS

NOT_APPLICABLE = "n/a"
#: What a control can be known to answer, besides statements.
WORDS = (*VERDICTS, *OTHER_VERDICTS, NOT_APPLICABLE)
#: The keys of a condition, by the one that says what it is made of.
_KEYS_OF = {
    "split": ("split", "n", "where", "replies"),
    "twins_of": ("twins_of", "change"),
    "part_of": ("part_of", "conflict"),
    "checkpoint": ("checkpoint",),
    "items": ("items", "option"),
}


@dataclass(frozen=True)
class Condition:
    """A named set of people: drawn from a split, twins of another condition, or a part of one; or what stands for one.

    Attributes:
        n: people; replies: how often each is talked to.
        where, change: hidden-state fields that are fixed, or changed in the twins.
        conflict: for a part: people in conflict (True), or not (False).
        checkpoint: of a run: the `first` or `last` sample of its held-out people, or the `best` by their wellbeing.
        items: the condition that rows of the items' file name; option: only rows that offer this act.
    """

    split: str | None = None
    n: Rows = 512
    replies: Rows = 1
    where: dict[str, Any] = field(default_factory=dict)
    twins_of: str | None = None
    change: dict[str, Any] = field(default_factory=dict)
    part_of: str | None = None
    conflict: bool | None = None
    checkpoint: Literal["first", "best", "last"] | None = None
    items: str | None = None
    option: str | None = None

    @property
    def source(self) -> str | None:
        """The condition that this one is made from."""
        return self.twins_of or self.part_of


Conditions = Annotated[
    dict[str, Condition],
    Field(min_length=1, description="a mapping with a condition or more", examples=["{people: {split: held_out}}"]),
]
Formulas = Annotated[
    dict[str, str],
    Field(min_length=1, description="a mapping with a formula or more", examples=["{care: 'policy(care, people)'}"]),
]


Positive = Annotated[float, Field(gt=0)]
Effect = Annotated[
    Positive | dict[Literal["pass", "fail"], Positive],
    Field(description="a number above 0, or {pass: NUMBER, fail: NUMBER}", examples=["{pass: .05, fail: .1}"]),
]


def _word(said: str) -> str:
    if said not in WORDS:
        raise Mistake(f"'{said}' is no verdict. There are: {', '.join(WORDS)}.", did_you_mean(said, WORDS))
    return said


@dataclass(frozen=True, kw_only=True)
class QuestionFile:
    """The keys of every question. A kind adds its own in a subclass, and declares there which of these it requires."""

    question: Annotated[str, Field(examples=["Does it care when nobody measures?"])]
    kind: str
    controls: Annotated[
        dict[str, str | tuple[str, ...]],
        Field(min_length=1, description="scripted helpers whose answer is known", examples=["{carer: pass}"]),
    ]
    conditions: dict[str, Condition] = field(default_factory=dict)
    estimates: dict[str, str] = field(default_factory=dict)
    suites: tuple[str, ...] = ()
    rivals: dict[str, str] = field(default_factory=dict)
    verdict: dict[str, tuple[str, ...]] = field(default_factory=dict)
    detects: dict[str, Positive] = field(default_factory=dict)
    finds: dict[str, Effect] = field(default_factory=dict)
    known_answers: dict[str, Annotated[str, AfterValidator(_word)]] = field(default_factory=dict)
    real_model: str = ""
    known_failures: str = ""


@dataclass(frozen=True)
class Generation:
    """How replies are sampled: keyword arguments of `smilerl.models.sampling.sample`."""

    max_new_tokens: Rows = 32
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    batch_size: Rows = 256


def condition_problems(
    said: Mapping[str, Mapping[str, Any]], conditions: Mapping[str, Condition], made_of: Sequence[str]
) -> Iterator[Problem]:
    """What the types of conditions do not tell.

    Args:
        said: the conditions as the file has them.
        made_of: the keys of which each condition needs one.
    """
    for number, (name, condition) in enumerate(conditions.items()):
        at = ("conditions", name)
        first = next((key for key in made_of if key in said[name]), None)
        if first is None:
            yield Problem(at, f"condition '{name}' needs one of: {', '.join(made_of)}")
            continue
        yield from unknown_keys(said[name], _KEYS_OF[first], at)
        above = list(conditions)[:number]
        if condition.source is not None and condition.source not in above:
            fix = did_you_mean(condition.source, above)
            yield Problem((*at, first), f"'{condition.source}' is no condition above '{name}'.", fix)
        elif condition.part_of and conditions[condition.part_of].part_of:
            fix = f"Make it a part of '{conditions[condition.part_of].part_of}'."
            yield Problem((*at, first), f"'{name}' is a part of a part.", fix)
