"""Ids on the Hub, and the Hub's errors with what to do about them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from smilerl.io.errors import UserError
from smilerl.io.terminal import first_line

Kind = Literal["model", "dataset"]
_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)(?:@(?P<revision>[\w.-]+(?:/[\w.-]+)*))?")
_SIGN_IN = "Sign in with `hf auth login`, or set HF_TOKEN to a token from https://huggingface.co/settings/tokens"


class HubError(UserError, ValueError):
    """The Hub lacks a repository or refuses access."""


@dataclass(frozen=True)
class HubId:
    """A repository on the Hub.

    Attributes:
        repo: `org/name`, or a bare `name` as a few old models have.
        revision: branch, tag or commit; None for the newest.
        kind: a dataset is written `datasets/org/name`, as in its address.
    """

    repo: str
    revision: str | None = None
    kind: Kind = "model"

    def __str__(self) -> str:
        prefix = "datasets/" if self.kind == "dataset" else ""
        return f"{prefix}{self.repo}{f'@{self.revision}' if self.revision else ''}"

    @property
    def url(self) -> str:
        """Its page."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' if self.kind == 'dataset' else ''}{self.repo}"


def parse(name: str) -> HubId | None:
    """The id written as `org/name`, `org/name@revision` or `datasets/org/name`; None for other text."""
    kind: Kind = "dataset" if name.startswith("datasets/") else "model"
    found = _ID.fullmatch(name.removeprefix("datasets/"))
    return HubId(found["repo"], found["revision"], kind) if found else None


def looks_like(name: str) -> bool:
    """Whether a name can be an id with an owner (`org/name`)."""
    found = parse(name)
    return found is not None and "/" in found.repo and not name.endswith((".yaml", ".yml", ".gguf"))


@contextmanager
def explained(hub_id: HubId, doing: str = "read") -> Iterator[None]:
    """Turns the client's errors about a repository into a `HubError`; shows progress bars only on a terminal.

    Args:
        doing: `read` or `write`, which need different tokens.
    """
    from huggingface_hub import errors
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    except errors.GatedRepoError:
        raise HubError(
            f"{hub_id} is gated: its owners decide who may read it, and this token is not among those.\n"
            f"    Ask for access at {hub_id.url}, then: {_SIGN_IN}."
        ) from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"there is no {hub_id.kind} '{hub_id.repo}' on the Hub, or it is private and the token (if there is one) "
            f"does not open it.\n    Look at {hub_id.url}; if it is there: {_SIGN_IN}."
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(
            f"{hub_id.repo} has no revision '{hub_id.revision}'.\n    Write {hub_id.repo}@BRANCH, a tag, or a commit "
            f"of {hub_id.url}/commits/main."
        ) from None
    except errors.LocalTokenNotFoundError:
        raise no_token(hub_id) from None
    except errors.OfflineModeIsEnabled:
        raise HubError(
            f"{hub_id} is asked of the Hub, but HF_HUB_OFFLINE is set.\n    Unset it, or do without the Hub."
        ) from None
    except errors.LocalEntryNotFoundError:
        revision = f" --revision {hub_id.revision}" if hub_id.revision else ""
        raise HubError(
            f"{hub_id} is not in the cache of this machine, and the Hub is not asked (HF_HUB_OFFLINE) or not reached.\n"
            f"    Where there is a network, run: hf download {hub_id.repo}{revision}"
        ) from None
    except errors.HfHubHTTPError as error:
        raise _refused(hub_id, doing, error) from None
    except (errors.HTTPError, ConnectionError, TimeoutError) as error:
        from huggingface_hub import constants

        why = f"{type(error).__name__}: {first_line(error)}"
        raise HubError(
            f"the Hub at {constants.ENDPOINT} was not reached about {hub_id} ({why}).\n    Try again; complete files "
            "are not sent or fetched twice. Set HF_HUB_OFFLINE=1 to use what the cache holds."
        ) from None


def no_token(hub_id: HubId | None = None) -> HubError:
    """The error of an upload without a token."""
    what = f"{hub_id} cannot be written" if hub_id else "nothing can be pushed"
    return HubError(
        f"{what} without a token: nothing was sent.\n    {_SIGN_IN} (with write access). To see what would go, add "
        "--dry-run."
    )


def _refused(hub_id: HubId, doing: str, error: Exception) -> HubError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        right = "write to" if doing == "write" else "read"
        return HubError(
            f"the Hub says {status}: this token may not {right} {hub_id}.\n"
            f"    {_SIGN_IN} with {'write' if doing == 'write' else 'read'} access to '{hub_id.repo.split('/')[0]}'."
        )
    if status in (409, 412):
        return HubError(
            f"{hub_id} changed while this was being sent, so nothing was committed.\n    Push again: it looks afresh "
            "at what is there."
        )
    return HubError(
        f"the Hub answered about {hub_id}: {first_line(error)}\n    Try again later; a stopped push or pull can be "
        "repeated, and nothing of it shows."
    )
