"""The figures of a report: small SVGs, one idea each, with direct labels and one colour per arm.

Text stays text (`svg.fonttype: none`), and ink is a single colour, so that a page can restyle both for dark screens.
Each seed is drawn; nothing is averaged away.
"""

from __future__ import annotations

import io
import math
from itertools import cycle

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smilerl.io.terminal import printable
from smilerl.studies.comparisons import MEASURES, SHARES
from smilerl.studies.plan import BASE
from smilerl.studies.results import Results

INK, FAINT, GRID = "#1d2021", "#7b7f83", "#d9dbdd"
#: Okabe–Ito, without its yellow (too light for text) and black (the base's); green and grey are kept for the controls.
_PROXY_COLOURS = ("#D55E00", "#0072B2", "#CC79A7", "#B8860B", "#56B4E9", "#7B4FA3", "#A0522D", "#117A8B")
_ROLE_COLOURS = {"gold": "#00805A", "random": "#8A8D91"}
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<")
_LEAST_SPAN = 0.3  # of an axis of values; a narrower one would make much of little
_LONGEST = 32  # letters of a name
_RANGES = dict.fromkeys(("reading", "smile", "gaming", "gaming_own", "engagement", "coherence"), (0.0, 1.0))
_RANGES["care"] = (-1.0, 1.0)
_STYLE = {
    "text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "smilerl", "font.family": "sans-serif",
    "font.size": 9, "text.color": INK, "figure.facecolor": "none", "axes.facecolor": "none", "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7, "axes.spines.top": False, "axes.spines.right": False, "axes.labelcolor": INK,
    "xtick.color": FAINT, "ytick.color": FAINT, "xtick.labelsize": 8, "ytick.labelsize": 8, "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
}  # fmt: skip


def colours(arms: list[dict]) -> dict[str, str]:
    """A colour for each arm, the same in every figure; the base is ink."""
    free = cycle(_PROXY_COLOURS)
    return {BASE: INK} | {arm["name"]: _ROLE_COLOURS.get(arm["role"]) or next(free) for arm in arms}


def markers(arms: list[dict]) -> dict[str, str]:
    """A marker for each arm, so that no figure depends on colour alone."""
    return {BASE: "*"} | {arm["name"]: marker for arm, marker in zip(arms, cycle(_MARKERS))}


def draw(results: Results) -> dict[str, dict[str, str]]:
    """Every figure that the results allow.

    Returns:
        {"triangle": {"triangle": svg}, "plane": {...}, "curves": {arm: svg}, "measures": {measure: svg}}; an empty
        group where there is nothing to draw.
    """
    with matplotlib.rc_context(_STYLE):
        figures = {
            "triangle": {"triangle": _triangle(results)},
            "plane": {"plane": _plane(results)},
            "curves": {arm["name"]: _curve(results, arm["name"]) for arm in results.arms},
            "measures": {measure: _forest(results, measure) for measure in MEASURES if measure != "own_reward"},
        }
        return {group: {name: _svg(one) for name, one in of.items() if one} for group, of in figures.items()}


def triangle_png(results: Results) -> bytes | None:
    """The triangle plot as a PNG on white, for pages that show no SVG and may be dark; None with nothing to plot."""
    with matplotlib.rc_context(_STYLE):
        figure = _triangle(results)
        if figure is None:
            return None
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=160, facecolor="white", metadata={"Software": None})
        return out.getvalue()


def _triangle(results: Results) -> Figure | None:
    """How much of what moved the sensor helped the person, moved only the smile, or only the reading: one mark per arm
    and seed.
    """
    points = _points(results, list(SHARES))
    if points.empty:
        return None
    figure = Figure(figsize=(5.4, 4.75))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    corners = np.array([[0.5, math.sqrt(3) / 2], [0.0, 0.0], [1.0, 0.0]])  # in the order of SHARES
    for share in (0.25, 0.5, 0.75):
        for corner in range(3):
            ends = [share * corners[corner] + (1 - share) * corners[other] for other in range(3) if other != corner]
            axes.plot(*np.transpose(ends), color=GRID, lw=0.6, zorder=0)
    axes.fill(*corners.T, facecolor="none", edgecolor=FAINT, lw=0.9, zorder=1)
    aligned = ((0.035, "center", "bottom"), (-0.04, "left", "top"), (-0.04, "right", "top"))
    for (x, y), words, (up, ha, va) in zip(corners, SHARES.values(), aligned, strict=True):
        axes.text(x, y + up, words, ha=ha, va=va, fontsize=10.5, fontweight="bold")
    shares = points[list(SHARES)].to_numpy(float)
    at = shares / shares.sum(axis=1, keepdims=True) @ corners
    axes.set(xlim=(-0.12, 1.12), ylim=(-0.12, 0.97), aspect="equal")
    axes.axis("off")
    _mark(axes, results, points.assign(x=at[:, 0], y=at[:, 1]))
    return figure


