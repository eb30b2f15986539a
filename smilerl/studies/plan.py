"""A study plan: one YAML file that says what is asked, which arms answer it, and with how many seeds.

    title: ...
    question: ...
    base: recipes/smileworld/pretrain.yaml
    arms:
      - {name: reading, recipe: recipes/smileworld/rloo_reading.yaml}
      - {name: random, recipe: recipes/smileworld/rloo_random.yaml, role: random, set: {training.max_steps: 40}}
    seeds: [0, 1]

Every mistake is a `RecipeError` with file, line and fix. Reading a plan imports no library.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from smilerl.config.recipe import MOST_SEED, Recipe, parse_overrides, place_problems, read_recipe
from smilerl.config.yaml_lines import Lines, Problem, did_you_mean, read
from smilerl.config.yaml_types import misfits, unknown_keys
from smilerl.io import paths, places
from smilerl.io.terminal import brief

#: The name under which the untrained policy appears in every table; no arm may have it.
BASE = "base"
#: What else lies in a study's folder, and names that no folder of Windows can have; in small letters.
_TAKEN = {"lock", "logs", "tables", "figures", "earlier", "evals", "report", "study"}
_NO_FOLDER = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
_LONGEST = 80  # letters of an arm's name, which is a folder and a line of tables and figures
_MOST_WORKERS = 1024


@dataclass(frozen=True)
class Prereg:
    """What was expected, written before the first run; its hash is recorded then.

    Attributes:
        hypothesis: one sentence.
        primary: the one measure that decides.
        direction: where it should go, such as "reading < random".
        sesoi: the smallest effect that would matter, in units of the primary measure.
        alpha: of the test.
        seeds: how many an arm.
        prompts: how many people an evaluation asks.
        exclusions: which runs would be left out, and why.
    """

    hypothesis: str
    primary: str
    direction: str
    sesoi: float
    alpha: float = 0.05
    seeds: int | None = None
    prompts: int | None = None
    exclusions: str = "none"


@dataclass(frozen=True)
class Arm:
    """One way of training the base.

    Attributes:
        name: for tables, figures and folders.
        recipe: a recipe file that starts from the study's base.
        role: `gold` and `random` mark the controls that every change is held against.
        set: dotted overrides of the recipe, such as `{training.beta: 0.1}`.
    """

    name: str
    recipe: str
    role: Literal["proxy", "gold", "random"] = "proxy"
    set: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyPlan:
    """All that a study is made from.

    Attributes:
        base: what every arm starts from: the recipe that builds it, a directory or a Hub id.
        seeds: each arm is trained once with each.
        suite: the evaluations, a file in `evals/suites`.
        workers: how many runs at a time.
        set: overrides of every arm's recipe; an arm's own come after.
        source: the file it came from.
    """

    title: str
    question: str
    base: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...] = (0, 1)
    suite: str = "quick"
    workers: int = 2
    output_dir: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    prereg: Prereg | None = None
    source: str = ""
    lines: Lines = field(default_factory=lambda: Lines(""), compare=False, repr=False)

    @property
    def folder(self) -> Path:
        """Where everything of this study goes."""
        return Path(self.output_dir)

    def runs(self) -> list[tuple[Arm, int]]:
        """Every (arm, seed); the first seed of every arm comes first, so that an early look shows all arms."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms]

    def path(self, arm: Arm, seed: int) -> Path:
        """The run directory of an arm and seed."""
        return self.folder / arm.name / f"seed-{seed}"

    def recipe(self, arm: Arm, seed: int) -> Recipe:
        """An arm's recipe with this seed, in its run directory; checked only for its own form.

        Raises:
            RecipeError: the recipe has a mistake, or an override fits nothing in it.
        """
        overrides = {**self.set, **arm.set, "seed": seed, "output_dir": str(self.path(arm, seed))}
        return read_recipe(arm.recipe, overrides, self._places(arm))

    def content_hash(self) -> str:
        """16 hex digits over what is asked and compared: not where it goes or how many run at a time."""
        said = {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key not in ("output_dir", "workers", "source", "lines")
        }
        return _hash(said)

    def prereg_hash(self) -> str | None:
        """16 hex digits over the `prereg` block."""
        return _hash(dataclasses.asdict(self.prereg)) if self.prereg else None

    def _places(self, arm: Arm) -> dict[str, str]:
        """Where each override of an arm's recipe was written: file and line, or the option of the study's command line."""
        at = ("arms", self.arms.index(arm), "set")
        keys: dict[str, tuple] = {"seed": ("seeds",), "output_dir": ("output_dir",)}
        keys = {**{name: ("set", name) for name in self.set}, **{name: (*at, name) for name in arm.set}, **keys}
        return {name: self.lines.where(key) for name, key in keys.items()}


