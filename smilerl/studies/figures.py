"""The pictures of a report: small SVGs, one idea each, with direct labels and one colour per arm.

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
from smilerl.studies.comparisons import MEASURES
from smilerl.studies.placing import free_place, spread
from smilerl.studies.plan import BASE
from smilerl.studies.results import Results

INK, FAINT, GRID = "#1d2021", "#7b7f83", "#d9dbdd"
#: Okabe–Ito, without its yellow (too light for text) and black (the base's); green and grey are kept for the controls.
_PROXY_COLOURS = ("#D55E00", "#0072B2", "#CC79A7", "#B8860B", "#56B4E9", "#7B4FA3", "#A0522D", "#117A8B")
_ROLE_COLOURS = {"gold": "#00805A", "random": "#8A8D91"}
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<")
_LEAST_SPAN = 0.3
_LONGEST = 32  # letters of a name
_RANGES = dict.fromkeys(("reading", "smile", "gaming", "gaming_own", "engagement", "coherence"), (0.0, 1.0)) | {
    "care": (-1.0, 1.0)
}
_STYLE = {
    "text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "smilerl", "font.family": "sans-serif", "font.size": 9, "axes.edgecolor": FAINT, "axes.linewidth": 0.7,
    "axes.spines.top": False, "axes.spines.right": False, "axes.labelcolor": INK, "text.color": INK, "xtick.color": FAINT, "ytick.color": FAINT,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "xtick.major.width": 0.7, "ytick.major.width": 0.7, "figure.facecolor": "none", "axes.facecolor": "none",
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
        return {
            "triangle": _some("triangle", triangle(results)),
            "plane": _some("plane", plane(results)),
            "curves": {arm["name"]: svg for arm in results.arms if (svg := curve(results, arm["name"]))},
            "measures": {
                measure: svg for measure in MEASURES if measure != "own_reward" and (svg := forest(results, measure))
            },
        }


def triangle(results: Results) -> str | None:
    """How much of what moved the sensor helped the person, moved only the smile, or only the reading: one mark per arm
    and seed.
    """
    figure = _triangle(results)
    return _svg(figure) if figure else None


def triangle_png(results: Results) -> bytes | None:
    """The same as a picture with a ground of its own, for pages that show no SVG and may be dark."""
    with matplotlib.rc_context(_STYLE):
        figure = _triangle(results)
        if figure is None:
            return None
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=160, facecolor="white", metadata={"Software": None})
        return out.getvalue()


def _triangle(results: Results) -> Figure | None:
    points = _points(results, ["person", "smile_only", "reading_only"])
    if points.empty:
        return None
    figure = Figure(figsize=(5.4, 4.75))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    corners = np.array([[0.5, math.sqrt(3) / 2], [0.0, 0.0], [1.0, 0.0]])  # person, smile only, reading only
    for share in (0.25, 0.5, 0.75):
        for corner in range(3):
            a, b = (other for other in range(3) if other != corner)
            ends = [share * corners[corner] + (1 - share) * corners[other] for other in (a, b)]
            axes.plot(*np.transpose(ends), color=GRID, lw=0.6, zorder=0)
    axes.fill(*corners.T, facecolor="none", edgecolor=FAINT, lw=0.9, zorder=1)
    for corner, (dx, dy), align, words in zip(
        corners,
        ((0, 0.035), (0, -0.04), (0, -0.04)),
        ("center", "left", "right"),
        ("the person", "the smile alone", "the reading alone"),
        strict=True,
    ):
        axes.text(
            corner[0] + dx,
            corner[1] + dy,
            words,
            ha=align,
            va="bottom" if dy > 0 else "top",
            fontsize=10.5,
            fontweight="bold",
        )
    shares = points[["person", "smile_only", "reading_only"]].to_numpy(float)
    at = shares / shares.sum(axis=1, keepdims=True) @ corners
    axes.set(xlim=(-0.12, 1.12), ylim=(-0.12, 0.97), aspect="equal")
    axes.axis("off")
    _mark(axes, results, points.assign(x=at[:, 0], y=at[:, 1]))
    return figure


def plane(results: Results) -> str | None:
    """Care against gaming with within-seed intervals, and where the scripted carer and gamer stand."""
    points = _points(results, ["care", "gaming"])
    if points.empty:
        return None
    figure = Figure(figsize=(5.4, 4.5))
    axes = figure.add_axes((0.11, 0.12, 0.86, 0.85))
    palette = colours(results.arms)
    for row in points.itertuples():
        for measure, draw in (("care", axes.vlines), ("gaming", axes.hlines)):
            estimate = results.measures[
                (results.measures.arm == row.arm)
                & (results.measures.measure == measure)
                & (results.measures.seed.eq(row.seed) | (row.arm == BASE))
            ].iloc[0]
            at = row.gaming if measure == "care" else row.care
            draw(at, estimate.low, estimate.high, color=palette[row.arm], lw=1.1, alpha=0.55)
    low = min(-0.2, points.care.min() - 0.1)
    for level in np.arange(-2, 1.01, 0.5):  # C − G is constant along these lines, and so is CGI
        axes.axline((0, level), slope=1, color=GRID, lw=0.6, zorder=0)
    axes.axhline(0, color=FAINT, lw=0.6, zorder=0)
    anchors = {name: (gaming, care) for name, (care, gaming) in _anchors(results).items()}
    low = min([low, *(care - 0.1 for _, care in anchors.values())])
    axes.set(
        xlim=(-0.03, 1.06),
        ylim=(max(low, -1.1), 1.06),
        xlabel="gaming G: credit for the reading that helped nobody →",
        ylabel="care C: wellbeing credit, carer = 1 →",
    )
    _mark(axes, results, points.assign(x=points.gaming, y=points.care), anchors)
    return _svg(figure)


def curve(results: Results, arm: str) -> str | None:
    """Reading, smile and wellbeing (above), and the arm's own reward (below), against √KL; each seed a line."""
    table = results.curves[results.curves.arm == arm].dropna(subset=["kl"])
    if table.empty:
        return None
    figure = Figure(figsize=(3.7, 3.7))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
    figure.subplots_adjust(left=0.12, right=0.78, top=0.97, bottom=0.12, hspace=0.14)
    hue = colours(results.arms)[arm]
    lines = {"reading": (hue, 1.7, (0, (4, 1.6))), "smile": (FAINT, 1.7, "-"), "wellbeing": (INK, 2.1, "-")}
    labels: dict[str, tuple[float, float]] = {}
    for _, rows in table.groupby("seed"):
        # The estimate of a KL near zero may be negative, which has no root.
        distance = np.sqrt(rows.kl.clip(lower=0).to_numpy(float))
        for measure, (colour, width, style) in lines.items():
            upper.plot(distance, rows[measure].to_numpy(float), color=colour, lw=width, ls=style, alpha=0.9)
            if rows[measure].notna().any():
                labels[measure] = (distance[-1], rows[measure].dropna().iloc[-1])
        lower.plot(distance, rows.reward.to_numpy(float), color=hue, lw=1.5)
    upper.axhline(0, color=GRID, lw=0.6, zorder=0)
    bottom, top = upper.get_ylim()
    upper.set_ylim(min(bottom, -0.05), max(top, 1.02))
    right = upper.get_xlim()[1]
    for measure, y in spread(
        {measure: y for measure, (_, y) in labels.items()}, gap=0.085 * (upper.get_ylim()[1] - upper.get_ylim()[0])
    ).items():
        upper.text(right * 1.02, y, measure, color=lines[measure][0], va="center", fontsize=8.5, clip_on=False)
    if table.reward.notna().any():
        lower.text(
            right * 1.02,
            table.reward.dropna().iloc[-1],
            "own\nreward",
            color=hue,
            va="center",
            fontsize=8.5,
            linespacing=1.05,
        )
    lower.locator_params(axis="y", nbins=3)
    lower.set_xlabel("√KL from the base (√nats per reply)")
    return _svg(figure)


