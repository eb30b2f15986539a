"""What a recipe from elsewhere may name: weights, data on the Hub, and what comes with smilerl. Nothing of it runs the
author's code.

From elsewhere is what is on the Hub, what was pulled, and a run directory that this user did not make
(`smilerl.runs.signature`). `smilerl eval org/name` builds the world and the rewards that such a recipe names, and loads
its base. Whoever wrote it must not thereby choose code to run here, an address to send prompts (and a key) to, or a
file of this machine to read.

A recipe that the user hands to `train`, `study` or `reward check` is the user's own act, as running a script is.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from smilerl.config.recipe import DataSpec, HeldOutSpec, PolicySpec, Recipe, RewardSpec, WorldSpec
from smilerl.config.yaml_lines import Key, dotted
from smilerl.io import paths, places
from smilerl.io.terminal import one_line, printable, say
from smilerl.models.hub.fetch import ABOUT
from smilerl.models.hub.ids import HubError, looks_like
from smilerl.runs.directory import Run, RunError

_RECIPE_FILE = (".yaml", ".yml")
#: Keys under which weights stand, and data.
_WEIGHTS, _DATA = ("model", "model_name_or_path"), ("path", "dataset", "held_out_from")
#: Keys under which a name may have a dot and leads to no code.
_NO_CODE = ("config", "source_split")
#: Keys under which an address or the name of a secret stands.
_REACHING = ("url", "base_url", "key_env", "api_key")
#: A callable, as rewards inside rewards may be named without a `name:`. (A module's file may have any name without
#: white space.)
_DOTTED = re.compile(r"[^\s.]+(\.[^\s.]+)+")
_HOW = {
    "world": "--world with your own copy",
    "policy": "--base with another model",
    "rewards": "--reward with your own copy (or --reward none)",
}


class Strange(NamedTuple):
    """Something in a recipe that is not part of smilerl.

    Attributes:
        opens: whether `--trust` lets it through.
    """

    key: Key
    value: str
    what: str
    opens: bool = True


Note = Callable[[Strange], None]


class Admitted(NamedTuple):
    """A recipe from elsewhere after it has been looked at.

    Attributes:
        recipe: the world, the rewards and the policy, in which recipes and data that come with smilerl are named so
            that nothing else is found under the name. Of how it was trained only numbers are left: the rest names
            files, and nothing trains here.
        strange: what is not part of smilerl, by the part of the recipe that it stands in.
        trusted: of this, what the user has let through.
    """

    recipe: Recipe
    strange: Mapping[str, Strange]
    trusted: tuple[str, ...]

    def check(self, where: str, *parts: str) -> None:
        """Refuses the recipe if one of these parts holds something strange.

        Raises:
            HubError: it does; nothing of it has been built.
        """
        for part, one in self.strange.items():
            if part in parts:
                raise _refusal(where, part, one)


def admit(recipe: Recipe, where: str, *, trust: bool = False) -> Admitted:
    """Looks through a recipe from elsewhere. Builds, imports and opens nothing. What it was trained on is not looked
    at, and left out.

    Args:
        recipe: as `without` gives it.
        where: the repository or folder, for what is said.
        trust: the user has looked at it: code, addresses and files that it names are let through, and each is said on
            standard error. A recipe that lies beside it is not built even so.
    """
    strange: dict[str, Strange] = {}
    trusted: list[str] = []

    def note(one: Strange) -> None:
        if trust and one.opens:
            trusted.append(one.value)
            say(f"{where}: trusted: '{_shown(one.value)}' ({dotted(one.key)}), {one.what}")
        else:
            strange.setdefault(str(one.key[0]), one)

    world, rewards, policy = (
        _looked(recipe.to_dict()[part], (part,), recipe.source, note) for part in ("world", "rewards", "policy")
    )
    made = dataclasses.replace(
        recipe,
        world=WorldSpec(**world),
        rewards=tuple(RewardSpec(**reward) for reward in rewards),
        policy=PolicySpec(**policy),
        data=dataclasses.replace(DataSpec(), turns=recipe.data.turns),
        held_out=HeldOutSpec(),
        training={name: value for name, value in recipe.training.items() if isinstance(value, int | float)},
    )
    return Admitted(made, strange, tuple(dict.fromkeys(trusted)))


def without(recipe: Recipe, *, world: WorldSpec | None = None, policy: bool = False) -> Recipe:
    """The recipe without what an evaluation does not use: parts that the user has named themselves, and how a fresh
    model was made.

    Args:
        world: instead of its own.
        policy: the base is named by the user.
    """
    said = dataclasses.replace(recipe.policy, config=None, peft=None)
    if policy:
        said = dataclasses.replace(said, model_name_or_path=None)
    return dataclasses.replace(recipe, policy=said, world=world or recipe.world)


def is_foreign_file(recipe: Path) -> bool:
    """Whether a recipe lies in a repository or in a run directory that this user did not make."""
    folder = recipe.parent
    if (folder / "status.json").is_file():
        try:
            return not Run.open(folder).made_here
        except RunError:  # what cannot be read is nothing that this user has signed
            return True
    model = any((folder / file).is_file() for file in ("config.json", "adapter_config.json"))
    weights = any(next(folder.glob(f"*{ending}"), None) for ending in (".safetensors", ".bin"))
    return (model and weights) or all((folder / file).is_file() for file in ABOUT)


def refuse_to_build(recipe: Path) -> None:
    """A recipe that came with something from elsewhere is not built because it was named where a model is meant.

    Raises:
        HubError: it is one.
    """
    if is_foreign_file(recipe):
        raise HubError(
            f"{printable(recipe)} is the recipe of something that was not made here, and nothing that lies in a "
            "repository is built.\n"
            f"    Name its folder, {printable(recipe.parent)}; or look at the recipe, and train it: smilerl train "
            f"{printable(recipe)}"
        )


def _looked(value: Any, key: Key, source: str, note: Note) -> Any:
    """The value with shared recipes and data named for certain; what is strange in it is noted."""
    if isinstance(value, dict):
        looked = {name: _looked(item, (*key, name), source, note) for name, item in value.items()}
        _look_at_chat_model(value, key, note)
        return looked
    if isinstance(value, list | tuple):
        return [_looked(item, (*key, index), source, note) for index, item in enumerate(value)]
    return _looked_at_text(value, key, source, note) if isinstance(value, str) else value


def _looked_at_text(value: str, key: Key, source: str, note: Note) -> str:
    under = next((part for part in reversed(key) if isinstance(part, str)), "")
    if places.is_expanded(value):  # in whatever it is: `org/$HF_TOKEN` would be asked for on the Hub
        note(Strange(key, value, "a variable or a home of this machine, which would be put in its place"))
    if "://" in value:
        note(Strange(key, value, "an address"))
    elif Path(value.strip()).suffix in _RECIPE_FILE:
        return _shared(value, key, source, note, "a recipe that would be built", opens=False)
    elif under in _WEIGHTS:
        if (found := paths.find(value, source)) is not None and not _holds_weights(found):
            note(Strange(key, value, "a path that holds no weights", opens=False))
    elif under in _DATA:
        on_hub = under == "dataset" and looks_like(value) and paths.find(value) is None
        named = under == "held_out_from" and value.isidentifier() and paths.find(value) is None
        if not (on_hub or named):
            return _shared(value, key, source, note, "a file of this machine that would be read", opens=True)
    elif _is_code(value, under, key):
        note(Strange(key, value, "code that would be imported and run here"))
    elif value.startswith(("/", "./")) or ".." in Path(value).parts:
        note(Strange(key, value, "a path of this machine"))
    return value


def _is_code(value: str, under: str, key: Key) -> bool:
    """Whether a text can lead to a callable, in the parts of a recipe where names of callables are looked up."""
    if key[0] not in ("world", "rewards") or under in _NO_CODE:
        return False
    return (under == "name" and not value.isidentifier()) or _DOTTED.fullmatch(value) is not None or ".py:" in value


def _look_at_chat_model(value: dict[str, Any], key: Key, note: Note) -> None:
    if key[0] not in ("world", "rewards"):
        return
    if value.get("name") == "endpoint":
        note(Strange((*key, "name"), "endpoint", "an address that prompts would be sent to"))
    for name in _REACHING:
        if name in value:
            note(Strange((*key, name), str(value[name]), "an address, or a key to send there"))


def _shared(value: str, key: Key, source: str, note: Note, what: str, *, opens: bool) -> str:
    """The name of a file that comes with smilerl: as it stands where it leads there, else whole, so that no other file
    is found.
    """
    own = paths.shared(value)
    if own is None or not own.resolve().is_file():
        note(Strange(key, value, what, opens))
        return value
    found = paths.find(value, source)
    return value if found is not None and found.samefile(own) else str(own)


def _holds_weights(found: Path) -> bool:
    return any((found / file).exists() for file in ("config.json", "adapter_config.json", "model"))


def _refusal(where: str, part: str, one: Strange) -> HubError:
    how = _HOW.get(part)
    ways = [*(["--trust"] if one.opens else []), *([how] if how else [])]
    text = (
        f"the recipe of {printable(where)} names '{_shown(one.value)}' ({dotted(one.key)[:200]}), {one.what}; it is "
        "not part of smilerl."
    )
    never = "" if one.opens else " Nothing that lies in a repository is built."
    return HubError(
        f"{text}\n    A recipe from elsewhere may name weights, data on the Hub, and what comes with smilerl.{never}\n"
        + (
            f"    If you have looked at it and want it, add {', or '.join(ways)}."
            if ways
            else "    Train it yourself if you trust it."
        )
    )


def _shown(value: str) -> str:
    return one_line(value, 100)
