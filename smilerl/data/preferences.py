"""What DPO and KTO learn from: pairs (`prompt`, `chosen`, `rejected`) or labels (`prompt`, `completion`, `label`).

A recipe says where they come from:

    data: {n: 8192, args: {path: pairs.jsonl}}         a file: JSONL or parquet, of `smilerl pairs` or real preferences
    data: {n: 8192, args: {dataset: trl-lib/ultrafeedback_binarized}}   the same as a Hub id or a local folder
    rewards: [{name: sentiment}]                       made on first use: the policy's own replies to `data.n` people,
    data: {n: 1024, args: {k: 8}}                      `k` to each, scored by the rewards (see `pairs`)
    data: {n: 8192, args: {a_smile: 2.0}}              neither: the world's own pairs; SmileWorld's come from its
                                                       annotators, a declared channel whose knobs these are

Prompts and replies are plain text or messages, all of one kind; a prompt may be left out where chosen and rejected are
whole talks. An error about a file names `file:line`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from datasets import Dataset

from smilerl import worlds
from smilerl.config.recipe import Recipe
from smilerl.io import paths
from smilerl.io.records import BadRows, OnBadRow, hub, records
from smilerl.runs import lineage
from smilerl.worlds.base import World
from smilerl.worlds.dialogue.rows import Reader, key

#: Tokens of a reply that is sampled, where a recipe does not say; as TRL's GRPO and RLOO have it.
COMPLETION_LENGTH = 256


@dataclass(frozen=True)
class FileArgs:
    """What `data.args` may hold when pairs or labels come from a file or a HF dataset.

    Attributes:
        path: a JSONL file (see `smilerl.io.records`), or parquet.
        dataset: instead: Hub id or local folder, with `config` and `source_split`.
        prompt_column: where the prompt is, if not in `prompt`.
        roles: what roles of messages mean, such as `{human: user, gpt: assistant}`.
        max_completion_length: tokens of a reply that is sampled from held-out people.
        on_bad_row: `stop`: a row that cannot be used refuses the file; `skip`: such rows are left out, and counted.
    """

    path: str | None = None
    dataset: str | None = None
    config: str | None = None
    source_split: str = "train"
    prompt_column: str | None = None
    roles: dict[str, str] = field(default_factory=dict)
    max_completion_length: int = COMPLETION_LENGTH
    on_bad_row: OnBadRow = "stop"


@dataclass(frozen=True)
class SampledArgs:
    """What `data.args` may hold when pairs or labels are made by the recipe's rewards.

    Attributes:
        k: replies to each person, at least 2.
        temperature: of the sampling, above 0.
        threshold: for labels: a reply with a higher reward is good. None: higher than the median of the replies to its
            person.
        max_completion_length: tokens of a reply, here and from held-out people; where nobody says, no more than fit
            into the context.
    """

    k: int = 8
    temperature: float = 1.0
    threshold: float | None = None
    max_completion_length: int = COMPLETION_LENGTH


def source(recipe: Recipe) -> str:
    """Where a recipe's pairs or labels come from: `file`, `rewards` or `world`."""
    if {"path", "dataset"} & recipe.data.args.keys():
        return "file"
    return "rewards" if recipe.rewards else "world"


def channels(recipe: Recipe) -> tuple[str, ...]:
    """The declared channels that are open while the data is made, besides those of rewards."""
    return ("annotators",) if source(recipe) == "world" and worlds.kind(recipe.world.name).annotated else ()


def learnt_from(recipe: Recipe) -> tuple[str, ...]:
    """The channels through which outcomes reached the files that a recipe's data comes from."""
    named = [recipe.data.args.get("path"), recipe.data.args.get("dataset")]
    named += [recipe.world.args.get(key) for key in ("path", "dataset", "held_out_from")]
    files = [paths.find(name, recipe.source or None) for name in named if isinstance(name, str)]
    return tuple(sorted({channel for file in files for channel in lineage.of_file(file)}))


