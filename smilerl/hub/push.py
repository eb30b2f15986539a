"""`smilerl push`: a finished run as a repository that strangers can use, in one commit, after everything in it was looked at.

Order matters: what goes is gathered, names of this machine are taken out, every byte is scanned, the card is written, and only
then is anything asked of the Hub. A push that is stopped shows nothing of itself, and can be repeated.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smilerl import paths
from smilerl.hub import card, contents, dataset
from smilerl.hub.contents import Item, Left, Parcel
from smilerl.hub.facts import Base, Facts, base_of, for_strangers, study_of
from smilerl.hub.ids import HubError, HubId, explained, no_token, parse
from smilerl.hub.scan import own_secrets
from smilerl.run import Run

#: What every repository of a run has; a repository without is somebody else's.
_OURS = {"recipe.yaml", "manifest.json"}


@dataclass(frozen=True)
class Options:
    """How to push.

    Attributes:
        to: `org/name`, or a `name` under one's own account; made from the run's folder when None.
        private: of a repository that does not exist yet.
        licence: an identifier of the Hub's list; the base's when None.
        study: the folder of the study, where the run does not lie in it.
        base: the id under which the base of the run is on the Hub; it is pushed there first if nothing is.
        renamed: ids that stand for models that are only here.
        overwrite: replace what another run left in the repository.
    """

    to: str | None = None
    private: bool = False
    licence: str | None = None
    study: Path | None = None
    base: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False


@dataclass(frozen=True)
class Prepared:
    """One repository, ready to go.

    Attributes:
        hub_id: where it goes.
        content_hash: of the run, to tell another run's repository from an earlier push of this one; None for data.
        before: repositories that have to be there first: an adapter's base.
    """

    hub_id: HubId
    parcel: Parcel
    content_hash: str | None = None
    before: tuple[Prepared, ...] = ()


def prepare(name: str, options: Options) -> Prepared:
    """Everything of a push but the push: what would go, looked through. Asks the Hub for nothing but a base's licence.

    Args:
        name: a run directory, the recipe of a model (built if it is not), or the folder of a data set with its card.

    Raises:
        HubError: it cannot be published as it is; says what to do.
    """
    place = paths.find(name)
    if place is None:
        raise HubError(
            f"there is nothing at '{name}'.\n    Write a run directory, such as runs/smile/reading/seed-0, or data."
        )
    if dataset.is_dataset(place):
        parcel = dataset.parcel(place)
        contents.refuse_secrets(parcel.items, own_secrets())
        return Prepared(_target(options.to, contents.plain_name(place.resolve().name), "dataset"), parcel)
    return _prepare_run(_run(place), options)


def push(prepared: Prepared, options: Options) -> str:
    """Uploads what was prepared, each repository in one commit, and returns the address of the last.

    Raises:
        HubError: no token, no right to write there, somebody else's repository, or no network. Nothing half-done is visible.
    """
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise no_token(prepared.hub_id)
    api = HfApi()
    with explained(prepared.hub_id, "write"):
        account = api.whoami()["name"] if "/" not in prepared.hub_id.repo else ""
    for one in prepared.before:
        _commit(api, one, options, keep=True)
    return _commit(api, _under(prepared, account), options)


def listing(prepared: Prepared) -> list[str]:
    """The lines of a dry run: every file with its size, and what stays."""
    lines = []
    for one in (*prepared.before, prepared):
        lines.append(
            f"{one.hub_id.kind} {one.hub_id}: {len(one.parcel.items)} files, {contents.readable(one.parcel.size)}"
        )
        lines += [f"  {contents.readable(item.size):>9}  {item.name}" for item in sorted(one.parcel.items)]
        if one.parcel.left:
            lines.append("stays here:")
            lines += [f"  {left.path}: {left.why}" for left in one.parcel.left]
        lines.append("")
    return lines[:-1]


def write_card(prepared: Prepared, folder: Path) -> Path:
    """Writes the card and its picture into a folder, to look at, and returns the card's path."""
    for item in prepared.parcel.items:
        if item.name in ("README.md", card.PICTURE):
            path = folder / item.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(item.source if isinstance(item.source, bytes) else item.source.read_bytes())
    return folder / "README.md"


