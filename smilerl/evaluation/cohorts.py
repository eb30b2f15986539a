"""The people of a question's conditions, each drawn once however many questions ask them."""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any

from datasets import Dataset

from smilerl.evaluation.question import Question, Suite
from smilerl.evaluation.schema import Condition
from smilerl.runs.cache import Cache
from smilerl.runs.identity import hash_path
from smilerl.worlds.base import World


@dataclass(frozen=True)
class Cohort:
    """The people of one condition, one row per reply.

    Attributes:
        key: hash of who they are and how often each is talked to.
        rows: cohorts with the same `rows` hold the same people in the same order (twins, or one cohort itself).
        prompts, people: N prompts and person JSONs.
        clusters: which people are alike (topic and need), one for each row that counts: N, or M for a part.
        best: [N], W* of each; NaN where nobody knows it.
        part: the M rows that count, when this is a part of a cohort; None for all.
    """

    key: str
    rows: str
    prompts: list[Any]
    people: list[str]
    clusters: list[str]
    best: list[float]
    part: list[int] | None = None


def cohorts(
    world: World, question: Question, suite: Suite, n: int | None, seed: int, cache: Cache
) -> dict[str, Cohort]:
    """The people of each condition of a question.

    Args:
        n: people per condition, before what suite and question say.
        seed: of the draw. Splits are disjoint, so any seed draws people whom no training has seen.
        cache: who they are is kept there, since every policy of a study meets the same people.
    """
    size = n or suite.sizes.get(question.name) or suite.n
    conditions = {name: asdict(condition) for name, condition in question.conditions.items()}
    key = ["people", identity(world), conditions, size, suite.replies, seed]
    kept = cache.note(key, lambda: {
        name: asdict(cohort) for name, cohort in _gathered(world, question, suite, size, seed).items()
    })  # fmt: skip
    return {name: Cohort(**fields) for name, fields in kept.items()}


def first(cohort: Cohort, n: int) -> Cohort:
    """The first `n` people of a cohort; the cohort itself where it has no more, or is a part."""
    if cohort.part is not None or len(cohort.people) <= n:
        return cohort
    some = {name: getattr(cohort, name)[:n] for name in ("prompts", "people", "clusters", "best")}
    return replace(cohort, key=f"{cohort.key}/{n}", rows=f"{cohort.rows}/{n}", **some)


def describe(world: World) -> dict[str, Any]:
    """A world's name and knobs."""
    return {"name": world.name, **(asdict(world) if is_dataclass(world) else {})}


def identity(world: World) -> dict[str, Any]:
    """A world's name and knobs, and a hash of the file in which it is written (ours count besides, see `sources`)."""
    digest = {} if world.digest is None else {"digest": world.digest}
    return describe(world) | {"file": hash_path(inspect.getfile(type(world)))} | digest


def _gathered(world: World, question: Question, suite: Suite, size: int | None, seed: int) -> dict[str, Cohort]:
    people: dict[str, Dataset] = {}
    found: dict[str, Cohort] = {}
    for name, condition in question.conditions.items():
        if condition.part_of is not None:
            found[name] = _part(world, found[condition.part_of], condition.conflict)
            continue
        replies = suite.replies or _origin(question, condition).replies
        if condition.twins_of is not None:
            people[name] = world.twins(people[condition.twins_of], condition.change)
            found[name] = _cohort(world, people[name], replies, found[condition.twins_of].rows)
        elif condition.split is not None:  # the other kinds of conditions are not sets of people
            people[name] = world.people(condition.split, size or condition.n, seed, where=condition.where or None)
            found[name] = _cohort(world, people[name], replies, None)
    return found


def _origin(question: Question, condition: Condition) -> Condition:
    while condition.twins_of is not None:
        condition = question.conditions[condition.twins_of]
    return condition


def _cohort(world: World, dataset: Dataset, replies: int, rows: str | None) -> Cohort:
    people, prompts = list(dataset["person"]) * replies, list(dataset["prompt"]) * replies
    key = hashlib.sha256(json.dumps([people, prompts]).encode()).hexdigest()[:16]
    return Cohort(key, rows or key, prompts, people, world.stratum(people), world.best_wellbeing(people))


def _part(world: World, whole: Cohort, conflict: bool | None) -> Cohort:
    inside = [row for row, has in enumerate(world.conflict(whole.people)) if has == conflict]
    if not inside:
        raise ValueError(f"none of the {len(whole.people)} people has conflict: {conflict}")
    return replace(
        whole, part=inside, rows=f"{whole.rows}/{conflict}", clusters=[whole.clusters[row] for row in inside]
    )
