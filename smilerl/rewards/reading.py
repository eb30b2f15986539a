"""reading: the number that the sensor prints for the person's face. The plainest proxy, which can be fooled."""

from __future__ import annotations

from collections.abc import Callable

from smilerl.rewards import observed


def build() -> Callable:
    """The sensor's reading, in [0, 1]; None where the camera is off."""

    def reading(prompts, completions, *, person=None, **columns) -> list[float | None]:
        return [observation.reading for observation in observed("reading", completions, person)]

    reading.needs_reaction = True
    return reading


reward = build()
