"""Resolves a model reference: a run, a model directory, a GGUF file, a Hub id, a recipe that builds one, or a scripted
helper of the world or of the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from smilerl import worlds
from smilerl.config.elsewhere import from_elsewhere
from smilerl.config.recipe import DEFAULT_WORLD, PolicySpec, Recipe, RecipeError, WorldSpec, read_recipe
from smilerl.config.yaml_lines import Lines, did_you_mean, parse_value
from smilerl.evaluation import users_helper
from smilerl.io import paths
from smilerl.io.files import read_json
from smilerl.io.terminal import say
from smilerl.models import dequantised
from smilerl.models.hub import fetch, ids, trust
from smilerl.runs.directory import Run
from smilerl.training.model_check import looks_local
from smilerl.worlds.base import World

if TYPE_CHECKING:
    from smilerl.data.candidates import BestOfN
    from smilerl.models.policy import Policy


@dataclass(frozen=True)
class Subject:
    """Someone who can be evaluated or talked to.

    Attributes:
        name: for the screen.
        world: whom they talk to.
        model: directory, Hub id or recipe file; None for a scripted helper.
        base: the same of the model before tuning, where it is known.
        recipe: of the run, where it is one.
        folder: where results about them go, a folder for each suite.
        pushed: directory or Hub id of a run that was pushed, which lies there without the folders of a run.
        told: what the model's chat template is told besides what the recipe says.
        admitted: of a recipe from elsewhere, what was found in it; None for one's own.
        helper: the scripted policy of the user's own, where it is one.
    """

    name: str
    world: Any
    folder: Path
    model: str | None = None
    base: str | None = None
    recipe: Recipe | None = None
    pushed: str | None = None
    told: dict[str, Any] | None = None
    admitted: trust.Admitted | None = None
    helper: users_helper.UsersHelper | None = None

    @property
    def trusted(self) -> tuple[str, ...]:
        """What of a recipe from elsewhere is not part of smilerl, and was let through by hand (`--trust`)."""
        return self.admitted.trusted if self.admitted is not None else ()

    @property
    def spoken(self) -> PolicySpec:
        """How the model, and its base, are loaded and spoken to: as the run's recipe does it."""
        spoken = self.recipe.policy if self.recipe is not None else PolicySpec()
        # Of what the recipe says nothing can be taken back: it is written into the template of the run.
        both = {**(spoken.chat_template_kwargs or {}), **(self.told or {})}
        return dataclasses.replace(spoken, chat_template_kwargs=both or None)

    def check(self, reward: str | None = "none") -> None:
        """What is found out before a model loads: whether the rewards may be built, and whether whoever plays the
        people is there.

        Args:
            reward: as `reward` is going to be given it; the run's own, when None.
        """
        if reward is None:
            self._check_rewards()
        self.world.check()

    def policy(self) -> Policy | BestOfN | users_helper.UsersHelper | str:
        """The loaded model, best of n where that is the run's method, the user's own helper, or the helper's name."""
        if self.helper is not None:
            return self.helper
        if self.recipe is not None and self.recipe.method == "best_of_n":
            from smilerl.evaluation import own_reward

            self._check_rewards()
            with self.bolted():
                return own_reward.chooser(dataclasses.replace(self.recipe, policy=self.spoken))
        with self.bolted():
            return self.name if self.model is None else _load(self.model, self.spoken)

    def base_policy(self) -> Policy | None:
        """The loaded base, if there is one."""
        if self.base is None:
            return None
        its_own = self.recipe is not None and self.recipe.policy.model_name_or_path == self.base
        with self.bolted() if its_own else nullcontext():
            return _load(self.base, self.spoken)

    def reward(self, named: str | None = None) -> Callable | None:
        """The training reward of a run, or the one that is named (a name, or YAML with name and args)."""
        if named == "none":
            return None
        if named is not None:
            from smilerl.config.recipe import reward_spec
            from smilerl.rewards import RewardContext, build_rewards
            from smilerl.rewards._summed import summed_as
            from smilerl.runs.identity import reward_hash
            from smilerl.training.models import resolved

            said = resolved(parse_value(named))
            spec = reward_spec(said, ("reward",), Lines("command line"))
            rewards = build_rewards([spec])
            reward = summed_as([dataclasses.replace(spec, weight=1.0)], rewards, RewardContext.after({}))
            reward.__name__ = rewards[0].__name__
            unlimited = (
                {key: value for key, value in said.items() if key in ("name", "args")}
                if isinstance(said, dict)
                else said
            )
            reward.fingerprint = reward_hash(unlimited)  # so that results with other args are not taken for this one's
            return reward
        if self.recipe is None or not self.recipe.rewards:
            return None
        self._check_rewards()
        from smilerl.evaluation.own_reward import combined

        with self.bolted():
            return combined(self.recipe)

    def _check_rewards(self) -> None:
        if self.admitted is not None:
            self.admitted.check(self.name, "rewards")

    def bolted(self) -> AbstractContextManager[None]:
        """Around what is built of a recipe from elsewhere."""
        return nullcontext() if self.admitted is None else from_elsewhere(self.trusted)

    def trail(self) -> Any:
        """What the run sampled of held-out people while it trained, where it is a run that did."""
        from smilerl.evaluation.kinds.curve import read_trail

        if self.recipe is None:
            return None
        if self.pushed is None:
            return read_trail(self.folder.parent, self.world)
        return read_trail(paths.find(self.pushed) or fetch.fetch(self.pushed), self.world)

    def replies(self, max_new_tokens: int) -> Callable[[list, list[str], int], list[str]]:
        """Prompts, people and a seed to completions."""
        if self.helper is not None:
            return self.helper
        if self.model is None:
            return lambda prompts, people, seed: self.world.helpers[self.name](people, seed)
        from smilerl.data.candidates import BestOfN
        from smilerl.models.sampling import sample

        policy: Any = self.policy()
        if isinstance(policy, BestOfN):
            return lambda prompts, people, seed: policy.reply(prompts, people, seed=seed, max_new_tokens=max_new_tokens)
        return lambda prompts, people, seed: sample(policy, prompts, max_new_tokens=max_new_tokens, seed=seed)


