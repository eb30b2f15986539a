"""Makes people_train.jsonl and people_held_out.jsonl from people.yaml, the hand-written people of the dialogue world.

    python data/dialogue/build.py

The helper reads `prompt`: what it may know in a system message, then what the person says. All other columns are the
person's own: whoever plays them is told, and the helper is not.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
_CAMERA = {
    "on": "The session is recorded: a camera sees the person's face.",
    "off": "The session is not recorded.",
}
_HELPER = "You are a helper. People write to you, and you answer in one to three sentences."


def rows(split: str) -> list[dict]:
    """The people of a split, each with what the helper reads and what it does not."""
    return [_row(person) for person in yaml.safe_load((HERE / "people.yaml").read_text(encoding="utf-8"))[split]]


def write(folder: Path) -> None:
    """Writes both files into a folder."""
    for split in ("train", "held_out"):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(split)]
        (folder / f"people_{split}.jsonl").write_text("".join(lines), encoding="utf-8")


def _row(person: dict) -> dict:
    camera = person.get("camera", "on")
    known = [text for text in (person.get("facts"), person.get("bad_news")) if text]
    told = " ".join([_HELPER, _CAMERA[camera], *(["What you know: " + " ".join(known)] if known else [])])
    prompt = [{"role": "system", "content": told}, {"role": "user", "content": person["opening"]}]
    own = {name: person.get(name) for name in ("situation", "need", "disposition", "unsaid", "facts", "bad_news")}
    return {"id": person["id"], "prompt": prompt, **own, "camera": camera}


if __name__ == "__main__":
    write(HERE)
