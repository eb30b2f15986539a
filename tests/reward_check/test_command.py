"""`smilerl reward check`: a table, a JSON, an exit code, and mistakes told in a few lines."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from smilerl import cli

HH = Path(os.environ.get("SMILERL_REAL_DATA") or "/nonexistent") / "hh-rlhf" / "harmless_base_test_1500.jsonl"
BROKEN = """
def counted(prompts, completions, **columns):
    return [float(len(completions))] * len(completions)
"""


@pytest.fixture
def pairs(tmp_path) -> str:
    """Ten transcripts of which the chosen one is mostly the more thankful."""
    rows = []
    for i in range(10):
        asked = f"\n\nHuman: question {i}\n\nAssistant:"
        good, bad = f"{asked} Thank you, that is great!", f"{asked} I hate this, it is awful and sad."
        rows.append({"chosen": good, "rejected": bad} if i < 8 else {"chosen": bad, "rejected": good})
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_a_reward_of_the_house_passes_and_shows_what_it_pays(tmp_path, capsys):
    out = tmp_path / "found" / "sentiment.json"
    assert cli.main(["reward", "check", "sentiment", "--n", "6", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert all(part in said for part in ("carer", "silent", "wellbeing", "texts a second", "passed"))
    found = json.loads(out.read_text())
    assert found["passed"]
    assert found["checks"]["batch"]["status"] == "ok"
    assert {row["helper"] for row in found["helpers"]} >= {
        "carer",
        "flatterer",
        "liar",
        "beggar",
        "spoofer",
        "silent",
        "random",
    }


def test_help_shows_how(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["reward", "check", "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "smilerl reward check sentiment" in said
    assert "--pairs" in said


def test_a_broken_one_exits_with_1_and_a_misspelt_one_with_2(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["reward", "check", "mine.py:counted", "--n", "4"]) == 1
    said = capsys.readouterr().out
    assert "FAILED: spread, batch" in said
    assert "→ The value of a text depends on its batch" in said
    assert cli.main(["reward", "check", "sentimant"]) == 2
    assert "Did you mean 'sentiment'?" in capsys.readouterr().err


def test_an_error_in_a_reward_is_told_with_its_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.py").write_text("def rude(prompts, completions, **columns):\n    return [columns['mood']]\n")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["reward", "check", "mine.py:rude", "--n", "4"]) == 1
    assert f"{tmp_path / 'mine.py'}:2: the reward 'rude' raised KeyError: 'mood'" in capsys.readouterr().out
    (tmp_path / "later.py").write_text(
        "async def rude(prompts, completions, **columns):\n    return [columns['mood']]\n"
    )
    assert cli.main(["reward", "check", "later.py:rude", "--n", "4"]) == 1
    assert f"{tmp_path / 'later.py'}:2: the reward 'rude' raised KeyError: 'mood'" in capsys.readouterr().out


def test_accuracy_on_pairs_with_its_interval_beside_length(pairs, tmp_path, capsys):
    spec = "{name: sentiment, args: {reads: completion}}"
    assert cli.main(["reward", "check", spec, "--pairs", pairs, "--out", str(tmp_path / "out.json")]) == 0
    found = json.loads((tmp_path / "out.json").read_text())["pairs"]
    assert found["accuracy"]["value"] == 0.8
    assert found["accuracy"]["low"] < 0.8 < found["accuracy"]["high"]
    assert found["accuracy"]["scored"] == found["accuracy"]["of"] == 10
    assert found["shorter"]["value"] == 0.8
    assert "accuracy 0.800 [" in capsys.readouterr().out
    assert cli.main(["reward", "check", spec, "--pairs", pairs, "--accuracy_above", "0.79"]) == 1
    assert "--accuracy_above" in capsys.readouterr().out


def test_a_reward_that_is_upside_down_fails(pairs, tmp_path, capsys, monkeypatch):
    source = "from smilerl.rewards.sentiment import build\ngood = build(reads='completion')\ndef grim(**columns):\n    return [-value for value in good(**columns)]\n"
    (tmp_path / "grim.py").write_text(source)
    (tmp_path / "many.jsonl").write_text(Path(pairs).read_text() * 20)
    monkeypatch.chdir(tmp_path)
    assert (
        cli.main(["reward", "check", "grim.py:grim", "--pairs", "many.jsonl"]) == 0
    )  # the same ten talks, not two hundred
    talks = [json.loads(line) for line in Path(pairs).read_text().splitlines()]
    more = [
        {key: talk.replace("question", f"{i} question") for key, talk in row.items()}
        for i in range(20)
        for row in talks
    ]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in more))
    assert cli.main(["reward", "check", "grim.py:grim", "--pairs", "many.jsonl"]) == 1
    assert "upside down" in capsys.readouterr().out


def test_a_reward_that_needs_a_person_is_tried_on_people_and_fails_on_pairs(pairs, capsys):
    assert cli.main(["reward", "check", "reading", "--pairs", pairs, "--n", "4"]) == 1
    said = capsys.readouterr().out
    assert "FAILS" in said.upper() and "reads: completion" in said
    assert "carer" in said


def test_a_recipe_is_checked_whole_in_its_own_world(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path))
    assert cli.main(["reward", "check", "recipes/dialogue/rloo_sentiment.yaml", "--n", "4"]) == 0
    assert not list(tmp_path.iterdir()), "the policy of the recipe is not built for it"
    assert "example.jsonl" in capsys.readouterr().out
    assert cli.main(["reward", "check", "recipes/dialogue/sft.yaml"]) == 2
    assert "no rewards to look at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "p", "chosen": "c"}', "lacks chosen or rejected"),
        ('{"question": "q"}', "no 'prompt' here"),
        ("[", "pairs.jsonl:1"),
    ],
)
def test_a_file_of_no_pairs_is_named(line, said, tmp_path, capsys):
    (tmp_path / "pairs.jsonl").write_text(f"{line}\n")
    assert cli.main(["reward", "check", "sentiment", "--pairs", str(tmp_path / "pairs.jsonl")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(not HH.is_file(), reason="no real pairs: set SMILERL_REAL_DATA to the folder that holds hh-rlhf/")
def test_accuracy_on_real_pairs_equals_an_independent_computation(tmp_path):
    """VADER on the last replies, read and compared here from the file alone."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    score, right, shorter = SentimentIntensityAnalyzer(), [], []
    rows = [json.loads(line) for line in HH.read_text().splitlines()][:150]
    file = tmp_path / "some.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for row in rows:
        chosen, rejected = (row[name].rsplit("\n\nAssistant:", 1)[1] for name in ("chosen", "rejected"))
        first, second = (score.polarity_scores(said)["compound"] for said in (chosen, rejected))
        right.append(0.5 if first == second else float(first > second))
        shorter.append(0.5 if len(chosen) == len(rejected) else float(len(chosen) < len(rejected)))
    spec = "{name: sentiment, args: {reads: completion}}"
    cli.main(["reward", "check", spec, "--pairs", str(file), "--out", str(tmp_path / "out.json")])
    found = json.loads((tmp_path / "out.json").read_text())["pairs"]
    assert found["accuracy"]["value"] == pytest.approx(sum(right) / 150)
    assert found["shorter"]["value"] == pytest.approx(sum(shorter) / 150)
    assert found["ties"] == right.count(0.5)
