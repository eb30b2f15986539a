"""lm-evaluation-harness gives our numbers: same items, same people, same scores."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from smilerl import worlds
from smilerl.evaluation import clones, written
from smilerl.evaluation.agents import language_model
from smilerl.evaluation.formula import BASE, MATCHED
from smilerl.evaluation.kinds import forced_choice, items
from smilerl.evaluation.question import Suite, load_question
from smilerl.evaluation.runner import evaluate
from smilerl.evaluation.session import Session
from smilerl.io import paths
from smilerl.models import sampling
from smilerl.models.policy import load_policy
from smilerl.runs.cache import Cache

lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not here: pip install -e '.[harness]'")
from lm_eval.tasks import TaskManager  # noqa: E402 - skips first

CHAT = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
FOLDER = paths.share() / "evals" / "lm_eval"
GREEDY = "do_sample=False,temperature=0"
REAL = Path(os.environ.get("SMILERL_REAL_DATA") or "/nonexistent") / "anthropic-evals"
STATEMENTS = sorted(REAL.glob("*.jsonl")) or [Path("none.jsonl")]


@pytest.fixture(scope="module")
def utils():
    spec = importlib.util.spec_from_file_location("smilerl_lm_eval_utils", FOLDER / "utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked(model, task, metadata=None, **settings):
    """What lm-eval makes of one task: its metrics, and its samples."""
    manager = TaskManager(include_path=str(FOLDER), include_defaults=False, metadata=metadata or {})
    found = lm_eval.simple_evaluate("hf", {"pretrained": model, "dtype": "float32"}, [task], device="cpu", batch_size=16,
                                    task_manager=manager, **settings)  # fmt: skip
    name = task if isinstance(task, str) else task["task"]
    metrics = {
        key.removesuffix(",none"): value for key, value in found["results"][name].items() if key.endswith(",none")
    }
    return metrics, found["samples"][name]


def agree(metrics, estimates):
    """Whether every estimate of ours is a metric of theirs, with the same value."""
    for name, one in estimates.items():
        value = one["value"] if isinstance(one, dict) else one.value
        assert metrics[name] == pytest.approx(np.nan if value is None else value, abs=1e-3, nan_ok=True), name


def test_items_have_our_log_probabilities_and_estimates(utils, reader, few):
    metrics, samples = asked(reader, {"task": "few", "class": utils.Items, "question": str(few)})
    policy = load_policy(reader)
    by_id = {item.id: item for item in written.load_items(load_question(few).spec)}
    for sample in samples:
        ours = items.of_language_model(policy)([by_id[sample["doc"]["id"]]])[0]
        theirs = [float(resps[0][0]) for resps in sample["resps"]]
        np.testing.assert_allclose(theirs, np.concatenate(list(ours.values())), atol=1e-3)
    found = evaluate(policy, worlds.build("smileworld"), few, progress=False)["evaluations"]["few"]
    assert set(found["estimates"]) == {"drop", "odds_drop", "prefers_care_firm"} and "over_base" not in metrics
    agree(metrics, found["estimates"])
    assert metrics["scored"] == 1 and metrics["odds_drop_stderr"] > 0
    assert abs(metrics["odds_drop"]) > 1e-2  # else there would be nothing to agree about


def test_a_misspelt_setting_is_named_and_a_model_s_own_is_not(utils, few):
    config = {"task": "few", "question": str(few)}
    with pytest.raises(ValueError, match="Did you mean 'seed'"):
        utils.Items({**config, "metadata": {"sead": 1}})
    utils.Items({**config, "metadata": {"seed": 1, "pretrained": "org/model", "dtype": "float32"}})


def test_a_chat_template_gives_our_odds(utils, chatter, few):
    """lm-eval counts the line break that ends the template to every option, which the odds do not see."""
    task = {"task": "few", "class": utils.Items, "question": str(few)}
    metrics, samples = asked(chatter, task, apply_chat_template=True)
    found = evaluate(load_policy(chatter), worlds.build("smileworld"), few, progress=False)["evaluations"]["few"]
    agree(metrics, found["estimates"])
    assert samples[0]["arguments"][0][0].startswith("<system>You are")


def test_a_template_that_loses_the_cue_is_named(utils, save, english, few):
    deaf = save(english, "{{ messages[-1]['content'] }}")
    with pytest.raises(ValueError, match="leaves out what belongs to the question"):
        asked(deaf, {"task": "few", "class": utils.Items, "question": str(few)}, apply_chat_template=True)


def test_a_template_that_refuses_system_messages_is_named(utils, save, english, few):
    """lm-eval takes the system message out and tries again, which would be another question."""
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT
    with pytest.raises(ValueError, match="leaves out what belongs to the question: You are"):
        asked(
            save(english, strict), {"task": "few", "class": utils.Items, "question": str(few)}, apply_chat_template=True
        )


@pytest.fixture
def chat_server():
    """A chat endpoint that says `You are kind .` to everybody, and keeps what it was sent."""
    got: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            said = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "You are kind ."}}]}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/chat/completions", got
    server.shutdown()


def test_a_chat_endpoint_is_asked_the_prompt_as_a_message(chat_server):
    """Its messages travel as JSON, in which the prompt was looked for in vain."""
    url, got = chat_server
    manager = TaskManager(include_path=str(FOLDER), include_defaults=False, metadata={"n": 4})
    found = lm_eval.simple_evaluate("local-chat-completions", {"model": "any", "base_url": url}, ["smilerl_world_stoic"],
                                    task_manager=manager, apply_chat_template=True)  # fmt: skip
    samples = found["samples"]["smilerl_world_stoic"]
    asked_for = sorted(sample["doc"]["prompt"] for sample in samples)
    assert sorted(one["messages"][0]["content"] for one in got) == asked_for
    assert {len(one["messages"]) for one in got} == {1} and {one["messages"][0]["role"] for one in got} == {"user"}
    assert {sample["resps"][0][0] for sample in samples} == {"You are kind ."}


@pytest.mark.parametrize("form", ["json", "list", "text"])
def test_every_form_of_a_prompt_is_compared_with_the_question(utils, few, form):
    """Messages with quotes, line breaks and other alphabets, as JSON, as a list, and as a template's text."""
    from lm_eval.models.api_models import JsonChatStr

    task = utils.Items({"task": "few", "question": str(few)})
    doc = {"system": 'You say "no".\nÄrger \u5fae\u7b11', "user": "What\\now?\tWell?", "prompt": "..."}
    write = {"json": lambda said: JsonChatStr(json.dumps(said, ensure_ascii=False)), "list": list,
             "text": lambda said: "".join(f"<{one['role']}>{one['content']}" for one in said)}[form]  # fmt: skip

    def whole(messages, add_generation_prompt):
        return write(messages)

    def deaf(messages, add_generation_prompt):
        return write(messages[1:])

    task.fewshot_context(doc, 0, apply_chat_template=True, chat_template=whole)
    with pytest.raises(ValueError, match="leaves out what belongs to the question: You say"):
        task.fewshot_context(doc, 0, apply_chat_template=True, chat_template=deaf)


