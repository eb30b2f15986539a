"""Who answers: a language model or a scripted helper, both as one function from people to completions."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch

from smilerl.data.candidates import BestOfN
from smilerl.evaluation.users_helper import UsersHelper
from smilerl.models import sampling
from smilerl.models.policy import Policy
from smilerl.worlds.base import World


@dataclass(frozen=True)
class Agent:
    """Anyone who can be evaluated.

    Attributes:
        name: for reports.
        fingerprint: of all that determines the answers; equal fingerprints answer alike.
        reply: prompts, people (JSON) and a seed to completions; a person who comes again gets another reply.
        policy: the language model, where it is one.
        lasting: whether the fingerprint means the same in another process, so that answers may be kept.
        quick: whether it answers in less time than it takes to read its answers again.
        trail: what its run sampled of held-out people while it trained, where it is a run (`curve.TRAIL`).
        chooser: log-probabilities of the options of items (`items.Chooser`); made from the policy when it is None.
        at: the temperature of the policy's log-probabilities of options.
    """

    name: str
    fingerprint: str
    reply: Callable[[Sequence[Any], Sequence[str], int], list[str]]
    policy: Policy | None = None
    lasting: bool = True
    quick: bool = False
    trail: pd.DataFrame | None = None
    chooser: Callable | None = None
    at: float = 1.0


def agent_of(policy: Policy | BestOfN | str | Callable, world: World, settings: Mapping[str, Any]) -> Agent:
    """A policy, best of n, the name of a scripted helper, one of the user's own, or a function of people and seed, as
    an agent.

    Args:
        settings: keyword arguments of `smilerl.models.sampling.sample`, for a language model.
    """
    if isinstance(policy, Policy):
        return language_model(policy, settings)
    if isinstance(policy, BestOfN):
        return chooser(policy, settings)
    if isinstance(policy, UsersHelper):
        return Agent(policy.name, f"helper {policy.fingerprint}", _by_visit(policy))
    return helper_of(world, policy) if isinstance(policy, str) else scripted(policy)


def language_model(policy: Policy, settings: Mapping[str, Any]) -> Agent:
    """A language model that answers by sampling."""

    def reply(prompts: Sequence[Any], people: Sequence[str], seed: int) -> list[str]:
        return sampling.sample(policy, list(prompts), seed=seed, **settings)

    policy.model.eval()
    return Agent(policy.name, _hash_weights(policy), reply, policy)


def chooser(policy: BestOfN, settings: Mapping[str, Any]) -> Agent:
    """Best of n. It samples and chooses; its log-probabilities have no closed form, so it has no `policy`."""

    def reply(prompts: Sequence[Any], people: Sequence[str], seed: int) -> list[str]:
        return policy.reply(prompts, people, seed=seed, **settings)

    policy.policy.model.eval()
    by = policy.reward.fingerprint
    said = json.dumps([policy.n, _hash_weights(policy.policy), by or id(policy.reward), dict(settings)], sort_keys=True)
    # Only of a reward with a fingerprint is it known what it would choose in another process.
    return Agent(policy.name, f"best of n {said}", reply, lasting=by is not None)


def helper_of(world: World, name: str) -> Agent:
    """A scripted helper of a world."""
    # The world's code is part of every key under which answers are kept, so that a name is enough here.
    return replace(scripted(world.helpers[name]), name=name, fingerprint=f"helper {name}", lasting=True, quick=True)


def silent(name: str, fingerprint: str, **known: Any) -> Agent:
    """An agent that gives no replies; `known` are attributes of `Agent`, such as `trail` or `chooser`."""

    def reply(prompts: Sequence[Any], people: Sequence[str], seed: int) -> list[str]:
        raise ValueError(f"'{name}' cannot be talked to")

    return Agent(name, fingerprint, reply, **known)


def scripted(helper: Callable[[Sequence[str], int], list[str]]) -> Agent:
    """Any pure function of people and seed. Its answers are not kept: what a function does has no hash."""
    name = getattr(helper, "__name__", type(helper).__name__)
    reply = _by_visit(lambda prompts, people, seed: helper(people, seed))
    return Agent(name, f"function {name} {id(helper)}", reply, lasting=False)


def _by_visit(ask: Callable[[list, list[str], int], list[str]]) -> Callable[[Sequence, Sequence[str], int], list[str]]:
    """`ask` of people who may come again, with another seed for each visit."""

    def reply(prompts: Sequence[Any], people: Sequence[str], seed: int) -> list[str]:
        rows_of_visit: dict[int, list[int]] = defaultdict(list)
        visits: dict[str, int] = defaultdict(int)
        for row, person in enumerate(people):
            rows_of_visit[visits[person]].append(row)
            visits[person] += 1
        completions = [""] * len(people)
        for visit, rows in rows_of_visit.items():
            said = ask([prompts[row] for row in rows], [people[row] for row in rows], seed + visit)
            for row, completion in zip(rows, said, strict=True):
                completions[row] = completion
        return completions

    return reply


def _hash_weights(policy: Policy) -> str:
    """Hash of the parameters and of how text becomes tokens; the path they came from does not matter."""
    digest = hashlib.sha256(repr(sorted(policy.tokenizer.get_vocab().items())).encode())
    digest.update(str(getattr(policy.tokenizer, "chat_template", None)).encode())
    for name, tensor in policy.model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
