"""YAML files that people write: every value remembers its line, and every mistake is told with `file:line` and the fix.

Scalars follow YAML 1.2, as people expect them: `1e-3` is a number, `on`, `off`, `yes` and `no` are words.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from smilerl.io import bounded
from smilerl.io.errors import UserError
from smilerl.io.terminal import printable

Key = tuple[str | int, ...]
_MOST_SHOWN = 4  # problems in one error, of two lines each
_MOST_LISTED = 12
#: Values in a document, with every alias written out: an anchor that names itself, or nine that name ten each, end
#: here.
_MOST_VALUES = 20_000


class RecipeError(UserError, ValueError):
    """A mistake in a YAML file or on the command line; its text, at most ten lines, says where, what and the fix."""


class _NotYaml(RecipeError):
    """A text that is not YAML at all."""


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

    def of(self, line: int) -> str:
        """`file:line`; the command line has none."""
        return self.file if self.file == "command line" else f"{self.file}:{line}"

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
        return RecipeError(printable("\n".join(lines)))


def read(path: str | Path) -> tuple[Any, Lines]:
    """The value of a YAML file and where each part of it was written.

    Raises:
        RecipeError: there is no such file, it is not YAML, or a key is written twice.
    """
    lines = Lines(printable(path))
    try:
        text = bounded.text(path)
    except FileNotFoundError:
        raise RecipeError(f"{lines.file}: there is no such file.{_files_beside(Path(path))}") from None
    except bounded.Unreadable as error:
        raise RecipeError(printable(error)) from None
    except (OSError, ValueError) as error:  # a name that no file can have
        raise RecipeError(f"{lines.file}: cannot be read: {printable(error)}") from None
    data, lines.at = copy.deepcopy(_read_before(lines.file, text))
    return data, lines


@lru_cache(maxsize=128)
def _read_before(file: str, text: str) -> tuple[Any, dict[Key, str]]:
    """The value of a text and where its parts were written. A study reads the same questions once per run."""
    lines = Lines(file)
    return _parsed(text, lines), lines.at


def parse_value(text: str) -> Any:
    """The value of a piece of YAML from the command line, such as `1e-4` or `{name: reading}`.

    Raises:
        RecipeError: it is not YAML.
    """
    try:
        return _parsed(text, Lines("command line"))
    except _NotYaml:
        fix = (
            "Look at its brackets and quotes; a mapping is written '{name: sentiment, args: {...}}', in single quotes."
        )
        raise RecipeError(f"command line: this is not YAML: {_short(text)}\n    {fix}") from None


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


class _TooDeep(yaml.MarkedYAMLError):
    """Lists and mappings nest more deeply than anything that people write."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 scalars, and a bound on how deep lists and mappings nest."""

    deep = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As PyYAML's, which calls itself for what is inside and would run out of stack."""
        self.deep += 1
        if self.deep > bounded.MOST_DEEP:
            text = f"lists and mappings nest more than {bounded.MOST_DEEP} deep"
            raise _TooDeep(problem=text, problem_mark=self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.deep -= 1
        return node


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


_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null", "str", "seq", "map")}


def _parsed(text: str, lines: Lines) -> Any:
    """The value of a document; notes where each part of it was written."""
    if (found := bounded.control(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise RecipeError(f"{lines.of(line)}: the character {_named(found)} cannot stand in such a file.")
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return None if root is None else _Values(loader, lines).of(root, ())
    except _TooDeep as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{lines.of(line)}: {error.problem}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = lines.of(mark.line + 1) if mark else lines.file
        raise _NotYaml(f"{where}: not valid YAML: {_short(error.problem or error.context)}") from None
    except yaml.YAMLError as error:
        raise _NotYaml(f"{lines.file}: not valid YAML: {_short(error)}") from None
    finally:
        loader.dispose()


class _Values:
    """The plain values of a document's nodes."""

    def __init__(self, loader: _Loader, lines: Lines) -> None:
        self._loader, self._lines, self._made = loader, lines, 0

    def of(self, node: yaml.Node, key: Key) -> Any:
        """The plain value of a node; notes the line of every key and item on the way down."""
        line = self._lines.of(node.start_mark.line + 1)
        self._lines.at.setdefault(key, line)
        self._made += 1
        if self._made > _MOST_VALUES or len(key) > bounded.MOST_DEEP:
            text = f"more than {_MOST_VALUES} values" if self._made > _MOST_VALUES else "an anchor that names itself"
            raise RecipeError(f"{line}: {text}, with its aliases written out.\n    Write what is meant in full.")
        if node.tag not in _TAGS:
            raise RecipeError(f"{line}: the tag {_short(node.tag)} means nothing here.\n    Leave it out.")
        if isinstance(node, yaml.SequenceNode):
            return [self.of(item, (*key, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        return self._scalar(node, line)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = self._lines.of(key_node.start_mark.line + 1)
            name = self._scalar(key_node, line) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(name, str):
                said = "a list or mapping" if name is None and not isinstance(key_node, yaml.ScalarNode) else repr(name)
                raise RecipeError(f"{line}: the key {_short(said)} is not a word.\n    Quote it if it is meant as one.")
            if name in mapping:
                _, _, first = self._lines.at[(*key, name)].rpartition(":")
                there = f"; the first is in line {first}" if first.isdigit() else ""
                raise RecipeError(
                    f"{line}: '{_short(dotted((*key, name)))}' is written twice{there}.\n    Keep one of them."
                )
            self._lines.at[(*key, name)] = line
            mapping[name] = self.of(value_node, (*key, name))
        return mapping

    def _scalar(self, node: yaml.Node, line: str) -> Any:
        if node.tag.endswith(":int") and len(node.value.lstrip("+-")) > bounded.MOST_DIGITS:
            raise RecipeError(f"{line}: a whole number of {len(node.value)} digits, which no setting can be.")
        try:
            value = self._loader.construct_object(node, deep=True)
        except (ValueError, TypeError, LookupError):  # `!!int no`, which PyYAML does not tell as its own errors
            raise RecipeError(
                f"{line}: {_short(node.value)} is no {node.tag.rpartition(':')[2]}.\n    Leave out the tag."
            ) from None
        if isinstance(value, str) and (found := bounded.control(value)) is not None:
            raise RecipeError(f"{line}: a text with the character {_named(found)}, which no setting holds.")
        return value


def _named(found: re.Match[str]) -> str:
    return f"U+{ord(found[0]):04X}"


def _short(text: object, most: int = 400) -> str:
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _files_beside(path: Path) -> str:
    if not path.parent.is_dir():
        return f" Nor is there a folder {path.parent}."
    there = [str(file) for file in path.parent.glob("*.y*ml")]
    near = difflib.get_close_matches(str(path), there, 1)
    return f" Did you mean '{near[0]}'?" if near else ""
