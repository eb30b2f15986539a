"""Whether a reward is a function of its arguments: the same again the second time, and everything else as it was."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from smilerl.reward_check.asking import Asked
from smilerl.reward_check.findings import Finding
from smilerl.reward_check.tried import Tried

#: What to do about a reward that works once.
ONCE = "It works once only: does it use up a file or a list?"


def pure(asked: Asked, tried: Tried) -> Iterator[Finding]:
    """Asks twice, from two states of the global generators, and looks at the inputs and the generators afterwards.

    It moves the global generators: `look` puts them back.
    """
    given = [copy.deepcopy(tried.columns) for _ in range(2)]
    found, moved, left = [], [], []
    for seed, columns in enumerate(given):
        _seed(seed)
        before = _states()
        found.append(plain_values(asked(columns)))
        left.append(_states())
        moved.append(left[-1] != before)
    yield _twice(found, len(tried))
    changed = sorted({name for columns in given for name, values in columns.items() if values != tried.columns[name]})
    if changed:
        fix = "It writes to the trainer's own lists. Make a copy, or build new ones."
        yield Finding("inputs", "fails", f"it changed {', '.join(changed)}", fix, {"changed": changed})
    else:
        yield Finding("inputs", "ok", "left as they were")
    if not any(moved):
        yield Finding("generators", "ok", "random numbers of Python, NumPy and torch are left alone")
    elif any(one == other for one, other in zip(*left, strict=True)):  # they began in different places
        fix = (
            "It sets a global seed, which the trainer's sampling then follows. Use a generator of its own: "
            "random.Random(seed)."
        )
        yield Finding("generators", "fails", "it seeds a global generator", fix)
    else:
        fix = (
            "Under smilerl it gets a stream of its own; in a bare TRL script it would move the trainer's. Better a "
            "generator of its own."
        )
        yield Finding("generators", "note", "it draws from a global generator", fix)


def _twice(found: list[list[Any]], n: int) -> Finding:
    if any(len(values) != n for values in found):
        return Finding("twice", "fails", f"the second time it gave {len(found[0])} values for {n} texts", ONCE)
    different = sum(not _same(a, b) for a, b in zip(*found, strict=True))
    if not different:
        return Finding("twice", "ok", "the same values the second time", numbers={"different": 0})
    fix = (
        "The same text should always score the same. A model belongs in evaluation mode (dropout); a counter or a "
        "generator goes into state_dict; noise on purpose is declared: my_reward.by_design = ('twice',)."
    )
    said = f"{different} of {len(found[0])} values differ the second time"
    return Finding("twice", "fails", said, fix, {"different": different})


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-6) or (math.isnan(one) and math.isnan(other))


def plain_values(values: Any) -> list[Any]:
    """A reward's values as a list, whether it returned a list, an array or a tensor."""
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _states() -> tuple:
    array: Any = np.random.get_state(legacy=False)
    return (
        random.getstate(),
        (array["state"]["key"].tobytes(), array["state"]["pos"]),
        torch.get_rng_state().numpy().tobytes(),
    )
