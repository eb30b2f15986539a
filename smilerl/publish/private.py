"""Keeps paths of this machine out of what is published: they are rewritten, or the push is refused.

In files that smilerl or the libraries wrote as text, paths are rewritten. In weights, vocabularies, programs and
Parquet files, where rewriting would change the thing itself, a path of this machine stops the push. A path is one of
this machine if it leads somewhere here, or begins as paths of people's machines do (`/home/...`, `/mnt/...`, `C:\\...`,
`\\\\server\\share`, `file://...`): a run may have been trained elsewhere. E-mail addresses of the command and the
recipe are taken out; those in what models and people say stay.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from smilerl.io import paths
from smilerl.publish.scan import decoded, without_escapes

#: First parts of paths under which people and clusters keep what is theirs.
_ROOTS = frozenset(
    "home Users root mnt data scratch workspace tmp var opt media private Volumes gpfs lustre nfs nas fsx efs afs work "
    "project projects cluster storage srv kaggle".split()
)
#: What is the same on every machine, and says nothing of one.
_SYSTEM = frozenset("bin boot dev etc lib lib32 lib64 proc run sbin sys usr".split())
_SEGMENT = r"(?:[\w.+@~-]|\\[_~*#|\[\]])+"  # in Markdown with its escapes
#: An absolute path in a text: not the end of a relative one, of a URL or of `~/...`.
_ABSOLUTE = re.compile(rf"(?:(?<![\w/.~<$}}])|(?<=\\[nrt]))/{_SEGMENT}(?:/{_SEGMENT})+")
_ENCODED = re.compile(r"(?<![\w.~-])(?:%2[Ff][\w.+@~-]+){2,}")
_HOMES = re.compile(
    r"(?:(?<![\w/.~-])|(?<=\\[nrt]))(?:/home|/Users)/[A-Za-z0-9](?:[\w.-]|\\[_~*#])*"
    r"|(?<![A-Za-z0-9])[A-Za-z]:(?:\\{1,4}|/)Users(?:\\{1,4}|/)[\w.-]+"
)
_FILE_URL = re.compile(r"\bfile:/{1,4}[^\s\"'<>`)\]\\]+", re.IGNORECASE)
#: `C:\data\x`. A first part that begins as an escape does (`A:\nB:\n`) counts only if it is a usual name.
_DRIVE_NAMES = (
    "Users|Windows|Program|temp|tmp|runs|results|research|repos|notebooks|thesis|team|tools|test|train|user|work"
)
_DRIVE = re.compile(
    rf"(?<![A-Za-z0-9])[A-Za-z]:(?:/|\\{{1,4}}(?:(?=(?:{_DRIVE_NAMES})[\w ]*(?:\\|$))|(?![nrtbfux0-9])))"
    r"[\w.$+-]+(?:(?:/|\\{1,4})[\w.$+-]+)+"
)
_UNC = re.compile(
    "(?<![\\\\\\w])(?:" + "|".join(rf"\\{{{2 * n}}}[A-Za-z0-9][\w.$-]+(?:\\{{{n}}}[\w.$+-]+)+" for n in (1, 2, 4)) + ")"
)
_EMAIL = re.compile(r"(?<![\w.+/@-])(?!git@)[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}(?![\w@])")
_TEXT = (".json", ".yaml", ".md", ".html", ".svg", "metrics.jsonl")
_MAY_BE = re.compile(r"[/\\]|%2[Ff]")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
#: Text by its ending, but part of a model, which must stay as it is.
_UNTOUCHABLE = ("tokenizer.json", "vocab.json", "added_tokens.json", "special_tokens_map.json")
#: Lists of words, in which `/data/x` may be one.
_WORDS = (*_UNTOUCHABLE, "merges.txt", "vocab.txt")
_SHORTEST = 5  # `/root`; a shorter prefix stands for too much
NO_ADDRESS = "(an e-mail address)"


def places(names: Mapping[Path, str]) -> list[tuple[str, str]]:
    """What is written in place of the folders of this machine, the longest first.

    Args:
        names: folders that have a name of their own in what is published.
    """
    known = {str(path): name for path, name in names.items()}
    known |= {str(path.resolve()): name for path, name in names.items()}
    others = {paths.cache_dir(): "~/.cache/smilerl", Path.cwd(): ".", paths.share(): ".", Path.home(): "~"}
    for folder, name in others.items():
        known.setdefault(str(folder), name)
        known.setdefault(str(folder.resolve()), name)
    usable = [(path, name) for path, name in known.items() if path.startswith("/") and len(path) >= _SHORTEST]
    return sorted(usable, key=lambda place: -len(place[0]))


def addresses(texts: Sequence[str]) -> list[tuple[str, str]]:
    """The e-mail addresses in a command and a recipe, and what is written in their place."""
    found = dict.fromkeys(address for text in texts for address in _EMAIL.findall(text))
    return [(address, NO_ADDRESS) for address in sorted(found, key=len, reverse=True)]


def is_rewritable(name: str) -> bool:
    """Whether a file is text in which paths may be rewritten."""
    return name.endswith(_TEXT) and Path(name).name not in _UNTOUCHABLE


def clean(name: str, text: str, known: Sequence[tuple[str, str]]) -> str:
    """A file's text without paths of this machine; in JSON and YAML each quoted string is cleaned and written anew."""
    if not name.endswith((".json", ".jsonl", ".yaml")):
        return without_places(text, known)

    def string(found: re.Match) -> str:
        if not _MAY_BE.search(found[0]) and not any(what in found[0] for what, _ in known):
            return found[0]
        try:
            said = json.loads(found[0], strict=False)
        except ValueError:
            return without_places(found[0], known)
        better = without_places(said, known)
        halves = any("\ud800" <= letter <= "\udfff" for letter in better)  # of a character, which UTF-8 cannot encode
        return found[0] if better == said else json.dumps(better, ensure_ascii=halves)

    text = _STRING.sub(string, text)
    return text if name.endswith((".json", ".jsonl")) else without_places(text, known)