def find(
    name: str,
    *,
    world: str | None = None,
    base: str | None = None,
    helper: bool = False,
    told: dict[str, Any] | None = None,
    trusting: bool = False,
) -> Subject:
    """Finds out whom a name means; loads no model. A helper of the user's own is tried on a few people.

    Args:
        world: a world's name or YAML with name and args; the run's own, else SmileWorld, when None.
        base: the model before tuning; a run's own, when None.
        helper: the name can only be a scripted helper's.
        told: what the model's chat template is told besides what the run's recipe says.
        trusting: code, addresses and files that a recipe from elsewhere names are used; see `smilerl.models.hub.trust`.

    Raises:
        RecipeError: there is no such helper, or nothing at this path.
        GgufError: a GGUF file is not there or cannot be read.
        HelperError: a helper of the user's own does not reply to people.
        HubError: a recipe from elsewhere names what is not part of smilerl.
    """
    return dataclasses.replace(_found(name, _Named(world, base, trusting), helper), told=told)


class _Named(NamedTuple):
    """What the command line says besides the model: its world and its base, and whether what it names is trusted."""

    world: str | None
    base: str | None
    trusting: bool

    def subject(self, name: str, recipe: Recipe, where: dict[str, Any], *, foreign: bool) -> Subject:
        """The subject that a run's recipe makes."""
        spec, admitted = _spec(self.world) if self.world else None, None
        if foreign:
            chosen = recipe.method == "best_of_n"  # its base is what answers, whatever it is compared with
            recipe = trust.without(recipe, world=spec, policy=self.base is not None and not chosen)
            admitted = trust.admit(recipe, name, trust=self.trusting)
            admitted.check(name, "world", "policy", *(["rewards"] if chosen else []))
            recipe = admitted.recipe
        world = spec or recipe.world
        with from_elsewhere(admitted.trusted) if admitted is not None and spec is None else nullcontext():
            built = worlds.build(world.name, **world.args)
        base = self.base or recipe.policy.model_name_or_path
        return Subject(str(name), built, base=base, recipe=recipe, admitted=admitted, **where)


def _found(name: str, named: _Named, helper: bool) -> Subject:
    world, base = named.world, named.base
    place = paths.find(name)
    if place is None and ".py:" in name:
        built, (file, attribute) = world_of(world or DEFAULT_WORLD), name.rsplit(":", 1)
        folder = Path("runs", "evals", f"{Path(file).stem}.{attribute}")
        return Subject(name, built, folder, base=base, helper=users_helper.load(name, built))
    if place is not None and (place / "status.json").is_file() and not helper:
        run = Run.open(place)
        if not run.finished:
            raise RecipeError(
                f"{place}: this run is {run.state}, so it has no final model.\n"
                f"    Train it first: smilerl train {run.recipe.source}"
            )
        run.check("recipe.yaml", "manifest.json", "samples")
        where = {"folder": run.path / "evals", "model": str(run.model)}
        return named.subject(name, run.recipe, where, foreign=not run.made_here)
    folder = Path("runs") / "evals" / Path(name).name
    if not helper and dequantised.check(name):
        return Subject(name, world_of(world or DEFAULT_WORLD), folder, name, base)
    if place is None and "/" in name and looks_local(name) and (near := paths.near(name)) is not None:
        raise RecipeError(f"there is nothing at '{name}'.\n    Did you mean {near}?")
    if not helper:
        found = _pushed(name, place, named)
        if found is not None:
            return found
    built = world_of(world or DEFAULT_WORLD)
    helpers = built.helpers
    if name in helpers and (helper or place is None):
        return Subject(name, built, folder, base=base)
    if helper:
        raise RecipeError(f"the world '{built.name}' has no scripted helper '{name}'. {did_you_mean(name, helpers)}")
    if place is None and ("/" not in name or name.count("/") > 1 or name.startswith((".", "/", "~"))):
        raise RecipeError(
            f"'{name}' is no run, model directory or scripted helper. {did_you_mean(name, helpers)}\n"
            "    Write a path, a Hub id (org/name), or the name of a helper."
        )
    if place is not None:
        _check_model(place)
        if place.is_file():
            trust.refuse_to_build(place)
    return Subject(name, built, folder, name, base)


