"""Reads a number as chat models write it: `5`, `**5**`, `5!`, `5/7`, `5 out of 7`, `5 points`, `\\boxed{5}`, `five`.

Text that could mean two numbers, or one on another scale, is no number: `4-5`, `5/10` where the scale ends at 7.
"""

from __future__ import annotations

import re

_WORDS = {word: at for at, word in enumerate("zero one two three four five six seven eight nine ten".split())}
_UNIT = r"(?:\s*(?:points?|pts))?"
_NUMBER = re.compile(
    r"(?P<mark>\*\*|__|[*_`])?(?P<number>[-+−]?\d{1,6}(?:\.\d{1,6})?|[a-z]{3,5})(?(mark)(?P=mark))"
    rf"{_UNIT}(?:\s*(?:/|of|out of)\s*(?P<bold>\*\*|__|[*_`])?(?P<top>\d{{1,6}})(?(bold)(?P=bold)){_UNIT})?",
    re.IGNORECASE | re.ASCII,
)
#: A number in a box of LaTeX, alone or between marks of mathematics.
_BOXED = re.compile(r"(?:\$\$?|\\[(\[])?\s*\\boxed\{\s*(?:\\text\{)?([^{}\\]*)\}?\}\s*(?:\$\$?|\\[)\]])?")
_REMARK = re.compile(r"(.*\S)\s*\(\s*([a-z][a-z ,'’-]{0,60})[.!]?\s*\)[.!]?", re.IGNORECASE | re.ASCII)
#: Words by which a remark may take the number back, or name another.
_HEDGES = frozenset(
    "or not no to maybe perhaps possibly probably but if unless could might may should would almost nearly between "
    "later first then now was instead rather actually half out of minus plus less more fewer about around roughly "
    "approximately wait unsure sure uncertain than from on at reversed revised changed corrected inverted percent "
    "stars say said says quoted example".split()
)
#: Markdown and quotes around words and numbers.
_MARKS = "*_`#\"'“”‘’ \t"


def unmarked(text: str) -> str:
    """Text without the markdown, quotes and blanks around it, nor a full stop or exclamation marks at its end."""
    return re.sub(r"^(?:\s*>\s+)+", "", text).strip(_MARKS).rstrip("!").removesuffix(".").strip(_MARKS)


def number(text: str, low: float, high: float) -> float | None:
    """The number that a text consists of; None for any other text.

    Args:
        low, high: ends of the scale, which the number may pass. `high` may follow a slash or `out of` unless `low` is
            negative (else `5/10` may mean the middle).
    """
    bare = unmarked(text)
    for left, right in ("()", "[]", "<>"):
        bare = unmarked(bare[1:-1]) if bare[:1] == left and bare[-1:] == right else bare
    boxed = _BOXED.fullmatch(bare)
    found = _NUMBER.fullmatch(unmarked(boxed[1]) if boxed else bare) or _NUMBER.fullmatch(text.strip())
    if found is None or (found["top"] is not None and (low < 0 or float(found["top"]) != high)):
        return None
    if found["number"].isalpha():
        return None if (value := _WORDS.get(found["number"].lower())) is None else float(value)
    return float(found["number"].replace("−", "-"))


def with_remark(text: str) -> tuple[str, str] | None:
    """Splits `5 (very good)` into the text and its remark; None without a remark, or where it may change the number."""
    found = _REMARK.fullmatch(unmarked(text))
    if found is None:
        return None
    words = set(re.findall(r"[a-z]+", found[2].lower()))
    return None if words & (_HEDGES | _WORDS.keys()) else (found[1], found[2])