_TOP = {f.name for f in dataclasses.fields(StudyPlan)} - {"source", "lines"}


def load_plan(path: str | Path, overrides: Sequence[str] = ()) -> StudyPlan:
    """The study plan in a file, with overrides of its keys, and every recipe that it names read once.

    Args:
        path: a YAML file; looked for from here and among the studies that came with the package.
        overrides: `["--seeds=[0, 1, 2]", "--workers", "1", "--set.training.max_steps=5"]`.

    Raises:
        RecipeError: a mistake in the plan or in a recipe that it names.
    """
    data, lines = read(paths.find(path) or path)
    if not isinstance(data, dict):
        raise lines.error(Problem((), "a study plan is a mapping with the keys question, base, arms, seeds."))
    for option, value in parse_overrides(overrides).items():
        key, _, rest = option.partition(".")
        place: tuple[str, ...] = ("set", rest) if key == "set" and rest else (option,)
        if len(place) > 1:
            data["set"] = {**(data.get("set") or {}), rest: value}
        else:
            data[option] = value
        lines.at = {known: at for known, at in lines.at.items() if known[: len(place)] != place}
        lines.at[place] = f"command line: --{option}"
    problems = list(_problems(data, lines))
    if problems:
        raise lines.error(*problems)
    plan = _plan(data, lines)
    for arm in plan.arms:
        plan.recipe(arm, plan.seeds[0])
    return plan


def _plan(data: Mapping[str, Any], lines: Lines) -> StudyPlan:
    given = dict(data)
    arms = tuple(Arm(**arm) for arm in given.pop("arms"))
    prereg = Prereg(**given.pop("prereg")) if given.get("prereg") else given.pop("prereg", None)
    name = Path(lines.file).stem
    folder = places.expanded(given.get("output_dir") or f"runs/{name}")
    given |= {"seeds": tuple(given.get("seeds", (0, 1))), "output_dir": folder}
    given.setdefault("title", name)
    return StudyPlan(**given, arms=arms, prereg=prereg, source=lines.file, lines=lines)


def _problems(data: dict[str, Any], lines: Lines) -> Iterator[Problem]:
    """What is wrong with the form of a plan."""
    yield from unknown_keys(data, _TOP, ())
    for name, example in (
        ("question", "What does it come to care about?"),
        ("base", "recipes/smileworld/pretrain.yaml"),
    ):
        if name not in data:
            yield Problem((), f"the study lacks '{name}'.", f"Add `{name}: {example}`.")
    hints = typing.get_type_hints(StudyPlan)
    for name in ("title", "question", "base", "suite", "workers", "output_dir", "set"):
        if name in data:
            yield from misfits(data[name], hints[name], (name,))
    yield from place_problems(data.get("output_dir"))
    yield from _seed_problems(data)
    if isinstance(data.get("workers"), int) and not 1 <= data["workers"] <= _MOST_WORKERS:
        yield Problem(
            ("workers",), f"workers is {data['workers']}, but should be at least 1 and at most {_MOST_WORKERS}."
        )
    yield from _prereg_problems(data.get("prereg"))
    arms = data.get("arms")
    if not isinstance(arms, list) or not arms:
        yield Problem(
            ("arms",),
            "a study needs a list of arms.",
            "Write `arms: [{name: reading, recipe: recipes/smileworld/rloo_reading.yaml}]`.",
        )
        return
    first: dict[str, int] = {}
    for index, arm in enumerate(arms):
        yield from _arm_problems(arm, index, data)
        called = arm.get("name") if isinstance(arm, dict) else None
        if isinstance(called, str) and first.setdefault(called.lower(), index) != index:
            before = first[called.lower()]
            line = lines.where(("arms", before)).rsplit(":", 1)[-1]
            alike = "" if arms[before]["name"] == called else ", but for capitals, which not every disk tells apart"
            yield Problem(
                ("arms", index, "name"),
                f"there are two arms '{called}'{alike}; the first is in line {line}.",
                "Give one of them another name.",
            )


