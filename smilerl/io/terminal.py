"""Text for the screen: text of unknown origin may not move the cursor, ring the bell or fill the scrollback."""

from __future__ import annotations

import re
import sys

#: Lines that an error may have on the screen, and characters that are kept of it in a file or shown.
MOST_LINES, MOST_KEPT = 10, 2000
#: C0 and C1 controls but newline and tab, halves of characters, and the marks that reorder text on the screen.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def printable(text: object) -> str:
    """`text` without control characters other than newline and tab; each becomes its escape, such as `\\x1b`.

    Covers C0 and C1 controls (ESC, BEL, CR, NUL, ...), and the marks that reorder text on the screen (U+202E, ...).
    """
    try:
        letters = str(text)
    except Exception:  # noqa: BLE001 - also an error without a readable text is reported
        return f"({type(text).__name__}: its text cannot be shown)"
    return _ODD.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), letters)


def brief(error: object, *, lines: int = MOST_LINES, most: int = MOST_KEPT) -> str:
    """An error's text as it is shown or kept: printable, at most so many lines and characters."""
    text = printable(error)
    if len(text) > most:
        text = f"{text[:most]} ... ({len(text)} characters)"
    kept = text.splitlines()
    return "\n".join(kept if len(kept) <= lines else [*kept[: lines - 1], f"... ({len(kept)} lines)"])


def say(text: object) -> None:
    """Writes `text` to standard error as a line of its own, printable."""
    print(printable(text), file=sys.stderr, flush=True)


def one_line(text: object, most: int = 200) -> str:
    """`text` as one printable line of at most `most` characters: white space is joined, and a cut ends in "..."."""
    whole = " ".join(printable(text).split())
    return whole if len(whole) <= most else f"{whole[: most - 3]}..."


def first_line(error: BaseException, most: int = 200) -> str:
    """The first line of an error's text, printable and at most `most` characters; its type where it has no text."""
    said = next((one for one in printable(error).splitlines() if one.strip()), type(error).__name__)
    return one_line(said, most)


def named(error: BaseException, text: str | None = None) -> str:
    """An error with its type, `ValueError: no such thing`; the type alone where it has no text.

    Args:
        text: to show in place of the error's own.
    """
    said, kind = printable(error) if text is None else text, type(error).__name__
    return kind if said.strip() in ("", kind) else f"{kind}: {said}"
