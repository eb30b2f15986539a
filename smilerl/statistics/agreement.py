"""How often a scorer prefers the reply that people preferred, beside what its length alone would have said.

Accuracy is over pairs of which both replies were scored, a tie counting half. Pairs that begin alike (the same first
turn) go together, so each counts for fewer. The longer reply is mostly the better liked one or the worse liked one,
depending on who
was asked, and a reward model finds that out first: `shorter` says what this alone would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smilerl.models.replies import as_said, visible
from smilerl.statistics.intervals import Estimate, rate_estimate
from smilerl.worlds.dialogue.rows import SPEAKER, key, plain, until_answered

#: Where the first reply of a talk begins, in the forms in which talks are written out.
_REPLIES = ("\n\nAssistant:", f"\n{SPEAKER['assistant']}:")


@dataclass(frozen=True)
class Agreement:
    """A scorer and people, on N pairs.

    Attributes:
        accuracy: share of pairs in which the chosen reply scored higher.
        ties: pairs with equal scores, which count half.
        shorter: share of pairs in which the chosen reply is the shorter one, in characters.
        against_length: accuracy where the chosen reply is the longer one and where it is the shorter one, averaged: .5
            for a scorer that looks at length alone.
    """

    accuracy: Estimate
    ties: int
    shorter: Estimate
    against_length: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain, for JSON."""
        return {
            "accuracy": self.accuracy.to_dict(),
            "ties": self.ties,
            "shorter": self.shorter.to_dict(),
            "against_length": self.against_length.to_dict(),
        }


def agreement(
    prompts: Sequence, chosen: Sequence, rejected: Sequence, scores: Sequence[Sequence[float | None]]
) -> Agreement:
    """Compares a scorer's preferences with people's.

    Args:
        prompts, chosen, rejected: N each, plain or messages.
        scores: of the N chosen replies, and of the N rejected ones; None where unscored.
    """
    right = preferred(*scores)
    clusters = np.array([opening(prompt) for prompt in prompts])
    lengths = [[float(len(plain(_seen(reply)))) for reply in replies] for replies in (chosen, rejected)]
    shorter = preferred(*([-length for length in own] for own in lengths))
    return Agreement(
        rate_estimate(right, clusters),
        int((right == 0.5).sum()),
        rate_estimate(shorter, clusters),
        _balanced(right, shorter, clusters),
    )


def _seen(reply: str | list[dict]) -> str | list[dict]:
    return visible(reply) if isinstance(reply, str) else as_said(reply)


def preferred(chosen: Sequence[float | None], rejected: Sequence[float | None]) -> np.ndarray:
    """1 where the chosen reply scores higher, 0 where lower, ½ where equal, NaN where either is unscored, [N]."""
    first, second = (np.array([np.nan if x is None else x for x in own], dtype=float) for own in (chosen, rejected))
    right = np.where(first > second, 1.0, np.where(first < second, 0.0, 0.5))
    return np.where(np.isfinite(first) & np.isfinite(second), right, np.nan)


def opening(prompt: str | list[dict]) -> str:
    """What stands for a talk's first turn: pairs about the same one go together."""
    if not isinstance(prompt, str):
        return key(until_answered(prompt))
    ends = [at for at in (prompt.find(turn) for turn in _REPLIES) if at >= 0]
    return key(prompt[: min(ends)] if ends else prompt)


def _balanced(right: np.ndarray, shorter: np.ndarray, clusters: np.ndarray) -> Estimate:
    """The mean of the accuracies on pairs whose chosen reply is the longer one and on those where it is the shorter
    one.
    """
    halves = [rate_estimate(right[shorter == side], clusters[shorter == side]) for side in (0.0, 1.0)]
    scored, of = sum(half.scored for half in halves), sum(half.of for half in halves)
    if any(half.value is None for half in halves):
        return Estimate(None, None, None, scored, of, "pairs of one kind only")
    low, high = (
        float(np.sqrt(sum(((getattr(half, end) - half.value) / 2) ** 2 for half in halves))) for end in ("low", "high")
    )
    value = float(np.mean([half.value for half in halves]))
    return Estimate(value, value - low, value + high, scored, of, "Wilson by half, MOVER")


def said(found: Estimate) -> str:
    """`0.613 [0.570, 0.655], 498 of 500 pairs`."""
    if found.value is None or found.low is None or found.high is None:
        return f"nothing scored of {found.of} pairs"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}], {found.scored} of {found.of} pairs"
