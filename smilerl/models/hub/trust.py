"""Checks what a recipe from elsewhere names: only weights, data on the Hub, and parts of smilerl are allowed.

Recipes on the Hub, pulled ones, and those of runs that this user did not make (`smilerl.runs.signature`) are from
elsewhere. `smilerl eval org/name` builds the world and rewards of such a recipe and loads its base. Its author must not
choose code to run here, an address to send prompts (and a key) to, or a file of this machine to read. A recipe that the
user passes to `train`, `study` or `reward check` is trusted, as a script is.
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
from smilerl.models import gguf
from smilerl.models.hub.fetch import ABOUT
from smilerl.models.hub.ids import HubError, looks_like
from smilerl.runs.directory import Run, RunError

_RECIPE_FILE = (".yaml", ".yml")
#: Keys that hold weights, and data.
_WEIGHTS, _DATA = ("model", "model_name_or_path"), ("path", "dataset", "held_out_from")
#: Keys whose names may have a dot and lead to no code.
_NO_CODE = ("config", "source_split")
#: Keys that hold an address or the name of a secret.
_REACHING = ("url", "base_url", "key_env", "api_key")
#: A callable, as rewards inside rewards may be named without a `name:`.
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
    """A checked recipe from elsewhere.

    Attributes:
        recipe: its world, rewards and policy, with full paths to recipes and data of smilerl, and the numbers of its
            training; other settings of training may name files, and nothing trains here.
        strange: values that are not part of smilerl, by the part of the recipe.
        trusted: strange values that the user has let through.
    """

    recipe: Recipe
    strange: Mapping[str, Strange]
    trusted: tuple[str, ...]

    def check(self, where: str, *parts: str) -> None:
        """Raises HubError if one of these parts holds something strange."""
        for part, one in self.strange.items():
            if part in parts:
                raise _refusal(where, part, one)


def admit(recipe: Recipe, where: str, *, trust: bool = False) -> Admitted:
    """Checks a recipe from elsewhere and leaves out its training data. Builds, imports and opens nothing.

    Args:
        recipe: as `without` returns it.
        where: the repository or folder, for messages.
        trust: let code, addresses and files through, each with a line on standard error; never a recipe beside it.
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
    """The recipe without what an evaluation does not use, such as the config of a fresh model.

    Args:
        world: replaces its own.
        policy: whether the user names the base, so that the recipe's is left out.
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
        except RunError:  # unreadable, so not signed by this user
            return True
    model = any((folder / file).is_file() for file in ("config.json", "adapter_config.json"))
    weights = any(next(folder.glob(f"*{ending}"), None) for ending in (".safetensors", ".bin"))
    return (model and weights) or all((folder / file).is_file() for file in ABOUT)


def refuse_to_build(recipe: Path) -> None:
    """Raises HubError for a recipe from elsewhere that is named in place of a model: it is not built."""
    if is_foreign_file(recipe):
        raise HubError(
            f"{printable(recipe)} is the recipe of a model from elsewhere, and nothing that lies in a repository is "
            f"built.\n    Name its folder, {printable(recipe.parent)}; or look at the recipe, and train it: smilerl "
            f"train {printable(recipe)}"
        )


def _looked(value: Any, key: Key, source: str, note: Note) -> Any:
    """The value with full paths to shared recipes and data; notes what is strange in it."""
    if isinstance(value, dict):
        looked = {name: _looked(item, (*key, name), source, note) for name, item in value.items()}
        if key[0] in ("world", "rewards"):  # where chat models stand
            if value.get("name") == "endpoint":
                note(Strange((*key, "name"), "endpoint", "an address that prompts would be sent to"))
            for name in filter(value.__contains__, _REACHING):
                note(Strange((*key, name), str(value[name]), "an address, or a key to send there"))
        return looked
    if isinstance(value, list | tuple):
        return [_looked(item, (*key, index), source, note) for index, item in enumerate(value)]
    return _looked_at_text(value, key, source, note) if isinstance(value, str) else value


def _looked_at_text(value: str, key: Key, source: str, note: Note) -> str:
    under = next((part for part in reversed(key) if isinstance(part, str)), "")
    if places.is_expanded(value):  # anywhere: `org/$HF_TOKEN` would be sent to the Hub
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
    """Whether a text can name a callable, in the parts of a recipe that may."""
    if key[0] not in ("world", "rewards") or under in _NO_CODE:
        return False
    return (under == "name" and not value.isidentifier()) or _DOTTED.fullmatch(value) is not None or ".py:" in value


def _shared(value: str, key: Key, source: str, note: Note, what: str, *, opens: bool) -> str:
    """The name of a file of smilerl, or its full path where the name leads to another file."""
    own = paths.shared(value)
    if own is None or not own.resolve().is_file():
        note(Strange(key, value, what, opens))
        return value
    found = paths.find(value, source)
    return value if found is not None and found.samefile(own) else str(own)


def _holds_weights(found: Path) -> bool:
    if found.is_file():
        return found.suffix == gguf.ENDING
    return any((found / file).exists() for file in ("config.json", "adapter_config.json", "model"))


def _refusal(where: str, part: str, one: Strange) -> HubError:
    ways = [way for way in ("--trust" if one.opens else None, _HOW.get(part)) if way]
    never = "" if one.opens else " Nothing that lies in a repository is built."
    add = f"If you have looked at it and want it, add {', or '.join(ways)}."
    return HubError(
        f"the recipe of {printable(where)} names '{_shown(one.value)}' ({dotted(one.key)[:200]}), {one.what}; it is "
        "not part of smilerl.\n    A recipe from elsewhere may name weights, data on the Hub, and parts of smilerl."
        f"{never}\n    {add if ways else 'Train it yourself if you trust it.'}"
    )


def _shown(value: str) -> str:
    return one_line(value, 100)
