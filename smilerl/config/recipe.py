"""A recipe: one YAML file and command-line overrides, read into frozen dataclasses before anything else happens.

    recipe = read_recipe("recipes/smileworld/rloo_sentiment.yaml", ["--seed", "1", "--training.learning_rate=1e-4"])

Any key can be overridden by its dotted path. Every mistake is a `RecipeError` that says `file:line`, what, and the fix.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from smilerl.config.yaml_lines import Key, Lines, Problem, RecipeError, dotted, parse_value, read
from smilerl.config.yaml_types import misfits, unknown_keys
from smilerl.io import paths, places
from smilerl.io.terminal import printable

__all__ = [
    "DataSpec", "HeldOutSpec", "PolicySpec", "Recipe", "RecipeError", "RewardSpec", "Story", "WorldSpec",
    "parse_overrides", "read_recipe",
]  # fmt: skip


#: The world where nobody names one.
DEFAULT_WORLD = "smileworld"
#: What transformers itself brings. `org/name` would load a kernel from the Hub and run it.
Attention = Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"]


@dataclass(frozen=True)
class WorldSpec:
    """Who is talked to: a module of `smilerl.worlds` and its knobs."""

    name: str = DEFAULT_WORLD
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PolicySpec:
    """The model that is trained.

    Attributes:
        model_name_or_path: Hub id, directory, adapter directory, run directory, or the recipe file that builds it.
        config: instead, the config of a fresh model, with `model_type`; its tokenizer comes from the world's vocabulary.
        dtype: of the weights.
        peft: keys of `peft.LoraConfig`; null trains every parameter.
        attn_implementation: as transformers names it. No repository of kernels, which would run code from there.
        chat_template_kwargs: what the chat template is told each time, such as `{enable_thinking: false}`; see `chat_template`.
    """

    model_name_or_path: str | None = None
    config: dict[str, Any] | None = None
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    peft: dict[str, Any] | None = None
    attn_implementation: Attention | None = None
    chat_template_kwargs: dict[str, Any] | None = None


@dataclass(frozen=True)
class DataSpec:
    """What is trained on: `n` people (rloo, grpo), conversations (sft) or pairs (reward) of a split; for dpo and kto see `preferences`.

    Attributes:
        turns: replies of the helper in a conversation, between which the person answers; more than 1 for grpo alone.
    """

    split: str = "train"
    n: int = 4096
    seed: int = 0
    turns: int = 1
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RewardSpec:
    """One reward: a file in `smilerl/rewards`, or the dotted path of a callable with TRL's reward protocol.

    Attributes:
        timeout: seconds that a call may take (again so many for each 1000 completions beyond the first). A call that takes longer is
            ended, and its rows are missing: unscored, and counted.
        most_missing: the share of the last ten calls that may be ended so; with more the run saves and fails, and can be resumed.
    """

    name: str
    weight: float = 1.0
    args: dict[str, Any] = field(default_factory=dict)
    timeout: float = 300.0
    most_missing: float = 0.5

    def to_dict(self) -> dict[str, Any]:
        """Plain data. What is as it is when nothing is said is left out, so that runs from before keep their hash."""
        unsaid = {"timeout": RewardSpec.timeout, "most_missing": RewardSpec.most_missing}
        plain = dataclasses.asdict(self)
        return {key: value for key, value in plain.items() if key not in unsaid or value != unsaid[key]}


@dataclass(frozen=True)
class HeldOutSpec:
    """The held-out people who are sampled every `every` steps while training (0: never)."""

    every: int = 10
    n: int = 64
    split: str = "held_out"
    seed: int = 1234


@dataclass(frozen=True)
class Story:
    """What is hoped for and why; it goes on the model card."""

    goal: str = ""
    rationale: str = ""


@dataclass(frozen=True)
class Recipe:
    """All that a run is made from.

    Attributes:
        method: a file in `smilerl/training`, such as `rloo`.
        output_dir: the run directory; `{seed}` in the file has been filled in.
        training: any field of the method's TRL config but those that the recipe sets itself.
        source: the file it came from.
        lines: where each value was written.
    """

    method: str
    output_dir: str
    seed: int = 0
    world: WorldSpec = field(default_factory=WorldSpec)
    policy: PolicySpec = field(default_factory=PolicySpec)
    data: DataSpec = field(default_factory=DataSpec)
    rewards: tuple[RewardSpec, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    held_out: HeldOutSpec = field(default_factory=HeldOutSpec)
    story: Story = field(default_factory=Story)
    source: str = ""
    lines: Lines = field(default_factory=lambda: Lines(""), compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `yaml_lines.dump` writes and `read_recipe` reads back as an equal recipe (but for `source`)."""
        plain = {name: getattr(self, name) for name in _KEYS}
        plain |= {name: dataclasses.asdict(plain[name]) for name in _SECTIONS}
        return plain | {"rewards": [reward.to_dict() for reward in self.rewards]}

    def error(self, key: str, text: str, fix: str = "") -> RecipeError:
        """An error about the value at a dotted key, with the line it was written in.

        Args:
            key: such as `policy.model_name_or_path` or `rewards.0.args`.
            text: what is wrong.
            fix: what to write instead.
        """
        return self.lines.error(Problem(_key(key), text, fix))


