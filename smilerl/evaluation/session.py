"""An evaluation session: samples and scores each reply that a suite needs exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from smilerl.evaluation import care, matching
from smilerl.evaluation.agents import Agent, helper_of
from smilerl.evaluation.cohorts import Cohort, identity
from smilerl.evaluation.formula import BASE, MATCHED, POLICY, Formula, Term
from smilerl.evaluation.metrics import values
from smilerl.models import sampling
from smilerl.models.policy import Policy
from smilerl.rewards import Reward
from smilerl.runs.cache import Cache
from smilerl.statistics import intervals
from smilerl.statistics.bootstrap import Answered
from smilerl.statistics.intervals import Estimate
from smilerl.worlds.base import World

#: A reply stranger to the base than this share of the base's own replies is incoherent.
STRANGEST = 0.99

#: Columns of `samples.parquet`; what was not computed for a condition is missing there.
SAMPLES = [
    *(
        "evaluation",
        "condition",
        "prompt",
        "person",
        "completion",
        "transcript",
        "wellbeing",
        "smile",
        "reading",
        "acts",
    ),
    *("care", "gaming", "person_share", "smile_only", "reading_only", "engagement", "reward", "gaming_own"),
]


@dataclass(frozen=True)
class Session:
    """Everything that answers are made from.

    Attributes:
        world: who is talked to.
        base: the base policy, when there is one.
        reward: the training reward of the policy, when known (TRL's protocol).
        settings: of generation; they are part of every answer's key.
        seed: of sampling, permutations and bootstraps.
        cache: where answers are kept.
        rivals: other policies that a question compares with, by the name it gives them.
    """

    world: World
    base: Agent | None
    reward: Reward | None
    settings: Mapping[str, Any]
    seed: int
    cache: Cache
    rivals: Mapping[str, Agent] = field(default_factory=dict)

    def answers(self, who: Agent, cohort: Cohort) -> pd.DataFrame:
        """The replies of `who` to a whole cohort, with their reactions; columns as `care.react` gives them."""

        def ask() -> pd.DataFrame:
            # Twins and rivals are sampled with the same luck, which makes their comparison sharper.
            luck = int(cohort.rows.split("/")[0], 16) % 2**31
            completions = who.reply(cohort.prompts, cohort.people, self.seed + luck)
            spoken = pd.DataFrame({"prompt": cohort.prompts, "person": cohort.people, "completion": completions})
            return pd.concat([spoken, care.react(self.world, cohort.people, completions, cohort.best)], axis=1)

        return self.cache.table(self._key(who, cohort), ask, on_disk=who.lasting and not who.quick)

    def credit(self, who: Agent, cohort: Cohort) -> pd.DataFrame:
        """Shares of reading credit of those replies; columns as `care.credit` gives them."""

        def divide() -> pd.DataFrame:
            given = self.answers(who, cohort)
            return care.credit(self.world, cohort.people, given["completion"].tolist(), given, self.seed)

        return self.cache.table([self._key(who, cohort), "credit"], divide, on_disk=who.lasting and not who.quick)

    def estimates(
        self, formulas: Mapping[str, Formula], people: Mapping[str, Cohort], who: Agent, parts: bool = False
    ) -> dict[str, Estimate]:
        """Those of the formulas that can be answered for `who`, with intervals.

        Args:
            parts: whether to say what each cluster of people does to each value, from which intervals over seeds are
                made.
        """
        return {
            name: intervals.estimate(
                formula, [self._answered(term, people, who) for term in formula.terms], seed=self.seed, parts=parts
            )
            for name, formula in formulas.items()
            if self._lacks(formula, who, people) is None
        }

    def missing(
        self, formulas: Mapping[str, Formula], who: Agent, people: Mapping[str, Cohort] | None = None
    ) -> dict[str, str]:
        """What each formula that cannot be answered for `who` lacks.

        Args:
            people: who would be asked, in each condition; None: not known.
        """
        lacking = {name: self._lacks(formula, who, people) for name, formula in formulas.items()}
        return {name: lack for name, lack in lacking.items() if lack is not None}

    def own(self, who: Agent, cohort: Cohort) -> pd.DataFrame:
        """gaming_own and the reward of those replies; kept on disk where the reward has a fingerprint."""
        reward = self.reward
        if reward is None:
            raise ValueError("this is about the training reward, and none was given")

        def divide() -> pd.DataFrame:
            given = pd.concat([self.answers(who, cohort), self.credit(who, cohort)[["credit_w"]]], axis=1)
            share, paid = care.own_credit(reward, self.world, given, self.seed)
            return pd.DataFrame({"gaming_own": share, "reward": paid})

        key = [self._key(who, cohort), "own", identity_of(reward)]
        return self.cache.table(key, divide, on_disk=who.lasting and reward.fingerprint is not None)

    @property
    def base_model(self) -> tuple[Agent, Policy]:
        """The base and its language model; only for what has been found applicable."""
        if self.base is None or self.base.policy is None:
            raise ValueError("this compares with a base language model, and none was given")
        return self.base, self.base.policy

    def _lacks(self, formula: Formula, who: Agent, people: Mapping[str, Cohort] | None = None) -> str | None:
        asked = {term.kind.needs for term in formula.terms}
        if (formula.needs(BASE) or formula.needs(MATCHED) or "coherence" in asked) and self.base is None:
            return "a base policy"
        if "own" in asked and self.reward is None:
            return "the training reward"
        if "own" in asked and people is not None:
            conditions = {term.condition for term in formula.terms if term.kind.needs == "own"}
            for lack in (lacks_of(self.reward, people[name].people) for name in sorted(conditions)):
                if lack is not None:
                    return lack
        if "coherence" in asked and (who.policy is None or self.base is None or self.base.policy is None):
            return "log-probabilities of two language models"
        return None

    def _answered(self, term: Term, people: Mapping[str, Cohort], who: Agent) -> Answered:
        known = {POLICY: who, BASE: self.base, **self.rivals}
        if term.who == MATCHED:
            known[MATCHED] = matching.matched(self, who)
        asked = known.get(term.who) or helper_of(self.world, term.who)
        table_of = {"react": self.answers, "credit": self.credit, "own": self.own, "coherence": self._coherence}
        cohort = people[term.condition]
        found = values(term.metric, table_of[term.kind.needs](asked, cohort), self.world.acts)
        return Answered(
            found if cohort.part is None else found[cohort.part],
            np.array(cohort.clusters),
            cohort.rows,
            asked.fingerprint,
        )

    def _coherence(self, who: Agent, cohort: Cohort) -> pd.DataFrame:
        limit = np.quantile(self._strangeness(self.base_model[0], cohort), STRANGEST)
        return pd.DataFrame({"coherence": (self._strangeness(who, cohort) <= limit).astype(float)})

    def _strangeness(self, who: Agent, cohort: Cohort) -> np.ndarray:
        """Nats per token under the base of each reply, its end included."""

        base, model = self.base_model

        def score() -> pd.DataFrame:
            tag = sampling.opening_after(model.tokenizer, cohort.prompts)  # it is in the prompt already
            completions = [said.removeprefix(tag) for said in self.answers(who, cohort)["completion"]]
            encoded = model.tokenizer(completions, add_special_tokens=False)["input_ids"]
            # A reply that was cut off did not end, and is not charged for not ending.
            cut = self.settings.get("max_new_tokens", np.inf) if who.policy else np.inf
            whole = [ids if len(ids) >= cut else [*ids, model.tokenizer.eos_token_id] for ids in encoded]
            total = sampling.completion_logprobs(model, cohort.prompts, whole)
            return pd.DataFrame({"nll": -total / np.array([len(ids) for ids in whole])})

        return self.cache.table([self._key(who, cohort), "nll", base.fingerprint], score)["nll"].to_numpy()

    def _key(self, who: Agent, cohort: Cohort) -> list:
        return [
            who.fingerprint,
            identity(self.world),
            cohort.key,
            cohort.rows.split("/")[0],
            self.seed,
            dict(self.settings) if who.policy else {},
        ]


def identity_of(reward: Reward | None) -> str | None:
    """What is known of a reward: its fingerprint, where it has one (`own_reward.combined`), else its name."""
    return None if reward is None else reward.fingerprint or reward.__name__


def lacks_of(reward: Reward | None, people: Sequence[str]) -> str | None:
    """Which column these people lack that a reward needs, in words; None where they lack none."""
    return None if reward is None else reward.lacks(people)


def samples(
    session: Session, who: Agent, asked: Sequence[tuple[str, dict[str, Cohort], dict[str, set[str]]]]
) -> pd.DataFrame:
    """Every reply that was scored, one row per (evaluation, condition, reply).

    Args:
        asked: (evaluation, its cohorts, what was computed in each condition).
    """
    tables = []
    for name, people, needs in asked:
        for condition, cohort in people.items():
            if cohort.part is not None:
                continue
            table = session.answers(who, cohort)
            if "credit" in needs[condition]:
                # `person` is the hidden state in this table.
                shares = session.credit(who, cohort).rename(columns={"person": "person_share"})
                table = pd.concat([table, shares], axis=1)
            if (
                "own" in needs[condition]
                and session.reward is not None
                and lacks_of(session.reward, cohort.people) is None
            ):
                table = pd.concat([table, session.own(who, cohort)], axis=1)
            tables.append(table.assign(evaluation=name, condition=condition))
    return (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()).reindex(columns=SAMPLES)
