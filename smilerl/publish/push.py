"""`smilerl push`, all but the upload: a finished run as a repository that strangers can use, every byte scanned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from smilerl.config.recipe import read_recipe
from smilerl.io import paths
from smilerl.io.terminal import brief
from smilerl.models.gguf import file_of
from smilerl.models.hub import trust
from smilerl.models.hub.ids import HubError, HubId, explained, parse
from smilerl.publish import card, contents, dataset
from smilerl.publish.contents import Item, Left, Parcel, Prepared
from smilerl.publish.facts import Base, Facts, base_of, for_strangers, gguf_of, named_base, study_of
from smilerl.publish.scan import key_variables, own_secrets
from smilerl.runs.directory import Run, RunError


@dataclass(frozen=True)
class Options:
    """How to push.

    Attributes:
        to: `org/name`, or a `name` under one's own account; made from the run's folder when None.
        licence: an identifier of the Hub's list; the base's when None.
        study: the folder of the study, where the run does not lie in it.
        base: the id under which the base of the run is on the Hub; it is pushed there first if nothing is.
        renamed: ids that stand for models that are only here.
    """

    to: str | None = None
    licence: str | None = None
    study: Path | None = None
    base: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)


def prepare(name: str, options: Options) -> Prepared:
    """Everything of a push but the push: what would go, looked through. Asks the Hub for nothing but a base's licence.

    Args:
        name: a run directory, the recipe of a model (built if it is not), or the folder of a data set with its card.

    Raises:
        HubError: it cannot be published as it is; says what to do.
    """
    place = paths.find(name)
    if place is None:
        near = paths.near(name)
        fix = f"Did you mean {near}?" if near else "Write a run directory, such as runs/smile/reading/seed-0, or data."
        raise HubError(f"there is nothing at '{name}'.\n    {fix}")
    if dataset.is_dataset(place):
        parcel = dataset.parcel(place)
        contents.refuse_secrets(parcel.items, own_secrets())
        return Prepared(_target(options.to, contents.plain_name(place.resolve().name), "dataset"), parcel)
    return _prepare_run(_run(place), options)


def dry_run(prepared: Prepared) -> str:
    """What would go, file by file with sizes, and what stays; a run's card is written into runs/cards to look at."""
    lines = []
    for one in (*prepared.before, prepared):
        files = len(one.parcel.items)
        lines.append(f"{one.hub_id.kind} {one.hub_id}: {files} files, {contents.readable(one.parcel.size)}")
        lines += [f"  {contents.readable(item.size):>9}  {item.name}" for item in sorted(one.parcel.items)]
        if one.parcel.left:
            lines += ["stays here:", *(f"  {left.path}: {left.why}" for left in one.parcel.left)]
        lines.append("")
    if prepared.content_hash is not None:
        lines.append(f"The card: {_write_card(prepared, Path('runs', 'cards', prepared.hub_id.repo.split('/')[-1]))}")
    else:
        lines.pop()
    return "\n".join([*lines, "Nothing was sent."])


def _write_card(prepared: Prepared, folder: Path) -> Path:
    """Writes the card and its picture into a folder, to look at, and returns the card's path."""
    readme = folder / "README.md"
    if readme.exists() and "smilerl" not in readme.read_text(encoding="utf-8", errors="replace"):
        raise HubError(
            f"{readme} is there already, and is no card of smilerl.\n    Nothing is overwritten: move it away."
        )
    for item in prepared.parcel.items:
        if item.name in ("README.md", card.PICTURE):
            path = folder / item.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(item.source if isinstance(item.source, bytes) else item.source.read_bytes())
    return folder / "README.md"


def _prepare_run(run: Run, options: Options) -> Prepared:
    if not run.finished:
        raise HubError(
            f"{run.path}: this run is {run.state}, so it has no final model to push.\n    Train it first: smilerl "
            f"train {run.recipe.source}"
        )
    for path in run.path.rglob("*"):
        if not (path.is_file() or path.is_dir() or path.is_symlink()):
            raise HubError(f"{path} is no ordinary file, so nothing was sent.\n    Delete it, or train the run again.")
    with _verified(run):
        return _parcel_of(run, options)


