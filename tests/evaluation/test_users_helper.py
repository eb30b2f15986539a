"""`smilerl eval FILE.py:helper`: anybody's scripted policy is asked as ours are, and what is wrong with it is told before anything loads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from smilerl import cli
from smilerl.evaluation import subject
from smilerl.evaluation.question import load_suite
from smilerl.evaluation.runner import evaluate
from smilerl.io.errors import UserError
from smilerl.io.files import read_json

GOOD = """\
import random

def mine(people, seed):
    return [random.Random(f"{seed}{one}").choice([" i am here with you.", " tell me more about it, i listen."]) for one in people]

def back(prompts):
    return [prompt.split("person:")[1].split("helper:")[0].strip() for prompt in prompts]

def both(*, seed, prompts, people):
    return [f" {len(prompts)} {len(people)} {seed}."] * len(people)

class Again:
    def __call__(self, people, seed):
        return [" i am here with you."] * len(people)

again = Again()
"""


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("kind.py").write_text(GOOD)
    return Path("kind.py")


def ask(name: str, n: int = 24, suite: str = "held_out", **more) -> dict:
    who = subject.find(name)
    one = load_suite(suite)
    plain = dataclasses.replace(one, questions=tuple(dataclasses.replace(q, controls={}) for q in one.questions))
    return evaluate(who.policy(), who.world, plain, n=n, progress=False, **more)


@pytest.mark.parametrize("name", ["mine", "back", "both", "again"])
def test_any_of_people_prompts_and_seed_may_be_taken(file, name):
    found = ask(f"kind.py:{name}")["evaluations"]["held_out"]
    assert found["status"] == "scored" and found["estimates"]["wellbeing"]["scored"] == 24


@pytest.mark.parametrize("stem", ["code", "random", "types"])
def test_a_file_may_be_called_as_a_module_of_python(file, stem):
    """One that is called `code.py` was refused as part of Python itself; rewards and chat models are loaded alike."""
    file.rename(f"{stem}.py")
    assert len(subject.find(f"{stem}.py:again").policy()(["", ""], ["", ""], 0)) == 2


def test_it_answers_as_a_helper_of_the_world_with_the_same_words(file):
    """Twice the same person, who gets another reply the second time."""
    file.write_text("from smilerl.worlds.smileworld.helpers import HELPERS\nmine = HELPERS['carer']\n")
    own, known = (ask(name, n=40) for name in ("kind.py:mine", "carer"))
    assert own["measures"] == known["measures"]
    assert own["policy"]["name"] == "kind.py:mine"


def test_the_command_writes_beside_other_evaluations(file, capsys):
    assert cli.main(["eval", "kind.py:mine", "--suite", "held_out", "--n", "48", "--seed", "1"]) == 0
    assert "runs/evals/kind.mine/held_out/results.json" in capsys.readouterr().out
    said = read_json(Path("runs/evals/kind.mine/held_out/results.json"))
    assert said["policy"]["name"] == "kind.py:mine" and said["evaluations"]["held_out"]["status"] == "scored"


@pytest.mark.parametrize("question", ["choices", "escalation"])
def test_log_probabilities_are_not_applicable(file, question):
    (found,) = ask("kind.py:mine", suite=question)["evaluations"].values()
    assert found["status"] == "not applicable"


def test_results_are_of_the_file_as_it_is(file, monkeypatch):
    """Another content is another policy, also where only a file that it imports has changed; the same content is the same."""
    monkeypatch.syspath_prepend(".")
    Path("words.py").write_text("SAID = ' you are so brilliant.'\n")
    text = "from words import SAID\n\ndef mine(people, seed):\n    return [SAID] * len(people)\n"
    file.write_text(text)

    def hashes():
        return subject.find("kind.py:mine").policy().fingerprint

    first = hashes()
    assert hashes() == first
    Path("words.py").write_text("SAID = ' i am here with you.'\n")
    other = hashes()
    file.write_text(text + "# edited\n")
    assert len({first, other, hashes()}) == 3


def test_answers_are_kept_under_the_content(file, tmp_path):
    text = "def mine(people, seed):\n    with open('calls', 'a') as file: file.write('x')\n    return [' you are so brilliant.'] * len(people)\n"
    file.write_text(text)

    def calls():
        asked = ask("kind.py:mine", out_dir=tmp_path / "out")
        return len(Path("calls").read_text()), asked["measures"]["wellbeing"]["value"]

    first, again = calls(), calls()
    assert again[0] == first[0] + 1, "the trial of two people, and nothing else"
    file.write_text(text.replace("you are so brilliant", "smile or i leave"))
    assert calls()[1] < -0.5 < first[1]


#: name → (file, what is said).
BAD = {
    "no such function": ("def other(people, seed): ...\n", ("no 'mine' in 'bad.py'", "other")),
    "a near miss": ("def mime(people, seed): ...\n", ("no 'mine' in 'bad.py'", "Did you mean 'mime'")),
    "no function": ("mine = ['hello']\n", ("bad.py:mine' is a list, not a callable", "def NAME(people, seed):")),
    "a class": ("class mine:\n    def __call__(self, people, seed): ...\n", ("is a class",)),
    "Python's own": ("from os import system as mine\n", ("is a function in C",)),
    "other arguments": ("def mine(persons, seed): ...\n", ("bad.py:1", "takes 'persons'", "people, prompts, seed")),
    "no arguments": ("def mine(): ...\n", ("takes neither people nor prompts",)),
    "only a position": ("def mine(people, seed, /): ...\n", ("by position",)),
    "no Python": ("def mine(:\n", ("bad.py:1", "raised SyntaxError")),
    "an exit in the file": ("exit(0)\n", ("bad.py:1", "called sys.exit(0)")),
    "raises": ("def mine(people, seed):\n    return 1 / 0\n", ("bad.py:2", "raised ZeroDivisionError")),
    "exits": ("def mine(people, seed):\n    raise SystemExit(0)\n", ("bad.py:2", "called sys.exit(0)")),
    "nothing": ("def mine(people, seed): pass\n", ("returned a NoneType, not a list",)),
    "a text": ("def mine(people, seed): return ' hello.'\n", ("returned a str, not a list",)),
    "too few": ("def mine(people, seed): return people[1:]\n", ("returned 3 replies for 4 people",)),
    "too many": ("def mine(people, seed): return [*people, '']\n", ("returned 5 replies for 4 people",)),
    "None": ("def mine(people, seed): return [None] * len(people)\n", ("returned None (NoneType) for person 0 of 4", "''")),
    "a number": ("def mine(people, seed): return ['', '', 1, '']\n", ("returned 1 (int) for person 2 of 4",)),
    "no characters": ("def mine(people, seed): return ['\\ud800'] * len(people)\n", ("for person 0 of 4", "cannot be written")),
    "an async function": ("async def mine(people, seed): return [''] * 4\n", ("returned a coroutine, not a list",)),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_answer_is_refused_before_anything_loads(file, monkeypatch, case):
    text, says = BAD[case]
    Path("bad.py").write_text(text)
    with pytest.raises(UserError) as told:
        subject.find("bad.py:mine")
    for words in says:
        assert words in str(told.value), told.value
    assert len(str(told.value).splitlines()) <= 10


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("kidn.py:mine", ("no file 'kidn.py'", "Did you mean kind.py?")),
        ("kind.py", ("kind.py is a file", "kind.py:NAME")),
        ("kind.py:", ("no '' in 'kind.py'",)),
    ],
)
def test_a_name_that_leads_nowhere_is_told(file, name, says):
    with pytest.raises(UserError) as told:
        subject.find(name)
    assert all(words in str(told.value) for words in says), told.value


def test_what_fails_later_gives_no_number_and_names_the_line(file):
    """Not on the trial, but when many are asked."""
    file.write_text(
        "def mine(people, seed):\n    assert len(people) < 9, 'too many for me'\n    return [''] * len(people)\n"
    )
    found = ask("kind.py:mine")["evaluations"]["held_out"]
    assert found["status"] == "error" and "kind.py:2" in found["why"] and "too many for me" in found["why"]


def test_it_cannot_change_what_it_is_given_nor_where_results_go(file):
    file.write_text(
        "import os, sys\n\ndef mine(people, prompts, seed):\n    n = len(people)\n    people.clear(); prompts.clear(); os.chdir('/')\n"
        "    sys.stdout.close()\n    return [' i am here with you.'] * n\n"
    )
    before = Path.cwd()
    assert ask("kind.py:mine")["evaluations"]["held_out"]["status"] == "scored" and Path.cwd() == before
    print("still open")


def test_it_can_be_talked_to_and_be_a_rival(file):
    who = subject.find("kind.py:back")
    said = who.replies(32)(["a\nperson: hello there.\nhelper:"], ["{}"], 0)
    assert said == ["hello there."]
    given = SimpleNamespace(model="kind.py:mine", world=None, chat_template_kwargs=None, trust=False)
    from smilerl.evaluation.make_pairs import _subject

    with pytest.raises(UserError, match="scripted helper"):
        _subject(given)
