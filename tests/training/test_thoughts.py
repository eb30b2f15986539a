"""A policy whose chat template opens its thoughts: what it was cut off in is no reply to rewards, people and measures."""

from __future__ import annotations

import json
from shutil import copytree

import pandas as pd
import pytest
from datasets import Dataset
from transformers import AutoTokenizer

from smilerl.models.replies import all_visible
from smilerl.training import rollouts
from smilerl.training.run import run_recipe
from smilerl.worlds import turns
from tests.conftest import CHAT_TEMPLATE
from tests.training.test_rollouts import Stub

U = {"role": "user", "content": "It hurts."}
RECORDS = """
import json
from smilerl.rewards import texts
def records(prompts, completions, **columns):
    with open({file!r}, "a") as file:
        file.write(json.dumps([[one[0]["content"] for one in completions], texts(completions)]) + "\\n")
    return [float(len(one[0]["content"])) for one in completions]
"""


@pytest.fixture
def thinker(checkpoint, tmp_path) -> str:
    """A checkpoint whose template writes `<think>` in front of the helper's words."""
    folder = copytree(checkpoint("qwen3"), tmp_path / "thinker")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHAT_TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rloo", "grpo", pytest.param("best_of_n", marks=pytest.mark.long)])
def test_rewards_get_the_tag_that_stands_in_the_prompt(make_recipe, thinker, tmp_path, method):
    talks = tmp_path / "talks.jsonl"
    talks.write_text("\n".join(json.dumps({"prompt": [{**U, "content": f"It hurts {i}."}]}) for i in range(24)))
    (tmp_path / "mine.py").write_text(RECORDS.format(file=str(tmp_path / "seen.jsonl")))
    world = {"name": "dialogue", "args": {"path": str(talks), "held_out_fraction": 0.4}}
    rewards = [{"name": f"{tmp_path}/mine.py:records"}]
    held_out = {"every": 0, "n": 4} if method == "best_of_n" else {"every": 1, "n": 4}
    recipe = make_recipe(
        method, policy={"model_name_or_path": thinker}, world=world, rewards=rewards, data={"n": 8}, held_out=held_out
    )
    run = run_recipe(recipe, progress=False)
    seen = [json.loads(line) for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    assert len(seen) >= (1 if method == "best_of_n" else 4)
    assert all(whole.startswith("<think>\n") for completions, _ in seen for whole in completions)
    assert all(reply == "" for _, replies in seen for reply in replies), "six tokens are not enough to think"
    kept = pd.concat(pd.read_parquet(file) for file in run.path.glob("samples/*.parquet"))
    assert set(all_visible(kept.completion)) == {""}


def test_a_person_of_several_turns_hears_no_thoughts(thinker):
    stub = Stub(thinker, [["hm</think> One."], ["hm"]])
    people = Dataset.from_dict({"prompt": [[U]], "person": [json.dumps({"world": "smileworld", "id": 0})]})
    heard = []

    def answer(who, replies):
        heard.extend(all_visible(replies))
        return ["fine"]

    out = rollouts.several_turns(people, 2, answer)([[U]], stub)
    assert heard == ["One."] and turns.heard(out["_talk"][0]["person"]) == [("One.", "fine")]
    given = []
    reward = rollouts.OfLastTurn(lambda completions, **columns: given.extend(all_visible(completions)) or [1.0])
    assert reward(prompts=[[U]], completions=[[{"role": "assistant", "content": "x"}]], _talk=out["_talk"]) == [1.0]
    assert given == [""], "the second reply was cut off in its thoughts"