_SECTIONS = {"world": WorldSpec, "policy": PolicySpec, "data": DataSpec, "held_out": HeldOutSpec, "story": Story}
_KEYS = [f.name for f in dataclasses.fields(Recipe) if f.name not in ("source", "lines")]
#: The largest seed, which all libraries take, also with the number of a process or a reward added.
MOST_SEED = 2**31 - 1
#: The most people, pairs or conversations.
MOST_ROWS = 10_000_000
#: Least and most, where another value would fail late or never end.
_RANGES: dict[tuple[str, ...], tuple[int, int]] = {
    ("seed",): (0, MOST_SEED),
    ("data", "n"): (1, MOST_ROWS),
    ("data", "seed"): (0, MOST_SEED),
    ("data", "turns"): (1, 1000),
    ("held_out", "every"): (0, MOST_SEED),
    ("held_out", "n"): (1, MOST_ROWS),
    ("held_out", "seed"): (0, MOST_SEED),
}


def read_recipe(
    path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = (), places: Mapping[str, str] | None = None
) -> Recipe:
    """The recipe in a file, checked only for its own form: fast, imports no library. `recipe_check.load_recipe` checks what it names.

    Args:
        places: where each override was written, such as `plan.yaml:7`; those that are not in it are of the command line.
    """
    data, lines = read(paths.find(path) or path)
    if not isinstance(data, dict):
        raise lines.error(Problem((), "a recipe is a mapping with the keys method, policy, training, ..."))
    for key, value in (overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)).items():
        _override(data, _key(key), value, lines, (places or {}).get(key))
    problems = list(_problems(data))
    if problems:
        raise lines.error(*problems)
    return _recipe(data, lines)


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """`["--seed", "1", "--training.beta=0.1"]` as `{"seed": 1, "training.beta": 0.1}`.

    Raises:
        RecipeError: an argument is not `--key value` or `--key=value`, or its value is not YAML.
    """
    overrides: dict[str, Any] = {}
    waiting = list(arguments)
    while waiting:
        option, equals, text = waiting.pop(0).partition("=")
        if not option.startswith("--") or len(option) < 3:
            raise RecipeError(f"command line: '{option}' is not an option.\n    Write --key=value, such as --seed=1.")
        if not equals:
            if not waiting or waiting[0].startswith("--"):
                raise RecipeError(f"command line: {option} has no value.\n    Write {option}=VALUE.")
            text = waiting.pop(0)
        try:
            overrides[option[2:]] = parse_value(text)
        except RecipeError as error:
            raise RecipeError(
                str(error).replace("command line: ", f"command line: the value of {printable(option)}: ", 1)
            ) from None
    return overrides


def _key(path: str) -> Key:
    return tuple(int(part) if part.isdigit() else part for part in path.split("."))


def _override(data: dict[str, Any], key: Key, value: Any, lines: Lines, written: str | None) -> None:
    """Set the value at a key path, making the mappings on the way where there are none."""
    name = ".".join(map(str, key))
    option, said = (
        (f"command line: --{name}",) * 2
        if written is None
        else (written, written if "--" in written else f"{written}: {name}")
    )
    place: Any = data
    for depth, (part, following) in enumerate(zip(key, [*key[1:], None], strict=True)):
        missing = part not in place if isinstance(place, dict) else not (isinstance(part, int) and part < len(place))
        if isinstance(place, list) and missing:
            raise RecipeError(f"{said}: there is no item {part}; the list has {len(place)}, counted from 0.")
        if following is None:
            place[part] = value
        elif missing or place[part] is None:
            place[part] = {}
            lines.at.setdefault(key[: depth + 1], option)
        elif not isinstance(place[part], dict | list):
            raise RecipeError(f"{said}: '{part}' is {place[part]!r}, which has no '{following}' in it.")
        place = place[part]
    for known in [known for known in lines.at if known[: len(key)] == key]:
        del lines.at[known]
    lines.at[key] = option


