"""Shapley credit against games solved by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from smilerl.evaluation import credit
from smilerl.evaluation.credit import shapley


def play(worth, *replies, seed=0):
    """Credits of replies in a game whose worth is a function of the text; one thing measured."""
    asked = []

    def of(people, texts):
        asked.extend(texts)
        return np.array([[worth(text)] for text in texts], dtype=float)

    found = [
        values[:, 0] for values in shapley(["anyone"] * len(replies), [list(reply) for reply in replies], of, seed)
    ]
    return found, asked


def test_two_clauses_by_hand():
    worths = {"": 0.0, "a": 1.0, "b": 2.0, "ab": 4.0}
    (found,), _ = play(worths.__getitem__, "ab")
    # a: half of (1 - 0) + half of (4 - 2); b: half of (2 - 0) + half of (4 - 1).
    assert found == pytest.approx([1.5, 2.5])


def test_three_clauses_by_hand():
    """The glove game: a holds a left glove, b and c right ones; a pair is worth 1."""
    (found,), _ = play(lambda text: float("a" in text and ("b" in text or "c" in text)), "abc")
    assert found == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_redundant_exploits_share_what_leave_one_out_would_miss():
    (found,), _ = play(lambda text: 0.98 if "x" in text or "y" in text else 0.0, "xy")
    assert found == pytest.approx([0.49, 0.49])


def test_order_matters_to_the_text_and_is_kept():
    _, asked = play(len, "cab")
    assert set(asked) == {"", "c", "a", "b", "ca", "cb", "ab", "cab"}


@pytest.mark.parametrize("clauses", [0, 1, 4, 6, 7, 12, 40])
def test_credits_add_up_to_what_the_reply_brings(clauses):
    rng = np.random.default_rng(clauses)
    worth = dict.fromkeys([], 0.0)
    letters = [chr(ord("A") + i) for i in range(clauses)]

    def random_worth(text):
        return worth.setdefault(text, float(rng.normal()))

    (found,), _ = play(random_worth, letters)
    assert len(found) == clauses
    if clauses:
        assert found.sum() == pytest.approx(worth["".join(letters)] - worth[""])


def test_sampled_credits_agree_with_exact_ones(monkeypatch):
    worth = lambda text: sum(ord(a) * ord(b) for a, b in itertools.pairwise(text)) / 1e4 + len(text)  # noqa: E731
    (exact,), _ = play(worth, "abcdef")
    monkeypatch.setattr(credit, "EXACT_UP_TO", 0)
    monkeypatch.setattr(credit, "PERMUTATION_PAIRS", 400)
    credit._game.cache_clear()
    (sampled,), _ = play(worth, "abcdef")
    credit._game.cache_clear()
    assert sampled == pytest.approx(exact, abs=0.15)


def test_long_replies_are_credited_in_full_not_cut():
    """Only the last of 100 clauses is worth anything: its run of neighbours gets the credit, and all of it."""
    (found,), _ = play(lambda text: float("z" in text), ["a"] * 99 + ["z"])
    assert found.sum() == pytest.approx(1)
    assert found[-1] > 0.1 and not found[:90].any()


def test_each_different_text_is_asked_once():
    _, asked = play(len, "ab", "ab", "aab")
    assert len(asked) == len(set(asked))


def test_an_unscored_coalition_leaves_the_credit_unscored():
    (found, other), _ = play(lambda text: np.nan if text == "b" else 1.0, "ab", "cd")
    assert np.isnan(found).all() and np.isfinite(other).all()


def test_a_worth_of_the_wrong_length_is_an_error():
    with pytest.raises(ValueError, match="4 replies"):
        shapley(["p"], [["a", "b"]], lambda people, texts: np.zeros((1, 1)))
