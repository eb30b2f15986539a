"""The base at matched entropy: the control for what a policy gains by being less random.

Tuning lowers the entropy of replies, and a base sampled at a lower temperature seems to care more, though nothing was
learnt. So gains are taken over the base at the temperature at which its replies have as much entropy as the policy's.
"""

from __future__ import annotations

import bisect
import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from smilerl.evaluation.agents import Agent, language_model
from smilerl.evaluation.cohorts import identity
from smilerl.models import decoding, sampling
from smilerl.runs.identity import digest

#: Entropy is measured on so many people of a split of their own.
PEOPLE, SPLIT = 256, "held_out"
#: Temperatures at which the base is measured; between them the entropy is interpolated.
TEMPERATURES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)


def matched(session: Any, who: Agent) -> Agent:
    """The base as an agent that samples at the temperature `temperature` gives; the base itself where none is given."""
    base = session.base
    assert base is not None
    found = temperature(session, who)
    if found is None or base.policy is None or found["temperature"] == session.settings.get("temperature", 1.0):
        return base
    settings = {**session.settings, "temperature": found["temperature"]}
    at = found["temperature"]
    agent = language_model(base.policy, settings)
    return dataclasses.replace(agent, name=f"{base.name} at {at:.2f}", fingerprint=f"{base.fingerprint} at {at}")


def temperature(session: Any, who: Agent) -> dict[str, Any] | None:
    """The temperature of the base at which its replies have the policy's entropy, with both entropies in nats a reply.

    Returns:
        `temperature`; `entropy` of the policy; `base`, that of the base at the session's own temperature. None where
        either is no language model. Where the policy is more random than the base at any of `TEMPERATURES`, the
        highest.
    """
    if who.policy is None or session.base is None or session.base.policy is None:
        return None
    own = float(session.settings.get("temperature", 1.0))
    entropy, raw = _entropy(session, who, own), _entropy(session, session.base, own)
    if who.fingerprint == session.base.fingerprint:
        return {"temperature": own, "entropy": entropy, "base": raw}
    # Entropy rises with temperature, so the base has to be sampled at four of them and not at all.
    above = bisect.bisect_left(TEMPERATURES, entropy, key=lambda one: _entropy(session, session.base, one))
    ends = TEMPERATURES[max(above - 1, 0) : above + 1]
    found = np.interp(entropy, [_entropy(session, session.base, one) for one in ends], ends)
    return {"temperature": float(found), "entropy": entropy, "base": raw}


def along(session: Any, who: Agent, prompts: list[Any], texts: list[str]) -> Agent:
    """The base as a model whose next token along written texts has as much entropy as the policy's; the base itself
    where there is no such.

    Args:
        prompts, texts: N texts, each after its prompt.
    """
    base = session.base
    if who.policy is None or base.policy is None or who.fingerprint == base.fingerprint:
        return base

    def entropies(agent: Agent, temperatures: tuple[float, ...]) -> np.ndarray:
        def measure() -> pd.DataFrame:
            found = sampling.completion_entropies(agent.policy, prompts, texts, temperatures)
            return pd.DataFrame({"entropy": found})

        key = ["entropy along", agent.fingerprint, digest([prompts, texts]), temperatures]
        return session.cache.table(key, measure)["entropy"].to_numpy()

    above_zero = TEMPERATURES[1:]
    # The contexts are the same at any temperature, so entropy rises with it at each of them.
    at = float(np.interp(entropies(who, (1.0,))[0], entropies(base, above_zero), above_zero))
    return dataclasses.replace(base, name=f"{base.name} at {at:.2f}", fingerprint=f"{base.fingerprint} at {at}", at=at)


def _entropy(session: Any, who: Agent, at: float) -> float:
    """Mean entropy of a reply, in nats."""
    if at == 0:
        return 0.0

    def measure() -> pd.DataFrame:
        prompts = list(session.world.people(SPLIT, PEOPLE, session.seed)["prompt"][:])
        settings = {**session.settings, "temperature": at}
        found = sampling.sample_measured(who.policy, prompts, decoding.entropy, seed=session.seed, **settings)
        return pd.DataFrame({"entropy": found[1]})

    key = ["entropy", who.fingerprint, identity(session.world), at, session.seed, dict(session.settings)]
    return float(session.cache.table(key, measure)["entropy"].mean())