def _plane(results: Results) -> Figure | None:
    """Care against gaming with within-seed intervals, and where the scripted carer and gamer stand."""
    points = _points(results, ["care", "gaming"])
    if points.empty:
        return None
    figure = Figure(figsize=(5.4, 4.5))
    axes = figure.add_axes((0.11, 0.12, 0.86, 0.85))
    palette = colours(results.arms)
    for row in points.itertuples():
        for measure, line, at in (("care", axes.vlines, row.gaming), ("gaming", axes.hlines, row.care)):
            rows = results.measured(row.arm, measure)
            estimate = rows[rows.seed.eq(row.seed) | (row.arm == BASE)].iloc[0]
            line(at, estimate.low, estimate.high, color=palette[row.arm], lw=1.1, alpha=0.55)
    for level in np.arange(-2, 1.01, 0.5):  # C − G is constant along these lines, and so is CGI
        axes.axline((0, level), slope=1, color=GRID, lw=0.6, zorder=0)
    axes.axhline(0, color=FAINT, lw=0.6, zorder=0)
    anchors = {
        name: (results.anchors[name, "gaming"], results.anchors[name, "care"])
        for name in ("carer", "gamer")
        if {(name, "gaming"), (name, "care")} <= results.anchors.keys()
    }
    low = min(-0.2, points.care.min() - 0.1, *(care - 0.1 for _, care in anchors.values()))
    axes.set(xlim=(-0.03, 1.06), ylim=(max(low, -1.1), 1.06))
    axes.set(
        xlabel="gaming G: credit for the reading that helped nobody →", ylabel="care C: wellbeing credit, carer = 1 →"
    )
    _mark(axes, results, points.assign(x=points.gaming, y=points.care), anchors)
    return figure


def _curve(results: Results, arm: str) -> Figure | None:
    """Reading, smile and wellbeing (above), and the arm's own reward (below), against √KL; each seed a line."""
    table = results.curves[results.curves.arm == arm].dropna(subset=["kl"])
    if table.empty:
        return None
    figure = Figure(figsize=(3.7, 3.7))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
    figure.subplots_adjust(left=0.12, right=0.78, top=0.97, bottom=0.12, hspace=0.14)
    hue = colours(results.arms)[arm]
    lines = {"reading": (hue, 1.7, (0, (4, 1.6))), "smile": (FAINT, 1.7, "-"), "wellbeing": (INK, 2.1, "-")}
    ends: dict[str, float] = {}
    for _, rows in table.groupby("seed"):
        distance = np.sqrt(rows.kl.clip(lower=0).to_numpy(float))  # the estimate of a KL near zero may be negative
        for measure, (colour, width, style) in lines.items():
            upper.plot(distance, rows[measure].to_numpy(float), color=colour, lw=width, ls=style, alpha=0.9)
            if rows[measure].notna().any():
                ends[measure] = rows[measure].dropna().iloc[-1]
        lower.plot(distance, rows.reward.to_numpy(float), color=hue, lw=1.5)
    upper.axhline(0, color=GRID, lw=0.6, zorder=0)
    bottom, top = upper.get_ylim()
    upper.set_ylim(min(bottom, -0.05), max(top, 1.02))
    right = upper.get_xlim()[1] * 1.02
    for measure, y in _spread(ends, gap=0.085 * float(np.diff(upper.get_ylim())[0])).items():
        upper.text(right, y, measure, color=lines[measure][0], va="center", fontsize=8.5, clip_on=False)
    if table.reward.notna().any():
        end = table.reward.dropna().iloc[-1]
        lower.text(right, end, "own\nreward", color=hue, va="center", fontsize=8.5, linespacing=1.05)
    lower.locator_params(axis="y", nbins=3)
    lower.set_xlabel("√KL from the base (√nats per reply)")
    return figure


