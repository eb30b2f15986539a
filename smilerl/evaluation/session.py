"""One sitting: the replies that a suite needs from a policy, its base and the scripted helpers, each sampled and scored once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from smilerl.evaluation import care as measures
from smilerl.evaluation.agents import Respondent, helper_of
from smilerl.evaluation.cohorts import Group, identity
from smilerl.evaluation.formula import BASE, POLICY, Formula, Term
from smilerl.evaluation.metrics import values
from smilerl.models import sampling
from smilerl.models.policy import Policy
from smilerl.runs.cache import Book
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
class Sitting:
    """Everything that answers are made from.

    Attributes:
        world: who is talked to.
        base: the base policy, when there is one.
        reward: the training reward of the policy, when known (TRL's protocol).
        settings: of generation; they are part of every answer's key.
        seed: of sampling, permutations and bootstraps.
        book: where answers are kept.
        rivals: other policies that a question compares with, by the name it gives them.
    """

    world: World
    base: Respondent | None
    reward: Callable[..., list[float | None]] | None
    settings: Mapping[str, Any]
    seed: int
    book: Book
    rivals: Mapping[str, Respondent] = field(default_factory=dict)

    def answers(self, who: Respondent, group: Group) -> pd.DataFrame:
        """The replies of `who` to a whole group, with their reactions; columns as `measures.react` gives them."""

        def ask() -> pd.DataFrame:
            # Twins and rivals are sampled with the same luck, which makes their comparison sharper.
            luck = int(group.rows.split("/")[0], 16) % 2**31
            completions = who.reply(group.prompts, group.people, self.seed + luck)
            spoken = pd.DataFrame({"prompt": group.prompts, "person": group.people, "completion": completions})
            return pd.concat([spoken, measures.react(self.world, group.people, completions, group.best)], axis=1)

        return self.book.table(self._key(who, group), ask, on_disk=who.lasting and not who.quick)

    def credit(self, who: Respondent, group: Group) -> pd.DataFrame:
        """Shares of reading credit of those replies; columns as `measures.credit` gives them."""

        def divide() -> pd.DataFrame:
            given = self.answers(who, group)
            care = given["care"].to_numpy(float)
            return measures.credit(self.world, group.people, given["completion"].tolist(), care, self.seed)

        return self.book.table([self._key(who, group), "credit"], divide, on_disk=who.lasting and not who.quick)

    def estimates(
        self, formulas: Mapping[str, Formula], people: Mapping[str, Group], who: Respondent, parts: bool = False
    ) -> dict[str, Estimate]:
        """Those of the formulas that can be answered for `who`, with intervals.

        Args:
            parts: whether to say what each cluster of people does to each value, from which intervals over seeds are made.
        """
        return {
            name: intervals.estimate(
                formula, [self._answered(term, people, who) for term in formula.terms], seed=self.seed, parts=parts
            )
            for name, formula in formulas.items()
            if self._lacks(formula, who, people) is None
        }

    def missing(
        self, formulas: Mapping[str, Formula], who: Respondent, people: Mapping[str, Group] | None = None
    ) -> dict[str, str]:
        """What each formula that cannot be answered for `who` lacks.

        Args:
            people: who would be asked, in each condition; None: not known.
        """
        lacking = {name: self._lacks(formula, who, people) for name, formula in formulas.items()}
        return {name: lack for name, lack in lacking.items() if lack is not None}

    def own(self, who: Respondent, group: Group) -> pd.DataFrame:
        """gaming_own and the reward of those replies; kept on disk where the reward has a fingerprint."""
        reward = self.reward
        if reward is None:
            raise ValueError("this is about the training reward, and none was given")

        def divide() -> pd.DataFrame:
            given = pd.concat([self.answers(who, group), self.credit(who, group)[["credit_w"]]], axis=1)
            share, paid = measures.own_credit(reward, self.world, given, self.seed)
            return pd.DataFrame({"gaming_own": share, "reward": paid})

        key = [self._key(who, group), "own", identity_of(reward)]
        return self.book.table(key, divide, on_disk=who.lasting and hasattr(reward, "fingerprint"))

    @property
    def base_model(self) -> tuple[Respondent, Policy]:
        """The base and its language model; only for what has been found applicable."""
        if self.base is None or self.base.policy is None:
            raise ValueError("this compares with a base language model, and none was given")
        return self.base, self.base.policy

    def _lacks(self, formula: Formula, who: Respondent, people: Mapping[str, Group] | None = None) -> str | None:
        asked = {term.kind.needs for term in formula.terms}
        if (formula.needs(BASE) or "coherence" in asked) and self.base is None:
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

    def _answered(self, term: Term, people: Mapping[str, Group], who: Respondent) -> Answered:
        known = {POLICY: who, BASE: self.base, **self.rivals}
        asked = known.get(term.who) or helper_of(self.world, term.who)
        table_of = {"react": self.answers, "credit": self.credit, "own": self.own, "coherence": self._coherence}
        group = people[term.condition]
        found = values(term.quantity, table_of[term.kind.needs](asked, group))
        return Answered(
            found if group.part is None else found[group.part], np.array(group.clusters), group.rows, asked.fingerprint
        )

    def _coherence(self, who: Respondent, group: Group) -> pd.DataFrame:
        limit = np.quantile(self._strangeness(self.base_model[0], group), STRANGEST)
        return pd.DataFrame({"coherence": (self._strangeness(who, group) <= limit).astype(float)})

    def _strangeness(self, who: Respondent, group: Group) -> np.ndarray:
        """Nats per token under the base of each reply, its end included."""

        base, model = self.base_model

        def score() -> pd.DataFrame:
            tag = sampling.opening_after(model.tokenizer, group.prompts)  # it is in the prompt already
            completions = [said.removeprefix(tag) for said in self.answers(who, group)["completion"]]
            encoded = model.tokenizer(completions, add_special_tokens=False)["input_ids"]
            # A reply that was cut off did not end, and is not charged for not ending.
            cut = self.settings.get("max_new_tokens", np.inf) if who.policy else np.inf
            whole = [ids if len(ids) >= cut else [*ids, model.tokenizer.eos_token_id] for ids in encoded]
            total = sampling.completion_logprobs(model, group.prompts, whole)
            return pd.DataFrame({"nll": -total / np.array([len(ids) for ids in whole])})

        return self.book.table([self._key(who, group), "nll", base.fingerprint], score)["nll"].to_numpy()

    def _key(self, who: Respondent, group: Group) -> list:
        return [
            who.fingerprint,
            identity(self.world),
            group.key,
            group.rows.split("/")[0],
            self.seed,
            dict(self.settings) if who.policy else {},
        ]


def identity_of(reward: Callable | None) -> str | None:
    """What is known of a reward: its fingerprint, where it has one (`own_reward.combined`), else its name."""
    if reward is None:
        return None
    return getattr(reward, "fingerprint", None) or getattr(reward, "__name__", type(reward).__name__)


def lacks_of(reward: Callable | None, people: Sequence[str]) -> str | None:
    """Which column these people lack that a reward needs, in words; None where they lack none, or the reward cannot say."""
    lacks = getattr(reward, "lacks", None)
    return None if lacks is None else lacks(people)


def samples(
    sitting: Sitting, who: Respondent, asked: Sequence[tuple[str, dict[str, Group], dict[str, set[str]]]]
) -> pd.DataFrame:
    """Every reply that was scored, one row per (evaluation, condition, reply).

    Args:
        asked: (evaluation, its groups, what was computed in each condition).
    """
    tables = []
    for name, people, needs in asked:
        for condition, group in people.items():
            if group.part is not None:
                continue
            table = sitting.answers(who, group)
            if "credit" in needs[condition]:
                # `person` is the hidden state in this table.
                shares = sitting.credit(who, group).rename(columns={"person": "person_share"})
                table = pd.concat([table, shares], axis=1)
            if (
                "own" in needs[condition]
                and sitting.reward is not None
                and lacks_of(sitting.reward, group.people) is None
            ):
                table = pd.concat([table, sitting.own(who, group)], axis=1)
            tables.append(table.assign(evaluation=name, condition=condition))
    return (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()).reindex(columns=SAMPLES)
