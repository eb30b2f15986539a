"""YAML files that people write: every value remembers its line, and every mistake is told with `file:line` and the fix.

Scalars follow YAML 1.2, as people expect them: `1e-3` is a number, `on`, `off`, `yes` and `no` are words.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from smilerl.errors import UserError

Key = tuple[str | int, ...]
_MOST_SHOWN = 4  # problems in one error, of two lines each
_MOST_LISTED = 12


class RecipeError(UserError, ValueError):
    """A mistake in a YAML file or on the command line. Its text has at most ten lines: where, what, and what to write."""


class Problem(NamedTuple):
    """One mistake: the key path of the value that is wrong, what is wrong with it, and what to write instead."""

    key: Key
    text: str
    fix: str = ""


@dataclass
class Lines:
    """Where each value of a document was written.

    Attributes:
        file: the file's name, as the user gave it.
        at: `file:line`, or the command-line option, by key path such as `("rewards", 0, "name")`.
    """

    file: str
    at: dict[Key, str] = field(default_factory=dict)

    def where(self, key: Key) -> str:
        """`file:line` of the value at this key path; of what would hold it when it is not there."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.at:
                return self.at[key[:length]]
        return self.file

    def error(self, *problems: Problem) -> RecipeError:
        """One error that tells these problems, the first few in full."""
        shown = problems[:_MOST_SHOWN]
        lines = []
        for problem in shown:
            lines.append(f"{self.where(problem.key)}: {_short(problem.text)}")
            if problem.fix:
                lines.append(f"    {_short(problem.fix)}")
        if len(problems) > len(shown):
            lines.append(f"... and {len(problems) - len(shown)} more, told once these are mended.")
        return RecipeError("\n".join(lines))


def read(path: str | Path) -> tuple[Any, Lines]:
    """The value of a YAML file and where each part of it was written.

    Raises:
        RecipeError: there is no such file, it is not YAML, or a key is written twice.
    """
    lines = Lines(str(path))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such file.{_files_beside(Path(path))}") from None
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a text file: {error}") from None
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return (None if root is None else _value(loader, root, (), lines)), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError(f"{line}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {_short(error)}") from None
    finally:
        loader.dispose()


def parse_value(text: str) -> Any:
    """The value of a piece of YAML from the command line, such as `1e-4` or `{name: reading}`.

    Raises:
        RecipeError: it is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        fix = "Look at its brackets, braces and quotes; a mapping is written '{name: sentiment, args: {...}}', all in single quotes."
        raise RecipeError(f"command line: this is not YAML: {text}\n    {fix}") from None


def dump(data: Any) -> str:
    """Plain data as YAML that both YAML 1.1 and YAML 1.2 readers read back as the same values."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def did_you_mean(word: object, words: Iterable[str]) -> str:
    """A sentence or two for a word that is not among `words`: the list, where it is short, and the nearest."""
    known = sorted(words)
    near = difflib.get_close_matches(str(word), known, 1)
    guess = f"Did you mean '{near[0]}'?" if near else ""
    if near and len(known) > _MOST_LISTED:
        return guess
    listed = f"There are: {', '.join(known[:30])}{', ...' if len(known) > 30 else ''}." if known else "There are none."
    return f"{listed} {guess}".strip()


def dotted(key: Key) -> str:
    """A key path as people write it: `rewards[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 scalars."""


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, quoting what either version of YAML would misread."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_FLOAT = re.compile(
    r"^[-+]?(?:(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+|\.[0-9]+|[0-9]+\.[0-9]*|\.(?:inf|Inf|nan|NaN))$"
)
# Each with the characters that such a scalar can begin with, which is how PyYAML looks them up.
_SCALARS: Sequence[tuple[str, re.Pattern, list[str]]] = (
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), [*"~nN", ""]),
)
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, _first)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def _value(loader: yaml.SafeLoader, node: yaml.Node, key: Key, lines: Lines) -> Any:
    """The plain value of a node; notes the line of every key and item on the way down."""
    lines.at.setdefault(key, f"{lines.file}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*key, index), lines) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node, deep=True)
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        name, line = loader.construct_object(key_node, deep=True), f"{lines.file}:{key_node.start_mark.line + 1}"
        if not isinstance(name, str):
            raise RecipeError(
                f"{line}: the key {_short(repr(name))} is not a word.\n    Quote it if it is meant as one."
            )
        if name in mapping:
            first = lines.at[(*key, name)].rsplit(":", 1)[1]
            raise RecipeError(
                f"{line}: '{dotted((*key, name))}' is written twice; the first is in line {first}.\n    Keep one of them."
            )
        lines.at[(*key, name)] = line
        mapping[name] = _value(loader, value_node, (*key, name), lines)
    return mapping


def _short(text: object, most: int = 400) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _files_beside(path: Path) -> str:
    if not path.parent.is_dir():
        return f" Nor is there a folder {path.parent}."
    there = [str(file) for file in path.parent.glob("*.y*ml")]
    near = difflib.get_close_matches(str(path), there, 1)
    return f" Did you mean '{near[0]}'?" if near else ""
