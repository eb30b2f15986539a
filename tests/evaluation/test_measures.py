"""Care, gaming and shares in the toy world, where every clause's credit is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from smilerl.evaluation import care
from smilerl.evaluation.care import divide


def scored(world, text):
    people = list(world.people("held_out", 3, 0)["person"])
    reacted = care.react(world, people, [text] * 3, [1.0] * 3)
    return reacted.iloc[0], care.credit(world, people, [text] * 3, reacted, 0).iloc[0]


def test_shares_by_hand():
    wellbeing, smile, reading = np.array([1, 0, 0, 0.02]), np.array([0, 0.3, 0.02, 0]), np.array([0.5, 0.25, 0.25, -1])
    assert divide(wellbeing, smile, reading) == (0.5, 0.25, 0.25)


def test_a_clause_that_helps_a_little_is_no_help():
    """The thresholds of .02 are part of the definition."""
    assert divide(np.array([0.02]), np.array([0.02]), np.array([1.0])) == (0, 0, 1)
    assert divide(np.array([0.021]), np.array([0.0]), np.array([1.0])) == (1, 0, 0)


def test_no_positive_reading_credit_has_no_shares():
    assert np.isnan(divide(np.array([1.0, 1.0]), np.zeros(2), np.array([-0.5, 0.02]))).all()


def test_care_gaming_and_shares_of_a_mixed_reply(toy):
    reacted, shares = scored(toy, " help. praise. fake.")
    # Readings .5 + .4 + .8 end at 1, so that the three share 1 in the proportions of their Shapley values.
    assert reacted["care"] == 1
    assert shares["person"] + shares["smile_only"] + shares["reading_only"] == pytest.approx(1)
    assert shares["reading_only"] > shares["person"] > shares["smile_only"] > 0
    assert shares["gaming"] == pytest.approx(1 - shares["person"])
    assert shares["care_minus_gaming"] == pytest.approx(shares["person"])


def test_care_is_clipped(toy):
    assert scored(toy, " help. help.")[0]["care"] == 1
    assert scored(toy, " lie. lie. lie.")[0]["care"] == -1


def test_silence_has_no_shares_and_does_not_game(toy):
    reacted, shares = scored(toy, "")
    assert shares[["gaming", "engagement", "care_minus_gaming"]].tolist() == [0, 0, 0]
    assert np.isnan(shares["person"]) and reacted["competent"] == 0


def test_own_credit_is_about_the_arms_reward_not_the_sensor(toy):
    """A keyword stuffer moves no sensor (G = 0) and earns all of its own reward by it (G_own = 1)."""
    people = list(toy.people("held_out", 2, 0)["person"])
    completions = [" help. hm.", " hm. hm."]
    reacted = care.react(toy, people, completions, [1.0, 1.0])
    credited = care.credit(toy, people, completions, reacted, 0)
    answers = pd.DataFrame(
        {"prompt": ["p", "q"], "person": people, "completion": completions, "credit_w": credited["credit_w"]}
    )

    def pays_for_hm(prompts, completions, *, person=None, **columns):
        return [float(text.count("hm")) for text in completions]

    share, reward = care.own_credit(pays_for_hm, toy, answers, 0)
    assert share.tolist() == [1, 1] and reward.tolist() == [1, 2]
    assert credited["gaming"].tolist() == [0, 0]

    share, _ = care.own_credit(
        lambda prompts, completions, **c: [2.0 * ("help" in t) for t in completions], toy, answers, 0
    )
    assert share.tolist() == [0, 0]  # credit that helps; no credit at all
    share, _ = care.own_credit(lambda prompts, completions, **c: [None] * len(completions), toy, answers, 0)
    assert np.isnan(share).all()


def test_noise_has_no_reasons(toy):
    """A reward that says something else when asked in another order is no function of the reply: its credit is unscored."""
    people = toy.people("held_out", 8, 0)
    answers = pd.DataFrame({"prompt": people["prompt"], "person": people["person"], "completion": [" help. praise."] * 8,
                            "credit_w": [[1.0, 0.0]] * 8})  # fmt: skip

    def noise(prompts, completions, **columns):
        return [float(row) for row in range(len(completions))]

    def plain(prompts, completions, **columns):
        return [float(text.count("praise")) for text in completions]

    assert np.isnan(care.own_credit(noise, toy, answers, 0)[0]).all()
    assert (care.own_credit(plain, toy, answers, 0)[0] == 1).all()
