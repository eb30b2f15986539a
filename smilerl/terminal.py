"""Text for the screen: text of unknown origin may not move the cursor, ring the bell or fill the scrollback."""

from __future__ import annotations

import unicodedata

#: Lines that an error may have on the screen.
MOST_LINES = 10
#: Characters of an error that are kept in a file or shown on the screen.
MOST_KEPT = 2000


def printable(text: object) -> str:
    """`text` without control characters other than newline and tab; each becomes its escape, such as `\\x1b`.

    Covers C0 and C1 controls (ESC, BEL, CR, NUL, ...), and the marks that reorder text on the screen (U+202E and its like).
    """
    try:
        letters = str(text)
    except Exception:  # noqa: BLE001 - an error whose text cannot be had is still to be told
        return f"({type(text).__name__}: its text cannot be shown)"
    return "".join(letter if _shows(letter) else _escaped(letter) for letter in letters)


def brief(error: object, *, lines: int = MOST_LINES, most: int = MOST_KEPT) -> str:
    """An error's text as it is shown or kept: printable, at most so many lines and characters."""
    text = printable(error)
    if len(text) > most:
        text = f"{text[:most]} ... ({len(text)} characters)"
    kept = text.splitlines()
    return "\n".join(kept if len(kept) <= lines else [*kept[: lines - 1], f"... ({len(kept)} lines)"])


def _shows(letter: str) -> bool:
    return letter in "\n\t" or (letter not in _REORDERING and unicodedata.category(letter) not in ("Cc", "Cs"))


#: Bidirectional embeddings, overrides and isolates: text behind them reads in another order than it is written.
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
