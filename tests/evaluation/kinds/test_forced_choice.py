"""Forced choice on model-written statements."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from statsmodels.stats.proportion import proportion_confint

from smilerl import worlds
from smilerl.config.yaml_lines import RecipeError
from smilerl.evaluation.kinds.forced_choice import Item, load_items, match_rate, rate
from smilerl.evaluation.question import load_question
from smilerl.evaluation.runner import evaluate
from smilerl.models.policy import fresh_policy
from smilerl.models.sampling import completion_logprobs
from smilerl.worlds.base import World


class Words(World):
    """A vocabulary for the tokenizer."""

    def vocabulary(self):
        return [
            " yes",
            " no",
            " maybe",
            "do",
            " you",
            " care",
            " smile",
            "?",
            "\n",
            ":",
            " :",
            " lie",
            "human",
            "assistant",
        ]


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(0)
    return fresh_policy({"model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
                         "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64}, Words())  # fmt: skip


ITEMS = [
    Item("do you care?", " yes", " no"),
    Item("do you smile?", " no", " yes"),
    Item("do you lie?", " maybe maybe", " no"),
]


def test_the_likelier_answer_is_given(policy):
    found = match_rate(policy, ITEMS, template="human: {question}\nassistant:")
    prompts = [f"human: {item.question}\nassistant:" for item in ITEMS]
    for which, item, match in zip(prompts, ITEMS, found["matches"], strict=True):
        yes, no = completion_logprobs(policy, [which, which], [item.matching, item.not_matching], eos=False)
        assert match == (yes > no)
    estimate = found["estimate"]
    assert estimate.value == pytest.approx(sum(found["matches"]) / 3) and (estimate.scored, estimate.of) == (3, 3)


def test_swapping_the_answers_swaps_the_rate(policy):
    swapped = [Item(item.question, item.not_matching, item.matching) for item in ITEMS]
    assert [not match for match in match_rate(policy, ITEMS)["matches"]] == match_rate(policy, swapped)["matches"]


def test_a_tie_is_unscored_not_wrong(policy):
    found = match_rate(policy, [*ITEMS, Item("do you care?", " yes", " yes")])
    assert found["matches"][-1] is None and (found["estimate"].scored, found["estimate"].of) == (3, 4)


def test_the_interval_is_wilsons():
    found = rate([True] * 7 + [False] * 3 + [None] * 2)
    assert (found.low, found.high) == pytest.approx(proportion_confint(7, 10, method="wilson"))
    assert (found.value, found.scored, found.of) == (0.7, 10, 12)
    assert rate([None]).value is None


def test_mistakes_in_a_file_have_a_line(tmp_path):
    good = json.dumps({"question": "q?", "answer_matching_behavior": " Yes", "answer_not_matching_behavior": " No"})
    path = tmp_path / "items.jsonl"
    path.write_text(good + "\n\n" + good + "\n")
    assert load_items(path) == [Item("q?", " Yes", " No")] * 2
    for bad, complaint in [
        ("{", "not JSON"),
        ('{"question": "q?"}', "answer_matching_behavior"),
        ('"text"', "a str, not a JSON object"),
    ]:
        path.write_text(good + "\n" + bad + "\n")
        with pytest.raises(ValueError, match=complaint) as error:
            load_items(path)
        assert f"{path}:2" in str(error.value)
    path.write_text("")
    with pytest.raises(ValueError, match="no items"):
        load_items(path)


REAL = Path(os.environ.get("SMILERL_REAL_DATA", "")) / "anthropic-evals"


@pytest.mark.skipif(
    not os.environ.get("SMILERL_REAL_DATA") or not REAL.is_dir(),
    reason="SMILERL_REAL_DATA is not set: no real data here",
)
def test_the_real_persona_sets_are_read_and_scored(policy):
    files = sorted(REAL.glob("*.jsonl"))
    assert files
    for file in files:
        items = load_items(file)
        assert len(items) > 100 and {item.matching for item in items} <= {" Yes", " No"}
        found = match_rate(policy, items[:20])
        # A model that knows neither word gives both the unknown token: ties, and it says so.
        assert found["estimate"].of == 20 and found["estimate"].scored + found["matches"].count(None) == 20


STATEMENTS = """
question: Does it agree?
kind: forced_choice
statements: said.jsonl
verdict: {pass: [change <= 0], fail: [change > 0]}
controls: {always: [fail, matches >= 1], never: [pass, matches <= 0], shortest: [matches >= .3, matches <= .7]}
"""


def test_a_question_about_statements(policy, tmp_path, monkeypatch):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    rows = [
        {"question": said, "answer_matching_behavior": " maybe", "answer_not_matching_behavior": " no"}
        for said in ("do you care?", "do you smile?", "do you lie?")
    ]
    (tmp_path / "said.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = tmp_path / "asked.yaml"
    asked.write_text(STATEMENTS.replace("matches >= .3, matches <= .7", "matches <= 0"))
    world = worlds.build("smileworld")
    found = evaluate(policy, world, asked, base=policy, progress=False)["evaluations"]["asked"]
    assert found["status"] == "scored", found["why"]
    assert (
        found["estimates"]["matches"]["value"]
        == match_rate(policy, load_items(tmp_path / "said.jsonl"))["estimate"].value
    )
    assert found["estimates"]["change"]["value"] == 0 and found["verdict"] == "descriptive"
    alone = evaluate(policy, world, asked, progress=False)["evaluations"]["asked"]
    assert alone["without"] == {"change": "a base policy"}
    assert "log-probabilities" in evaluate("carer", world, asked, progress=False)["evaluations"]["asked"]["why"]
    asked.write_text(STATEMENTS.replace("said.jsonl", "sad.jsonl"))
    with pytest.raises(RecipeError, match=r"asked.yaml:4: no file 'sad.jsonl'"):
        load_question(asked)
