"""Which files of a run are published, under which names, and why the others stay.

    README.md  figures/                        the card
    recipe.yaml  manifest.json  metrics.jsonl  what the model was made from
    config.json ...                            the model or adapter, tokenizer
    evals/<suite>/  samples/  code/            what it does, what it says, the user's own rewards
    study/                                     the report of its study

The model lies at the top, where `from_pretrained` looks. This is a list of what goes and not of what stays, so that new
kinds of files, such as another optimizer's state, stay here.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from smilerl.config.yaml_lines import dump
from smilerl.io import places
from smilerl.io.files import read_json
from smilerl.models.hub.fetch import base_on_hub, cached_id
from smilerl.models.hub.ids import HubError, HubId
from smilerl.publish import private
from smilerl.publish.facts import Facts, reward_code
from smilerl.publish.scan import Values, pieces, scan
from smilerl.runs.ownership import made_by_a_run

_MODEL = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "pytorch_model*.bin",
          "adapter_model.bin")  # fmt: skip
#: Files beside a model that are no part of it. `training_args.bin` holds the Hub token in plain text.
_NEVER = ("training_args.bin", "optimizer*", "scheduler*", "rng_state*", "trainer_state.json", "README.md", ".*")
#: What goes, at least in part, of the files that a run makes (`ownership.OF_A_RUN`).
_GOES = ("recipe.yaml", "manifest.json", "metrics.jsonl", "samples", "model", "evals")
#: Why the rest stays; empty for a lock, a status and seals, which are not mentioned.
_STAYS = {
    "checkpoints": "optimizer state and intermediate weights",
    "earlier": "earlier attempts",
    "initial": "the weights it began with",
    "uncommitted*.diff": "changes to the code, which may say more than is meant",
    "traceback.txt": "an error, with places of this machine",
    "pairs.jsonl": "the pairs that it was trained on, which may be others' data",
    "pairs.jsonl.provenance.json": "",
    "lock": "",
    "status.json": "",
    "*sealed.json": "",
}
_STUDY = ("study.json", "report.html", "report.md", "figures/*.svg", "tables/*.parquet")
_SHOWN = 8


class Item(NamedTuple):
    """One file that goes: its name in the repository, and the file here or the bytes that go in its place."""

    name: str
    source: Path | bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


class Left(NamedTuple):
    """What stays on this machine, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Parcel:
    """All that goes, looked through.

    Attributes:
        items: by name.
        left: what of the run's folder stays.
    """

    items: tuple[Item, ...]
    left: tuple[Left, ...] = ()

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(item.size for item in self.items)


@dataclass(frozen=True)
class Prepared:
    """One repository, ready to go.

    Attributes:
        hub_id: where it goes.
        content_hash: of the run, to tell another run's repository from an earlier push of this one; None for data and
            bare weights.
        before: repositories that have to be there first: an adapter's base.
    """

    hub_id: HubId
    parcel: Parcel
    content_hash: str | None = None
    before: tuple[Prepared, ...] = ()


def of_run(facts: Facts) -> tuple[list[Item], list[Left]]:
    """The files of a run, before its card, and what stays of it."""
    run = facts.run
    items, left = of_model(run.model)
    if facts.is_adapter:
        items = [_with_base(item, facts) if item.name == "adapter_config.json" else item for item in items]
    items.append(Item("recipe.yaml", dump(facts.recipe.to_dict()).encode()))
    items += _existing(run.path, ("manifest.json", "metrics.jsonl", "samples/*.parquet"))
    items += _existing(run.path, ("evals/*/results.json", "evals/*/own_reward.json", "evals/*/samples.parquet"))
    items += [Item(f"code/{file.name}", file) for file in reward_code(facts.run.recipe)]
    if facts.study is not None:
        items += [Item(f"study/{item.name}", item.source) for item in _existing(facts.study, _STUDY)]
    return items, left + _staying(run.path)


def _staying(folder: Path) -> list[Left]:
    """The files of a run that stay, but for those that need no mention."""
    left = []
    for name in sorted(places.entries(folder)):
        if made_by_a_run(name) and name not in _GOES:
            why = next(
                (why for pattern, why in _STAYS.items() if fnmatch.fnmatch(name, pattern)), "not known to be needed"
            )
            left += [Left(name, why)] if why else []
    return left