def test_what_was_not_asked_is_unscored(utils, reader, few):
    task = utils.Items({"task": "few", "question": str(few)})
    said = [
        {"id": item, "care_odds": 1.0, "prefers_care": 1.0, "exploit_odds": np.nan} for item in list(task.items)[:4]
    ]
    found = task.found(said, "drop")
    assert (found.value, found.scored, found.of) == (0, 4, 12)
    assert np.isnan(task.aggregation()["drop"]([{"id": "nobody", **items.UNSCORED}]))


@pytest.mark.parametrize("name", ["bad_news", pytest.param("held_out", marks=pytest.mark.slow)])
def test_greedy_replies_and_their_scores_are_ours(name, helper):
    metrics, samples = asked(helper, f"smilerl_world_{name}", {"n": 24, "seed": 3}, gen_kwargs=GREEDY)
    policy = load_policy(helper)
    prompts = [sample["doc"]["prompt"] for sample in samples]
    ours = sampling.sample(policy, prompts, max_new_tokens=32, temperature=0, seed=0)
    assert [sample["resps"][0][0] for sample in samples] == ours
    suite = Suite(name, (load_question(name),), generation={"temperature": 0.0})
    found = evaluate(policy, worlds.build("smileworld"), suite, seed=3, n=24, progress=False)["evaluations"][name]
    assert found["status"] == "scored", found["why"]
    agree(metrics, found["estimates"])


def test_a_part_of_the_people_is_refused_before_anything_is_sampled(helper):
    with pytest.raises(ValueError, match="--metadata"):
        asked(helper, "smilerl_world_tamper", {"n": 8}, limit=4)


def test_failed_controls_withhold_the_numbers(utils, monkeypatch):
    monkeypatch.setattr(utils, "evaluate", lambda *_, **__: {"evaluations": {"tamper": {
        "status": "controls failed", "why": "carer should be pass, was fail", "estimates": {}}}})  # fmt: skip
    task = utils.Dialogue({"task": "tamper", "question": "tamper", "metadata": {"n": 2}})
    answers = [[row, ""] for row in range(len(task.people))]
    assert np.isnan(task.aggregation()["rate_open"](answers))


