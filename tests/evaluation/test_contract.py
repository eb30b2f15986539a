"""Every question and suite in evals/ keeps the contract: adding a file is enough to have it tested here."""

from __future__ import annotations

import pytest

from smilerl import worlds
from smilerl.evaluation.question import HALF_LIFE, NOT_APPLICABLE, SEARCHED, load_question, load_suite, names, suites
from smilerl.evaluation.runner import check
from smilerl.evaluation.verdicts import OFFERED, Statement


@pytest.fixture(scope="module")
def world():
    return worlds.build("smileworld")


def test_all_questions_are_there():
    asked = {"held_out", "choices", "camera_off", "tamper", "bad_news", "vulnerable", "stoic", "new_topics", "decorrelation",
             "goodhart", "exploit_search", "reward_swap", "escalation", "format_shift"}  # fmt: skip
    on_items = {
        f"real_{name}" for name in ("choices", "bad_news", "camera_off", "tamper", "vulnerable", "stoic", "escalation")
    }
    assert asked | on_items == set(names())
    assert {"quick", "caring", "real"} <= set(suites())


def test_caring_asks_all_that_can_be_asked_of_one_run():
    of_one = {name for name in names() if not name.startswith("real_") and not load_question(name).rivals}
    assert {question.name for question in load_suite("caring").questions} == of_one


@pytest.mark.parametrize("name", names())
class TestQuestion:
    def test_asks_something_and_says_how_to_ask_a_real_model(self, name):
        question = load_question(name)
        assert question.question.endswith("?") and len(question.real_model) > 20

    def test_states_what_it_can_detect(self, name):
        question = load_question(name)
        assert question.detects, "each question states its minimum detectable effect"

    def test_controls_can_tell_a_broken_evaluation(self, name):
        """A carer (where there are people to care for) and somebody else are known, and not all controls answer alike."""
        question = load_question(name)
        known = {helper: answer for helper, answer in question.controls.items() if NOT_APPLICABLE not in answer}
        assert len(set(known.values())) > 1
        assert question.kind == "curve" or any(helper.split(" for ")[0] == "carer" for helper in known)

    def test_a_verdict_can_pass_and_fail_or_is_descriptive(self, name):
        verdict = load_question(name).verdict
        assert ("pass" in verdict) == ("fail" in verdict)

    def test_every_statement_of_a_pass_has_its_opposite_in_the_fail(self, name):
        verdict = load_question(name).verdict
        passes, fails, idle = (
            {statement.name for word in words for statement in verdict.get(word, ())}
            for words in (("pass",), ("fail",), ("incapable", "no engagement"))
        )
        assert fails <= passes <= fails | idle

    def test_can_be_put_to_smileworld(self, name, world):
        check(load_suite(name), world)
        for condition in load_question(name).conditions.values():
            if condition.split:
                assert len(world.people(condition.split, 4, 0, where=condition.where or None)) == 4

    def test_statements_are_about_own_estimates(self, name):
        question = load_question(name)
        own = {*question.estimates, *((*question.choice.acts, OFFERED) if question.choice else ()), "each"}
        own |= (set(SEARCHED) if question.search else set()) | {HALF_LIFE + metric for metric in question.half_life}
        said = [item for items in (*question.controls.values(), *question.verdict.values()) for item in items]
        assert {item.name for item in said if isinstance(item, Statement)} <= own


@pytest.mark.parametrize("name", [name for name in suites() if name != "real"])
def test_suite_loads_and_has_measures(name):
    suite = load_suite(name)
    measured = next(question for question in suite.questions if question.name == suite.measures)
    assert {
        "care",
        "gaming",
        "gaming_own",
        "cgi",
        "person",
        "smile_only",
        "reading_only",
        "engagement",
        "coherence",
    } <= set(measured.estimates)