def of_model(folder: Path) -> tuple[list[Item], list[Left]]:
    """The files of a model's folder that it is loaded from, and what else lies there."""
    items, left = [], []
    for file in sorted(folder.iterdir()):
        if file.is_file() and _matches(file.name, _MODEL) and not _matches(file.name, _NEVER):
            items.append(Item(file.name, file))
        else:
            left.append(Left(f"{folder.name}/{file.name}", "not a file that the model is loaded from"))
    if not any(item.name in ("config.json", "adapter_config.json") for item in items):
        raise HubError(f"{folder} holds neither config.json nor adapter_config.json, so there is no model to push.")
    return items, left


def refuse_links(items: Sequence[Item], folders: Sequence[Path]) -> None:
    """Checks that every file lies in the folder that is published, and is no link to one that lies elsewhere.

    Args:
        folders: those that may be published: of the run, its study, its base. A user's own code (`code/`) may be
            anywhere.

    Raises:
        HubError: a file leads out of them.
    """
    allowed = [folder.resolve() for folder in folders]
    for item in items:
        if isinstance(item.source, bytes):
            continue
        place = item.source.resolve()
        inside = place.suffix == ".py" if item.name.startswith("code/") else any(map(place.is_relative_to, allowed))
        if not inside or not place.is_file():
            raise HubError(
                f"{item.source} is a link to a file outside of what is published, so nothing was sent.\n"
                "    Put the file itself in its place, or delete the link."
            )


def without_places(items: Sequence[Item], names: dict[Path, str], about: Sequence[str] = ()) -> list[Item]:
    """The items with nothing about this machine in them, nor the e-mail addresses of a command.

    Args:
        names: folders here that are known elsewhere by a name.
        about: the command and the recipe: e-mail addresses that stand in them are taken out wherever files may be
            rewritten.

    Raises:
        HubError: a path of this machine stands where it cannot be rewritten.
    """
    known = private.places(names)
    rewritten = [*private.addresses(about), *known]
    clean: list[Item] = []
    found: list[str] = []
    for item in items:
        if not private.is_rewritable(item.name):
            found += _places_in(item, known)
            clean.append(item)
            continue
        data = item.source if isinstance(item.source, bytes) else item.source.read_bytes()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise HubError(
                f"{item.name} is no UTF-8 text (byte {error.start}), so nothing was sent.\n    Make that file again."
            ) from None
        better = private.clean(item.name, text, rewritten)
        clean.append(item if better == text else Item(item.name, better.encode()))
    if found:
        shown = "\n".join(f"    {line}" for line in found[:_SHOWN])
        raise HubError(
            f"paths of this machine stand in files that cannot be rewritten, so nothing was sent:\n{shown}\n"
            "    Make those files again without them (data that names files by relative paths, for instance)."
        )
    return clean


def refuse_secrets(items: Sequence[Item], values: Values) -> None:
    """Looks at every byte that would go.

    Raises:
        HubError: there is a secret; says in which file and where, and never what it is.
    """
    hits = [hit for item in items for hit in scan(item.name, item.source, values)]
    if hits:
        more = f"\n    ... and {len(hits) - _SHOWN} more" if len(hits) > _SHOWN else ""
        shown = "\n".join(f"    {hit}" for hit in hits[:_SHOWN])
        raise HubError(
            f"there are secrets in what would be published, so nothing was sent:\n{shown}{more}\n"
            "Take them out of these files (and revoke them, if others have seen the files)."
        )


def _with_base(item: Item, facts: Facts) -> Item:
    """The adapter's config with the base that others can load."""
    assert isinstance(item.source, Path)
    if base_on_hub(item.source.parent) is not None:
        return item  # it says so already, with the commit that it was trained on
    config = read_json(item.source, needed=("base_model_name_or_path",))
    base = cached_id(config["base_model_name_or_path"]) or facts.base
    config |= {"base_model_name_or_path": base.repo or facts.base.name, "revision": base.revision}
    return Item(item.name, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())


def _places_in(item: Item, known: Sequence[tuple[str, str]]) -> Iterator[str]:
    for piece in pieces(item.name, item.source):
        at = private.place_in(piece.data, known, name=item.name, text=piece.text)
        if at is not None:
            yield f"{item.name}, {piece.place(at)}"
            return


def _existing(folder: Path, patterns: Sequence[str]) -> list[Item]:
    files = (file for pattern in patterns for file in sorted(folder.glob(pattern)) if file.is_file())
    return [Item(file.relative_to(folder).as_posix(), file) for file in files]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def readable(size: float) -> str:
    """A size as people say it: `2.5 MB`."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def plain_name(text: str) -> str:
    """Letters, digits, `-`, `_` and `.` of a text, as repositories are named."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:90]
