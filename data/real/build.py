"""Writes the items for real models in this folder: `python data/real/build.py`; with `--check` it only compares.

One module per question gives its rows; the rules of `rules.py` are checked before anything is written.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.append(str(HERE))

import rules  # noqa: E402

QUESTIONS = ("choices", "bad_news", "vulnerable", "stoic", "camera_off", "tamper", "escalation")


def build(question: str) -> list[dict]:
    """The checked rows of one file.

    Raises:
        ValueError: If a row breaks a rule (the message names the row), or the file is too big.
    """
    rows = [row | {"canary": rules.CANARY} for row in importlib.import_module(question).rows()]
    rules.check(question, rows)
    most = rules.MAX_BYTES.get(question, rules.MAX_BYTES["*"])
    if len(text(rows).encode()) > most:
        raise ValueError(f"{question}: the file would be over {most} bytes")
    return rows


def text(rows: list[dict]) -> str:
    """The rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def main() -> int:
    """Write the files, or compare them with what would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", nargs="*", help="these questions only")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs")
    options = parser.parse_args()
    stale = []
    for question in options.question or QUESTIONS:
        rows = build(question)
        file, new = HERE / f"{question}.jsonl", text(rows)
        if options.check:
            stale += [] if file.exists() and file.read_text(encoding="utf-8") == new else [file.name]
        else:
            file.write_text(new, encoding="utf-8", newline="\n")
            pairs = len({row["pair"] for row in rows})
            print(f"{file.name}: {pairs} pairs, {len(rows)} rows, {len(new.encode()) / 1000:.0f} KB")
    if stale:
        print(f"not what build.py writes: {', '.join(stale)}; run python data/real/build.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
