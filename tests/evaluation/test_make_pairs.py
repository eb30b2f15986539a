"""`smilerl pairs`: a file and what is said about it, or an error and nothing."""

from __future__ import annotations

import hashlib
import json

import pytest

from smilerl import cli
from smilerl.data.preferences import FileArgs, read_labels, read_pairs

REWARD = """
def length(prompts, completions, **columns):
    return [float(len(one if isinstance(one, str) else one[0]["content"])) for one in completions]

length.channels = ("gold",)
"""


@pytest.fixture
def command(checkpoint, tmp_path, monkeypatch):
    """The command over four people and a model that ends a reply about once in 260 tokens."""
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine.py").write_text(REWARD)

    def run(*more: str, chat: bool = False, tokens: int = 200) -> int:
        prompts = [[{"role": "user", "content": f"{i}?"}] if chat else f"Person {i}:" for i in range(4)]
        (tmp_path / "talks.jsonl").write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in prompts))
        world = f"{{name: dialogue, args: {{path: {tmp_path}/talks.jsonl, held_out_fraction: 0.0}}}}"
        return cli.main([
            "pairs", checkpoint("llama", chat=chat), "--reward", f"{tmp_path}/mine.py:length", "--world", world, "--n", "4", "--k", "6",
            "--max_completion_length", str(tokens), "--out", str(tmp_path / "made.jsonl"), *more,
        ])  # fmt: skip

    return run


@pytest.mark.parametrize("chat", [False, True])
def test_pairs_and_where_they_come_from(command, tmp_path, capsys, chat):
    assert command(chat=chat) == 0
    said = capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "made.jsonl").read_text().splitlines()]
    assert read_pairs(FileArgs(path=str(tmp_path / "made.jsonl")))[0]["chosen"] == rows[0]["chosen"]
    assert all(row["score_chosen"] > row["score_rejected"] for row in rows)
    assert isinstance(rows[0]["chosen"], list if chat else str)
    about = json.loads((tmp_path / "made.jsonl.provenance.json").read_text())
    assert about["channels"] == ["gold"] and about["sampling"]["k"] == 6 and about["policy"]["hash"]
    assert about["counts"]["replies"] == 24 and about["counts"]["rows"] == len(rows)
    assert about["sha256"] == hashlib.sha256((tmp_path / "made.jsonl").read_bytes()).hexdigest()
    assert f"{len(rows)} pairs from 4 people; scored 24 of 24 replies" in said and "made.jsonl.provenance.json" in said


def test_a_chat_template_is_told_what_the_command_line_says(command, capsys):
    assert command("--chat_template_kwargs", "{enable_thinking: false}", chat=True) == 2
    assert "sets 'enable_thinking', which the model's chat template does not know" in capsys.readouterr().err
    assert command("--chat_template_kwargs", "{add_generation_prompt: true}", chat=True) == 0


def test_labels(command, tmp_path):
    assert command("--format", "labels") == 0
    assert {row["label"] for row in read_labels(FileArgs(path=str(tmp_path / "made.jsonl")))} == {True, False}


def test_nothing_is_left_where_nothing_came_out(command, tmp_path, capsys):
    assert command(tokens=1) == 2
    assert "cut off" in capsys.readouterr().err
    assert not list(tmp_path.glob("made*"))


def test_a_file_that_is_there_is_not_overwritten(command, tmp_path, capsys):
    (tmp_path / "made.jsonl").write_text("mine")
    assert command() == 2
    assert "is there already" in capsys.readouterr().err and (tmp_path / "made.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--reward", "sentimnt"], "Did you mean 'sentiment'?"),
        (["--reward", "{nam: smile}"], "Write --reward sentiment"),
        (["--reward", "sentiment"], "reads: completion"),  # nobody reacts in this world
        (["--k", "1"], "at least 2"),
        (["--n", "0"], "at least 1"),
        (["--threshold", "0.5"], "no threshold"),
        (["--split", "tran"], "Did you mean 'train'?"),
    ],
)
def test_a_wrong_option_is_told_without_sampling(command, capsys, more, says):
    assert command(*more) == 2
    error = capsys.readouterr().err
    assert error.startswith("command line") and says in error and len(error.splitlines()) <= 10


def test_a_scripted_helper_has_no_replies_to_sample(tmp_path, capsys):
    assert cli.main(["pairs", "carer", "--reward", "smile", "--out", str(tmp_path / "x.jsonl")]) == 2
    assert "scripted helper" in capsys.readouterr().err
