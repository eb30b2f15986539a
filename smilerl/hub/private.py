"""Nothing about this machine in what is published: where things lie here is said by name, or the push is refused.

In files that smilerl or the libraries wrote as text, paths are rewritten. In weights, vocabularies and Parquet files, where
rewriting would change the thing itself, a path of this machine stops the push.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from smilerl import paths

_SEGMENT = r"[\w.+@~-]+"
#: An absolute path in a text: not the end of a relative one, of a URL or of `~/...`.
_ABSOLUTE = re.compile(rf"(?<![\w:/.~<$}}-])/{_SEGMENT}(?:/{_SEGMENT})+")
_HOMES = re.compile(r"(?<![\w:/.~-])(?:/home|/Users)/[A-Za-z0-9][\w.-]*|[A-Za-z]:(?:\\\\?)Users(?:\\\\?)[\w.-]+")
_TEXT = (".json", ".yaml", ".md", ".html", ".svg", "metrics.jsonl")
#: Text by its ending, but part of a model, which must stay as it is.
_UNTOUCHABLE = ("tokenizer.json", "vocab.json", "added_tokens.json", "special_tokens_map.json")
_SHORTEST = 5  # `/root`; a shorter prefix stands for too much


def places(names: Mapping[Path, str]) -> list[tuple[str, str]]:
    """What is written in place of the folders of this machine, the longest first.

    Args:
        names: folders that have a name of their own in what is published.
    """
    known = {str(path): name for path, name in names.items()}
    known |= {str(path.resolve()): name for path, name in names.items()}
    for folder, name in (
        (paths.cache_dir(), "~/.cache/smilerl"),
        (Path.cwd(), "."),
        (paths.share(), "."),
        (Path.home(), "~"),
    ):
        known.setdefault(str(folder), name)
        known.setdefault(str(folder.resolve()), name)
    usable = [(path, name) for path, name in known.items() if path.startswith("/") and len(path) >= _SHORTEST]
    return sorted(usable, key=lambda place: -len(place[0]))


def is_rewritable(name: str) -> bool:
    """Whether a file is text in which paths may be rewritten."""
    return name.endswith(_TEXT) and Path(name).name not in _UNTOUCHABLE


def without_places(text: str, known: Sequence[tuple[str, str]]) -> str:
    """A text without paths of this machine: known folders by their names, of other existing paths the last part alone."""
    for path, name in known:
        text = re.sub(rf"(?<![\w.]){re.escape(path)}(?![\w-])", name.replace("\\", r"\\"), text)
    text = _HOMES.sub("~", text)
    return _ABSOLUTE.sub(lambda found: _last_part(found[0]), text)


def place_in(data: bytes, known: Sequence[tuple[str, str]]) -> int | None:
    """Where in these bytes a path of this machine stands; None when there is none."""
    for path, _ in known:
        found = re.search(re.escape(path.encode()) + rb"(?=[/\"'\s\x00])", data)
        if found:
            return found.start()
    return None


def _last_part(path: str) -> str:
    """The last part of a path that leads somewhere on this machine; another is no path, or nobody's."""
    first = Path(*Path(path).parts[:3])
    return Path(path).name if first.exists() else path
