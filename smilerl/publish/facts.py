"""Facts about a run that is to be published: its parts, its base, its results, the study that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from smilerl.config.recipe import Recipe
from smilerl.io import packages, paths
from smilerl.io.files import read_json, read_study
from smilerl.models.hub.fetch import cached_id
from smilerl.models.hub.ids import HubError, looks_like
from smilerl.runs import seals
from smilerl.runs.directory import Run
from smilerl.runs.manifest import without_home

if TYPE_CHECKING:
    from smilerl.studies.results import Results

_RECIPE_FILE = (".yaml", ".yml")


@dataclass(frozen=True)
class Base:
    """What a run started from.

    Attributes:
        kind: `hub`: an id; `recipe`: built from a recipe that comes with smilerl; `package`: a GGUF file in a Python
            package; `fresh`: nothing, random weights; `local`: something that is only here.
        name: the id, the recipe's path, `package:NAME/FILE.gguf`, or the path here.
        folder: of its weights here, where they are needed.
    """

    kind: Literal["hub", "recipe", "package", "fresh", "local"]
    name: str = ""
    folder: Path | None = None

    @property
    def repo(self) -> str | None:
        """Its id without the revision, if it is on the Hub."""
        return self.name.partition("@")[0] if self.kind == "hub" else None

    @property
    def revision(self) -> str | None:
        """The revision that the id names."""
        return self.name.partition("@")[2] or None


@dataclass(frozen=True)
class Facts:
    """A finished run and what it is to be published as.

    Attributes:
        title: of the card, and `model_name` of its results.
        base: as strangers will find it.
        recipe: as resolved, with names that mean something elsewhere.
        study: the folder of the study it is a run of.
    """

    run: Run
    title: str
    base: Base
    recipe: Recipe
    study: Path | None = None

    @property
    def is_reward_model(self) -> bool:
        """Whether it scores replies instead of giving them."""
        return self.recipe.method == "reward"

    @property
    def is_adapter(self) -> bool:
        """Whether only an adapter of the base was trained and saved."""
        return (self.run.model / "adapter_config.json").is_file()

    @cached_property
    def gguf(self) -> dict[str, Any] | None:
        """What is known of the GGUF file that its base was read from; None where it was read from none."""
        return gguf_of(self.run)

    @cached_property
    def suites(self) -> dict[str, dict[str, Any]]:
        """The contents of `results.json` of each suite that it was asked."""
        found = sorted(self.run.path.glob("evals/*/results.json"))
        for path in found:
            seals.check_evaluation(path.parent)
        name = "evaluations"
        return {path.parent.name: read_json(path, types={name: dict}, needed=(name,)) for path in found}

    @cached_property
    def suite(self) -> str | None:
        """The suite that the card shows: the study's, else the one with the most questions."""
        if self.study is not None and self._study_says["suite"] in self.suites:
            return self._study_says["suite"]
        return max(self.suites, key=lambda name: (len(self.suites[name]["evaluations"]), name), default=None)

    @cached_property
    def arm(self) -> dict[str, Any]:
        """Name and role of the arm; of a run without a study, `this model`."""
        if self.study is not None:
            named = (_entry_of(self.run, self.study) or {})["arm"]
            return next(arm for arm in self._study_says["arms"] if arm["name"] == named)
        names = [reward.name for reward in self.recipe.rewards]
        return {"name": "this model", "role": names[0] if names in (["gold"], ["random"]) else "proxy"}

    @cached_property
    def results(self) -> Results | None:
        """This run's results beside the base's and the random arm's of the same seed, where a study has them."""
        import pandas as pd

        from smilerl.studies.plan import BASE
        from smilerl.studies.results import gather

        if self.suite is None:
            return None
        name, seed = self.arm["name"], self.recipe.seed
        arms, where = [self.arm], [(name, seed, self.run.path)]
        if self.study is not None:
            where = [(BASE, pd.NA, self.study / BASE), *where]
            paths = {run["arm"]: run["path"] for run in self._study_says["runs"] if run["seed"] == seed}
            for arm in self._study_says["arms"]:
                if arm["role"] == "random" and arm["name"] != name and arm["name"] in paths:
                    arms.append(arm)
                    where.append((arm["name"], seed, self.study / paths[arm["name"]]))
        return gather({"arms": arms, "suite": self.suite, "seeds": [seed], "runs": []}, where)

    @cached_property
    def siblings(self) -> Results | None:
        """The results of the whole study."""
        from smilerl.studies.results import collect

        return collect(self.study) if self.study is not None else None

    @cached_property
    def _study_says(self) -> dict[str, Any]:
        return read_study(self.study) if self.study else {}


