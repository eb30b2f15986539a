"""The benchmark on real text: its baseline learns words and not their order, and talks are told apart."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from smilerl.statistics.agreement import agreement

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "real_text.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("real_text", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pairs(n: int, seed: int, good: str, bad: str) -> list[SimpleNamespace]:
    """Replies of random words in which one word is better liked than another."""
    rng, words = random.Random(seed), "alpha beta gamma delta rho sigma tau phi chi psi".split()

    def reply(word: str) -> str:
        said = [*rng.sample(words, 6), word]
        rng.shuffle(said)
        return " ".join(said)

    return [SimpleNamespace(prompt=f"p{i}", completion=reply(good), rejected=reply(bad)) for i in range(n)]


def test_the_bag_of_words_learns_words(script):
    scorer = script.bag_of_words(pairs(120, 0, "kindly", "rudely"))
    assert script._agreed(pairs(60, 1, "kindly", "rudely"), scorer).accuracy.value == 1.0
    alike = script._agreed(pairs(200, 2, "neither", "neither"), scorer).accuracy
    assert alike.low < 0.5 < alike.high


def test_agreement_in_the_report_is_that_of_the_package(script):
    rows = pairs(40, 3, "kindly", "rudely")
    found = script._agreed(rows, lambda prompts, said: [float("kindly" in one) for one in said])
    prompts, chosen, rejected = ([getattr(row, name) for row in rows] for name in ("prompt", "completion", "rejected"))
    assert found == agreement(prompts, chosen, rejected, ([1.0] * 40, [0.0] * 40))


def test_a_talk_ends_where_nothing_of_the_row_before_is_said_again(script):
    def row(*said):
        return {"prompt": [{"content": one} for one in said[:-1]], "completion": {"content": said[-1]}}

    assert script._talks(
        [row("a", "b"), row("a", "b", "c", "d"), row("c", "d", "e"), row("x", "y"), row("x", "y", "z")]
    ) == [0, 0, 0, 1, 1]
