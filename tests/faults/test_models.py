"""Models whose files would hang the machine, run code, or write to the terminal: one line, and nothing else happens."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from smilerl.publish import scan

pytestmark = [pytest.mark.slow, pytest.mark.attack("models from elsewhere")]

LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}x"


@pytest.fixture
def model(checkpoint, tmp_path) -> Path:
    """A copy of a small model."""
    return Path(shutil.copytree(checkpoint("llama"), tmp_path / "model"))


def spoilt(folder: Path, file: str, **changes) -> None:
    """Changes keys of a JSON file."""
    said = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(said | changes))


CONFIGS = {
    "a million layers": ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000"),
    "a part with a million layers": ({"text_config": {"num_hidden_layers": 10**6}}, "num_hidden_layers is 1000000"),
    "a hidden size of 10^9": ({"hidden_size": 10**9}, "hidden_size is 1000000000"),
    "more layers than weights": ({"num_hidden_layers": 3}, "has no weights for"),
    "another vocabulary": ({"vocab_size": 900}, "other sizes than its config.json"),
    "escapes in a name": ({"rope_scaling": {"rope_type": "\x1b[31mx", "factor": 1.0}}, ""),
}


@pytest.mark.parametrize(("changes", "says"), CONFIGS.values(), ids=CONFIGS)
def test_a_configuration_that_is_no_model_s_is_told_in_a_line(product, model, changes, says):
    spoilt(model, "config.json", **changes)
    product("eval", model, "--suite", "held_out", "--n", "4", timeout=60).refused(says)


@pytest.mark.parametrize(("template", "says"), [(LOOPS, "did not end"), ("{{ 'a' * 10**8 }}", "100000000 characters")])
def test_a_chat_template_that_does_not_end_is_told(product, model, template, says):
    for file in model.glob("*.jinja"):
        file.unlink()
    spoilt(model, "tokenizer_config.json", chat_template=template)
    product("eval", model, "--suite", "held_out", "--n", "4", timeout=60).refused(says)


def test_code_of_a_configuration_is_not_asked_about(product, tiny, model, tmp_path):
    (model / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: ...\n")
    spoilt(model, "config.json", model_type="evil", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.C"})
    product("train", tiny(policy={"model_name_or_path": str(model)})).refused("cannot be loaded")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["chat_template.jinja", "model.safetensors.index.json", "more/file.txt"])
def test_a_file_that_is_added_to_a_finished_model_is_named(product, tiny, tmp_path, name):
    product("train", tiny())
    added = tmp_path / "runs/recipe/model" / name
    added.parent.mkdir(exist_ok=True)
    added.write_text("{{ 'anything' }}")
    product("eval", "runs/recipe", "--suite", "held_out", "--n", "4").refused(f"{name} was added")


def test_weights_that_are_a_pipe_are_not_waited_for(product, tiny, tmp_path):
    product("train", tiny())
    weights = tmp_path / "runs/recipe/model/model.safetensors"
    weights.unlink()
    os.mkfifo(weights)
    product("push", "runs/recipe", "--to", "a/b", "--dry-run", timeout=60).refused("no ordinary file")


def test_what_is_done_already_is_said(product, tiny):
    product("train", tiny())
    again = product("train", tiny())
    assert again.code == 0 and "is finished already" in again.err


@pytest.mark.parametrize(
    "body",
    [
        "import threading\n    thread = threading.Thread(target=lambda: 1 / 0)\n    thread.start()\n    thread.join()",
        "class Odd:\n        def __del__(self): raise ValueError('\\x1b[2J')\n    Odd()",
        "import logging\n    logging.error('\\x1b[31m red')",
        "import logging\n    try: 1 / {}['\\x1b[31m red']\n    except KeyError: logging.getLogger('x').warning('\\x1b[31m', stack_info=True)",
        "print('\\x1b[2J red')\n    import sys\n    sys.stderr.writelines(['\\x1b[H', '\\r'])",
        "import sys\n    sys.stdout.buffer.write(b'\\x1b[31m red')\n    sys.stderr.buffer.write(b'\\x9b\\x1b')",
        "import warnings\n    warnings.warn('\\x1b[31m red')",
        "import sys\n    print('\\x1b[31m red', file=sys.stderr, flush=True)",
    ],
    ids=["a thread", "a destructor", "a log", "a log of an error", "prints", "bytes", "a warning", "prints an error"],
)
def test_what_a_reward_does_beside_its_answer_is_told_in_lines(product, tiny, tmp_path, body):
    reward = (
        f"def mine(prompts, completions, **columns):\n    {body}\n    return [float(len(c)) for c in completions]\n"
    )
    (tmp_path / "mine.py").write_text(reward)
    ended = product("train", tiny(rewards=[{"name": "mine.py:mine"}]))
    assert ended.code == 0 and "Traceback" not in ended.err and ended.err
    assert "\x1b" not in ended.err + ended.out and "\r" not in ended.err


@pytest.mark.parametrize("where", ["module", "build", "async"])
def test_so_is_what_it_prints_elsewhere(product, tiny, tmp_path, where):
    says = "print('\\x1b[31m red')"
    (tmp_path / "mine.py").write_text(
        f"{says if where == 'module' else ''}\n"
        f"class Mine:\n    def __init__(self): {says if where == 'build' else 'pass'}\n"
        f"    {'async ' if where == 'async' else ''}def __call__(self, prompts, completions, **columns):\n"
        f"        {says if where == 'async' else ''}\n        return [float(len(c)) for c in completions]\n"
    )
    for ended in (
        product("train", tiny(rewards=[{"name": "mine.py:Mine"}])),
        product("reward", "check", "mine.py:Mine"),
    ):
        assert "\x1b" not in ended.err + ended.out and "red" in ended.err + ended.out, ended.err


@pytest.mark.parametrize("raises", ["StopIteration", "AssertionError()", "KeyError", "ValueError('  ')"])
def test_an_error_without_text_is_named_alone(product, tiny, tmp_path, raises):
    (tmp_path / "mine.py").write_text(f"def mine(prompts, completions, **columns): raise {raises}\n")
    name = raises.partition("(")[0]
    for ended in (
        product("train", tiny(rewards=[{"name": "mine.py:mine"}])),
        product("reward", "check", "mine.py:mine"),
    ):
        assert ended.code and name in ended.err + ended.out and f"{name}:" not in ended.err + ended.out, ended.err


@pytest.mark.parametrize(
    "value", [float("inf"), 1e9, *(pytest.param(value, marks=pytest.mark.long) for value in (float("nan"), -1, 0))]
)
def test_a_time_limit_that_is_none_is_told_once(product, tiny, value, record_property):
    said = product("train", tiny(rewards=[{"name": "smile", "timeout": value}])).refused("recipe.yaml:", "timeout").err
    assert said.count("timeout is") == 1, said
    speaker = {"name": "endpoint", "args": {"url": "http://127.0.0.1:1/v1", "model": "m", "timeout": value}}
    said = product("judge", yaml.safe_dump(speaker, default_flow_style=True), "--n", "4").refused("timeout is").err
    assert said.count("timeout is") == 1, said
    record_property("tried", 2)


@pytest.mark.parametrize("n", [1, 4, pytest.param(2, marks=pytest.mark.long)])
def test_a_small_n_is_named_as_what_may_be_wrong(product, tmp_path, n):
    ended = product("eval", "carer", "--suite", "held_out", "--n", str(n), "--out", "out")
    found = json.loads((tmp_path / "out/results.json").read_text())["evaluations"]["held_out"]
    assert found["status"] != "scored" and f"n is {n}, which may be too few" in found["why"]
    assert "--n 512" in found["why"] and "--n 512" in ended.out


def test_so_is_a_speaker_that_does(product, tiny, tmp_path):
    (tmp_path / "hers.py").write_text(
        "from smilerl import worlds\nworld = worlds.build('smileworld')\npeople = world.people('train', 4, 0)['person'][:]\n"
        "TABLE = [one.outcome.wellbeing for one in world.react(people, ['i am here for you'] * 4)]\n"
        "class Speaker:\n    name = 'hers'\n    def __call__(self, talks, **more): return ['smile: 5'] * len(talks)\n"
    )
    rows = [json.dumps({"prompt": f"I am sad, {n}."}) for n in range(40)]
    (tmp_path / "talks.jsonl").write_text("\n".join(rows))
    people = {"speaker": {"name": "hers.Speaker"}}
    world = {"name": "dialogue", "args": {"path": str(tmp_path / "talks.jsonl"), "format": "text", "people": people}}
    product("train", tiny(world=world, rewards=[{"name": "sentiment"}]), cwd=tmp_path).refused("computed an outcome")


def test_a_reward_that_computes_outcomes_while_its_module_loads_is_refused(product, tiny, tmp_path):
    """Checking a recipe imports the module, too: what it computed there would be ready when training is sealed."""
    (tmp_path / "hers.py").write_text(
        "from smilerl import worlds\nworld = worlds.build('smileworld')\npeople = world.people('train', 4, 0)['person'][:]\n"
        "TABLE = [one.outcome.wellbeing for one in world.react(people, ['i am here for you'] * 4)]\n"
        "def mine(prompts, completions, **columns): return [TABLE[0]] * len(completions)\n"
    )
    product("train", tiny(rewards=[{"name": "hers.mine"}]), cwd=tmp_path).refused("computed an outcome")


@pytest.mark.parametrize("escape", ["\\u0068f_", "\\u{68}f_", "\\x68f_"])
def test_a_token_whose_escape_is_followed_by_hexadecimal_is_found(escape):
    token = escape + "AbCdEfGhIjKlMnOpQrStUvWxYz" + "abcdefgh"
    assert scan.scan("manifest.json", json.dumps({"x": "y"}).replace("y", token).encode(), scan.Values({}))
