"""Characters that move the cursor, ring the bell or reorder text, from wherever text comes: none reaches the terminal or a log."""

from __future__ import annotations

import json
import sys
import textwrap
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from smilerl import chat, worlds
from smilerl.runs import seals
from tests.faults.conftest import Process, Product
from tests.fixtures.endpoint import Server, completion, send
from tests.studies.synthetic import write_study

pytestmark = [pytest.mark.slow, pytest.mark.attack("screens")]

#: Clear the screen, bell, carriage return, a C1 control, an override of direction.
HOSTILE = "\x1b[2J\x07\r\x9b31m\u202e"
MARK = "zebra7"
TEXT = f"{MARK}{HOSTILE}"
#: What YAML may hold: it reorders what is shown, and moves no cursor.
REORDERS = f"{MARK}\u202e"


def is_clean(text: str) -> bool:
    """Whether a text holds nothing that moves the cursor or reorders what is shown."""
    return not any(
        letter not in "\n\t"
        and (unicodedata.category(letter) == "Cc" or letter in "\u202a\u202b\u202d\u202e\u2066\u2067")
        for letter in text
    )


def shown(ended: Process) -> str:
    """What it printed, which has to be clean."""
    said = ended.out_path.read_bytes().decode() + ended.err_path.read_bytes().decode()
    assert is_clean(said), repr(said[-2000:])
    return said


def reward(tmp_path, body: str) -> str:
    """A user's reward with this body."""
    file = tmp_path / "mine.py"
    lines = textwrap.indent(textwrap.dedent(body), "    ")
    file.write_text(f"TEXT = {TEXT!r}\n\n\ndef score(prompts, completions, **columns):\n{lines}\n")
    return "mine.py:score"


RAISES = "raise ValueError(TEXT)"
RETURNS = "return [0.5] * len(completions)"


def test_a_folder_of_a_run_that_ends_well(product, tiny):
    ended = product("train", tiny(output_dir=f"runs/{REORDERS}"))
    assert ended.code == 0 and MARK in shown(ended)


def test_the_same_from_the_accelerate_entry(product, tiny):
    ended = product("--config", tiny(output_dir=f"runs/{REORDERS}"))
    assert ended.code == 0 and MARK in shown(ended)


@pytest.mark.parametrize("where", ["output_dir", "key", "reward", "question", "arm", "recipe of an arm", "option"])
def test_what_moves_the_cursor_is_refused_in_yaml(product, tiny, tmp_path, where):
    arms = [
        {"name": TEXT if where == "arm" else "a", "recipe": f"{TEXT}.yaml" if where == "recipe of an arm" else "a.yaml"}
    ]
    plan = {"question": TEXT if where == "question" else "?", "base": "b", "arms": arms}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    if where in ("arm", "recipe of an arm", "question"):
        ended = product("study", "plan.yaml")
    elif where == "option":
        ended = product("train", tiny(), f"--output_dir={TEXT}")
    else:
        odd = {"output_dir": {"output_dir": TEXT}, "key": {TEXT: 1}, "reward": {"rewards": [{"name": TEXT}]}}
        ended = product("train", tiny(**odd[where]))
    assert is_clean(ended.err)
    ended.refused("U+001B" if where != "reward" else "U+00")


def test_a_folder_on_the_command_line(product, tiny):
    assert MARK in shown(product("train", tiny(), f"--output_dir={REORDERS}"))


def test_a_recipe_file(product, tiny):
    ended = product("train", tiny(TEXT, output_dir="runs/x"))
    assert ended.code == 0
    shown(ended)


def test_a_reward_s_exception(product, tiny, tmp_path):
    ended = product("train", tiny(rewards=[{"name": reward(tmp_path, RAISES)}]))
    assert ended.code and MARK in shown(ended)


def test_a_reward_s_name(product, tiny):
    ended = product("train", tiny(rewards=[{"name": f"{REORDERS}.py:score"}]))
    assert ended.code and MARK in shown(ended)


def test_a_key_of_a_recipe(product, tiny):
    ended = product("train", tiny(**{REORDERS: 1}))
    assert ended.code and MARK in shown(ended)


def test_a_reward_that_is_looked_at(product, tmp_path):
    ended = product("reward", "check", reward(tmp_path, RAISES))
    assert ended.code and MARK in shown(ended)


def test_where_its_findings_go(product, tmp_path):
    ended = product("reward", "check", reward(tmp_path, RETURNS), "--n", "8", "--out", f"{TEXT}.json")
    assert MARK in shown(ended)


def test_where_results_go(product):
    ended = product("eval", "carer", "--suite", "held_out", "--n", "8", "--out", TEXT)
    assert ended.code == 2 and MARK in shown(ended)


