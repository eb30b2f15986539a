"""Text of strangers in a study's report: it stays text, in Markdown and HTML, whatever field it comes in, and the page runs nothing."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from smilerl.studies import report
from tests.faults.test_screens import is_clean
from tests.studies import synthetic

pytestmark = [pytest.mark.slow, pytest.mark.attack("reports")]

#: Markup, a table's cell, a new paragraph, a link, a picture, code, mathematics, a control character.
HOSTILE = (
    "zebra7<script>alert(1)</script> | cell | <img src=x onerror=alert(1)> \n\n# heading\n[link](https://evil.example) "
    "![picture](https://evil.example/x.png) `code` ``` $x$ \r\x1b[2J \u202e"
)
NAMES = (
    "$\\frac$",
    "_x",
    "x" * 250,
    "a|b",
    "a b",
    "a-b",
    "A-B",
    "<b>x</b>",
    "\x1b[2Jx",
    "a/../b",
    "base ",
    "con",
    "items",
    "nan",
)


class Page(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        given = dict(attrs)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""


def hostile_study(folder: Path) -> Path:
    """A study in which every text that anybody could have written is hostile."""
    prereg = {
        "block": {"hypothesis": HOSTILE, "primary": HOSTILE},
        "hash": HOSTILE,
        "recorded": HOSTILE,
        "standing": HOSTILE,
    }
    synthetic.write_study(folder, arms=("gold", "random"), seeds=(0,), failed=[("random", 0)], prereg=prereg)
    path = folder / "study.json"
    about = json.loads(path.read_text())
    about |= {
        key: HOSTILE for key in ("title", "question", "source", "plan_hash", "command", "git", "started", "invented")
    }
    about |= {"versions": {HOSTILE: HOSTILE}, "base": {"recipe": HOSTILE}}
    about["arms"] = [
        arm | {key: HOSTILE for key in ("recipe", "rewarded", "goal", "rationale", "hash", "yaml")}
        for arm in about["arms"]
    ]
    about["runs"] = [
        run | ({"error": HOSTILE, "state": HOSTILE} if run["arm"] == "random" else {}) for run in about["runs"]
    ]
    path.write_text(json.dumps(about))
    evaluated = folder / "gold" / "seed-0" / "evals" / "quick"
    found = json.loads((evaluated / "results.json").read_text())
    for one in found["evaluations"].values():
        one |= {"question": HOSTILE, "why": HOSTILE, "verdict": HOSTILE}
    (evaluated / "results.json").write_text(json.dumps(found))
    for file in folder.glob("**/samples.parquet"):
        table = pd.read_parquet(file)
        table["completion"] = HOSTILE
        table.to_parquet(file)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The report of a hostile study."""
    folder = hostile_study(tmp_path_factory.mktemp("hostile") / "study")
    report.write(folder)
    return folder


def test_markdown_stays_text(folder, record_property):
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert text.count("zebra7") > 20 and is_clean(text)
    blocks = "\n".join(line for line in text.splitlines() if not line.startswith("    "))  # an indented one is code
    outside = re.sub(r"(?<!\\)`[^`\n]*`", "", blocks)  # so is a span
    assert not re.findall(r"<script|<img|(?<!\\)\]\(https|```|(?<!\\)\$", outside)
    assert not [line for line in text.splitlines() if line.strip() == "# heading" and not line.startswith("    ")]
    table: list[int] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(table)) <= 1, "a row has another number of cells than its head"
            table = []
    record_property("tried", text.count("zebra7"))


def test_the_page_stays_text_and_runs_nothing(folder, record_property):
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert text.count("zebra7") > 20 and is_clean(text)
    assert not {"script", "img", "iframe", "object", "embed", "link", "base", "form"} & set(page.tags)
    assert not [name for name, value in page.attributes if name.startswith("on") or value.startswith("javascript:")]
    record_property("tried", text.count("zebra7"))


def test_its_policy_allows_what_it_has_and_nothing_else(folder):
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    policy = dict([*rule.split(), ""][:2] for rule in page.policy.split(";") if rule.strip())
    assert (
        policy["default-src"] == "'none'" and policy["style-src"] == "'unsafe-inline'" and policy["img-src"] == "data:"
    )
    assert "script-src" not in policy, "there are no scripts"
    sources = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "action", "data")]
    assert all(value.startswith(("#", "data:")) for value in sources), sources
    style = "".join(re.findall(r"<style.*?</style>", (folder / "report.html").read_text(encoding="utf-8"), re.DOTALL))
    assert "@import" not in style and not re.findall(r"url\((?!#)", style)


def test_an_arm_may_be_called_anything_by_a_study_from_elsewhere(tmp_path, record_property):
    folder = synthetic.write_study(tmp_path / "study", arms=("gold",), seeds=(0,))
    about = json.loads((folder / "study.json").read_text())
    arm, run = about["arms"][0], about["runs"][0]
    about["arms"] += [arm | {"name": name, "role": "proxy"} for name in NAMES]
    about["runs"] += [run | {"arm": name} for name in NAMES]  # the results of gold under another name
    (folder / "study.json").write_text(json.dumps(about))
    page = report.write(folder)
    assert is_clean(page.read_text(encoding="utf-8")) and is_clean((folder / "report.md").read_text(encoding="utf-8"))
    shown = re.findall(r"\]\((figures/[^)]+)\)", (folder / "report.md").read_text(encoding="utf-8"))
    assert len(set(shown)) == len(shown) > len(NAMES)
    for figure in [folder / name for name in shown]:
        ElementTree.fromstring(figure.read_text(encoding="utf-8"))  # well-formed
    record_property("tried", len(NAMES))


def test_no_two_arms_share_a_figure():
    names = [*NAMES, "a_b", "a.b", "x" * 251]
    assert len({report.figure_file("curves", name) for name in names}) == len(names)


def test_who_stops_a_report_leaves_the_old_one(folder, monkeypatch):
    page = folder / "report.html"
    before = {
        file: file.read_bytes() for file in folder.rglob("*") if file.suffix in (".html", ".md", ".parquet", ".svg")
    }

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        report.write(folder, force=True)
    assert page.read_bytes() == before[page]
    assert all(file.read_bytes() == data for file, data in before.items())
