"""The steps at which a run is sampled on a log scale."""

from __future__ import annotations

#: Steps of a schedule that is spaced by logarithms.
MOST_STEPS = 14


def log_steps(last: int, most: int = MOST_STEPS) -> tuple[int, ...]:
    """Whole steps from 1 to `last`, about equally far apart on a log scale: 1, 2, 3, 4, 5, 6, 8, 11, ..., last.

    Args:
        last: step of a run, at least 1.
        most: how many steps at most, at least 2; fewer only where `last` is smaller.
    """
    if last <= most:
        return tuple(range(1, last + 1))
    steps: list[int] = []
    for many in range(most, 20 * most):
        found = sorted({round(last ** (place / (many - 1))) for place in range(many)})
        if len(found) > most:
            break
        steps = found
    return tuple(steps)