@contextmanager
def _verified(run: Run) -> Iterator[None]:
    """Raises if the run is damaged, also in place of an error in this block that the damage caused."""
    parts = ("recipe.yaml", "manifest.json", "samples")
    try:
        yield
    except (HubError, RunError):
        raise
    except Exception:
        run.check(*parts)
        raise
    run.check(*parts)
    run.notice()


def _parcel_of(run: Run, options: Options) -> Prepared:
    title = options.to.split("/")[-1] if options.to else _title(run)
    hub_id = _target(options.to, title, "model")
    named, base = run.recipe.policy.model_name_or_path, base_of(run, options.renamed)
    here = base  # as it is on this machine, whatever it is called elsewhere
    if options.base:
        if base.kind == "hub" or (base.kind == "fresh" and base.folder is None):
            on_hub = f"the base of {run.path} is on the Hub already: {base.name}"
            raise HubError(f"{on_hub if base.name else f'{run.path} was trained from nothing'}.\n    Leave out --base.")
        base = Base("hub", options.base, base.folder)
    _check_base(run, base, options)
    renamed = {**options.renamed, **({named: options.base} if options.base and named else {})}
    facts = Facts(run, title, base, for_strangers(run.recipe, title, renamed, base), study_of(run, options.study))
    licence = options.licence or _licence(here, run)
    items, left = contents.of_run(facts)
    made = card.of_run(facts, hub_id.repo, licence)
    items.append(Item("README.md", made.text.encode()))
    if made.picture is not None:
        items.append(Item(card.PICTURE, made.picture))
    before = (_prepare_base(facts, here, options, licence),) if options.base else ()
    return Prepared(hub_id, _looked_through(items, left, facts), run.manifest.get("content_hash"), before)


def _prepare_base(facts: Facts, here: Base, options: Options, licence: str) -> Prepared:
    """The base of a run as a repository of its own: the run that built it, or the weights alone."""
    folder, run = _weights(here, facts.run)
    if run is not None:
        return _prepare_run(run, replace(options, to=options.base, base=None, study=None, licence=licence))
    hub_id = _target(options.base, "", "model")
    facts = replace(facts, base=replace(facts.base, folder=folder))
    items, left = contents.of_model(folder)
    text = card.of_weights(hub_id.repo.split("/")[-1], facts, hub_id.repo, licence)
    return Prepared(hub_id, _looked_through([*items, Item("README.md", text.encode())], left, facts))


def _weights(base: Base, run: Run) -> tuple[Path, Run | None]:
    """Where a base that is not on the Hub lies, and the run that made it, if one did."""
    folder = base.folder
    if folder is None or folder.is_file() or file_of(folder):
        from smilerl.training.models import model_dir

        folder = model_dir(base.name, beside=run.recipe.source)
    if (folder / "status.json").is_file():
        folder = folder / "model"
    made = folder.name == "model" and (folder.parent / "status.json").is_file()
    return folder, Run.open(folder.parent) if made else None


def _looked_through(items: Sequence[Item], left: Sequence[Left], facts: Facts) -> Parcel:
    run = facts.run
    names = {run.model: facts.title, run.path: facts.title}
    files = [run.path / "recipe.yaml", run.path / "manifest.json"]
    if facts.study is not None:
        names[facts.study] = "study"
        files += [facts.study / "study.json", *sorted(facts.study.glob("*/seed-*/recipe.yaml"))]
    if facts.base.folder is not None:
        names[facts.base.folder] = facts.base.name or "base"
    contents.refuse_links(items, list(names))
    said, judged = (
        [file.read_text(encoding="utf-8", errors="replace") for file in some if file.is_file()]
        for some in (files, run.path.glob("evals/*/*.json"))
    )
    keys = {name for text in [*said, *judged] for name in key_variables(text)}
    contents.refuse_secrets(items, own_secrets(named=keys))  # before anything is taken out of them
    clean = contents.without_places(items, names, said)
    return Parcel(tuple(sorted(clean, key=lambda item: item.name)), tuple(left))


