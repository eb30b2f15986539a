"""gold: the wellbeing itself. A control, not a proposal: what training would do if the reward were what we want."""

from __future__ import annotations

from collections.abc import Callable

from smilerl.rewards import RewardError, texts
from smilerl.worlds import channels


def build() -> Callable:
    """Wellbeing, in [-2, 2], through the declared channel `gold`."""

    def gold(prompts, completions, *, person=None, **columns) -> list[float | None]:
        if person is None:
            raise RewardError("the reward 'gold' needs the dataset column 'person', which the people of a world have")
        return list(channels.gold(person, texts(completions)))

    gold.needs_reaction = True
    gold.channels = ("gold",)
    return gold


reward = build()
