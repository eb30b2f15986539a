"""What a recipe from the Hub may name without being asked: parts of smilerl, and nothing that runs or reaches elsewhere.

The recipe of a pushed run says which world and rewards it had, and `smilerl eval org/name` builds them. Whoever wrote that
recipe must not thereby choose code to run here, or an address to send prompts (and a key) to.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from smilerl.hub.ids import HubError

#: A callable, as rewards inside rewards may be named without a `name:`.
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
#: What is read and never run: there, a dot is one of a file's name.
_DATA = ("model", "path", "dataset")


def check(part: Any, where: str, option: str) -> None:
    """Whether a part of a recipe (a spec, or several) names only short names of smilerl and no addresses.

    Args:
        part: dataclasses of `smilerl.recipe`.
        where: the repository, for the message.
        option: by which the user can name the part themselves.

    Raises:
        HubError: it names something else; nothing of it has been built.
    """
    strange = next(_strange(_plain(part)), None)
    if strange is not None:
        raise HubError(
            f"the recipe of {where} names {strange}, which is not part of smilerl; a recipe from the Hub may not run or reach such a thing.\n"
            f"    If you have looked at it and want it, say so: {option} with your own copy"
            + (" (or --reward none)." if option == "--reward" else ".")
        )


def _plain(part: Any) -> Any:
    if isinstance(part, list | tuple):
        return [_plain(one) for one in part]
    return dataclasses.asdict(part) if dataclasses.is_dataclass(part) and not isinstance(part, type) else part


def _strange(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _strange(item, str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strange(item, key)
    elif isinstance(value, str):
        code = (
            (key == "name" and not value.isidentifier())
            or (key not in _DATA and _DOTTED.fullmatch(value))
            or ".py:" in value
        )
        if code or "://" in value:
            yield f"'{value[:100]}'"
