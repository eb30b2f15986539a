"""One self-contained page about a study, and the same as Markdown, SVG and Parquet.

    smilerl report runs/smile

The page needs no network and runs nothing: figures are inline SVG, every string that a model or a user wrote is
escaped, and its Content-Security-Policy forbids scripts and whatever lies elsewhere. Each file is written whole or not
at all. Nothing in the templates states a result; sentences come from `findings`, numbers from `results`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from smilerl import worlds
from smilerl.evaluation.question import known_answers
from smilerl.io.files import write as write_whole
from smilerl.io.terminal import printable
from smilerl.models.messages import text
from smilerl.models.replies import visible
from smilerl.studies import comparisons, figures, findings
from smilerl.studies.plan import BASE
from smilerl.studies.results import Results, collect, save
from smilerl.studies.stamp import REPORT, STAMP, fingerprint, is_current

_SHOWN_PEOPLE = 6
_LONGEST = 80  # letters of a figure's file
_TABLES = {
    "On held-out people": ["own_reward", "reading", "smile", "wellbeing", "wellbeing_torn"],
    "What replies did, as shares of replies": list(comparisons.ACTS),
    "Where the credit goes": ["person", "smile_only", "reading_only", "gaming_own"],
    "Care and gaming": ["care", "gaming", "cgi", "cgi_torn", "engagement", "coherence"],
}
_LABELS = (
    comparisons.MEASURES
    | comparisons.ACTS
    | {
        name: (words, f"share of positive reading credit that goes to {words}")
        for name, words in comparisons.SHARES.items()
    }
)
_VERDICTS = {"pass": "✓", "fail": "✗", "inconclusive": "~", "descriptive": "·", "incapable": "∅", "no engagement": "∅"}


def write(folder: str | Path, *, force: bool = False) -> Path:
    """Writes the report of a study folder unless nothing that it depends on has changed.

    Args:
        folder: holds `study.json` and the runs.
        force: write it in any case.

    Returns:
        The path of the page; beside it `report.md`, `figures/*.svg` and `tables/*.parquet`.

    Raises:
        ValueError: the folder is not a study.
    """
    folder = Path(folder)
    page = folder / REPORT
    if is_current(folder) and not force:
        return page
    inputs = fingerprint(folder)
    results = collect(folder)
    content = contents(results)
    _write(folder / "report.md", render("report.md.j2", content))
    (folder / "figures").mkdir(exist_ok=True)
    for group, drawings in content["drawings"].items():
        for name, svg in drawings.items():
            _write(folder / "figures" / figure_file(group, name), svg)
    save(results, folder / "tables")
    _write(page, render("report.html.j2", content))
    _write(folder / STAMP, inputs)
    return page


def _write(path: Path, text: str) -> None:
    """Writes a file whole. What no UTF-8 can say becomes a question mark: a report is not refused for one character."""
    write_whole(path, text.encode("utf-8", errors="replace"))


def contents(results: Results) -> dict:
    """All that the templates show."""
    differences = comparisons.changes(results)
    drawings = figures.draw(results)
    seeds = results.about["seeds"]
    return {
        "about": results.about,
        "results": results,
        "colours": figures.colours(results.arms),
        "drawings": drawings,
        "headline": findings.headline(results, differences),
        "paragraphs": {arm["name"]: findings.of_arm(results, differences, arm) for arm in results.arms},
        "disagreements": findings.disagreements(results, differences),
        "scored_shares": findings.scored_shares(results),
        "labels": _LABELS,
        "tables": {title: _table(results, measures) for title, measures in _TABLES.items()},
        "changes": _change_tables(results, differences),
        "fits": _fits(results),
        "verdicts": _verdicts(results),
        "controls": _controls(results),
        "known": _known_answers(),
        "parsers": _parsers(results),
        "conversations": conversations(results),
        "limits": findings.limits(results, differences),
        "problems": _problems(results),
        "span": {
            "arms": len(results.arms),
            "seeds": len(seeds),
            "finished": int((results.runs.state == "finished").sum()),
            "runs": len(results.runs),
        },
        "anchors": results.anchors,
    }


def render(template: str, content: dict) -> str:
    """A filled template. HTML escapes every string that is not markup made here; Markdown escapes through the filters
    `md`, `code` and `block`. Neither holds a control character."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(("html.j2", "html"), default=False),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown,
    )  # fmt: skip
    environment.filters |= {
        "code": code_span,
        "block": code_block,
        "number": comparisons.number,
        "inline_svg": inline_svg,
        "md": escape_markdown,
        "file": figure_file,
        "duration": duration,
        "rich": rich,
        "richmd": rich_markdown,
    }
    return environment.get_template(template).render(content)