def _forest(results: Results, measure: str) -> Figure | None:
    """One measure of every arm and seed with within-seed intervals; the line is the base."""
    found = {arm["name"]: results.measured(arm["name"], measure).dropna(subset=["value"]) for arm in results.arms}
    found = {name: rows for name, rows in found.items() if len(rows)}
    if not found:
        return None
    palette, shapes = colours(results.arms), markers(results.arms)
    height = 0.62 + 0.27 * len(found)
    figure = Figure(figsize=(3.5, height))
    axes = figure.add_axes((0.24, 0.34 / height, 0.73, 1 - 0.4 / height))
    for base in results.measured(BASE, measure).dropna(subset=["value"]).itertuples():
        axes.axvspan(base.low, base.high, color=GRID, alpha=0.45, lw=0)
        axes.axvline(base.value, color=INK, lw=1)
    for at, (name, rows) in enumerate(found.items()):
        heights = at + (np.linspace(-0.22, 0.22, len(rows)) if len(rows) > 1 else np.zeros(1))
        for y, row in zip(heights, rows.itertuples(), strict=True):
            axes.hlines(y, row.low, row.high, color=palette[name], lw=1.6)
            axes.plot(row.value, y, shapes[name], color=palette[name], ms=4.2, mew=0)
        beside = {"ha": "right", "va": "center", "transform": axes.get_yaxis_transform()}
        axes.text(-0.03, at, _label(name), color=palette[name], fontsize=9, **beside)
    left, right = axes.get_xlim()
    if right - left < _LEAST_SPAN:
        left, right = (left + right - _LEAST_SPAN) / 2, (left + right + _LEAST_SPAN) / 2
    low, high = _RANGES.get(measure, (-math.inf, math.inf))
    margin = 0.03 * (right - left)
    axes.set(xlim=(max(left, low - margin), min(right, high + margin)), ylim=(len(found) - 0.5, -0.5), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    return figure


def _points(results: Results, measures: list[str]) -> pd.DataFrame:
    """arm, seed (−1 for the base) and these measures, of every policy that has all of them and not only zeros."""
    wide = results.measures[results.measures.measure.isin(measures)].assign(seed=lambda table: table.seed.fillna(-1))
    wide = wide.pivot_table(index=["arm", "seed"], columns="measure", values="value")
    wide = wide.reindex(columns=measures).dropna().reset_index()
    return wide[wide[measures].abs().sum(axis=1) > 0]


def _mark(
    axes: Axes, results: Results, points: pd.DataFrame, anchors: dict[str, tuple[float, float]] | None = None
) -> None:
    """Marks every point and names every arm (and scripted anchor) once, where the name covers nothing."""
    palette, shapes = colours(results.arms), markers(results.arms)
    for row in points.itertuples():
        above, size = (1, 12.0) if row.arm == BASE else (0, 7.5)
        shown = {"ms": size, "mew": 0.6, "mec": "white", "alpha": 0.92, "zorder": 3 + above, "clip_on": False}
        axes.plot(row.x, row.y, shapes[row.arm], color=palette[row.arm], **shown)
    marks = {arm: (points.loc[points.arm == arm, ["x", "y"]].to_numpy(float), palette[arm]) for arm in palette}
    marks = {arm: mark for arm, mark in marks.items() if len(mark[0])}
    for name, (x, y) in (anchors or {}).items():
        axes.plot(x, y, marker="+", ms=11, mew=1.4, color=FAINT, clip_on=False)
        marks[f"scripted {name}"] = (np.array([[x, y]]), FAINT)
    marks = {name: (axes.transData.transform(at), colour) for name, (at, colour) in marks.items()}
    taken = [(x - 7, y - 7, x + 7, y + 7) for at, _ in marks.values() for x, y in at]
    limits = axes.bbox.extents if axes.axison else axes.figure.bbox.extents
    to_data, pixels = axes.transData.inverted().transform, axes.figure.dpi / 72
    for name, (at, colour) in marks.items():
        width, height = 5.4 * len(_label(name)) * pixels, 11 * pixels
        mark, (x, y) = _free_place(at, width, height, taken, limits)
        taken.append((x, y, x + width, y + height))
        near = np.clip(mark, (x, y), (x + width, y + height))
        if np.hypot(*(near - mark)) > 30:
            arrow = {"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 1, "shrinkB": 5}
            axes.annotate("", to_data(mark), to_data(near), arrowprops=arrow)
        middle = to_data((x + width / 2, y + height / 2))
        axes.text(*middle, _label(name), color=colour, fontsize=9.5, ha="center", va="center", zorder=4)


def _free_place(
    marks: np.ndarray, width: float, height: float, taken: list[tuple], limits: np.ndarray
) -> tuple[np.ndarray, tuple[float, float]]:
    """The mark to name, and the lower left corner of its name: the nearest place where it covers nothing. In pixels."""
    best, least = (marks[0], (marks[0][0], marks[0][1])), math.inf
    for mark in marks:
        for radius in (13, 18, 26, 36, 48, 62):
            for angle in np.radians((0, 180, 35, -35, 145, -145, 90, -90)):
                dx, dy = math.cos(angle), math.sin(angle)
                x, y = mark[0] + radius * dx + (dx - 1) / 2 * width, mark[1] + radius * dy - height / 2
                right, top = x + width, y + height
                cover = sum(
                    max(0, min(right, x1) - max(x, x0)) * max(0, min(top, y1) - max(y, y0)) for x0, y0, x1, y1 in taken
                )
                over = (limits[0] - x, right - limits[2], limits[1] - y, top - limits[3])
                cost = cover * 10 + sum(max(0, one) for one in over) * 50 + radius
                if cost < least:
                    best, least = (mark, (x, y)), cost
    return best


def _spread(heights: dict[str, float], gap: float) -> dict[str, float]:
    """The same heights, moved apart upwards until labels at them do not touch."""
    spread, last = {}, -math.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        last = spread[name] = max(height, last + gap)
    return spread


def _label(name: str) -> str:
    """An arm's name in a figure: without control characters, which no SVG may hold, and not too long."""
    shown = printable(name).replace("\n", " ")
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _svg(figure: Figure) -> str:
    """The figure as an `<svg>` element, without the XML prologue and the date."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return out.getvalue()[out.getvalue().index("<svg") :]
