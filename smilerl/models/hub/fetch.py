"""Fetches repositories of the Hub: into the client's cache, or as a copy to keep (`pull`).

Into the cache goes what a model is loaded from, and of a run of `smilerl push` what an evaluation needs. No code of a
repository is ever imported.
"""

from __future__ import annotations

import fnmatch
import glob
import shutil
from pathlib import Path
from typing import Any

from smilerl.io import bounded
from smilerl.models.hub.ids import HubError, HubId, explained, looks_like, parse

#: Files beside the weights that mark a pushed run.
ABOUT = ("recipe.yaml", "manifest.json")
_CONFIGURATION = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.yaml")
_TRAIL = "samples/*.parquet"
#: The most adapters on one another.
_MOST_BASES = 8
#: Files that mark a run of this user, whose rewards and checkpoints are trusted. `push` sends none of them.
_RUNS_OWN = ["status.json", "*/status.json", "lock", "*/lock", "checkpoints/*", "*/checkpoints/*"]


def fetch(name: str, *, weights: bool = True) -> Path:
    """The directory of a model on the Hub in the client's cache; fetched if missing or changed, with an adapter's base.

    Args:
        name: `org/name` or `org/name@revision`.
        weights: False fetches only recipe and manifest of a run of ours, or the config.

    Raises:
        HubError: missing, gated, no such revision, no network, or no model.
    """
    return _fetched(name, weights, ())


def _fetched(name: str, weights: bool, above: tuple[str, ...]) -> Path:
    """As `fetch`, for the base of the adapters `above`."""
    from huggingface_hub import constants, snapshot_download

    hub_id = parse(name)
    if hub_id is None or hub_id.kind != "model":
        raise HubError(
            f"'{name}' is no model: neither here nor, as an id, on the Hub.\n    Write org/name or org/name@revision."
        )
    with explained(hub_id):
        if constants.HF_HUB_OFFLINE:
            folder = _cached(hub_id)
        else:
            wanted = [glob.escape(file) for file in _wanted(_listing(hub_id)[1], weights)]
            folder = Path(snapshot_download(hub_id.repo, revision=hub_id.revision, allow_patterns=wanted))
    if weights:
        _check_model(folder, hub_id)
        base = base_on_hub(folder)
        if base is not None and (base in (*above, name) or len(above) >= _MOST_BASES):
            raise HubError(
                f"{name} is an adapter of {base}: adapters on one another in a circle, or more than {_MOST_BASES}."
            )
        if base is not None:
            _fetched(base, weights, (*above, name))
    return folder


def pull(name: str, to: Path | None = None) -> Path:
    """A whole copy of a repository, fetched into `TO.COMMIT.unfinished` and renamed; a killed pull can be repeated.

    Args:
        name: `org/name`, `org/name@revision` or `datasets/org/name`.
        to: a folder that does not exist yet, or is empty; `runs/hub/org/name` when None.

    Raises:
        HubError: the repository cannot be read, or there is something at `to`.
    """
    from huggingface_hub import snapshot_download

    hub_id = parse(name)
    if hub_id is None:
        raise HubError(f"'{name}' is no id on the Hub.\n    Write org/name, org/name@revision or datasets/org/name.")
    to = Path("runs", "hub", *hub_id.repo.split("/")) if to is None else to
    if to.is_symlink() or (to.exists() and (not to.is_dir() or any(to.iterdir()))):
        raise HubError(f"{to} is there already, and pull overwrites nothing.\n    Give another folder: --to DIR.")
    with explained(hub_id):
        commit, _ = _listing(hub_id)
        unfinished = to.with_name(f"{to.name}.{commit[:12]}.unfinished")
        made = [one for one in (unfinished.parent, *unfinished.parent.parents) if not one.exists()]
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        try:
            snapshot_download(
                hub_id.repo, repo_type=hub_id.kind, revision=commit, local_dir=unfinished, ignore_patterns=_RUNS_OWN
            )
            shutil.rmtree(unfinished / ".cache", ignore_errors=True)
            if to.exists():
                to.rmdir()
            unfinished.rename(to)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            for folder in made:
                if not any(folder.iterdir()):
                    folder.rmdir()
            raise
    return to


def base_on_hub(folder: Path) -> str | None:
    """The base of an adapter directory, where that is on the Hub: `org/name`, or `org/name@revision`."""
    from smilerl.models.model_files import base_of

    base = base_of(folder)
    if base is None or not looks_like(base) or Path(base).exists():
        return None
    revision = bounded.mapping(folder / "adapter_config.json").get("revision")
    return f"{base}@{revision}" if revision and "@" not in base else base


def cached_id(name: str | Path) -> HubId | None:
    """The id and commit of a folder or id in the client's cache (`.../models--org--name/snapshots/COMMIT`), or None."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    hub_id = parse(str(name)) if looks_like(str(name)) and not Path(name).exists() else None
    try:
        parts = (Path(name) if hub_id is None else _cached(hub_id)).parts
    except LocalEntryNotFoundError:
        return None
    for index, part in enumerate(parts[:-2]):
        if part.startswith("models--") and parts[index + 1] == "snapshots":
            return HubId(part.removeprefix("models--").replace("--", "/"), parts[index + 2])
    return None


def _cached(hub_id: HubId) -> Path:
    """The directory of an earlier fetch in the cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import LocalEntryNotFoundError

    # snapshot_download would want all files of the repository.
    for file in (*ABOUT, "config.json", "adapter_config.json"):
        found = try_to_load_from_cache(hub_id.repo, file, revision=hub_id.revision)
        if isinstance(found, str):
            return Path(found).parent
    raise LocalEntryNotFoundError(hub_id.repo)


def _listing(hub_id: HubId) -> tuple[str, list[str]]:
    """The commit and its files."""
    from huggingface_hub import HfApi

    info: Any = HfApi().repo_info(hub_id.repo, repo_type=hub_id.kind, revision=hub_id.revision)
    return str(info.sha), [file.rfilename for file in info.siblings or []]


def _wanted(files: list[str], weights: bool) -> list[str]:
    """The files that a model is loaded and, if it is a run of ours, evaluated with."""
    ours = set(ABOUT) <= set(files)
    if not weights:
        return [file for file in files if file in ABOUT] if ours else ["config.json"]
    patterns = [*_CONFIGURATION, "*.safetensors"]
    if not any(file.endswith(".safetensors") and "/" not in file for file in files):
        patterns.append("*.bin")  # of older models
    top = [file for file in files if "/" not in file and file != "training_args.bin"]
    wanted = [file for file in top if any(fnmatch.fnmatch(file, pattern) for pattern in patterns)]
    return wanted + [file for file in files if ours and fnmatch.fnmatch(file, _TRAIL)]


def _check_model(folder: Path, hub_id: HubId) -> None:
    if not any((folder / file).is_file() for file in ("config.json", "adapter_config.json")):
        wrong = "neither config.json nor adapter_config.json, so it is no model that transformers or peft load"
    elif not any(file.suffix in (".safetensors", ".bin") for file in folder.iterdir()):
        wrong = "no weights as transformers saves them (*.safetensors)"
    else:
        return
    raise HubError(f"{hub_id} holds {wrong}.\n    Look at {hub_id.url}/tree/{hub_id.revision or 'main'}.")
