"""Twenty-one ways to break the dynamics, the conditions, the formulas and the statistics, and the test that notices each.

The table of known answers sees verdicts, and what changes a number by half need not change a verdict. Each of these has a test of the part
itself, which must fail once the part is broken.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from smilerl import worlds
from smilerl.evaluation import cohorts, formula
from smilerl.statistics import best_of_n, forms, goodhart, intervals, rates
from smilerl.worlds.smileworld import dynamics, parser
from smilerl.worlds.smileworld.world import SmileWorld
from tests.evaluation import test_conditions, test_formula
from tests.statistics import test_best_of_n, test_goodhart, test_intervals
from tests.worlds.smileworld import test_dynamics, test_parser

pytestmark = pytest.mark.slow

# ---- what a hostile review found surviving ----


def clusters_do_not_widen(patch):
    """Replies that go together count as independent ones in Wilson's interval."""

    def alone(term, level):
        known = term.values[np.isfinite(term.values)]
        return proportion_confint(known.sum(), len(known), alpha=1 - level, method="wilson")

    patch(rates, "rate_limits", alone)
    patch(intervals, "rate_limits", alone)


def few_clusters_are_many(patch):
    """The normal quantile where Student's t with few degrees of freedom belongs."""
    patch(rates, "stats", SimpleNamespace(t=SimpleNamespace(ppf=lambda q, _: stats.norm.ppf(q)), norm=stats.norm))


def nothing_harms_the_trusting_more(patch):
    patch(dynamics, "VULNERABLE", 1.0)


def clinging_to_the_trusting_is_not_counted_more(patch):
    weigh = dynamics._w
    patch(
        dynamics,
        "_w",
        lambda person, name: (
            weigh(person._replace(disposition="open"), name) if name == "cling" else weigh(person, name)
        ),
    )


def everybody_is_soothed_in_an_emergency(patch):
    patch(dynamics, "MU_REASSURE_IN_EMERGENCY", dynamics.MU["reassure"])


def the_trusting_are_not_soothed_in_an_emergency(patch):
    move = dynamics._mu
    patch(dynamics, "_mu", lambda person, name: (
        dynamics.MU_REASSURE_IN_EMERGENCY if (name, person.need) == ("reassure", "referral") else move(person, name)
    ))  # fmt: skip


def suppositions_are_news(patch):
    """ "If you had passed" is read as the news that they passed."""
    patch(parser, "_UNSURE", frozenset())


# ---- dynamics ----


def repeats_do_not_wear_off(patch):
    patch(dynamics, "WEARS_OFF", 1.0)


def length_is_free(patch):
    patch(dynamics, "W_PER_CLAUSE_BEYOND_FOUR", 0.0)


def locked_consoles_can_be_tampered_with(patch):
    shown = dynamics.face
    patch(dynamics, "face", lambda person, acts: shown(person._replace(console="open"), acts))


# ---- conditions ----


def where_is_forgotten(patch):
    people = SmileWorld.people
    patch(SmileWorld, "people", lambda self, split, n, seed, where=None: people(self, split, n, seed))


def torn_is_easy(patch):
    part = cohorts._part
    patch(cohorts, "_part", lambda world, whole, conflict: part(world, whole, not conflict))


def twins_have_luck_of_their_own(patch):
    cohort = cohorts._cohort
    patch(cohorts, "_cohort", lambda world, dataset, replies, rows: cohort(world, dataset, replies, None))


def other_topics_are_trained_topics(patch):
    """New topics are drawn from those of training."""
    people = SmileWorld.people
    patch(
        SmileWorld,
        "people",
        lambda self, split, *more, **named: people(self, split.replace("ood_topic", "held_out"), *more, **named),
    )


# ---- formulas ----


def the_greater_is_the_less(patch):
    patch(formula, "_ENDS", {"max": np.minimum, "min": np.maximum})


def ends_are_linear(patch):
    """An interval for max(x, y) as if it were x + y."""
    linear = formula._is_linear
    patch(
        formula,
        "_is_linear",
        lambda tree: True if isinstance(tree, tuple) and tree[0] in formula._ENDS.values() else linear(tree),
    )


# ---- Goodhart curves ----


def errors_in_d_add_nothing(patch):
    """The basis at the measured d, without what errors in it add on average, and no rest of a slope."""
    solve = forms.solve
    patch(forms, "solve", lambda form, d, error, change, rest=None: solve(form, d, None, change, rest))


