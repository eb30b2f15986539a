"""Several replies of a policy to each person, each scored by a reward: what pairs, labels and best of n are made from.

Rewards get what they get in training: prompts, completions and the `person` column, of which they may `observe`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tqdm import tqdm

from smilerl.models.policy import Policy
from smilerl.models.sampling import decoded, opening_after, sample_ids
from smilerl.rewards import Reward, build_reward
from smilerl.rewards._summed import ask_outside

#: Replies that are drawn and scored at a time.
_AT_ONCE = 4096


@dataclass(frozen=True)
class Sampling:
    """How replies are drawn.

    Attributes:
        k: replies to each person.
        max_new_tokens: of a reply.
        temperature: above 0, or the replies would all be one.
        top_p: share of the probability that is drawn from.
        seed: fixes every reply, whatever the batch size.
        batch_size: replies that are generated at once.
    """

    k: int
    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    batch_size: int = 256


@dataclass(frozen=True)
class Candidates:
    """k scored replies to each of P people.

    Attributes:
        prompts: P prompts, plain or messages.
        people: P person JSONs.
        completions: P lists of k texts.
        rewards: array [P, k]; NaN where the reward gave no score.
        ended: bool array [P, k]: whether the policy ended the reply, and was not cut off.
        opening: the tag in front of each completion that stands in its prompt (`generation.decoded`); mostly none.
    """

    prompts: list
    people: list[str]
    completions: list[list[str]]
    rewards: np.ndarray
    ended: np.ndarray
    opening: str = ""


def draw(policy: Policy, people: Dataset, reward: Callable, how: Sampling, *, progress: bool = False) -> Candidates:
    """Samples and scores replies.

    Args:
        people: columns `prompt` and `person`.
        reward: TRL's protocol; see `rewards.Summed`.
        progress: a bar on standard error.
    """
    step = max(1, _AT_ONCE // how.k)
    parts = []
    bar = tqdm(total=len(people), desc="sampling", unit="person", disable=not progress, leave=False)
    for start in range(0, len(people), step):
        rows = people.select(range(start, min(start + step, len(people))))
        # The first people get the random numbers that `sampling.sample` gives them with this seed.
        seed = how.seed if start == 0 else int(np.random.SeedSequence([how.seed, start]).generate_state(1)[0])
        parts.append(_drawn(policy, list(rows["prompt"]), list(rows["person"]), reward, how, seed))
        bar.update(len(rows))
    bar.close()
    return Candidates(
        prompts=[prompt for part in parts for prompt in part.prompts],
        people=[person for part in parts for person in part.people],
        completions=[own for part in parts for own in part.completions],
        rewards=np.concatenate([part.rewards for part in parts]),
        ended=np.concatenate([part.ended for part in parts]),
        opening=parts[0].opening,
    )


@dataclass(frozen=True)
class BestOfN:
    """A policy that draws n replies and says the one with the highest reward, the first of equals (and of unscored).

    Nothing is trained. The KL of what it says to the policy is at most log n − (n − 1)/n nats (Beirami et al.,
    arXiv:2401.01879), which is a bound and no measurement; its log-probabilities have no closed form.

    Attributes:
        policy: who draws.
        reward: TRL's protocol; gets the people that it is to choose for.
        n: replies drawn for each.
    """

    policy: Policy
    reward: Reward
    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "reward", build_reward(self.reward))

    @property
    def name(self) -> str:
        """For reports."""
        return f"best of {self.n} of {self.policy.name} by {self.reward.__name__}"

    def reply(self, prompts: Sequence, people: Sequence[str], *, seed: int, **settings: Any) -> list[str]:
        """One completion for each prompt. With n = 1 these are those of `generation.sample`.

        Args:
            settings: keyword arguments of `generation.sample`.
        """
        how = Sampling(self.n, seed=seed, **settings)
        found = _drawn(self.policy, list(prompts), list(people), self.reward, how, seed)
        return [own[row] for own, row in zip(found.completions, best(found.rewards), strict=True)]


def best(rewards: np.ndarray) -> list[int]:
    """Of each of P people, the candidate with the highest reward, the first of equals.

    Args:
        rewards: [P, k], NaN where unscored; a person with nothing scored gets candidate 0.
    """
    return np.where(np.isnan(rewards), -np.inf, rewards).argmax(axis=1).tolist()


def device_of(training: dict[str, Any]) -> torch.device:
    """Where to sample for a recipe with these training settings: on the accelerator, unless it says `use_cpu`."""
    from accelerate import PartialState

    return torch.device("cpu") if training.get("use_cpu") else PartialState().device


def _drawn(policy: Policy, prompts: list, people: list[str], reward: Callable, how: Sampling, seed: int) -> Candidates:
    settings = {name: getattr(how, name) for name in ("max_new_tokens", "temperature", "top_p", "batch_size")}
    # In this order the first reply to each is that of a sample of one reply each.
    ids = sample_ids(policy, prompts * how.k, seed=seed, **settings)
    said = decoded(policy.tokenizer, prompts, ids)
    scores = ask_outside(reward, prompts * how.k, people * how.k, said, completion_ids=ids)
    ended = [len(one) < how.max_new_tokens or _ends(policy, one[-1]) for one in ids]
    by_person = (how.k, len(prompts))
    return Candidates(
        prompts,
        people,
        [[said[reply * len(prompts) + row] for reply in range(how.k)] for row in range(len(prompts))],
        np.array([np.nan if score is None else score for score in scores], dtype=float).reshape(by_person).T,
        np.array(ended, dtype=bool).reshape(by_person).T,
        opening_after(policy.tokenizer, prompts),
    )


def _ends(policy: Policy, token: int) -> bool:
    named = policy.model.generation_config.eos_token_id
    return token in {policy.tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
