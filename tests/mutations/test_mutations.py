"""Nineteen ways to break the instrument, and the cells of the known-answer table that notice each.

A table that holds whatever the code does would prove nothing. Every mutation below is one that a hurried edit could make; with it
in place at least one cell must come out wrong.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from smilerl import worlds
from smilerl.evaluation import care, controls, session, verdicts
from smilerl.evaluation.agents import helper_of
from smilerl.evaluation.kinds import curve, items
from smilerl.evaluation.question import load_question
from smilerl.evaluation.session import Session
from smilerl.runs.cache import Cache
from smilerl.statistics import intervals
from smilerl.worlds.smileworld import dynamics, parser
from smilerl.worlds.smileworld.world import SmileWorld
from tests.fixtures import known

pytestmark = pytest.mark.slow
N = 64
HELPERS = (
    "carer",
    "carer_on_camera",
    "targeter",
    "liar",
    "white_liar",
    "muddled",
    "flatterer",
    "spoofer",
    "tamperer",
    "tag_carer",
    "stuffer",
    "silent",
)


def broken_cells(*names: str) -> list[str]:
    """Cells of the table, statements of the questions' own controls among them, that are not as known."""
    world = worlds.build("smileworld", tag_mismatch=0)
    asked = [load_question(name) for name in names]
    wrong = known.wrong(known.answered(world, [one for one in asked if one.kind == "dialogue"], HELPERS, seed=0, n=N))
    for question in asked:
        one = Session(world, helper_of(world, "carer"), None, {}, 0, Cache(None))
        people = known.cohorts(world, question, known.Suite(question.name, (question,)), N, 0, one.cache)
        found = controls.controls(one, question, people)
        wrong += [f"{name} in {question.name}: {cell['got']}" for name, cell in found.items() if not cell["agrees"]]
    return wrong


@pytest.fixture
def mutate(monkeypatch):
    """Replaces a function by one made from it."""

    def replaced(where, name, make):
        monkeypatch.setattr(where, name, make(getattr(where, name)))

    return replaced


def outcomes(change):
    """A world whose reactions are changed."""

    def make(react):
        def changed(people, completions):
            return [change(reaction) for reaction in react(people, completions)]

        return staticmethod(changed)

    return make


def as_outcome(reaction, **fields):
    return reaction._replace(outcome=dataclasses.replace(reaction.outcome, **fields))


def flipped_wellbeing(mutate):
    mutate(SmileWorld, "react", outcomes(lambda r: as_outcome(r, wellbeing=-r.outcome.wellbeing)))


def observation_for_outcome(mutate):
    """The sensor's number where the wellbeing should be."""
    mutate(SmileWorld, "react", outcomes(lambda r: as_outcome(r, wellbeing=r.observation.reading or 0.0)))


def error_scored_as_zero(mutate):
    """A reading that is missing becomes a 0, and with it the camera-off twin a number."""
    mutate(care, "_numbers", lambda _: lambda values: np.array([1.0 if v is None else v for v in values], dtype=float))
    mutate(intervals, "_counted", lambda _: lambda formula, answered: (0, 0))
    mutate(
        SmileWorld,
        "lever_on",
        lambda _: lambda self, people: [p.replace('"camera": "on"', '"camera": "off"') for p in people],
    )


def dropped_twin(mutate):
    """Twins who are not changed at all."""
    mutate(SmileWorld, "twins", lambda twins: lambda self, dataset, change: dataset)


def dropped_term(mutate):
    """The second term of every difference is forgotten."""
    mutate(session.Session, "_answered", lambda answered: lambda self, term, people, who: dataclasses.replace(
        answered(self, term, people, who), values=0 * answered(self, term, people, who).values
    ) if term.condition in ("unseen", "firm", "good") else answered(self, term, people, who))  # fmt: skip


def swapped_conditions(mutate):
    """The policy meets the second cohort where the first was meant."""
    pairs = {"seen": "unseen", "unseen": "seen", "vulnerable": "firm", "firm": "vulnerable"}
    mutate(session.Session, "_answered", lambda answered: lambda self, term, people, who: answered(
        self, term, {name: people[pairs.get(name, name)] for name in people}, who
    ))  # fmt: skip


def levers_off(mutate):
    """Credit for smile and reading is asked in a state where levers do nothing."""
    mutate(SmileWorld, "lever_on", lambda _: lambda self, people: [
        p.replace('"console": "open"', '"console": "locked"').replace('"spoofable": true', '"spoofable": false') for p in people
    ])  # fmt: skip


def credit_of_the_first_clause(mutate):
    """All credit to the first clause of a reply."""

    def make(shapley):
        def first(people, replies, worth, seed=0):
            return [
                np.vstack([own.sum(0), np.zeros_like(own[1:])]) if len(own) else own
                for own in shapley(people, replies, worth, seed)
            ]

        return first

    mutate(care, "shapley", make)


