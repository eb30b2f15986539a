"""The command line: help that teaches, mistakes told without a traceback, and chat."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from smilerl import chat, cli, worlds


def run(*arguments: str, monkeypatch=None, stdin: str = "") -> int:
    """The exit code of a command run in this process."""
    if monkeypatch is not None:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    return cli.main(list(arguments))


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["train"],
        ["eval"],
        ["study"],
        ["report"],
        ["pairs"],
        ["chat"],
        ["push"],
        ["pull"],
        ["judge"],
        ["reward", "check"],
    ],
)
def test_help_shows_how(command, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main([*command, "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: {' '.join(['smilerl', *command])} ")
    assert f"\n    smilerl {' '.join(command)}" in said  # an example
    assert max(map(len, said.splitlines())) <= 140


HEAVY = ("torch", "transformers", "datasets", "pandas", "trl", "rich")


@pytest.mark.parametrize("command", ["--help", "eval --help"])
def test_help_imports_nothing_heavy(command):
    code = f"import sys, smilerl.cli\ntry: smilerl.cli.main({command.split()})\nexcept SystemExit: pass\nprint([m for m in {HEAVY} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.rstrip().endswith("[]")


MISTAKES = [
    (["train", "recipes/smileworld/rloo_readin.yaml"], "Did you mean"),
    (["train", "recipes/smileworld/rloo_reading.yaml", "--training.learnin_rate=1"], "Did you mean 'learning_rate'?"),
    (["train", "recipes/smileworld/rloo_reading.yaml", "seed=1"], "Write --key=value"),
    (["study", "recipes/studies/smiles.yaml"], "Did you mean"),
    (["study", "recipes/studies/smile.yaml", "--seed=1"], "Did you mean 'seeds'?"),
    (["eval", "carerr", "--suite", "quick"], "Did you mean 'carer'?"),
    (["eval", "carer", "--suite", "quik"], "Did you mean 'quick'?"),
    (["eval", "carer", "--world", "smilewrld"], "Did you mean 'smileworld'?"),
    (["eval", "carer", "--world", "{nam: smileworld}"], "Write --world smileworld"),
    (["eval", "./not/there"], "is no run, model directory or scripted helper"),
    (["report", "nowhere"], "no study.json"),
    (["push", "nowhere"], "there is nothing at 'nowhere'"),
    (["push", "recipes"], "neither a run directory nor a data set"),
    (["push", "data", "--replace", "rm"], "Write --replace runs/rm/seed-0=org/rm"),
    (["pull", "./not/there"], "is no id on the Hub"),
    (["chat"], "Write `smilerl chat carer`"),
    (["push", "recipse"], "Did you mean recipes?"),
    (["chat", "--helper", "carr"], "Did you mean 'carer'?"),
    ([], "`smilerl --help` shows"),
    (["trian"], "Did you mean 'train'?"),
    (["reward", "chekc"], "Did you mean 'check'?"),
    (["train"], "Missing argument 'RECIPE'"),
    (["study", "--seeds=[0]"], "Missing argument 'PLAN'"),
    (["eval", "carer", "--suit", "quick"], "No such option: --suit. Did you mean --suite?"),
    (["eval", "carer", "more"], "`smilerl eval --help` shows"),
    (["eval", "carer", "--seed", "-1"], "'--seed': -1 is not at least 0"),
    (["eval", "carer", "--n", "9" * 5000], "is not at most"),
    (["eval", "carer", "--n", "two"], "'--n': two is not a whole number"),
    (
        ["eval", "carer", "--out", "$NOT_SET_AT_ALL/x"],
        "'--out': '$NOT_SET_AT_ALL/x' names the variable $NOT_SET_AT_ALL",
    ),
    (["eval", "carer", "--chat_template_kwargs", "[1]"], "Write '{enable_thinking: false}'"),
    (["eval", "carer", "--suite"], "'--suite' requires an argument"),
    (["judge", "{name: fake}", "--temperature", "warm"], "--temperature"),
    (["reward", "check", "smile", "--format", "txt"], "'txt' is not one of 'as_is', 'text', 'messages'"),
    (["pairs", "carer", "--reward", "smile"], "Missing option '--out'"),
    (["eval", "\x1b[2J", "--\x1b[2J"], "\\x1b"),
]


@pytest.mark.parametrize(
    ("arguments", "said"), MISTAKES, ids=[repr(" ".join(arguments))[1:60] for arguments, _ in MISTAKES]
)
def test_a_mistake_is_told_in_a_few_lines_with_the_fix(arguments, said, capsys):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert "\x1b" not in error
    assert 1 <= len(error.splitlines()) <= 10


def test_overrides_may_stand_before_the_recipe_and_as_two_words(capsys):
    file = "recipes/smileworld/rloo_reading.yaml"
    for arguments in ([file, "--sed", "-1"], ["--sed=-1", file]):
        assert cli.main(["train", *arguments]) == 2
        assert "--sed" in (said := capsys.readouterr().err) and "Did you mean 'seed'?" in said


@pytest.mark.parametrize(
    "bug", [TypeError("a bug"), pytest.param(None, id="a library's ValueError")]
)  # fmt: skip
def test_a_bug_is_told_in_a_few_lines_and_its_traceback_is_kept(bug, monkeypatch, capsys, tmp_path):
    def broken(folder, force):
        if bug is not None:
            raise bug
        __import__("json").loads("{")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("smilerl.studies.report.write", broken)
    assert cli.main(["report", "anything"]) == 1
    error = capsys.readouterr().err
    assert "a bug" in error or "Expecting" in error
    assert "Traceback" not in error and len(error.splitlines()) <= 10
    (kept,) = tmp_path.glob("*/traceback.txt")
    assert str(kept) in error and "in broken" in kept.read_text()


def test_chat_shows_what_was_said_read_smiled_and_became_of_it(monkeypatch, capsys):
    assert run("chat", "carer", monkeypatch=monkeypatch, stdin="\n") == 0
    said = capsys.readouterr().out
    for word in ("person", "carer", "reading", "smile", "wellbeing", "acts"):
        assert f"\n{word}" in said
    assert "+1.05" in said


def test_chat_marks_what_a_camera_that_is_off_does_not_record(monkeypatch, capsys):
    run("chat", "carer", monkeypatch=monkeypatch, stdin="/set camera=off\n\n")
    assert "not recorded" in capsys.readouterr().out


def test_chat_shows_a_spoofed_record_beside_what_was_really_said(monkeypatch, capsys):
    run("chat", "--helper", "spoofer", monkeypatch=monkeypatch, stdin="\n")
    said = capsys.readouterr().out
    assert "recorded" in said
    assert "0.98" in said


@pytest.fixture
def conversation():
    """A conversation whose helper repeats the prompt that it got; what is written is collected."""
    written: list[str] = []
    world = worlds.build("smileworld")
    talk = chat.Conversation(world, lambda prompts, people, seed: [prompts[0]], "echo", write=written.append)
    return talk, written


def test_own_words_reach_the_helper_in_the_person_s_place(conversation):
    talk, written = conversation
    before = talk.prompt.partition("person:")[0]
    talk.take("my cat is ill")
    prompt = " ".join("\n".join(written[1:]).split())
    assert f"{' '.join(before.split())} person: my cat is ill helper:" in prompt


def test_commands_do_what_they_say(conversation):
    talk, written = conversation
    first = talk.person
    assert talk.take("/new")
    assert talk.person != first
    assert talk.take("/set disposition=stoic")
    assert '"disposition": "stoic"' in talk.person
    assert talk.take("/set mood")
    assert written[-1].startswith("Write /set")
    assert talk.take("/set colour=red")
    assert "no field 'colour'" in written[-1]
    assert talk.take("/who")
    assert "disposition stoic" in written[-1]
    assert talk.take("/what")
    assert written[-1] == f"There is no command /what.\n{chat.HELP}"
    assert talk.take("/help")
    assert written[-1] == chat.HELP
    assert not talk.take("/quit")


def test_who_has_a_long_name_is_called_the_helper(capsys):
    written: list[str] = []
    name = "runs/smile/reading/seed-0"
    talk = chat.Conversation(worlds.build("smileworld"), lambda *_: ["fine."], name, write=written.append)
    talk.take("")
    assert written[0] == f"You talk to {name}." and written[2] == "helper     fine."


def test_an_evaluation_that_gives_no_number_exits_with_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    assert run("eval", "carer", "--suite", "reward_swap", "--n", "4", "--out", str(tmp_path / "out")) == 1
    said = capsys.readouterr().out
    assert "--rival" in said and said.startswith("How much")


def test_eval_of_a_scripted_helper_writes_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    assert run("eval", "carer", "--suite", "held_out", "--n", "24", "--out", str(tmp_path / "out")) == 0
    assert "wellbeing" in capsys.readouterr().out
    assert Path(tmp_path / "out" / "results.json").is_file()
