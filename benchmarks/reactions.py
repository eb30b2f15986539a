"""How many reactions a second SmileWorld computes, on one core: `python benchmarks/reactions.py`.

First texts that it has never parsed, then the same again, as when a reply is scored for the sensor, the outcome and
credit.
"""

from __future__ import annotations

import statistics
import time

from smilerl import worlds

PEOPLE, ROUNDS = 4000, 5


def main() -> None:
    """Prints medians over rounds of new people and replies."""
    world = worlds.build("smileworld")
    fresh, again = [], []
    for round_ in range(ROUNDS):
        people = world.people("held_out", PEOPLE, 1000 + round_)["person"][:]
        replies = world.conversations(PEOPLE, 1000 + round_)["completion"][:]
        for seconds in (fresh, again):
            started = time.process_time()
            world.react(people, replies)
            seconds.append(time.process_time() - started)
    for name, seconds in (("new texts", fresh), ("texts seen before", again)):
        print(f"{name}: {PEOPLE / statistics.median(seconds):,.0f} reactions a second (median of {ROUNDS} rounds)")


if __name__ == "__main__":
    main()