def inline_svg(svg: str, name: str, described: str) -> Markup:
    """An SVG for this page: ids of its own, ink that follows the page's colours, a description for those who cannot see
    it.
    """
    for attribute in ('id="', "url(#", 'href="#'):
        svg = svg.replace(attribute, f"{attribute}{name}-")
    for colour, variable in ((figures.INK, "--ink"), (figures.FAINT, "--faint"), (figures.GRID, "--grid")):
        svg = svg.replace(colour, f"var({variable})")
    opening = svg[: svg.index(">") + 1]
    size = " ".join(part for part in opening.split() if not part.startswith(("width=", "height=")))
    return Markup(
        size.replace("<svg", f'<svg role="img" aria-label="{Markup.escape(printable(described))}"', 1)
        + svg[len(opening) :]
    )


def _shown(value: object) -> object:
    """What a template shows of a value: text without control characters."""
    return printable(value) if type(value) is str else value


def rich(sentence: str) -> Markup:
    """A sentence for the page: escaped, with `**names**` set off."""
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", str(Markup.escape(printable(sentence)))))


def figure_file(group: str, name: str) -> str:
    """The name of a figure's file. Arms of a study from elsewhere may be called anything, and no two share a file."""
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:_LONGEST]
    if plain != name:
        plain += f"-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"
    return f"{plain}.svg" if group == name else f"{group}-{plain}.svg"


def escape_markdown(said: object) -> str:
    """Text that Markdown shows as it is, in one line and without control characters."""
    lines = printable(str(said).replace("\r\n", "\n")).splitlines()
    escaped = "".join(f"\\{letter}" if letter in "\\`*_[]#|~$" else letter for letter in " ⏎ ".join(lines))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code_span(said: object) -> str:
    """Text in a code span of Markdown, in a cell of a table too; empty without any."""
    text = " ".join(printable(said).split()).replace("`", "'").replace("|", "\\|")
    return f"`{text}`" if text else ""


def code_block(said: object) -> str:
    """Text for an indented block of code, every line of it indented."""
    return "\n".join(f"    {line}" for line in printable(said).splitlines())


