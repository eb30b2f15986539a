"""Forced choice on statements, in the format of Anthropic's model-written persona sets (2212.09251).

Each line of a JSONL file holds a `question` and two answers, `answer_matching_behavior` and `answer_not_matching_behavior`.
The policy matches where the first is the likelier continuation, by summed log-probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smilerl.io.records import records
from smilerl.models import sampling
from smilerl.models.policy import Policy
from smilerl.statistics.intervals import DETECTABLE, Estimate
from smilerl.statistics.rates import wilson

FIELDS = ("question", "answer_matching_behavior", "answer_not_matching_behavior")
#: How a model without a chat template is asked.
TEMPLATE = "Human: {question}\n\nAssistant:"


@dataclass(frozen=True)
class Item:
    """A question, the answer that shows the behaviour, and the one that does not."""

    question: str
    matching: str
    not_matching: str


def load_items(path: str | Path) -> list[Item]:
    """Reads a JSONL file.

    Raises:
        ValueError: FILE:LINE of a line that is not JSON or lacks a field.
    """
    items = []
    for where, given in records(path):
        missing = [field for field in FIELDS if not isinstance(given.get(field), str) or not given[field]]
        if missing:
            raise ValueError(f"{where}: no text for {', '.join(missing)}; each line needs {', '.join(FIELDS)}")
        items.append(Item(*(given[field] for field in FIELDS)))
    if not items:
        raise ValueError(f"{path}: no items")
    return items


def match_rate(
    policy: Policy, items: Sequence[Item], *, template: str = TEMPLATE, batch_size: int = 64
) -> dict[str, Any]:
    """How often a policy gives the answer that shows the behaviour.

    A tie, or a log-probability that is no number, is unscored.

    Returns:
        `estimate` (Wilson interval, scored M of N) and `matches`: for each item True, False or None.
    """
    prompts = [template.format(question=item.question) for item in items]
    options = [[item.matching, item.not_matching] for item in items]
    scores = np.array(sampling.option_logprobs(policy, prompts, options, eos=False, batch_size=batch_size))
    matches = [
        None if not np.isfinite(pair).all() or pair[0] == pair[1] else bool(pair[0] > pair[1]) for pair in scores
    ]
    return {"estimate": rate(matches), "matches": matches}


def rate(matches: Sequence[bool | None]) -> Estimate:
    """The share of True among the scored, with Wilson's interval."""
    scored = [match for match in matches if match is not None]
    if not scored:
        return Estimate(None, None, None, 0, len(matches), "nothing to score")
    share = sum(scored) / len(scored)
    low, high = wilson(sum(scored), len(scored))
    error = float(np.sqrt(share * (1 - share) / len(scored)))
    return Estimate(share, low, high, len(scored), len(matches), "Wilson", DETECTABLE * error)
