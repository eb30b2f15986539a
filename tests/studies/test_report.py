"""The report: one page that needs nothing else, and shows what was found and what is missing."""

from __future__ import annotations

import html.parser
import json
import re

import pandas as pd
import pytest
import synthetic

from smilerl.studies import report


class Page(html.parser.HTMLParser):
    """The tags, ids and visible text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "action", "srcset") and not (value or "").startswith("#"):
                self.loads.append(value)

    def handle_data(self, data):
        self.words += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An invented study with its report, which no test changes."""
    folder = synthetic.write_study(tmp_path_factory.mktemp("whole"))
    report.write(folder)
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    """The page of a study in which nothing is missing, parsed and as text."""
    text = (folder / report.REPORT).read_text()
    return Page(text), text


@pytest.fixture
def page(study):
    """The parsed page of an invented study of two arms with something amiss."""
    return lambda **options: Page(report.write(study(arms=("reading", "gold"), **options)).read_text())


def test_the_page_loads_nothing(whole):
    parsed, text = whole
    assert parsed.loads == []
    assert not re.search(r"url\((?!#)|@import|<script|<link|<iframe", text)


def test_ids_are_unique_so_that_figures_do_not_share_parts(whole):
    parsed, _ = whole
    assert len(parsed.ids) == len(set(parsed.ids))


def test_what_a_model_wrote_is_shown_and_never_run(whole):
    parsed, text = whole
    assert "<script>alert('smile')</script>" in parsed.words
    assert "script" not in parsed.tags
    assert "<script>alert" not in text


def test_what_each_arm_reads_of_a_cue_is_told(whole, folder):
    parsed, _ = whole
    assert "camera_off: camera (seen, unseen)" in parsed.words and "0.21 [0.17, 0.30], 0.01: yes" in parsed.words
    rows = [line for line in (folder / "report.md").read_text().splitlines() if "camera (seen, unseen)" in line]
    assert len(rows) == 1 and rows[0].count(": yes") == 2 and rows[0].count("0.21") > 4  # two seeds of gold
    assert pd.read_parquet(folder / "tables" / "reads.parquet").groupby("arm").reads.all()["gold"]


def test_forms_of_the_curves_are_told_and_a_peak_only_where_one_is_shown(whole, folder):
    parsed, _ = whole
    assert "rl, peak at √KL 1.5" in parsed.words and "linear, peak" not in parsed.words
    fits = pd.read_parquet(folder / "tables" / "fits.parquet")
    assert set(fits.series) == {"proxy", "gold"} and fits[fits.series == "proxy"].peak.isna().all()


def test_every_arm_measure_question_and_control_is_there(whole):
    parsed, _ = whole
    for words in (
        *synthetic.ARMS,
        *(question for question, _ in synthetic.EVALUATIONS.values()),
        "spoofer",
        "wellbeing",
        "CGI",
        "what cannot be concluded from 2 seeds",
    ):
        assert words.lower() in parsed.words.lower()


def test_figures_are_drawn_for_each_arm_with_a_curve(page):
    parsed = page(missing=[("gold", 0), ("gold", 1)])
    # triangle, plane, one curve, and a forest for every measure but the own reward
    assert parsed.tags.count("svg") == 2 + 1 + len(report.comparisons.MEASURES) - 1


def test_missing_and_failed_runs_are_told(page):
    parsed = page(failed=[("reading", 0)], missing=[("gold", 1)])
    assert "reading, seed 0: failed: ValueError: the reward 'mine' returned 3 values" in parsed.words
    assert "gold, seed 1: missing" in parsed.words


def test_an_arm_without_any_result_is_still_listed(page):
    parsed = page(missing=[("gold", 0), ("gold", 1)])
    assert "No seed of this arm has an evaluation." in parsed.words


def test_failed_controls_give_no_number(page):
    parsed = page(controls_failed=["tamper"])
    assert "controls failed" in parsed.words
    assert "tamper: controls failed, so it reports no number" in parsed.words


def test_partly_scored_values_say_so(whole):
    parsed, _ = whole
    assert "scored 384 of 512" in parsed.words


def test_conversations_are_of_people_whom_every_arm_answered(folder):
    results = report.collect(folder)
    shown = report.conversations(results)
    assert len(shown) == 4
    assert [answer["arm"] for answer in shown[0]["answers"]] == ["base", *synthetic.ARMS]
    assert shown[0]["answers"][1]["completion"] == synthetic.REPLIES["reading"]


def test_a_registered_hypothesis_is_shown_with_its_hash(page):
    prereg = {
        "block": {"hypothesis": "it helps <b>"},
        "hash": "deadbeef",
        "recorded": "2025-01-01",
        "standing": "As written before the first run.",
    }
    parsed = page(prereg=prereg)
    assert "it helps <b>" in parsed.words
    assert "deadbeef" in parsed.words


def test_markdown_says_the_same_and_escapes(folder):
    text = (folder / "report.md").read_text()
    assert "&lt;script&gt;" in text
    assert "<script>" not in text
    for line in text.splitlines():
        if line.startswith("|---"):
            assert set(line) <= {"|", "-"}
    for name in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (folder / name).is_file()


def test_markdown_tables_have_as_many_cells_as_columns(folder):
    table: list[int] = []
    for line in [*(folder / "report.md").read_text().splitlines(), ""]:
        if line.startswith("|"):
            table.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(table)) <= 1
            table = []


def test_it_is_written_again_only_when_something_has_changed(study):
    folder = study(arms=("gold",))
    page = report.write(folder)
    first = page.stat().st_mtime_ns
    assert report.write(folder).stat().st_mtime_ns == first
    path = folder / "gold/seed-0/evals/quick/results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": 1.0}))
    assert report.write(folder).stat().st_mtime_ns > first


def test_tables_are_parquet(folder):
    table = pd.read_parquet(folder / "tables/measures.parquet")
    assert list(table.columns) == ["arm", "seed", "measure", "value", "low", "high", "scored", "of"]
