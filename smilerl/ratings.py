"""A number as chat models write it when they are asked for one: `5`, `**5**`, `5.`, `5/7`, `5 out of 7`, `five`.

What could mean two numbers, or a number on another scale, is none: `4-5`, `between 4 and 5`, `5/10` where the scale ends at 7.
"""

from __future__ import annotations

import re

_WORDS = {word: at for at, word in enumerate("zero one two three four five six seven eight nine ten".split())}
_NUMBER = re.compile(
    r"(?P<number>[-+−]?\d{1,6}(?:\.\d{1,6})?|[a-z]{3,5})(?:\s*(?:/|of|out of)\s*(?P<top>\d{1,6}))?",
    re.IGNORECASE | re.ASCII,
)
#: Markdown around words, and what is put around a number.
_MARKS = "*_`#\"'“”‘’ \t"


def unmarked(text: str) -> str:
    """Text without the markdown, quotes and blanks around it, nor a full stop at its end."""
    return re.sub(r"^(?:\s*>\s+)+", "", text).strip(_MARKS).removesuffix(".").strip(_MARKS)


def number(text: str, low: float, high: float) -> float | None:
    """The number that a text is, and nothing but that; None where it is another thing.

    Args:
        low, high: ends of the scale. The number may lie beyond them; `high` may stand after a slash or `out of` where the scale has no
            negative numbers (else `5/10` may mean the middle).
    """
    bare = unmarked(text)
    for left, right in ("()", "[]", "<>"):
        bare = unmarked(bare[1:-1]) if bare[:1] == left and bare[-1:] == right else bare
    found = _NUMBER.fullmatch(bare)
    if found is None or (found["top"] is not None and (low < 0 or float(found["top"]) != high)):
        return None
    if found["number"].isalpha():
        return None if (value := _WORDS.get(found["number"].lower())) is None else float(value)
    return float(found["number"].replace("−", "-"))