def _run(place: Path) -> Run:
    if place.is_file():
        if place.suffix not in (".yaml", ".yml"):
            raise HubError(
                f"{place} is a file.\n    Write a run directory, such as runs/smile/reading/seed-0, or data."
            )
        from smilerl.training.models import model_dir

        trust.refuse_to_build(place)
        place = model_dir(place).parent
    if place.name == "model" and (place.parent / "status.json").is_file():
        place = place.parent
    if not (place / "status.json").is_file():
        if (place / "study.json").is_file():
            raise HubError(f"{place} is a study.\n    Push one of its runs, such as {paths.a_run_of(place)}.")
        raise HubError(
            f"{place} is neither a run directory nor a data set with a card.\n    Push a run directory (there is a "
            "status.json in it)."
        )
    run = Run.open(place)
    if not run.made_here:  # what it starts from may be built, and its rewards are looked at
        for part, one in trust.admit(trust.without(run.recipe), str(place)).strange.items():
            raise HubError(
                f"{place} was not made here by you, and its recipe names '{brief(one.value, most=100)}' ({part}), "
                f"{one.what}.\n    Only whoever made such a run pushes it. If it is yours, train it again: what this "
                "machine makes is signed."
            )
    return run


def _check_base(run: Run, base: Base, options: Options) -> None:
    """What is pushed has to work for strangers: they need the base of an adapter, and that of a comparison."""
    adapter = (run.model / "adapter_config.json").is_file()
    if base.kind in ("hub", "package") or (not adapter and base.kind in ("recipe", "fresh")):
        return
    what = "the adapter can be loaded only on top of its base" if adapter else "evaluations compare it with its base"
    raise HubError(
        f"{run.path}: {what}, {base.name or 'the random weights that it began with'}, which is not on the Hub.\n"
        "    Add --base ORG/NAME: where the base is, or where it is to be pushed first."
    )


def _licence(base: Base, run: Run) -> str:
    """The licence of what a run made: its base's, all the way down; our own where it began with nothing."""
    if base.kind == "fresh":
        return card.OWN_LICENCE
    if base.kind == "recipe":
        recipe = read_recipe(base.name)
        return _licence(named_base(recipe.policy.model_name_or_path, recipe.source), run)
    if base.kind in ("local", "package"):
        if (known := gguf_of(run)) and known["licence"]:
            return known["licence"].lower()
        folder, maker = _weights(base, run)
        if maker is None:
            raise HubError(
                f"it is not known under what licence the base {folder} may be used, nor what is made from it.\n    Say "
                "it: --license ID."
            )
        return _licence(base_of(maker, {}), maker)
    from huggingface_hub import HfApi

    hub_id = HubId(str(base.repo), base.revision)
    with explained(hub_id):
        info = HfApi().model_info(hub_id.repo, revision=hub_id.revision)
    found = getattr(info.card_data, "license", None) if info.card_data else None
    if not isinstance(found, str):
        raise HubError(
            f"the card of {hub_id} states no licence, so it is not known what this one may be.\n    Look at "
            f"{hub_id.url} and say it: --license ID."
        )
    return found


def _target(to: str | None, otherwise: str, kind: Any) -> HubId:
    name = to or otherwise
    hub_id = parse(name)
    if hub_id is None or hub_id.revision or (to or "").startswith("datasets/"):
        fix = "Write --to ORG/NAME, with letters, digits, -, _ and . in it."
        raise HubError(f"'{name}' is no name for a repository.\n    {fix}")
    return HubId(hub_id.repo, kind=kind)


def _title(run: Run) -> str:
    """A name made from the run's folder: `smilerl-smile-reading-seed-0` for `runs/smile/reading/seed-0`."""
    parts = run.path.resolve().parts
    parts = parts[parts.index("runs") + 1 :] if "runs" in parts else parts[-1:]
    return contents.plain_name("-".join(["smilerl", *parts[-3:]]))