def completion_length(recipe: Recipe) -> int:
    """Tokens of a reply sampled from held-out people."""
    return int(recipe.data.args.get("max_completion_length", COMPLETION_LENGTH))


def pairs(recipe: Recipe, world: World) -> Dataset:
    """At most `data.n` pairs, in random order: columns `prompt`, `chosen`, `rejected`.

    Raises:
        ValueError: the file has a mistake (file:line), or the world has no pairs.
    """
    data = recipe.data
    if source(recipe) == "file":
        rows = _none_held_out(read_pairs(FileArgs(**data.args), recipe.source), recipe, world)
        return Dataset.from_list(random.Random(data.seed).sample(rows, min(data.n, len(rows))))
    return of_world(recipe, world, data.n).select_columns(["prompt", "chosen", "rejected"])


def labels(recipe: Recipe, world: World) -> Dataset:
    """At most `data.n` labelled replies: columns `prompt`, `completion`, `label`; of a pair one is good and one bad.

    They are in random order: KTO estimates a KL from neighbours, which should answer different prompts.

    Raises:
        ValueError: as `pairs`.
    """
    data = recipe.data
    if source(recipe) == "file":
        rows = _none_held_out(read_labels(FileArgs(**data.args), recipe.source), recipe, world)
    else:
        rows = unpaired(of_world(recipe, world, (data.n + 1) // 2))
    return Dataset.from_list(random.Random(data.seed).sample(rows, min(data.n, len(rows))))


def _none_held_out(rows: list[dict], recipe: Recipe, world: World) -> list[dict]:
    """The rows; a ValueError where some are about the people that the run is held out on."""
    held_out = recipe.held_out
    watched = {key(prompt) for prompt in world.people(held_out.split, held_out.n, held_out.seed)["prompt"][:]}
    both = sum(key(row["prompt"]) in watched for row in rows)
    if both:
        raise ValueError(
            f"{both} of {len(rows)} rows of {_name(FileArgs(**recipe.data.args))} are about prompts that the run is "
            f"held out on (held_out.split: {held_out.split}). Make the file from people of another split; or, where "
            "the world has these pairs itself, leave data.args.path out: its own pairs keep to data.split"
        )
    return rows


def of_world(recipe: Recipe, world: World, n: int, section: Literal["data", "held_out"] = "data") -> Dataset:
    """`n` pairs that the world has, or that its annotators make.

    Args:
        section: of the recipe, whose seed and split are meant.

    Raises:
        ValueError: it has none, or an annotator has no such knob.
    """
    knobs = {name: value for name, value in recipe.data.args.items() if name != "max_completion_length"}
    whose = getattr(recipe, section)
    if world.pairs_by_split:
        knobs["split"] = whose.split
    try:
        return world.pairs(n, whose.seed, **knobs)
    except TypeError:
        raise ValueError(
            f"the pairs of the world '{world.name}' take none of {', '.join(knobs)}. For a file write path; "
            "for pairs made by sampling add `rewards:`"
        ) from None


def unpaired(rows: Any) -> list[dict]:
    """Each pair as a good and a bad reply."""
    return [
        {"prompt": row["prompt"], "completion": row[which], "label": which == "chosen"}
        for row in rows
        for which in ("chosen", "rejected")
    ]


def read_pairs(args: FileArgs, beside: str = "") -> list[dict]:
    """All pairs of a file or data set.

    Args:
        beside: the recipe that names it.

    Raises:
        ValueError: there is none, or a row is no pair; says where.
    """
    return _some(_read(args, beside, lambda item, where: [_pair(item, where, args)]), args)


def read_labels(args: FileArgs, beside: str = "") -> list[dict]:
    """All labelled replies of a file or data set; pairs are taken apart.

    Raises:
        ValueError: there is none, a row has no true or false label, or all labels are alike; says where.
    """
    rows = _read(args, beside, lambda item, where: _labelled(item, where, args))
    if len({row["label"] for row in rows}) == 1:
        raise ValueError(
            f"{_name(args)}: every label is {str(rows[0]['label']).lower()}; KTO learns from good replies and bad ones"
        )
    return _some(rows, args)


def _read(args: FileArgs, beside: str, rows_of: Callable[[Mapping, str], list[dict]]) -> list[dict]:
    """What is made of each row of the file or data set; bad rows are refused together, or left out."""
    bad = BadRows(args.on_bad_row)
    rows: list[dict] = []
    for where, item in _items(args, beside, bad):
        try:
            own = rows_of(item, where)
            _same_kind([*rows[:1], *own], where)
        except ValueError as error:
            bad.add(where, error)
        else:
            rows += own
    bad.check(len(rows))
    return rows


def _pair(item: Mapping, where: str, args: FileArgs) -> dict:
    if item.get("chosen") is None or item.get("rejected") is None:
        raise ValueError(f"{where}: a pair has 'chosen' and 'rejected'; here are {_columns(item)}{_or_labels(item)}")
    row = _reader(args, "chosen").row(item, where)
    if isinstance(row.prompt, str) != isinstance(row.rejected, str):
        raise ValueError(f"{where}: prompt, chosen and rejected must all be text or all be messages")
    if row.completion == row.rejected:
        raise ValueError(f"{where}: chosen and rejected are the same; such a pair says nothing. Take the line out")
    return {"prompt": row.prompt, "chosen": row.completion, "rejected": row.rejected}


def _labelled(item: Mapping, where: str, args: FileArgs) -> list[dict]:
    """The labelled reply of a row, or the two of a pair."""
    if item.get("chosen") is not None and item.get("rejected") is not None:
        row = _reader(args, "chosen").row(item, where)
        return unpaired([{"prompt": row.prompt, "chosen": row.completion, "rejected": row.rejected}])
    if item.get("completion") is None or "label" not in item:
        raise ValueError(f"{where}: a labelled reply has 'completion' and 'label'; here are {_columns(item)}")
    label = item["label"]
    if not isinstance(label, bool):
        raise ValueError(f"{where}: label is {json.dumps(label, default=str)}, but should be true or false")
    row = _reader(args, "completion").row(item, where)
    return [{"prompt": row.prompt, "completion": row.completion, "label": label}]


def _items(args: FileArgs, beside: str, bad: BadRows) -> Iterator[tuple[str, Mapping]]:
    if (args.path is None) == (args.dataset is None):
        raise ValueError("give either path: a JSONL or parquet file, or dataset: a Hub id or folder")
    if args.dataset is not None:
        yield from hub(args.dataset, args.config, args.source_split, bad)
        return
    if paths.find(str(args.path), beside or None) is None:
        raise ValueError(f"there is no file '{args.path}'. `smilerl pairs` makes one")
    yield from records(str(args.path), bad, beside or None)


def _reader(args: FileArgs, reply: str) -> Reader:
    return Reader(args.prompt_column, reply, None, "as_is", args.roles)


def _same_kind(rows: list[dict], where: str) -> None:
    if isinstance(rows[0]["prompt"], str) != isinstance(rows[-1]["prompt"], str):
        kinds = ["text" if isinstance(row["prompt"], str) else "messages" for row in (rows[0], rows[-1])]
        raise ValueError(f"{where}: the prompt is {kinds[1]}, and the first one is {kinds[0]}: all must be of one kind")


def _some(rows: list[dict], args: FileArgs) -> list[dict]:
    if not rows:
        raise ValueError(f"{_name(args)} is empty: there is nothing to learn from")
    return rows


def _name(args: FileArgs) -> str:
    return str(args.path or args.dataset)


def _columns(item: Mapping) -> str:
    return f"the columns {', '.join(item)}" if item else "no columns"


def _or_labels(item: Mapping) -> str:
    return ". Labels are for `method: kto`" if "label" in item else ""
