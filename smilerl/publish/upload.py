"""The upload: each repository in one commit, which shows all of it or nothing, and over nobody else's files.

A push that is stopped can be repeated: what has arrived is not sent again.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from smilerl.io.files import read_json
from smilerl.models.hub.ids import HubError, HubId, explained, no_token
from smilerl.publish.contents import Item, Prepared

#: What every repository of a run has; a repository without is somebody else's.
_OURS = {"recipe.yaml", "manifest.json"}
_CHUNK = 1 << 20


def push(prepared: Prepared, *, private: bool = False, overwrite: bool = False) -> str:
    """Uploads what was prepared, each repository in one commit, and returns the address of the last.

    Args:
        private: of a repository that does not exist yet.
        overwrite: replace what another run left in the repository.

    Raises:
        HubError: no token, no right to write there, somebody else's repository, or no network. Nothing half-done is
            visible.
    """
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise no_token(prepared.hub_id)
    api = HfApi()
    if "/" not in prepared.hub_id.repo:
        with explained(prepared.hub_id, "write"):
            repo = f"{api.whoami()['name']}/{prepared.hub_id.repo}"
        prepared = replace(prepared, hub_id=HubId(repo, kind=prepared.hub_id.kind))
    for one in prepared.before:
        _commit(api, one, private, overwrite, keep=True)
    return _commit(api, prepared, private, overwrite)


def _commit(api, prepared: Prepared, private: bool, overwrite: bool, *, keep: bool = False) -> str:
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
        if others and not overwrite:
            _refuse_others(api, prepared, others, parent)
        if parent is None:
            api.create_repo(hub_id.repo, repo_type=hub_id.kind, private=private, exist_ok=True)
        sources = {item.name: item.source if isinstance(item.source, bytes) else str(item.source) for item in items}
        operations: list[Any] = [CommitOperationAdd(name, source) for name, source in sources.items()]
        operations += [CommitOperationDelete(name) for name in sorted(others - sources.keys())]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the client takes the tables for a data set
            given = {"repo_type": hub_id.kind, "parent_commit": parent, "commit_message": "smilerl push"}
            api.create_commit(hub_id.repo, operations, **given)
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
    if prepared.content_hash is None:
        if {item.name for item in prepared.parcel.items} & files:
            return
    elif files >= _OURS:
        kind = prepared.hub_id.kind
        path = api.hf_hub_download(prepared.hub_id.repo, "manifest.json", repo_type=kind, revision=commit)
        if read_json(Path(path)).get("content_hash") == prepared.content_hash:
            return
    what = "another run" if files >= _OURS else f"other files ({', '.join(sorted(files)[:3])}, ...)"
    raise HubError(
        f"{prepared.hub_id} holds {what} already, so nothing was sent.\n    Give another name (--to ORG/NAME), or "
        "replace what is there: --overwrite."
    )


def _refuse_other_weights(api, prepared: Prepared, commit: str | None) -> None:
    """Raises if a repository that is to be an adapter's base holds other weights than those it was trained on."""
    weights = {item.name: item for item in prepared.parcel.items if item.name.endswith(".safetensors")}
    there = {file.path: file for file in api.get_paths_info(prepared.hub_id.repo, list(weights), revision=commit)}
    for name, item in weights.items():
        if name not in there or not _same(item, there[name]):
            raise HubError(
                f"{prepared.hub_id} is there, and its {name} is not the base that this run started from, so nothing "
                "was sent.\n    Give --base another name: the base is pushed there."
            )


def _same(item: Item, there) -> bool:
    """Whether a file of a repository has the same content, by the hash that the Hub keeps of it."""
    if there.size != item.size:
        return False
    git = f"blob {item.size}\0".encode()
    digest = hashlib.sha1(git, usedforsecurity=False) if there.lfs is None else hashlib.sha256()
    with io.BytesIO(item.source) if isinstance(item.source, bytes) else item.source.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == (there.blob_id if there.lfs is None else there.lfs.sha256)