@pytest.mark.slow
def test_sampled_replies_score_as_ours_do(helper, tmp_path):
    """A clone of the flatterer, whose replies vary and are understood."""
    world = worlds.build("smileworld")
    base = language_model(load_policy(helper), {})
    session = Session(world, base, None, {}, 0, Cache(None))
    clone = clones.clone(session.base, base.policy, "flatterer", world, steps=60)
    clone.model.save_pretrained(tmp_path / "clone")
    clone.tokenizer.save_pretrained(tmp_path / "clone")
    metrics, _ = asked(str(tmp_path / "clone"), "smilerl_world_vulnerable", {"n": 64})
    ours = evaluate(clone, world, "vulnerable", n=64, progress=False)["evaluations"]["vulnerable"]["estimates"]
    assert ours["game_firm"]["value"] > 0.05
    for name, one in ours.items():
        theirs, error = metrics[name], metrics[f"{name}_stderr"]
        assert one["low"] - 2 * error <= theirs <= one["high"] + 2 * error, name


@pytest.mark.parametrize("file", sorted(FOLDER.glob("smilerl_*.yaml")), ids=lambda file: file.stem)
def test_metrics_are_named_as_the_estimates(file, utils):
    import yaml
    from lm_eval.tasks._yaml_loader import load_yaml

    written = load_yaml(file, resolve_func=False)
    if "group" in written:
        there = {path.stem for path in FOLDER.glob("*.yaml")}
        assert set(written["task"]) <= there
        return
    assert written["task"] == file.stem
    if file.stem == "smilerl_persona":
        return
    manager = TaskManager(include_path=str(FOLDER), include_defaults=False, metadata={"n": 2})
    task = manager.load([file.stem])["tasks"][file.stem]
    question = load_question(written["question"])
    named = {name for name in task.aggregation() if name != "scored" and not name.endswith("_stderr")}
    assert named == {
        name
        for name, formula in question.estimates.items()
        if not (formula.needs(BASE) or formula.needs(MATCHED))
        and not {"own", "coherence"} & {term.kind.needs for term in formula.terms}
    }
    assert yaml.safe_load(json.dumps(task.dump_config(), default=str))  # what lm-eval writes beside its results


def match(model, file, **settings):
    metrics, samples = asked(model, "smilerl_persona", {"file": str(file)}, **settings)
    ours = forced_choice.match_rate(load_policy(model), forced_choice.load_items(file))
    return metrics, samples, ours


def test_persona_statements(reader, tmp_path):
    rows = [
        (f'Is the following something you would say?\n"I am {n}"', [" Yes", " No"][:: 1 if n % 2 else -1])
        for n in range(12)
    ]
    rows.append(("A tie?", [" Yes", " Yes"]))
    file = tmp_path / "statements.jsonl"
    keys = ("answer_matching_behavior", "answer_not_matching_behavior")
    file.write_text(
        "\n".join(json.dumps({"question": q} | dict(zip(keys, answers, strict=True))) for q, answers in rows)
    )
    metrics, _, ours = match(reader, file)
    assert metrics["match_rate"] == ours["estimate"].value and 0 < metrics["match_rate"] < 1
    assert metrics["scored"] == pytest.approx(12 / 13)
    with pytest.raises(ValueError, match="names no file"):
        asked(reader, "smilerl_persona")


@pytest.mark.slow
@pytest.mark.parametrize("file", STATEMENTS, ids=lambda file: file.stem)
@pytest.mark.skipif(not STATEMENTS[0].is_file(), reason="SMILERL_REAL_DATA is not set: no persona files here")
def test_the_real_persona_files(file, reader):
    metrics, _, ours = match(reader, file)
    assert metrics["match_rate"] == ours["estimate"].value
    assert metrics["scored"] == ours["estimate"].scored / ours["estimate"].of


@pytest.mark.slow
def test_the_command_of_the_readme(reader, tmp_path):
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={reader},dtype=float32",
               "--include_path", str(FOLDER), "--tasks", "smilerl_caring", "--device", "cpu", "--limit", "8",
               "--metadata", '{"n": 2}', "--output_path", str(tmp_path / "out")]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    results = json.loads(next((tmp_path / "out").rglob("results_*.json")).read_text())["results"]
    assert len([name for name in results if name.startswith("smilerl_")]) >= 13
    assert 0 <= results["smilerl_choices"]["prefers_care,none"] <= 1
    assert {"care,none", "care_stderr,none"} <= set(results["smilerl_world_held_out"])


def test_the_tasks_beside_ours_are_there():
    theirs = Path(lm_eval.__file__).parent / "tasks" / "model_written_evals"
    index = TaskManager(include_path=[str(theirs), str(FOLDER)], include_defaults=False).task_index
    members = index["smilerl_beside"].cfg["task"]
    assert members and set(members) <= set(index)
