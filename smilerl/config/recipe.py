"""A recipe: one YAML file and command-line overrides, read into frozen dataclasses before anything else happens.

    recipe = read_recipe("recipes/smileworld/rloo_sentiment.yaml", ["--seed", "1", "--training.learning_rate=1e-4"])

Any key can be overridden by its dotted path. Every mistake is a `RecipeError` that says `file:line`, what, and the fix.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from smilerl.config.limits import MOST_ROWS, MOST_SEED
from smilerl.config.validation import Mistake, checked, fitted
from smilerl.config.yaml_lines import Key, Lines, Problem, RecipeError, parse_value, read
from smilerl.io import paths
from smilerl.io.places import expanded, no_path
from smilerl.io.terminal import printable

__all__ = [
    "DataSpec", "HeldOutSpec", "PolicySpec", "Recipe", "RecipeError", "RewardSpec", "Story", "WorldSpec",
    "parse_overrides", "read_recipe",
]  # fmt: skip


#: The world where nobody names one.
DEFAULT_WORLD = "smileworld"
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
Rows = Annotated[int, Field(ge=1, le=MOST_ROWS)]
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
        model_name_or_path: Hub id, directory, adapter directory, run directory, GGUF file (also one in an installed
            package, `package:NAME/FILE.gguf`), or the recipe file that builds it.
        config: instead, the config of a fresh model, with `model_type`; its tokenizer comes from the world's
            vocabulary.
        dtype: of the weights.
        peft: keys of `peft.LoraConfig`; null trains every parameter.
        attn_implementation: as transformers names it. No repository of kernels, which would run code from there.
        chat_template_kwargs: what the chat template is told each time, such as `{enable_thinking: false}`; see
            `chat_template`.
    """

    model_name_or_path: str | None = None
    config: dict[str, Any] | None = None
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    peft: dict[str, Any] | None = None
    attn_implementation: Attention | None = None
    chat_template_kwargs: dict[str, Any] | None = None


@dataclass(frozen=True)
class DataSpec:
    """What is trained on: `n` people (rloo, grpo), conversations (sft) or pairs (reward) of a split; for dpo and kto
    see `preferences`.

    Attributes:
        turns: replies of the helper in a conversation, between which the person answers; more than 1 for grpo alone.
    """

    split: str = "train"
    n: Rows = 4096
    seed: Seed = 0
    turns: Annotated[int, Field(ge=1, le=1000)] = 1
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RewardSpec:
    """One reward: a file in `smilerl/rewards`, or the dotted path of a callable with TRL's reward protocol.

    Attributes:
        timeout: seconds that a call may take (again so many for each 1000 completions beyond the first). A call that
            takes longer is ended, and its rows are missing: unscored, and counted.
        most_missing: the share of the last ten calls that may be ended so; with more the run saves and fails, and can
            be resumed.
    """

    name: Annotated[str, Field(examples=["reading"])]
    weight: float = 1.0
    args: dict[str, Any] = field(default_factory=dict)
    timeout: Annotated[int | float, Field(ge=1e-3, le=1e7, description="between 0.001 and 1e7 seconds")] = 300.0
    most_missing: Annotated[int | float, Field(ge=0, le=1, description="a share, 0 to 1")] = 0.5


@dataclass(frozen=True)
class HeldOutSpec:
    """The held-out people who are sampled while training.

    Attributes:
        every: steps between samples; 0: never.
        at: `every`; or `log`, at about 14 steps that are spaced by logarithms (1, 2, 3, 4, 5, 6, 8, ..., last), which
            tells the form of a Goodhart curve. With `log`, `every` says only whether (0: never).
    """

    every: Seed = 10
    at: Literal["every", "log"] = "every"
    n: Rows = 64
    split: str = "held_out"
    seed: Seed = 1234


@dataclass(frozen=True)
class Story:
    """What is hoped for and why; it goes on the model card."""

    goal: str = ""
    rationale: str = ""


def _one_model(policy: PolicySpec) -> PolicySpec:
    """Refuses a policy with two models, or none."""
    if policy.model_name_or_path is not None and policy.config is not None:
        raise Mistake("policy has both a model and a config.", "Keep one of them.", ("config",))
    if policy.model_name_or_path is None and policy.config is None:
        fix = "Write `model_name_or_path: recipes/smileworld/pretrain.yaml` (or a directory or Hub id) under `policy:`."
        raise Mistake("policy has neither a model nor a config.", fix)
    return policy


def _folder(output_dir: str) -> str:
    """Refuses an `output_dir` that no path can be, of a recipe or a study; `~` and variables are filled in."""
    wrong = no_path(output_dir)
    if wrong is not None:
        raise Mistake(f"output_dir {wrong}: {output_dir[:100]!r}.", "Write a folder, such as runs/mine.")
    there = expanded(output_dir)
    if "{" in there.replace("{seed}", ""):
        raise Mistake("output_dir has a placeholder other than {seed}.", "Only {seed} is filled in.")
    return there


Folder = Annotated[str, AfterValidator(_folder)]


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

    method: Annotated[str, Field(examples=["rloo"])]
    output_dir: Folder = ""
    seed: Seed = 0
    world: WorldSpec = field(default_factory=WorldSpec)
    policy: Annotated[PolicySpec, AfterValidator(_one_model)] = field(default_factory=PolicySpec)
    data: DataSpec = field(default_factory=DataSpec)
    rewards: Annotated[tuple[RewardSpec, ...], Field(examples=["[{name: reading}]"])] = ()
    training: dict[str, Any] = field(default_factory=dict)
    held_out: HeldOutSpec = field(default_factory=HeldOutSpec)
    story: Story = field(default_factory=Story)
    source: str = ""
    lines: Lines = field(default_factory=lambda: Lines(""), compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `yaml_lines.dump` writes and `read_recipe` reads back as an equal recipe (but `source`)."""
        plain = {name: getattr(self, name) for name in _KEYS}
        plain |= {name: dataclasses.asdict(plain[name]) for name in _SECTIONS}
        return plain | {"rewards": [dataclasses.asdict(reward) for reward in self.rewards]}

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


def read_recipe(
    path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = (), places: Mapping[str, str] | None = None
) -> Recipe:
    """The recipe in a file, checked only for its own form: fast, imports no library. `recipe_check.load_recipe` checks
    what it names.

    Args:
        places: where each override was written, such as `plan.yaml:7`; those that are not in it are of the command
            line.
    """
    data, lines = read(paths.find(path) or path)
    if not isinstance(data, dict):
        raise lines.error(Problem((), "a recipe is a mapping with the keys method, policy, training, ..."))
    for key, value in (overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)).items():
        _override(data, _key(key), value, lines, (places or {}).get(key))
    data.setdefault("policy", {})
    values, problems = checked(Recipe, data, hidden=("source", "lines"))
    if problems:
        raise lines.error(*problems)
    output_dir = values.pop("output_dir", None) or expanded(f"runs/{Path(lines.file).stem}/seed{{seed}}")
    recipe = Recipe(**values, source=lines.file, lines=lines)
    return dataclasses.replace(recipe, output_dir=output_dir.replace("{seed}", str(recipe.seed)))


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


def reward_spec(said: Any, key: Key, lines: Lines) -> RewardSpec:
    """What a name, or a mapping with a name, says of a reward.

    Raises:
        RecipeError: it is neither, or has a key or value that a recipe could not have.
    """
    spec, problems = fitted({"name": said} if isinstance(said, str) else said, RewardSpec, key)
    if problems:
        raise lines.error(*problems)
    return spec
