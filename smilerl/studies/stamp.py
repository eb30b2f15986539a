"""Whether a study's report is up to date with its runs. Imports nothing that takes time."""

from __future__ import annotations

import hashlib
from pathlib import Path

REPORT, STAMP = "report.html", "report.inputs"


def fingerprint(folder: Path) -> str:
    """A hash of everything that a report depends on: the study's files, and the code and templates of this package."""
    runs = (folder / "base", *folder.glob("*/seed-*"))
    read = [folder / "study.json", *(run / name for run in runs for name in ("metrics.jsonl", "status.json"))]
    read += [file for run in runs for file in (*run.glob("evals/*/*.json"), *run.glob("evals/*/samples.parquet"))]
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted({*read, *here.glob("*.py"), *here.glob("templates/*"), here.parent / "runs" / "remarks.py"}):
        if path.is_file():
            name = path.relative_to(folder if path.is_relative_to(folder) else here.parent)
            digest.update(f"{name}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current(folder: Path) -> bool:
    """Whether the report is there and nothing that it depends on has changed since."""
    stamp = folder / STAMP
    return (folder / REPORT).is_file() and stamp.is_file() and stamp.read_text() == fingerprint(folder)