def _prepare_run(run: Run, options: Options) -> Prepared:
    _check_finished(run)
    title = options.to.split("/")[-1] if options.to else _title(run)
    hub_id = _target(options.to, title, "model")
    named = run.recipe.policy.model_name_or_path
    renamed = {**options.renamed, **({named: options.base} if options.base and named else {})}
    base = base_of(run, renamed)
    if base.kind == "fresh" and base.folder is not None and options.base:
        base = Base("hub", options.base, base.folder)
    _check_base(run, base, options)
    study = study_of(run, options.study)
    facts = Facts(run, title, base, for_strangers(run.recipe, title, renamed, base), study)
    licence = options.licence or _licence_of(base, options)
    items, left = contents.of_run(facts)
    made = card.of_run(facts, hub_id.repo, licence)
    items.append(Item("README.md", made.text.encode()))
    if made.picture is not None:
        items.append(Item(card.PICTURE, made.picture))
    before = (_prepare_base(facts, options, licence),) if options.base else ()
    return Prepared(hub_id, _looked_through(items, left, facts), run.manifest.get("content_hash"), before)


def _prepare_base(facts: Facts, options: Options, licence: str) -> Prepared:
    """The base of a run as a repository of its own: the run that built it, or the weights alone."""
    from dataclasses import replace

    named = facts.run.recipe.policy.model_name_or_path
    folder = facts.base.folder
    if folder is None and named is not None:
        from smilerl import pipeline

        folder = pipeline.model_dir(named, beside=facts.run.recipe.source)
    if folder is None:
        raise HubError(f"{facts.run.path} has no base of its own: it was trained from nothing.\n    Leave out --base.")
    hub_id = _target(options.base, "", "model")
    place = folder if (folder / "status.json").is_file() else folder.parent
    if (place / "status.json").is_file() and place / "model" in (folder, folder / "model"):
        return _prepare_run(Run.open(place), replace(options, to=options.base, base=None, study=None, licence=licence))
    items, left = contents.of_model(folder)
    text = card.of_weights(hub_id.repo.split("/")[-1], facts.title, hub_id.repo, licence)
    return Prepared(hub_id, _looked_through([*items, Item("README.md", text.encode())], left, facts))


def _looked_through(items: Sequence[Item], left: Sequence[Left], facts: Facts) -> Parcel:
    run = facts.run
    names = {run.model: facts.title, run.path: facts.title}
    if facts.study is not None:
        names[facts.study] = "study"
    if facts.base.folder is not None:
        names[facts.base.folder] = facts.base.name or "base"
    clean = contents.without_places(items, names)
    contents.refuse_secrets(clean, own_secrets())
    return Parcel(tuple(sorted(clean)), tuple(left))


def _run(place: Path) -> Run:
    if place.is_file():
        from smilerl import pipeline

        if place.suffix not in (".yaml", ".yml"):
            raise HubError(
                f"{place} is a file.\n    Write a run directory, such as runs/smile/reading/seed-0, or data."
            )
        place = pipeline.model_dir(place).parent
    if place.name == "model" and (place.parent / "status.json").is_file():
        place = place.parent
    if not (place / "status.json").is_file():
        what = "a study" if (place / "study.json").is_file() else "neither a run directory nor a data set with a card"
        hint = (
            "one of its runs, such as " + str(place / "reading" / "seed-0")
            if what == "a study"
            else "a run directory (there is a status.json in it)"
        )
        raise HubError(f"{place} is {what}.\n    Push {hint}.")
    return Run.open(place)


def _check_finished(run: Run) -> None:
    if not run.finished:
        raise HubError(
            f"{run.path}: this run is {run.state}, so it has no final model to push.\n    Train it first: smilerl train {run.recipe.source}"
        )


def _check_base(run: Run, base: Base, options: Options) -> None:
    """What is pushed has to work for strangers: they need the base of an adapter, and that of a comparison."""
    adapter = (run.model / "adapter_config.json").is_file()
    if base.kind == "hub" or (not adapter and base.kind in ("recipe", "fresh")):
        return
    what = "the adapter can be loaded only on top of its base" if adapter else "evaluations compare it with its base"
    raise HubError(
        f"{run.path}: {what}, {base.name or 'the random weights that it began with'}, which is not on the Hub.\n"
        "    Add --base ORG/NAME: where the base is, or where it is to be pushed first."
    )


def _licence_of(base: Base, options: Options) -> str:
    """The base's licence, which what is made from it has to keep to."""
    if base.kind != "hub" or options.base:
        return card.OWN_LICENCE
    from huggingface_hub import HfApi

    hub_id = HubId(str(base.repo), base.revision)
    with explained(hub_id):
        info = HfApi().model_info(hub_id.repo, revision=hub_id.revision)
    found = getattr(info.card_data, "license", None) if info.card_data else None
    if not isinstance(found, str):
        raise HubError(
            f"the card of {hub_id} states no licence, so it is not known what this one may be.\n    Look at {hub_id.url} and say it: --license ID."
        )
    return found