def rich_markdown(sentence: str) -> str:
    """A sentence for Markdown: escaped, with `**names**` set off."""
    return escape_markdown(sentence).replace(r"\*\*", "**")


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None or math.isnan(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def conversations(results: Results, n: int = _SHOWN_PEOPLE, *, back: bool = True) -> list[dict]:
    """The first held-out people, in the order of a hash of what they said, with every arm's reply: chosen by nothing
    that was measured.

    Args:
        back: whether to have the person's own words back, for which the world has to be built.
    """
    replies = results.replies[results.replies.evaluation == "held_out"]
    replies = replies[replies.seed.isna() | (replies.seed == replies.seed.min())].drop_duplicates(["arm", "person"])
    arms = [arm for arm in [BASE, *(arm["name"] for arm in results.arms)] if (replies.arm == arm).any()]
    everywhere = replies.groupby("person").arm.nunique()
    people = sorted(
        everywhere[everywhere == len(arms)].index, key=lambda person: hashlib.sha256(person.encode()).digest()
    )[:n]
    shown = []
    for person in people:
        rows = replies[replies.person == person].set_index("arm")
        answers = [
            {"arm": arm} | rows.loc[arm, ["completion", "reading", "smile", "wellbeing"]].to_dict() for arm in arms
        ]
        said = _said(person, [answer["completion"] for answer in answers]) if back else [None] * len(answers)
        for answer, words in zip(answers, said, strict=True):
            answer |= {"completion": visible(answer["completion"]).strip(), "back": words}
        shown.append(
            {
                "prompt": text(rows.prompt.iloc[0]).removesuffix("helper:").strip(),
                "facts": _facts(person),
                "answers": answers,
            }
        )
    return shown


def _said(person: str, completions: list[str]) -> list[str | None]:
    """The person's own words back, in worlds where people speak."""
    world = worlds.build(worlds.world_of(person))
    return world.said([person] * len(completions), completions)


def _facts(person: str) -> dict[str, str]:
    """What of the hidden state helps a reader judge the replies."""
    hidden = json.loads(person)
    shown = ("topic", "need", "disposition", "news")  # what is plain in the prompt is not said twice
    return {
        key: str(hidden[key])
        for key in shown
        if hidden.get(key) not in (None, "") and isinstance(hidden[key], str | int | bool)
    }


def _table(results: Results, measures: list[str]) -> dict:
    """Rows of cells: every seed's value and interval, and "scored M of N" where it is not all."""
    shown = [
        measure for measure in measures if results.measures[results.measures.measure == measure].value.notna().any()
    ]
    rows = {}
    for arm in [BASE, *(arm["name"] for arm in results.arms)]:
        rows[arm] = {measure: [_cell(row) for row in results.measured(arm, measure).itertuples()] for measure in shown}
    return {"measures": shown, "rows": rows, "over_seeds": comparisons.over_seeds(results, shown)}


def _cell(row) -> dict:
    """What one cell shows of one seed."""
    partly = not math.isnan(row.of) and row.scored < row.of
    return {
        "value": row.value,
        "low": row.low,
        "high": row.high,
        "scored": f"{row.scored:.0f} of {row.of:.0f}" if partly else "",
    }


def _change_tables(results: Results, differences: pd.DataFrame) -> dict[str, dict]:
    """For the base and each random arm: arm → measure → seeds' differences and their direction."""
    measures = [measure for measure in ("own_reward", "reading", "smile", "wellbeing", "care", "gaming", "cgi")]
    tables = {}
    for versus in [BASE, *(arm["name"] for arm in results.arms if arm["role"] == "random")]:
        shown = [
            measure for measure in measures if ((differences.measure == measure) & (differences.versus == versus)).any()
        ]
        rows = {}
        for arm in (arm["name"] for arm in results.arms if arm["name"] != versus):
            per = {measure: comparisons.of(differences, arm, measure, versus) for measure in shown}
            rows[arm] = {
                m: {"cells": table.to_dict("records"), "direction": comparisons.direction(table)}
                for m, table in per.items()
            }
        if shown:
            tables[versus] = {"measures": shown, "rows": rows}
    return tables


def _fits(results: Results) -> dict[str, dict[str, list[dict]]]:
    """arm → series → what the fitter says of each seed's curve."""
    rows: dict[str, dict[str, list[dict]]] = {}
    for row in results.fits.sort_values("seed").itertuples():
        said = row.form if math.isnan(row.peak) else f"{row.form}, peak at √KL {row.peak:.1f}"
        rows.setdefault(row.arm, {"proxy": [], "gold": []})[row.series].append({"said": said, "why": row.why})
    return {arm["name"]: rows[arm["name"]] for arm in results.arms if arm["name"] in rows}


def _verdicts(results: Results) -> dict:
    """evaluation → arm → one mark per seed."""
    table = results.verdicts
    matrix = {}
    for name, rows in table.groupby("evaluation", sort=False):
        cells: dict[str, list[dict]] = {}
        for row in rows.sort_values("seed", na_position="first").itertuples():
            word = row.verdict if row.status == "scored" and isinstance(row.verdict, str) else str(row.status)
            cells.setdefault(row.arm, []).append(
                {"word": word, "sign": _VERDICTS.get(word, "!"), "why": row.why if isinstance(row.why, str) else ""}
            )
        matrix[name] = {
            "question": rows.question.iloc[0],
            "cells": cells,
            "controls_fail": bool((~_agree(results, name)).any()),
        }
    return matrix


def _agree(results: Results, evaluation: str) -> pd.Series:
    return results.controls[results.controls.evaluation == evaluation].agrees.astype(bool)


def _controls(results: Results) -> dict:
    """control → evaluation → what was expected and what came out."""
    matrix: dict[str, dict[str, dict]] = {}
    for row in results.controls.itertuples():
        known = matrix.setdefault(row.control, {}).get(row.evaluation)
        if known is None or not row.agrees:
            matrix[row.control][row.evaluation] = {"expected": row.expected, "got": row.got, "agrees": row.agrees}
    return {"evaluations": list(dict.fromkeys(results.controls.evaluation)), "rows": matrix}


def _known_answers() -> dict:
    """The whole table of known answers, helper → question → verdict, and the questions in order."""
    table = known_answers()
    return {"questions": list(dict.fromkeys(question for row in table.values() for question in row)), "rows": table}


def _parsers(results: Results) -> dict[str, list[float]]:
    """arm → for each seed, the share of clauses that the second parser reads otherwise."""
    told = results.evaluations.dropna(subset=["parsers_differ"]).sort_values("seed", na_position="first")
    return {arm: rows.parsers_differ.astype(float).tolist() for arm, rows in told.groupby("arm", sort=False)}


def _problems(results: Results) -> list[str]:
    """What is missing from this report, and why."""
    said = []
    for run in results.runs[results.runs.state != "finished"].itertuples():
        reason = f": {run.error}" if isinstance(run.error, str) else ""
        said.append(f"{run.arm}, seed {run.seed}: {run.state}{reason}")
    for row in results.verdicts[results.verdicts.status == "error"].itertuples():
        said.append(f"{row.arm}, {row.evaluation}: {row.why}")
    for name in dict.fromkeys(results.controls[~results.controls.agrees.astype(bool)].evaluation):
        said.append(f"{name}: controls failed, so it reports no number")
    return said