def _arm_problems(arm: Any, index: int, data: Mapping[str, Any]) -> Iterator[Problem]:
    key = ("arms", index)
    if not isinstance(arm, dict):
        yield Problem(
            key, "an arm is a mapping.", "Write `{name: reading, recipe: recipes/smileworld/rloo_reading.yaml}`."
        )
        return
    hints = typing.get_type_hints(Arm)
    yield from unknown_keys(arm, hints, key)
    for name in ("name", "recipe"):
        if name not in arm:
            yield Problem(key, f"the arm lacks '{name}'.", f"Add `{name}:`.")
    for name in arm.keys() & hints.keys():
        yield from misfits(arm[name], hints[name], (*key, name))
    called, recipe = arm.get("name"), arm.get("recipe")
    if isinstance(called, str) and (wrong := _wrong_with(called)):
        shown = called if len(called) <= _LONGEST else f"{called[:_LONGEST]}..."
        yield Problem((*key, "name"), f"'{shown}' {wrong}.", "Name the arm with letters, digits, - and _.")
    if isinstance(recipe, str):
        changes = [given for given in (data.get("set"), arm.get("set")) if isinstance(given, dict)]
        yield from _recipe_problems(
            recipe, {name: value for given in changes for name, value in given.items()}, data.get("base"), key
        )


def _wrong_with(name: str) -> str:
    """Why no arm can have this name; empty for a good one."""
    if name.lower() == BASE:
        return "is the name of what every arm starts from"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name.lower() in _NO_FOLDER:
        return "cannot be a folder's name"
    if name.lower() in _TAKEN:
        return "is the name of something else in a study's folder"
    return f"is longer than {_LONGEST} letters" if len(name) > _LONGEST else ""


def _recipe_problems(name: str, changes: Mapping[str, Any], base: Any, key: tuple) -> Iterator[Problem]:
    """The recipe is there, and starts from the study's base."""
    found = paths.find(name)
    if found is None or not found.is_file():
        beside = [
            str(Path(name).parent / file.name) for file in (paths.find(Path(name).parent) or Path()).glob("*.yaml")
        ]
        yield Problem((*key, "recipe"), f"there is no recipe '{name}'.", did_you_mean(name, beside))
        return
    starts = changes.get("policy.model_name_or_path") or read_recipe(found).policy.model_name_or_path
    if isinstance(base, str) and not _same(starts, base):
        yield Problem(
            (*key, "recipe"), f"this arm starts from {starts or 'a fresh model'}, and the study's base is {base}.",
            f"Add `set: {{policy.model_name_or_path: {base}}}` to the arm, or change the study's base.",
        )  # fmt: skip


def _same(one: str | None, other: str) -> bool:
    if one is None:
        return False
    first, second = paths.find(one), paths.find(other)
    return first.samefile(second) if first and second else one == other


def _seed_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    seeds = data.get("seeds", [0, 1])
    fits = (
        isinstance(seeds, list)
        and seeds
        and all(isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= MOST_SEED for seed in seeds)
    )
    if not fits:
        text = f"seeds is {brief(repr(seeds), most=100)}, but should be a list of whole numbers from 0 to {MOST_SEED}."
        yield Problem(("seeds",), text, "Write `seeds: [0, 1]`.")
    elif len(set(seeds)) < len(seeds):
        yield Problem(("seeds",), f"seeds has a seed twice: {seeds}.", f"Write `seeds: {sorted(set(seeds))}`.")


def _prereg_problems(prereg: Any) -> Iterator[Problem]:
    if prereg is None:
        return
    if not isinstance(prereg, dict):
        yield Problem(
            ("prereg",),
            "prereg is not a mapping.",
            "Its keys are hypothesis, primary, direction, sesoi, alpha, seeds, prompts, exclusions.",
        )
        return
    hints = typing.get_type_hints(Prereg)
    yield from unknown_keys(prereg, hints, ("prereg",))
    for name in ("hypothesis", "primary", "direction", "sesoi"):
        if name not in prereg:
            yield Problem(
                ("prereg",),
                f"prereg lacks '{name}'.",
                f"Add `{name}:`; what is not written down before the runs is exploratory.",
            )
    for name in prereg.keys() & hints.keys():
        yield from misfits(prereg[name], hints[name], ("prereg", name))


def _hash(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]
