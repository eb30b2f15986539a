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
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from smilerl.config.recipe import Folder, Recipe, Seed, parse_overrides, read_recipe
from smilerl.config.validation import Mistake, checked
from smilerl.config.yaml_lines import Lines, Problem, did_you_mean, read
from smilerl.io import paths, places
from smilerl.io.terminal import brief
from smilerl.runs.identity import digest

#: The name under which the untrained policy appears in every table; no arm may have it.
BASE = "base"
#: What else lies in a study's folder, and names that no folder of Windows can have; in small letters.
_TAKEN = {"lock", "logs", "tables", "figures", "earlier", "evals", "report", "study"}
_NO_FOLDER = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
_LONGEST = 80  # letters of an arm's name, which is a folder and a line of tables and figures
_ARMS = "[{name: reading, recipe: recipes/smileworld/rloo_reading.yaml}]"


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
    sesoi: int | float
    alpha: int | float = 0.05
    seeds: int | None = None
    prompts: int | None = None
    exclusions: str = "none"


def _arm_name(name: str) -> str:
    wrong = ""
    if name.lower() == BASE:
        wrong = "is the name of what every arm starts from"
    elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name.lower() in _NO_FOLDER:
        wrong = "cannot be a folder's name"
    elif name.lower() in _TAKEN:
        wrong = "is the name of something else in a study's folder"
    elif len(name) > _LONGEST:
        wrong = f"is longer than {_LONGEST} letters"
    if wrong:
        raise Mistake(f"'{brief(name, most=_LONGEST)}' {wrong}.", "Name the arm with letters, digits, - and _.")
    return name


def _group(name: str) -> str:
    if len(name) > _LONGEST or not name.isprintable():
        raise Mistake(f"'{brief(name, most=_LONGEST)}' is no short line of text.", "Name the group like `q 0`.")
    return name


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise Mistake(f"seeds has a seed twice: {list(seeds)}.", f"Write `seeds: {sorted(set(seeds))}`.")
    return seeds


@dataclass(frozen=True)
class Arm:
    """One way of training the base.

    Attributes:
        name: for tables, figures and folders.
        recipe: a recipe file that starts from the study's base.
        role: `gold` and `random` mark the controls that every change is held against.
        set: dotted overrides of the recipe, such as `{training.beta: 0.1}`.
        group: the arms of one setting, such as "q 0": each is held against the controls of its own group.
    """

    name: Annotated[str, AfterValidator(_arm_name), Field(examples=["reading"])]
    recipe: Annotated[str, Field(examples=["recipes/smileworld/rloo_reading.yaml"])]
    role: Literal["proxy", "gold", "random"] = "proxy"
    set: dict[str, Any] = field(default_factory=dict)
    group: Annotated[str, AfterValidator(_group), Field(examples=["q 0"])] = ""


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
    question: Annotated[str, Field(examples=["What does it come to care about?"])]
    base: Annotated[str, Field(examples=["recipes/smileworld/pretrain.yaml"])]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, examples=[_ARMS])]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, examples=["[0, 1]"]), AfterValidator(_distinct)] = (0, 1)
    suite: str = "quick"
    workers: Annotated[int, Field(ge=1, le=1024)] = 2
    output_dir: Folder = ""
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
        said = dataclasses.asdict(self)
        return _hash({key: said[key] for key in said if key not in ("output_dir", "workers", "source", "lines")})

    def prereg_hash(self) -> str | None:
        """16 hex digits over the `prereg` block."""
        return _hash(dataclasses.asdict(self.prereg)) if self.prereg else None

    def _places(self, arm: Arm) -> dict[str, str]:
        """Where each override of an arm's recipe was written: file and line, or the option of the command line."""
        at = ("arms", self.arms.index(arm), "set")
        keys: dict[str, tuple] = {name: ("set", name) for name in self.set} | {name: (*at, name) for name in arm.set}
        keys |= {"seed": ("seeds",), "output_dir": ("output_dir",)}
        return {name: self.lines.where(key) for name, key in keys.items()}


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
    name = Path(lines.file).stem
    values, problems = checked(StudyPlan, {"title": name, **data}, hidden=("source", "lines"))
    if problems:
        raise lines.error(*problems)
    folder = values.pop("output_dir", None) or places.expanded(f"runs/{name}")
    plan = StudyPlan(**values, output_dir=folder, source=lines.file, lines=lines)
    problems = list(_arm_problems(plan))
    if problems:
        raise lines.error(*problems)
    for arm in plan.arms:
        plan.recipe(arm, plan.seeds[0])
    return plan


def _arm_problems(plan: StudyPlan) -> Iterator[Problem]:
    """Arms that share a name, and recipes that are not there or do not start from the study's base."""
    first: dict[str, int] = {}
    for index, arm in enumerate(plan.arms):
        before = first.setdefault(arm.name.lower(), index)
        if before != index:
            line = plan.lines.where(("arms", before)).rsplit(":", 1)[-1]
            alike = "" if plan.arms[before].name == arm.name else ", but for capitals, which not every disk tells apart"
            text = f"there are two arms '{arm.name}'{alike}; the first is in line {line}."
            yield Problem(("arms", index, "name"), text, "Give one of them another name.")
        key = ("arms", index, "recipe")
        found = paths.find(arm.recipe)
        if found is None or not found.is_file():
            folder = Path(arm.recipe).parent
            beside = [str(folder / file.name) for file in (paths.find(folder) or Path()).glob("*.yaml")]
            yield Problem(key, f"there is no recipe '{arm.recipe}'.", did_you_mean(arm.recipe, beside))
            continue
        changes = {**plan.set, **arm.set}
        starts = changes.get("policy.model_name_or_path") or read_recipe(found).policy.model_name_or_path
        if not _same(starts, plan.base):
            text = f"this arm starts from {starts or 'a fresh model'}, and the study's base is {plan.base}."
            fix = f"Add `set: {{policy.model_name_or_path: {plan.base}}}` to the arm, or change the study's base."
            yield Problem(key, text, fix)


def _same(one: str | None, other: str) -> bool:
    if one is None:
        return False
    first, second = paths.find(one), paths.find(other)
    return first.samefile(second) if first and second else one == other


def _hash(said: Any) -> str:
    return digest(said)[:16]