def without_places(text: str, known: Sequence[tuple[str, str]]) -> str:
    """A text without paths of this machine: known folders by their names, of other paths the last part alone."""
    text = _FILE_URL.sub(lambda found: _last_part(urllib.parse.unquote(found[0])), text)
    for path, name in known:
        for written, said in {path: name, _as_markdown(path): _as_markdown(name)}.items():
            if written in text:
                text = re.sub(rf"(?<![\w.]){re.escape(written)}(?![\w-])", said.replace("\\", r"\\"), text)
    text = _HOMES.sub("~", text)
    for form in (_UNC, _DRIVE):
        text = form.sub(lambda found: _last_part(found[0]), text)
    text = _ENCODED.sub(
        lambda found: _last_part(found[0]) if _is_place(urllib.parse.unquote(found[0])) else found[0], text
    )
    return _ABSOLUTE.sub(lambda found: found[0].rpartition("/")[2] if _is_place(found[0]) else found[0], text)


def place_in(data: bytes, known: Sequence[tuple[str, str]], *, name: str = "", text: bool = False) -> int | None:
    """Where in these bytes a path of this machine stands; None when there is none.

    Args:
        name: of the file.
        text: whether they are text, in which other paths than the known ones are recognised.
    """
    for path, _ in known:
        if path.encode() in data:
            found = re.search(re.escape(path.encode()) + rb"(?=[^\w.-]|$)", data)
            if found:
                return found.start()
    if not text:
        return None
    said = decoded(data)
    for view in dict.fromkeys((said, without_escapes(said))):
        at = next(_places(view, known, least=3 if Path(name).name in _WORDS else 2), None)
        if at is not None:
            return len(view[:at].encode(errors="replace"))
    return None


def _places(text: str, known: Sequence[tuple[str, str]], least: int) -> Iterator[int]:
    """Where paths of some machine stand in a text that may not be rewritten."""
    for path, _ in known:
        yield from (found.start() for found in re.finditer(re.escape(path) + r"(?![\w.-])", text))
    for form in (_FILE_URL, _UNC, _DRIVE, _HOMES) if least < 3 else (_FILE_URL, _UNC, _DRIVE):
        yield from (found.start() for found in form.finditer(text))
    for form in (_ABSOLUTE, _ENCODED):
        for found in form.finditer(text):
            path = urllib.parse.unquote(found[0])
            if _is_place(path, system=False) and (path.count("/") >= least or _exists(path)):
                yield found.start()


def _is_place(path: str, *, system: bool = True) -> bool:
    """Whether an absolute path is one of this machine or of somebody's; else it is no path, or everybody's.

    Args:
        system: count what is there on most machines, such as /usr.
    """
    first = path.split("/")[1]
    return first in _ROOTS or ((system or first not in _SYSTEM) and _exists(path))


def _exists(path: str) -> bool:
    try:
        return Path(*Path(path).parts[:3]).exists()
    except (OSError, ValueError):  # too long for a name, or not ours to look at
        return False


def _last_part(path: str) -> str:
    return re.split(r"[/\\]|%2[Ff]", path.rstrip("/\\"))[-1]


def _as_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]#|~])", r"\\\1", text)
