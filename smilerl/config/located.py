"""A question file's contents with the lines they stand on, so that every mistake is told with FILE:LINE and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from smilerl.config.validation import misfits, unknown_keys
from smilerl.config.yaml_lines import Key, Lines, Problem, dotted, read


@dataclass(frozen=True)
class Located:
    """What a YAML file says (`data`), and where it says it."""

    path: Path
    data: Any
    lines: Lines

    def fail(self, at: Key, text: str, fix: str = "") -> NoReturn:
        """Raises `RecipeError` with the place in the file in front."""
        raise self.lines.error(Problem(at, text, fix))

    def check_keys(
        self, value: Any, allowed: Iterable[str], at: Key = (), required: Iterable[str] = ()
    ) -> dict[str, Any]:
        """`value` as a mapping, when it has only `allowed` keys and all `required` ones."""
        allowed = list(allowed)
        if not isinstance(value, dict):
            place = dotted(at) or "the file"
            self.fail(
                at, f"{place} is {value!r}, but should be a mapping.", f"Its keys are among: {', '.join(allowed)}."
            )
        problems = list(unknown_keys(value, allowed, at))
        problems += [
            Problem(at, f"the key '{key}' is missing{f' in {dotted(at)}' if at else ''}.")
            for key in required
            if key not in value
        ]
        if problems:
            raise self.lines.error(*problems)
        return value

    def check_type(self, value: Any, hint: Any, at: Key) -> Any:
        """`value` when it is of the type that `hint` describes."""
        if problems := list(misfits(value, hint, at)):
            raise self.lines.error(*problems)
        return value


def load(path: str | Path) -> Located:
    """Reads a YAML file.

    Raises:
        RecipeError: no such file, not YAML, or a key that is written twice.
    """
    data, lines = read(path)
    return Located(Path(path), data, lines)