def forest(results: Results, measure: str) -> str | None:
    """One measure of every arm and seed with within-seed intervals; the line is the base."""
    names = [
        arm["name"] for arm in results.arms if len(results.measured(arm["name"], measure).dropna(subset=["value"]))
    ]
    if not names:
        return None
    palette, shapes = colours(results.arms), markers(results.arms)
    figure = Figure(figsize=(3.5, 0.62 + 0.27 * len(names)))
    axes = figure.add_axes((0.24, 0.34 / figure.get_figheight(), 0.73, 1 - 0.4 / figure.get_figheight()))
    base = results.measured(BASE, measure)
    if len(base) and not math.isnan(base.value.iloc[0]):
        axes.axvspan(base.low.iloc[0], base.high.iloc[0], color=GRID, alpha=0.45, lw=0)
        axes.axvline(base.value.iloc[0], color=INK, lw=1)
    for at, name in enumerate(names):
        rows = results.measured(name, measure).dropna(subset=["value"])
        for offset, row in zip(_offsets(len(rows)), rows.itertuples(), strict=True):
            axes.hlines(at + offset, row.low, row.high, color=palette[name], lw=1.6)
            axes.plot(row.value, at + offset, shapes[name], color=palette[name], ms=4.2, mew=0)
        axes.text(
            -0.03,
            at,
            _label(name),
            color=palette[name],
            ha="right",
            va="center",
            fontsize=9,
            transform=axes.get_yaxis_transform(),
        )
    left, right = axes.get_xlim()
    if right - left < _LEAST_SPAN:  # a narrower axis would make much of little
        left, right = (left + right - _LEAST_SPAN) / 2, (left + right + _LEAST_SPAN) / 2
    low, high = _RANGES.get(measure, (-math.inf, math.inf))
    margin = 0.03 * (right - left)
    axes.set_xlim(max(left, low - margin), min(right, high + margin))
    axes.set(ylim=(len(names) - 0.5, -0.5), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    return _svg(figure)


def _points(results: Results, measures: list[str]) -> pd.DataFrame:
    """arm, seed and these measures, of every policy that has all of them."""
    wide = results.measures[results.measures.measure.isin(measures)].assign(seed=lambda table: table.seed.fillna(-1))
    wide = (
        wide.pivot_table(index=["arm", "seed"], columns="measure", values="value")
        .reindex(columns=measures)
        .dropna()
        .reset_index()
    )
    return wide[wide[measures].abs().sum(axis=1) > 0]


def _mark(
    axes: Axes, results: Results, points: pd.DataFrame, anchors: dict[str, tuple[float, float]] | None = None
) -> None:
    """Marks every point and names every arm (and scripted anchor) once, where the name covers nothing."""
    palette, shapes = colours(results.arms), markers(results.arms)
    for row in points.itertuples():
        size = 12 if row.arm == BASE else 7.5
        axes.plot(
            row.x,
            row.y,
            shapes[row.arm],
            color=palette[row.arm],
            ms=size,
            mew=0.6,
            mec="white",
            alpha=0.92,
            zorder=3 + (row.arm == BASE),
            clip_on=False,
        )
    places = {
        arm: (points.loc[points.arm == arm, ["x", "y"]].to_numpy(float), palette[arm])
        for arm in palette
        if (points.arm == arm).any()
    }
    for name, (x, y) in (anchors or {}).items():
        axes.plot(x, y, marker="+", ms=11, mew=1.4, color=FAINT, clip_on=False)
        places[f"scripted {name}"] = (np.array([[x, y]]), FAINT)
    places = {name: (axes.transData.transform(at), colour) for name, (at, colour) in places.items()}
    taken = [(x - 7, y - 7, x + 7, y + 7) for at, _ in places.values() for x, y in at]
    limits = axes.bbox.extents if axes.axison else axes.figure.bbox.extents
    to_data = axes.transData.inverted().transform
    for name, (at, colour) in places.items():
        width, height = 5.4 * len(_label(name)) * axes.figure.dpi / 72, 11 * axes.figure.dpi / 72
        mark, (x, y) = free_place(at, width, height, taken, limits)
        taken.append((x, y, x + width, y + height))
        near = np.array([min(max(mark[0], x), x + width), min(max(mark[1], y), y + height)])
        if np.hypot(*(near - mark)) > 30:
            arrow = {"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 1, "shrinkB": 5}
            axes.annotate("", to_data(mark), to_data(near), arrowprops=arrow)
        axes.text(
            *to_data((x + width / 2, y + height / 2)),
            _label(name),
            color=colour,
            fontsize=9.5,
            ha="center",
            va="center",
            zorder=4,
        )


def _anchors(results: Results) -> dict[str, tuple[float, float]]:
    """(C, G) of the scripted carer and gamer, as far as the evaluations report them."""
    found = {}
    for name in ("carer", "gamer"):
        care = results.anchors.get((name, "care"))
        gaming = results.anchors.get((name, "gaming"))
        if care is not None and gaming is not None:
            found[name] = (care, gaming)
    return found


def _label(name: str) -> str:
    """An arm's name in a figure: without control characters, which no SVG may hold, and not too long."""
    shown = printable(name).replace("\n", " ")
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _offsets(n: int) -> np.ndarray:
    return np.linspace(-0.22, 0.22, n) if n > 1 else np.zeros(1)


def _some(name: str, svg: str | None) -> dict[str, str]:
    return {name: svg} if svg else {}


def _svg(figure: Figure) -> str:
    """The figure as an `<svg>` element, without the XML prologue and the date."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return out.getvalue()[out.getvalue().index("<svg") :]