def study_of(run: Run, given: Path | None = None) -> Path | None:
    """The folder of the study that a run belongs to: the one given, or the one it lies in; None without.

    Raises:
        HubError: the folder given is no study, or the run is not one of its runs.
    """
    folders = [given] if given is not None else list(run.path.resolve().parents[:3])
    for folder in folders:
        if (folder / "study.json").is_file() and _entry_of(run, folder):
            return folder
    if given is not None:
        raise HubError(
            f"{run.path} is no run of a study in {given}.\n    Give the folder that holds its study.json: --study DIR."
        )
    return None


def gguf_of(run: Run) -> dict[str, Any] | None:
    """What a run's manifest says of the GGUF file that its base was read from, see `models.gguf.facts`; else None."""
    return run.manifest.get("gguf", {}).get(without_home(str(run.recipe.policy.model_name_or_path)))


def base_of(run: Run, renamed: Mapping[str, str]) -> Base:
    """What a run started from, as strangers will find it.

    Args:
        renamed: ids that stand for what is only here, by the name that the recipe uses or the path.
    """
    recipe = run.recipe
    name = recipe.policy.model_name_or_path
    adapter = run.model / "adapter_config.json"
    weights: Path | None = None
    if adapter.is_file():
        place = read_json(adapter, needed=("base_model_name_or_path",))["base_model_name_or_path"]
        cached = cached_id(place)
        weights = Path(place) if Path(place).is_dir() and cached is None else None
        if cached is not None and (name is None or paths.find(name, recipe.source)):
            name = str(cached)  # an adapter trained further: its own base, not the adapter it started from
        name = place if packages.is_name(place) else name
    if name is not None and name in renamed:
        return Base("hub", renamed[name], weights)
    return named_base(name, recipe.source, weights)


def named_base(name: str | None, source: str, weights: Path | None = None) -> Base:
    """What a recipe means by a model's name.

    Args:
        name: of `policy.model_name_or_path`; None for a fresh model.
        source: the recipe's file.
        weights: where the model lies, if that is known.
    """
    if name is None:
        return Base("fresh", folder=weights)
    if packages.is_name(name):
        return Base("package", name, weights)
    found = paths.find(name, source)
    if found is None:
        return Base("hub", name) if looks_like(name) or "/" not in name else Base("local", name, weights)
    shared = _shared(found)
    if found.suffix in _RECIPE_FILE and shared:
        return Base("recipe", shared, weights)
    return Base("local", str(name), weights or found)


def for_strangers(recipe: Recipe, title: str, renamed: Mapping[str, str], base: Base) -> Recipe:
    """The recipe with names that mean something on another machine.

    Raises:
        HubError: it names a reward model that is only here.
    """

    def shared(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: shared(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [shared(item, key) for item in value]
        return _shared_name(value, key, recipe, renamed) if isinstance(value, str) else value

    rewards = []
    for reward in recipe.rewards:
        file, mark, function = reward.name.rpartition(":")
        own_code = mark and file.endswith(".py")
        name = f"code/{Path(file).name}:{function}" if own_code else reward.name
        rewards.append(replace(reward, name=name, args=shared(reward.args)))
    model = base.name if base.kind in ("hub", "recipe", "package") else recipe.policy.model_name_or_path
    return replace(
        recipe,
        output_dir=f"runs/{title}",
        rewards=tuple(rewards),
        world=replace(recipe.world, args=shared(recipe.world.args)),
        data=replace(recipe.data, args=shared(recipe.data.args)),
        policy=replace(recipe.policy, model_name_or_path=model),
    )


def reward_code(recipe: Recipe) -> list[Path]:
    """The users' own files that the recipe's rewards are in (`path/to/file.py:function`)."""
    named = [reward.name.rpartition(":")[0] for reward in recipe.rewards]
    return list(dict.fromkeys(found for name in named if name.endswith(".py") and (found := paths.find(name))))


def _shared_name(value: str, key: str, recipe: Recipe, renamed: Mapping[str, str]) -> str:
    """A name in a recipe as others may write it; of a file that is only here, the last part of its path."""
    if value in renamed or packages.is_name(value):
        return renamed.get(value, value)
    found = paths.find(value, recipe.source) if "/" in value or value.endswith(_RECIPE_FILE) else None
    if found is None:
        return value
    shared = _shared(found)
    if key == "model" and not shared:
        raise HubError(
            f"the recipe names the model {value}, which is only here, so that nobody else could use what is pushed.\n"
            f"    Push it first (smilerl push {value} --to ORG/NAME), then add --replace {value}=ORG/NAME."
        )
    return shared or Path(value).name


def _shared(found: Path) -> str | None:
    """The path of a file that comes with smilerl, as everybody may write it; None for another."""
    return found.resolve().relative_to(paths.share().resolve()).as_posix() if paths.is_shared(found) else None


def _entry_of(run: Run, study: Path) -> dict[str, Any] | None:
    here = run.path.resolve()
    return next((one for one in read_study(study)["runs"] if (study / one["path"]).resolve() == here), None)
