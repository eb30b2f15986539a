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
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import jinja2
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

_TEMPLATES = Path(__file__).parent / "templates"
_SHOWN_PEOPLE = 6
_LONGEST = 80  # letters of a figure's file
_TABLES = {
    "On held-out people": ["own_reward", "reading", "smile", "wellbeing", "wellbeing_torn"],
    "What replies did, as shares of replies": list(comparisons.ACTS),
    "Where the credit goes": [*comparisons.SHARES, "gaming_own"],
    "Care and gaming": ["care", "gaming", "cgi", "cgi_torn", "engagement", "coherence"],
}
_CHANGES = ("own_reward", "reading", "smile", "wellbeing", "care", "gaming", "cgi")
_VERDICTS = {
    "pass": "✓",
    "fail": "✗",
    "inconclusive": "~",
    "descriptive": "·",
    "incapable": "∅",
    "no engagement": "∅",
    "blind": "∅",
    "uninterpretable": "?",
}


def write(folder: str | Path, *, force: bool = False, so_far: bool = False) -> Path:
    """Writes the report of a study folder unless nothing that it depends on has changed.

    Args:
        folder: holds `study.json` and the runs.
        force: write it in any case.
        so_far: the study is at work; the page says so, and is written anew in the end.

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
    results = collect(folder, so_far=so_far)
    content = contents(results, so_far=so_far)
    _write(folder / "report.md", render(_TEMPLATES / "report.md.j2", content))
    (folder / "figures").mkdir(exist_ok=True)
    for group, drawings in content["drawings"].items():
        for name, svg in drawings.items():
            _write(folder / "figures" / figure_file(group, name), svg)
    save(results, folder / "tables")
    _write(page, render(_TEMPLATES / "report.html.j2", content))
    if not so_far:
        _write(folder / STAMP, inputs)
    return page


def _write(path: Path, text: str) -> None:
    """Writes a file whole. What UTF-8 cannot encode becomes a question mark: one character does not stop a report."""
    write_whole(path, text.encode("utf-8", errors="replace"))


def contents(results: Results, *, so_far: bool = False) -> dict:
    """All that the templates show.

    Args:
        so_far: runs are still at work, so none is missing.
    """
    differences = comparisons.changes(results)
    finished = int((results.runs.state == "finished").sum())
    seeds = len(results.about["seeds"])
    told = results.evaluations.dropna(subset=["parsers_differ"]).sort_values("seed", na_position="first")
    known = known_answers()
    return {
        "about": results.about,
        "anchors": results.anchors,
        "labels": comparisons.LABELS,
        "colours": figures.colours(results.arms),
        "drawings": figures.draw(results),
        "headline": findings.headline(results, differences),
        "paragraphs": {arm["name"]: findings.of_arm(results, differences, arm) for arm in results.arms},
        "disagreements": findings.disagreements(results, differences),
        "scored_shares": findings.scored_shares(results),
        "limits": findings.limits(results, differences),
        "tables": {title: _table(results, measures) for title, measures in _TABLES.items()},
        "changes": _change_tables(results, differences),
        "fits": _fits(results),
        "verdicts": _verdicts(results),
        "reads": _reads(results),
        "controls": _controls(results),
        "known": {"questions": list(dict.fromkeys(name for row in known.values() for name in row)), "rows": known},
        "parsers": {arm: rows.parsers_differ.astype(float).tolist() for arm, rows in told.groupby("arm", sort=False)},
        "conversations": conversations(results),
        "problems": list(_problems(results, so_far)),
        "so_far": so_far,
        "span": {"arms": len(results.arms), "seeds": seeds, "finished": finished, "runs": len(results.runs)},
    }


def render(template: Path, content: dict) -> str:
    """A filled template; those beside it can be imported.

    HTML escapes every string that is not markup made here; Markdown escapes through the filters `md`, `code` and
    `block`. Neither holds a control character.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent), undefined=jinja2.StrictUndefined, trim_blocks=True,
        autoescape=jinja2.select_autoescape(("html.j2", "html"), default=False), lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )  # fmt: skip
    environment.filters |= {
        "number": comparisons.number, "duration": duration, "literal": repr, "file": figure_file, "rich": rich,
        "inline_svg": inline_svg, "md": escape_markdown, "richmd": rich_markdown, "code": code_span,
        "block": code_block,
    }  # fmt: skip
    return environment.get_template(template.name).render(content)