def _target(to: str | None, otherwise: str, kind: Any) -> HubId:
    hub_id = parse(to or otherwise)
    if hub_id is None or hub_id.revision or (to or "").startswith("datasets/"):
        raise HubError(
            f"'{to or otherwise}' is no name for a repository.\n    Write --to ORG/NAME, with letters, digits, -, _ and . in it."
        )
    return HubId(hub_id.repo, kind=kind)


def _title(run: Run) -> str:
    """A name made from the run's folder: `smilerl-smile-reading-seed-0` for `runs/smile/reading/seed-0`."""
    parts = run.path.resolve().parts
    parts = parts[parts.index("runs") + 1 :] if "runs" in parts else parts[-1:]
    return contents.plain_name("-".join(["smilerl", *parts[-3:]]))


def _under(prepared: Prepared, account: str) -> Prepared:
    if "/" in prepared.hub_id.repo:
        return prepared
    from dataclasses import replace

    return replace(prepared, hub_id=HubId(f"{account}/{prepared.hub_id.repo}", kind=prepared.hub_id.kind))


def _commit(api, prepared: Prepared, options: Options, *, keep: bool = False) -> str:
    """One repository in one commit, with what an earlier push left in it taken away.

    Args:
        keep: leave a repository alone that holds the same model already, and refuse one that holds another.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    hub_id, items = prepared.hub_id, prepared.parcel.items
    with explained(hub_id, "write"):
        parent, there = _there(api, hub_id)
        others = there - {".gitattributes", "README.md"}
        if others and keep:
            _refuse_other_weights(api, prepared, parent)
            return hub_id.url
        if others and not options.overwrite:
            _refuse_others(api, prepared, others, parent)
        if parent is None:
            api.create_repo(hub_id.repo, repo_type=hub_id.kind, private=options.private, exist_ok=True)
        operations: list[Any] = [
            CommitOperationAdd(item.name, item.source if isinstance(item.source, bytes) else str(item.source))
            for item in items
        ]
        gone = others - {item.name for item in items}
        operations += [CommitOperationDelete(name) for name in sorted(gone)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that tables are no model: they are what is said of it
            api.create_commit(
                hub_id.repo, operations, repo_type=hub_id.kind, parent_commit=parent, commit_message="smilerl push"
            )
    return hub_id.url


def _there(api, hub_id: HubId) -> tuple[str | None, set[str]]:
    """The commit and files of a repository; None and nothing where there is none."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = api.repo_info(hub_id.repo, repo_type=hub_id.kind)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        return None, set()
    return info.sha, {file.rfilename for file in info.siblings or []}


def _refuse_others(api, prepared: Prepared, files: set[str], commit: str | None) -> None:
    """Raises if the repository holds something else than an earlier push of this run."""
    import json

    if prepared.content_hash is None:
        if {item.name for item in prepared.parcel.items} & files:
            return
    elif files >= _OURS:
        path = api.hf_hub_download(
            prepared.hub_id.repo, "manifest.json", repo_type=prepared.hub_id.kind, revision=commit
        )
        if json.loads(Path(path).read_text(encoding="utf-8")).get("content_hash") == prepared.content_hash:
            return
    what = "another run" if files >= _OURS else f"other files ({', '.join(sorted(files)[:3])}, ...)"
    raise HubError(
        f"{prepared.hub_id} holds {what} already, so nothing was sent.\n    Give another name (--to ORG/NAME), or replace what is there: --overwrite."
    )


def _refuse_other_weights(api, prepared: Prepared, commit: str | None) -> None:
    """Raises if a repository that is to be an adapter's base holds other weights than those it was trained on."""
    weights = [item for item in prepared.parcel.items if item.name.endswith(".safetensors")]
    there = {
        file.path: file
        for file in api.get_paths_info(prepared.hub_id.repo, [item.name for item in weights], revision=commit)
    }
    for item in weights:
        found = there.get(item.name)
        if found is None or not _same(item, found):
            raise HubError(
                f"{prepared.hub_id} is there, and its {item.name} is not the base that this run started from, so nothing was sent.\n"
                "    Give --base another name: the base is pushed there."
            )


def _same(item: Item, there) -> bool:
    """Whether a file of a repository has the same content, by the hash that the Hub keeps of it."""
    import hashlib

    data = item.source if isinstance(item.source, bytes) else item.source.read_bytes()
    if there.lfs is not None:
        return hashlib.sha256(data).hexdigest() == there.lfs.sha256
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest() == there.blob_id
