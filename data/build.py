"""Writes the small SmileWorld data sets of this folder, the same bytes every time: `python data/build.py`."""

from __future__ import annotations

import json
from pathlib import Path

from smilerl.worlds import build

HERE = Path(__file__).resolve().parent / "smileworld"
#: Seeds of their own: no evaluation or default recipe draws these people.
SEED = 20_260


def rows() -> dict[str, list[dict]]:
    """The rows of each file."""
    world = build("smileworld")
    return {
        "people_train": world.people("train", 1024, SEED).to_list(),
        "people_held_out": world.people("held_out", 256, SEED).to_list(),
        "conversations": world.conversations(1024, SEED).to_list(),
        "pairs": world.pairs(1024, SEED).remove_columns("person").to_list(),
    }


def write(folder: Path = HERE) -> None:
    """Write one JSONL file for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in rows().items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