def inline_svg(svg: str, name: str, described: str) -> Markup:
    """An SVG for this page: ids of its own, ink that follows the page's colours, a description for screen readers."""
    for attribute in ('id="', "url(#", 'href="#'):
        svg = svg.replace(attribute, f"{attribute}{name}-")
    for colour, variable in ((figures.INK, "--ink"), (figures.FAINT, "--faint"), (figures.GRID, "--grid")):
        svg = svg.replace(colour, f"var({variable})")
    opening, _, rest = svg.partition(">")
    sized = " ".join(part for part in opening.split() if not part.startswith(("width=", "height=")))
    label = f'<svg role="img" aria-label="{Markup.escape(printable(described))}"'
    return Markup(f"{sized.replace('<svg', label, 1)}>{rest}")


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
        back: whether to add what the person says in return, for which the world has to be built.
    """
    replies = results.replies[results.replies.evaluation == "held_out"]
    replies = replies[replies.seed.isna() | (replies.seed == replies.seed.min())].drop_duplicates(["arm", "person"])
    arms = [arm for arm in _policies(results) if (replies.arm == arm).any()]
    answered = replies.groupby("person").arm.nunique()
    everywhere = answered[answered == len(arms)].index
    shown = []
    for person in sorted(everywhere, key=lambda person: hashlib.sha256(person.encode()).digest())[:n]:
        rows = replies[replies.person == person].set_index("arm")
        answers = rows.loc[arms, ["completion", "reading", "smile", "wellbeing"]].to_dict("records")
        said: list[str | None] = [None] * len(arms)
        if back:
            world, completions = worlds.build(worlds.world_of(person)), [answer["completion"] for answer in answers]
            said = world.said([person] * len(arms), completions)
        for answer, arm, words in zip(answers, arms, said, strict=True):
            answer |= {"arm": arm, "completion": visible(answer["completion"]).strip(), "back": words}
        prompt = text(rows.prompt.iloc[0]).removesuffix("helper:").strip()
        shown.append({"prompt": prompt, "facts": _facts(person), "answers": answers})
    return shown


def _facts(person: str) -> dict[str, str]:
    """What of the hidden state helps a reader judge the replies, and is not plain in the prompt."""
    hidden = json.loads(person)
    named = {key: hidden.get(key) for key in ("topic", "need", "disposition", "news")}
    return {key: str(value) for key, value in named.items() if value != "" and isinstance(value, str | int | bool)}


def _policies(results: Results) -> list[str]:
    return [BASE, *(arm["name"] for arm in results.arms)]


def _table(results: Results, measures: list[str]) -> dict:
    """Rows of cells: every seed's value and interval, and "M of N" where not all was scored."""
    known = set(results.measures.dropna(subset=["value"]).measure)
    shown = [measure for measure in measures if measure in known]
    rows = {
        arm: {measure: [_cell(row) for row in results.measured(arm, measure).itertuples()] for measure in shown}
        for arm in _policies(results)
    }
    return {"measures": shown, "rows": rows, "over_seeds": comparisons.over_seeds(results, shown)}


def _cell(row) -> dict:
    partly = not math.isnan(row.of) and row.scored < row.of
    scored = f"{row.scored:.0f} of {row.of:.0f}" if partly else ""
    return {"value": row.value, "low": row.low, "high": row.high, "scored": scored}


def _change_tables(results: Results, differences) -> dict[str, dict]:
    """For the base at the same entropy, the base and each random arm: arm → measure → seeds' differences, direction."""
    tables = {}
    controls = [arm["name"] for arm in results.arms if arm["role"] == "random"]
    for versus in [comparisons.MATCHED, BASE, *controls]:
        compared = differences[differences.versus == versus]
        known = set(compared.measure)
        shown = [measure for measure in _CHANGES if measure in known]
        rows: dict[str, dict[str, dict]] = {arm["name"]: {} for arm in results.arms if arm["name"] in set(compared.arm)}
        for arm, row in rows.items():
            for measure in shown:
                table = comparisons.of(differences, arm, measure, versus)
                row[measure] = {"cells": table.to_dict("records"), "direction": comparisons.direction(table)}
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
    failed = _failed_controls(results)
    matrix = {}
    for name, rows in results.verdicts.groupby("evaluation", sort=False):
        cells = defaultdict(list)
        for row in rows.sort_values("seed", na_position="first").itertuples():
            word = row.verdict if row.status == "scored" and isinstance(row.verdict, str) else str(row.status)
            why = row.why if isinstance(row.why, str) else ""
            cells[row.arm].append({"word": word, "sign": _VERDICTS.get(word, "!"), "why": why})
        matrix[name] = {"question": rows.question.iloc[0], "cells": dict(cells), "controls_fail": name in failed}
    return matrix


def _reads(results: Results) -> dict[str, dict[str, list[str]]]:
    """question and cue → arm → what each seed reads of it."""
    matrix: dict[str, dict[str, list[str]]] = {}
    for row in results.reads.sort_values("seed", na_position="first").itertuples():
        said = f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}], {row.reworded:.2f}: {'yes' if row.reads else 'no'}"
        matrix.setdefault(f"{row.evaluation}: {row.cue} ({row.twins})", {}).setdefault(row.arm, []).append(said)
    return matrix


def _failed_controls(results: Results) -> list[str]:
    return list(dict.fromkeys(results.controls[~results.controls.agrees.astype(bool)].evaluation))


def _controls(results: Results) -> dict:
    """control → evaluation → what was expected and what came out."""
    matrix: dict[str, dict[str, dict]] = {}
    for row in results.controls.itertuples():
        cells = matrix.setdefault(row.control, {})
        if row.evaluation not in cells or not row.agrees:
            cells[row.evaluation] = {"expected": row.expected, "got": row.got, "agrees": row.agrees}
    return {"evaluations": list(dict.fromkeys(results.controls.evaluation)), "rows": matrix}


def _problems(results: Results, so_far: bool) -> Iterator[str]:
    """What is missing from this report, and why."""
    wrong = results.runs.state == "failed" if so_far else results.runs.state != "finished"
    for run in results.runs[wrong].itertuples():
        reason = f": {run.error}" if isinstance(run.error, str) else ""
        yield f"{run.arm}, seed {run.seed}: {run.state}{reason}"
    for row in results.verdicts[results.verdicts.status == "error"].itertuples():
        yield f"{row.arm}, {row.evaluation}: {row.why}"
    for name in _failed_controls(results):
        yield f"{name}: controls failed, so it reports no number"
