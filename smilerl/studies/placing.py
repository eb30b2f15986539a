"""Where names go in a figure, so that they cover nothing."""

from __future__ import annotations

import math

import numpy as np


def free_place(
    marks: np.ndarray, width: float, height: float, taken: list[tuple], limits: np.ndarray
) -> tuple[np.ndarray, tuple[float, float]]:
    """The mark to name, and the lower left corner, in pixels, of the nearest place where its name covers no mark and no
    other name.
    """
    best, least = (marks[0], (marks[0][0], marks[0][1])), math.inf
    for mark in marks:
        for radius in (13, 18, 26, 36, 48, 62):
            for angle in np.radians((0, 180, 35, -35, 145, -145, 90, -90)):
                dx, dy = math.cos(angle), math.sin(angle)
                x, y = mark[0] + radius * dx + (dx - 1) / 2 * width, mark[1] + radius * dy - height / 2
                box = (x, y, x + width, y + height)
                cover = sum(
                    max(0, min(box[2], t[2]) - max(box[0], t[0])) * max(0, min(box[3], t[3]) - max(box[1], t[1]))
                    for t in taken
                )
                outside = (
                    max(0, limits[0] - x)
                    + max(0, box[2] - limits[2])
                    + max(0, limits[1] - y)
                    + max(0, box[3] - limits[3])
                )
                cost = cover * 10 + outside * 50 + radius
                if cost < least:
                    best, least = (mark, (x, y)), cost
    return best


def spread(heights: dict[str, float], gap: float) -> dict[str, float]:
    """The same heights, moved apart upwards until labels at them do not touch."""
    spread: dict[str, float] = {}
    last = -math.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        last = spread[name] = max(height, last + gap)
    return spread