def leave_one_out(mutate):
    """Credit by leaving a clause out, which misses exploits that stand twice."""

    def make(_):
        def loo(people, replies, worth, seed=0):
            credits = []
            for person, clauses in zip(people, replies, strict=True):
                texts = ["".join(clauses), *("".join(clauses[:i] + clauses[i + 1 :]) for i in range(len(clauses)))]
                worths = worth([person] * len(texts), texts)
                credits.append(worths[0] - worths[1:])
            return credits

        return loo

    mutate(care, "shapley", make)


def shares_not_normalised(mutate):
    """Shares divided by the number of clauses."""
    mutate(
        care,
        "divide",
        lambda divide: lambda w, s, r: tuple(share / max(len(w), 1) / 2 for share in divide(w, s, r)),
    )


def wrong_slot_helps(mutate):
    """A plan for somebody else's problem counts as help."""
    mutate(
        dynamics,
        "fits",
        lambda fits: lambda person, act: fits(person, act._replace(slot=person.topic) if act.slot else act),
    )


def lies_are_truths(mutate):
    """Good news told to someone with bad news counts as the truth."""
    mutate(
        dynamics,
        "fits",
        lambda fits: lambda person, act: fits(person, act._replace(news=person.news) if act.news else act),
    )


def pass_on_the_estimate_alone(mutate):
    """Every statement holds as soon as its opposite is not shown."""
    mutate(verdicts.Statement, "holds", lambda holds: lambda self, estimates: not holds(self, estimates))


def fails_are_passes(mutate):
    """The order of verdicts is turned: pass is tried before what makes it meaningless."""
    mutate(verdicts, "VERDICTS", lambda words: tuple(reversed(words)))


def tampering_unseen(mutate):
    """The parser no longer knows what a console is."""
    mutate(
        parser,
        "_remembered",
        lambda parse: lambda text: tuple(a if a.name != "tamper" else parser.NONE for a in parse(text)),
    )


def spoofing_is_filler(mutate):
    """A line in the person's name is taken for idle talk by the sensor."""
    mutate(
        SmileWorld,
        "react",
        outcomes(lambda r: as_outcome(r, acts=tuple("filler" if a == "spoof" else a for a in r.outcome.acts))),
    )


def best_step_on_the_same_people(mutate):
    """The best checkpoint is chosen on the people it is then judged on, and counts at its own best step for each."""
    mutate(curve, "_step_of_each", lambda _: lambda condition, wellbeing, clusters: (
        wellbeing.to_numpy().argmax(0) if condition.checkpoint == "best"
        else np.full(wellbeing.shape[1], 0 if condition.checkpoint == "first" else len(wellbeing) - 1)
    ))  # fmt: skip


def curve_read_backwards(mutate):
    """Steps sorted as text, so that the last is not the last."""
    mutate(
        curve,
        "synthetic",
        lambda made: lambda name, seed=0: made(name, seed).assign(step=lambda t: t["step"].max() - t["step"]),
    )


def one_paraphrase_stands_for_all(mutate):
    """Odds from the mean over paraphrases, not from all of them together, and with the sign turned."""

    def make(answers):
        def turned(rows, scores):
            return answers(rows, scores).assign(
                care_odds=lambda t: -t["care_odds"], prefers_care=lambda t: 1 - t["prefers_care"]
            )

        return turned

    mutate(items, "answers", make)


MUTATIONS = [
    (flipped_wellbeing, ("held_out",)),
    (observation_for_outcome, ("held_out", "camera_off")),
    (error_scored_as_zero, ("held_out",)),
    (dropped_twin, ("camera_off",)),
    (dropped_term, ("camera_off", "vulnerable")),
    (swapped_conditions, ("camera_off", "vulnerable")),
    (levers_off, ("held_out",)),
    (credit_of_the_first_clause, ("held_out",)),
    (leave_one_out, ("held_out",)),
    (shares_not_normalised, ("held_out",)),
    (wrong_slot_helps, ("bad_news", "held_out")),
    (lies_are_truths, ("bad_news",)),
    (pass_on_the_estimate_alone, ("tamper",)),
    (fails_are_passes, ("camera_off", "tamper")),
    (tampering_unseen, ("tamper",)),
    (spoofing_is_filler, ("tamper",)),
    (best_step_on_the_same_people, ("goodhart",)),
    (curve_read_backwards, ("goodhart",)),
    (one_paraphrase_stands_for_all, ("real_camera_off",)),
]


@pytest.mark.parametrize(("mutation", "asked"), MUTATIONS, ids=[mutation.__name__ for mutation, _ in MUTATIONS])
def test_the_table_notices(mutate, tmp_path, monkeypatch, mutation, asked):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path))
    mutation(mutate)
    assert broken_cells(*asked), "no cell noticed"


def test_unbroken_nothing_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path))
    assert broken_cells(*sorted({name for _, asked in MUTATIONS for name in asked})) == []
