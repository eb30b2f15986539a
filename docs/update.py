"""Copies the results of the default study into the README: `python docs/update.py runs/smile` after `make study`.

Writes `docs/triangle.svg` and the table between the `results` marks; nothing in either is typed by hand.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
MEASURES = {
    "reading": "reading",
    "smile": "smile",
    "wellbeing": "**wellbeing**",
    "gain_wellbeing": "**gained**",
    "gaming": "G",
    "cgi": "CGI",
}
CONTROLS = {"gold": " (control)", "random": " (control)"}


def table(study: Path) -> str:
    """The README's table: a row for each arm, in its group, each seed with its 95 % interval over people."""
    measures = pd.read_parquet(study / "tables" / "measures.parquet")
    about = json.loads((study / "study.json").read_text())
    lines = ["| rewarded on | " + " | ".join(MEASURES.values()) + " |", "|---" * (len(MEASURES) + 1) + "|"]
    arms = {"base": "base (not tuned)"}
    for arm in about["arms"]:
        group = arm.get("group", "")
        named = arm["name"].removesuffix("_" + group.replace(" ", "")) + CONTROLS.get(arm["role"], "")
        arms[arm["name"]] = f"{group}: {named}" if group else named
    for arm, named in arms.items():
        cells = [cell(measures[(measures.arm == arm) & (measures.measure == name)]) for name in MEASURES]
        lines.append(f"| {named} | " + " | ".join(cells) + " |")
    # The revision that the runs were made with; the figures may be older than the code around them.
    manifest = next(json.loads(path.read_text()) for path in sorted(study.glob("*/seed-*/manifest.json")))
    seeds = " and ".join(map(str, about["seeds"]))
    made = (manifest.get("git") or {}).get("sha", "")[:10]
    note = f"Seeds {seeds}, one line each, with 95 % intervals over people within the seed; held-out people; "
    note += "made by `make study`"
    return "\n".join([*lines, "", note + (f", trained at revision `{made}`." if made else ".")])


def cell(rows: pd.DataFrame) -> str:
    """One cell: each seed's value and interval."""
    shown = [f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in rows.sort_values("seed").itertuples()]
    return "<br>".join(line.replace("-", "−") for line in shown) or "–"


def main(study: Path) -> None:
    """Update the README and its picture."""
    drawn = (study / "figures" / "triangle.svg").read_text()
    # On white, since a page in a dark theme would swallow its dark letters.
    (ROOT / "docs" / "triangle.svg").write_text(drawn.replace('style="fill: none"', 'style="fill: #ffffff"', 1))
    readme = ROOT / "README.md"
    marked = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)
    readme.write_text(marked.sub(lambda mark: f"{mark[1]}{table(study)}\n{mark[2]}", readme.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/smile"))