def _problems(data: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong with the form of a recipe, by looking at nothing but the recipe."""
    yield from unknown_keys(data, _KEYS, ())
    if "method" not in data:
        yield Problem(
            (), "the recipe lacks 'method'.", "Add `method: rloo` (or grpo, dpo, kto, best_of_n, sft, reward)."
        )
    for name, hint in typing.get_type_hints(Recipe).items():
        if name in data and name in _SECTIONS:
            yield from _section_problems(_SECTIONS[name], data[name], (name,))
        elif name in data and name in _KEYS and name != "rewards":
            yield from misfits(data[name], hint, (name,))
    rewards = data.get("rewards", [])
    if isinstance(rewards, list):
        for index, reward in enumerate(rewards):
            yield from _section_problems(RewardSpec, reward, ("rewards", index))
    else:
        yield Problem(("rewards",), "rewards is not a list.", "Write `rewards: [{name: reading}]`.")
    for key, (least, most) in _RANGES.items():
        value = data.get(key[0]) if len(key) == 1 else _mapping(data, key[0]).get(key[1])
        if isinstance(value, int) and not least <= value <= most:
            bound = f"at least {least}" if value < least else f"at most {most}"
            yield Problem(key, f"{dotted(key)} is {value}, but should be {bound}.")
    yield from place_problems(data.get("output_dir"))
    yield from _model_problems(_mapping(data, "policy"))


def place_problems(output_dir: Any) -> Iterator[Problem]:
    """What is wrong with an `output_dir` as it is written, of a recipe or a study."""
    if not isinstance(output_dir, str):
        return
    wrong = places.no_path(output_dir)
    if wrong is not None:
        yield Problem(
            ("output_dir",), f"output_dir {wrong}: {output_dir[:100]!r}.", "Write a folder, such as runs/mine."
        )
    elif "{" in places.expanded(output_dir).replace("{seed}", ""):
        yield Problem(("output_dir",), "output_dir has a placeholder other than {seed}.", "Only {seed} is filled in.")


def _section_problems(section: type, data: Any, key: Key) -> Iterator[Problem]:
    hints = typing.get_type_hints(section)
    if not isinstance(data, dict):
        yield Problem(key, f"{dotted(key)} is not a mapping.", f"Its keys are {', '.join(hints)}.")
        return
    yield from unknown_keys(data, hints, key)
    if section is RewardSpec and "name" not in data:
        yield Problem(key, f"{dotted(key)} has no name.", "Write `{name: reading}`.")
    for name in data.keys() & hints.keys():
        yield from misfits(data[name], hints[name], (*key, name))
    if section is RewardSpec:
        yield from _limit_problems(data, key)


def reward_spec(said: Any, key: Key, lines: Lines) -> RewardSpec:
    """What a name, or a mapping with a name, says of a reward.

    Raises:
        RecipeError: it is neither, or has a key or value that a recipe could not have.
    """
    reward = {"name": said} if isinstance(said, str) else said
    problems = list(_section_problems(RewardSpec, reward, key))
    if problems:
        raise lines.error(*problems)
    return RewardSpec(**{**reward, "weight": float(reward.get("weight", 1)), "args": reward.get("args") or {}})


def _limit_problems(reward: dict[str, Any], key: Key) -> Iterator[Problem]:
    for name, least, most, said in (
        ("timeout", 1e-3, 1e7, "between 0.001 and 1e7 seconds"),
        ("most_missing", 0, 1, "a share, 0 to 1"),
    ):
        value = reward.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            continue  # told already, as a number that no setting can be
        if isinstance(value, int | float) and not isinstance(value, bool) and not least <= value <= most:
            yield Problem((*key, name), f"{dotted((*key, name))} is {value}, but should be {said}.")


def _model_problems(policy: dict[str, Any]) -> Iterator[Problem]:
    given = [name for name in ("model_name_or_path", "config") if policy.get(name) is not None]
    if len(given) == 2:
        yield Problem(("policy", "config"), "policy has both a model and a config.", "Keep one of them.")
    elif not given:
        fix = "Write `model_name_or_path: recipes/smileworld/pretrain.yaml` (or a directory, or a Hub id) under `policy:`."
        yield Problem(("policy",), "policy has neither a model nor a config.", fix)


def _mapping(data: dict[str, Any], name: str) -> dict[str, Any]:
    return data[name] if isinstance(data.get(name), dict) else {}


def _recipe(data: dict[str, Any], lines: Lines) -> Recipe:
    """The recipe in data that has no problems."""
    sections = {name: section(**data[name]) for name, section in _SECTIONS.items() if name in data}
    rewards = tuple(
        RewardSpec(**{**reward, "weight": float(reward.get("weight", 1))}) for reward in data.get("rewards", [])
    )
    output_dir = places.expanded(data.get("output_dir") or f"runs/{Path(lines.file).stem}/seed{{seed}}")
    plain = {name: data[name] for name in ("method", "seed", "training") if name in data}
    recipe = Recipe(**plain, **sections, rewards=rewards, output_dir=output_dir, source=lines.file, lines=lines)
    return dataclasses.replace(recipe, output_dir=output_dir.replace("{seed}", str(recipe.seed)))