def _check_model(place: Path) -> None:
    """Whether something on this disk can be loaded, or built, as a model.

    Raises:
        RecipeError: it cannot; says what could.
    """
    if (place / "study.json").is_file():
        raise RecipeError(
            f"{place} is a study, of several policies.\n    Write one of its runs, such as {paths.a_run_of(place)}"
        )
    if place.is_file() and place.suffix == ".py":
        raise RecipeError(f"{place} is a file.\n    Write {place}:NAME, where NAME is a scripted policy in it.")
    if place.is_file() and place.suffix not in (".yaml", ".yml"):
        raise RecipeError(
            f"{place} is a file.\n    Write a run, a directory with a model, a GGUF file (.gguf), or a recipe (.yaml)."
        )
    if place.is_dir() and not any((place / file).is_file() for file in ("config.json", "adapter_config.json")):
        inside = place / "model"
        fix = f"Did you mean {inside}?" if inside.is_dir() else "Write a run, or a directory that holds a model."
        raise RecipeError(f"{place} is a folder with neither config.json nor adapter_config.json in it.\n    {fix}")


def _pushed(name: str, place: Path | None, named: _Named) -> Subject | None:
    """A run that was pushed, as an id on the Hub or the directory that it was pulled into; None for anything else."""
    hub_id = ids.parse(name) if place is None and ids.looks_like(name) else None
    if hub_id is None and (place is None or not all((place / file).is_file() for file in fetch.ABOUT)):
        return None
    about = fetch.fetch(name, weights=False) if place is None else place
    parts = hub_id.repo.split("/") if hub_id else [Path(name).name]
    folder = Path("runs", "evals", *parts)
    if not all((about / file).is_file() for file in fetch.ABOUT):
        return Subject(name, world_of(named.world or DEFAULT_WORLD), folder, name, named.base)
    where = {"folder": folder, "model": name, "pushed": name}
    found = named.subject(name, read_recipe(about / "recipe.yaml"), where, foreign=True)
    if named.base is None and found.recipe is not None:
        _warn_of_another_base(name, found.recipe, about)
    return found


def _warn_of_another_base(name: str, recipe: Recipe, about: Path) -> None:
    """Prints a warning where the recipe of the base builds another model here than the run started from."""
    from smilerl.runs.identity import inputs

    then = read_json(about / "manifest.json", types={"inputs": dict}).get("inputs", {})
    base = str(recipe.policy.model_name_or_path)
    if then.get(base) not in (None, inputs(recipe).get(base)):
        said = (
            f"{name} started from {base}, which builds another model with this version of smilerl: "
            "differences to the base are to that one.\n"
            "    Give the base it had, if there is one: --base ORG/NAME."
        )
        say(said)


def summary(results: dict) -> str:
    """The verdicts and measures of a results.json, for the screen."""
    asked = list(results["evaluations"].values())
    lines = [asked[0]["question"], ""] if len(asked) == 1 else []
    lines.append(f"{'question':<18}{'verdict':<18}why")
    for name, found in results["evaluations"].items():
        word = found["verdict"] if found["status"] == "scored" else found["status"]
        lines.append(f"{name:<18}{word or '–':<18}{found.get('why') or ''}")
    if results["measures"]:
        lines += ["", f"{'measure':<18}{'value':>7}   95 % interval      scored"]
    for name, found in results["measures"].items():
        if found["value"] is None:
            lines.append(f"{name:<18}      –                       {found['scored']} of {found['of']}")
        else:
            lines.append(
                f"{name:<18}{found['value']:>7.3f}   [{found['low']:.3f}, {found['high']:.3f}]    "
                f"{found['scored']} of {found['of']}"
            )
    audit = results.get("audit")
    if audit and audit["clauses"]:
        doubt = "; what is said of acts is in doubt" if audit["share"] > 0.1 else ""
        lines += [
            "",
            f"The second parser reads {audit['share']:.1%} of {audit['clauses']} different clauses otherwise{doubt}.",
        ]
    return "\n".join(lines)


def world_of(text: str) -> World:
    """The world that the command line means by a name, or YAML with name and args."""
    spec = _spec(text)
    return worlds.build(spec.name, **spec.args)


def _spec(text: str) -> WorldSpec:
    given = parse_value(text)
    spec: dict[str, Any] = given if isinstance(given, dict) else {"name": str(given)}
    if set(spec) - {"name", "args"} or "name" not in spec:
        raise RecipeError(
            f"command line: --world is {text}, but should be a name or {{name: ..., args: {{...}}}}.\n"
            "    Write --world smileworld."
        )
    return WorldSpec(spec["name"], spec.get("args") or {})


def _load(name: str, spoken: PolicySpec) -> Policy:
    """A model, on the GPU where there is one."""
    import torch

    from smilerl.training.models import load

    return load(name, spoken, device="cuda" if torch.cuda.is_available() else None)