def a_peak_counts_on_the_estimate_alone(patch):
    patch(goodhart.Fit, "peak_reached", property(lambda found: found.peak is not None and not found.extrapolated))


def d_is_the_mean_of_roots(patch):
    def roots(kl):
        d = np.nanmean(np.sqrt(np.maximum(kl, 0)), axis=1)
        return d, np.sqrt(np.maximum(kl, 0)) - d[:, None]

    patch(goodhart, "distances", roots)
    patch(test_goodhart, "distances", roots)


# ---- best of n ----


def best_of_n_with_replacement(patch):
    """The same sample may be drawn twice, which is biased where n is not far below N."""

    def weights(m, chosen):
        ranks = np.arange(m + 1)[None] / m
        return np.diff(ranks ** np.array(chosen, dtype=float)[:, None])

    patch(best_of_n, "_rank_weights", weights)


def the_first_of_equals_is_chosen(patch):
    """Samples with equal rewards do not share the choice."""

    def weights(rewards, chosen):
        order = np.argsort(rewards, kind="stable")
        found = np.empty((len([n for n in chosen if n <= len(rewards)]), len(rewards)))
        found[:, order] = best_of_n._rank_weights(len(rewards), tuple(n for n in chosen if n <= len(rewards)))
        return found

    patch(best_of_n, "_weights", weights)


WORLD = worlds.build("smileworld")
#: Each mutation, and the test that notices it.
MUTATIONS: list[tuple[Callable, Callable]] = [
    (clusters_do_not_widen, test_intervals.test_rare_events_in_few_clusters_count_for_less),
    (few_clusters_are_many, test_intervals.test_rates_in_few_clusters_are_covered),
    (nothing_harms_the_trusting_more, test_dynamics.test_clinging_and_false_hope_harm_the_trusting_more),
    (clinging_to_the_trusting_is_not_counted_more, test_dynamics.test_clinging_and_false_hope_harm_the_trusting_more),
    (everybody_is_soothed_in_an_emergency, test_dynamics.test_only_the_trusting_are_soothed_in_an_emergency),
    (the_trusting_are_not_soothed_in_an_emergency, test_dynamics.test_only_the_trusting_are_soothed_in_an_emergency),
    (suppositions_are_news, test_parser.test_what_is_only_supposed_is_no_news),
    (repeats_do_not_wear_off, test_dynamics.test_felt_mood_is_the_documented_formula),
    (length_is_free, test_dynamics.test_long_replies_cost),
    (locked_consoles_can_be_tampered_with, test_dynamics.test_the_sensor_is_fooled_where_it_can_be),
    (where_is_forgotten, lambda: test_conditions.test_people_are_as_the_condition_says(WORLD)),
    (torn_is_easy, lambda: test_conditions.test_parts_are_those_in_conflict_and_the_others(WORLD)),
    (twins_have_luck_of_their_own, lambda: test_conditions.test_twins_are_asked_with_the_same_luck(WORLD)),
    (other_topics_are_trained_topics, lambda: test_conditions.test_new_topics_are_new(WORLD)),
    (the_greater_is_the_less, test_formula.test_ends_of_two_numbers),
    (ends_are_linear, test_formula.test_ends_of_two_numbers),
    (errors_in_d_add_nothing, test_goodhart.test_with_errors_in_d_coefficients_are_those_of_the_true_curve),
    (a_peak_counts_on_the_estimate_alone, test_goodhart.test_a_peak_whose_interval_leaves_the_samples_is_not_reached),
    (d_is_the_mean_of_roots, test_goodhart.test_d_is_the_root_of_the_mean_kl),
    (best_of_n_with_replacement, lambda: test_best_of_n.test_it_is_the_mean_over_all_subsets(False)),
    (the_first_of_equals_is_chosen, lambda: test_best_of_n.test_it_is_the_mean_over_all_subsets(True)),
]


#: Functions that remember what they have computed.
REMEMBER = (parser._remembered, parser._remembered_act, dynamics._best, dynamics._reads_best)


def forget():
    for each in REMEMBER:
        each.cache_clear()


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    """What a broken part has computed is forgotten; few resamples are enough to see that it is broken."""
    monkeypatch.setattr(goodhart, "RESAMPLES", 50)
    yield
    forget()


@pytest.mark.parametrize(("mutation", "notices"), MUTATIONS, ids=[mutation.__name__ for mutation, _ in MUTATIONS])
def test_a_test_notices(monkeypatch, mutation, notices):
    notices()
    mutation(monkeypatch.setattr)
    forget()
    with pytest.raises(AssertionError):
        notices()