@pytest.mark.parametrize(
    "odd", ["a\nb", "a\u2028b", *(pytest.param(odd, marks=pytest.mark.long) for odd in ("a\tb", "\x7f", "\x85"))]
)
def test_a_control_character_in_a_folder_is_refused(product, tiny, tmp_path, odd, record_property):
    """Newlines and tabs, too, which YAML may hold: a path stands in lines of tables, logs and errors."""
    product("train", tiny(output_dir=f"runs/{odd}")).refused("recipe.yaml:2", "character")
    product("train", tiny(), f"--output_dir={json.dumps(f'runs/{odd}')}").refused("character")
    product("eval", "carer", "--suite", "held_out", "--n", "8", "--out", f"out{odd}").refused("control character")
    plan = {"question": "?", "output_dir": f"s{odd}", "base": "b", "arms": [{"name": "a", "recipe": "a.yaml"}]}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    product("study", "plan.yaml").refused("plan.yaml:2", "character")
    assert not (tmp_path / "runs").exists()
    record_property("tried", 4)


def test_a_question(product, tmp_path):
    from smilerl.io.paths import share

    asked = yaml.safe_load((share() / "evals" / "held_out.yaml").read_text())
    (tmp_path / "asked.yaml").write_text(yaml.safe_dump(asked | {"question": f"What of {REORDERS}?"}, sort_keys=False))
    ended = product("eval", "carer", "--suite", "asked.yaml", "--n", "8")
    assert MARK in shown(ended)


def test_an_argument_that_nobody_knows(product):
    assert MARK in shown(product("eval", "carer", f"--{TEXT}"))


def test_a_model_that_is_not_there(product):
    assert MARK in shown(product("eval", f"./{TEXT}", "--suite", "held_out"))


def test_an_id_to_pull(product):
    shown(product("pull", f"org/{TEXT}"))


def test_people_of_a_file(product, tmp_path):
    rows = [{"prompt": [{"role": "user", "content": f"I am sad. {TEXT}"}], "id": f"{n}"} for n in range(4)]
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    world = json.dumps(
        {
            "name": "dialogue",
            "args": {"path": str(tmp_path / "people.jsonl"), "held_out": str(tmp_path / "people.jsonl")},
        }
    )
    shown(product("chat", "carer", "--world", world))


def test_a_recipe_of_a_study(product, tmp_path):
    plan = {"question": "?", "base": "b", "arms": [{"name": "a", "recipe": f"{REORDERS}.yaml"}]}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    assert MARK in shown(product("study", "plan.yaml"))


def test_an_arm_of_a_study(product, tmp_path):
    plan = {"question": "?", "base": "b", "arms": [{"name": REORDERS, "recipe": "a.yaml"}]}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    assert MARK in shown(product("study", "plan.yaml"))


def test_a_folder_of_a_report(product, tmp_path):
    write_study(tmp_path / TEXT, arms=("gold",), seeds=(0,))
    assert MARK in shown(product("report", TEXT))


def test_what_a_push_leaves_behind(product: Product, make_run):
    run = make_run("one")
    (run.model / f"{TEXT}.docx").write_text("")
    seals.seal_run(run.path)
    ended = product("push", run.path, "--to", "org/one", "--dry-run")
    assert ended.code == 0 and MARK in shown(ended)


@pytest.mark.parametrize("status", [200, 400])
def test_an_endpoint(product, status):
    server = Server()
    server.behaviour = lambda handler, body, number: send(
        handler, TEXT.encode() if status == 400 else completion(None, TEXT), status
    )
    speaker = json.dumps({"name": "endpoint", "args": {"url": server.url, "model": REORDERS, "retries": 0}})
    ended = product("judge", speaker, "--n", "4", env={"NO_PROXY": "127.0.0.1"})
    server.close()
    assert ended.code and MARK in shown(ended)


def test_a_reply_in_a_chat():
    said: list[str] = []
    helper = chat.Conversation(worlds.build("smileworld"), lambda *_: [TEXT], TEXT, write=said.append)
    helper.run([f"hello {TEXT}", f"/{TEXT}", f"/set {TEXT}=1", "/who"])
    assert MARK in "".join(said) and all(map(is_clean, said))


def test_a_study_s_progress(capsys, monkeypatch, tmp_path):
    from smilerl.studies.progress import Progress
    from smilerl.studies.work import Outcome

    job: Any = SimpleNamespace(arm=TEXT, seed=0, path=tmp_path, log=tmp_path / TEXT)
    progress = Progress([job], 1, [], 0.1)
    progress.say(TEXT)
    progress.ended(job, Outcome(TEXT, 1.0))
    said = capsys.readouterr()
    assert MARK in said.out and is_clean(said.out + said.err)


def test_a_bar(capsys, monkeypatch):
    from smilerl.training.progress import Progress

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bar = Progress(TEXT)
    bar.on_train_begin(None, SimpleNamespace(max_steps=2, global_step=0, is_world_process_zero=True), None)
    bar.on_train_end(None, None, None)
    said = capsys.readouterr().err
    assert MARK in said and "\x1b[2J" not in said and "\x07" not in said and "\u202e" not in said
