"""Inspect gives our numbers, and finds the tasks in an installed wheel."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import zlib
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from smilerl import worlds
from smilerl.evaluation import clones, written
from smilerl.evaluation.agents import language_model
from smilerl.evaluation.formula import POLICY
from smilerl.evaluation.kinds import items
from smilerl.evaluation.question import Suite, load_question, names
from smilerl.evaluation.runner import evaluate
from smilerl.models import sampling
from smilerl.models.policy import load_policy

inspect_ai = pytest.importorskip("inspect_ai", reason="Inspect is not here: pip install -e '.[harness]'")
from inspect_ai.model import ModelOutput, ModelUsage, get_model  # noqa: E402 - skips first

from smilerl.evaluation.adapters import inspect_tasks  # noqa: E402
from smilerl.evaluation.adapters.inspect_tasks import TASKS  # noqa: E402

CHECKOUT = Path(__file__).resolve().parent.parent.parent
DIALOGUES = ["held_out", "bad_news", "camera_off", "tamper", "vulnerable", "stoic"]


def asked(task, model, folder, **model_args):
    """The log of a task, its metrics, and the replies by sample."""
    settings = {"model_path": model, **model_args} if isinstance(model, str) else {}
    named = "hf/local" if isinstance(model, str) else model
    log = inspect_ai.eval(task, model=named, model_args=settings, log_dir=str(folder), display="none")[0]
    assert log.status == "success", log.error
    metrics = {name: one.value for name, one in log.results.scores[0].metrics.items()}
    return log, metrics, {sample.id: sample.output.completion for sample in log.samples}


def agree(metrics, estimates):
    """Whether every estimate of ours is a metric of theirs, with the same value and interval."""
    for name, one in estimates.items():
        for key, value in ((name, one["value"]), (f"{name}_low", one["low"]), (f"{name}_high", one["high"])):
            assert metrics[key] == pytest.approx(np.nan if value is None else value, nan_ok=True), key


def test_every_question_that_one_model_can_answer_alone_is_a_task():
    asks = {name: load_question(name) for name in names()}
    wanted = {name for name, question in asks.items() if question.kind in ("dialogue", "items") and not question.rivals}
    assert set(TASKS) == wanted >= {*DIALOGUES, "real_camera_off"}


def test_the_entry_point_is_registered():
    found = [one for one in entry_points(group="inspect_ai") if one.name == "smilerl"]
    assert found and found[0].load() is inspect_tasks


def test_plain_prompts_are_ours(reader):
    """A tokenizer without a chat template reads what `items` and the world would have it read."""
    tokenizer = load_policy(reader).tokenizer
    system, user = "You are {{ kind }}.", "What {% now %}?\n"
    said = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    for messages, prompt in ((said, items.TEMPLATE.format(system=system, user=user)), (said[1:], user)):
        rendered = tokenizer.apply_chat_template(messages, chat_template=inspect_tasks.PLAIN, tokenize=False)
        assert rendered == prompt


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name == "bad_news" else pytest.param(name, marks=pytest.mark.long) for name in DIALOGUES]
)
def test_greedy_replies_and_their_scores_are_ours(name, helper, tmp_path):
    log, metrics, _ = asked(TASKS[name](n=24, seed=3), helper, tmp_path, do_sample=False)
    policy = load_policy(helper)
    prompts = [sample.input for sample in log.samples]
    ours = sampling.sample(policy, prompts, max_new_tokens=32, temperature=0, seed=0)
    assert [sample.output.completion for sample in log.samples] == ours
    suite = Suite(name, (load_question(name),), generation={"temperature": 0.0})
    found = evaluate(policy, worlds.build("smileworld"), suite, seed=3, n=24, progress=False)["evaluations"][name]
    assert found["status"] == "scored", found["why"]
    agree(metrics, found["estimates"])
    assert metrics["answered"] == 1
    first = log.samples[0].scores["reaction"]
    assert -2 <= first.value["wellbeing"] <= 2 and first.answer == ours[0]


@pytest.mark.slow
def test_sampled_replies_score_as_ours_do(helper, tmp_path):
    """A clone of the flatterer, whose replies vary and are understood."""
    world = worlds.build("smileworld")
    base = language_model(load_policy(helper), {})
    clone = clones.clone(base, base.policy, "flatterer", world, steps=60)
    clone.model.save_pretrained(tmp_path / "clone")
    clone.tokenizer.save_pretrained(tmp_path / "clone")
    _, metrics, replies = asked(TASKS["vulnerable"](n=64), str(tmp_path / "clone"), tmp_path)
    assert len(set(replies.values())) > 32
    ours = evaluate(clone, world, "vulnerable", n=64, progress=False)["evaluations"]["vulnerable"]["estimates"]
    assert ours["game_firm"]["value"] > 0.05
    for name, one in ours.items():
        assert metrics[f"{name}_low"] <= one["high"] and one["low"] <= metrics[f"{name}_high"], name


@pytest.mark.slow
def test_some_of_the_people_give_no_estimates(helper, tmp_path):
    log = inspect_ai.eval(TASKS["tamper"](n=8), model="hf/local", model_args={"model_path": helper}, limit=4,
                          log_dir=str(tmp_path), display="none")[0]  # fmt: skip
    assert {name: one.value for name, one in log.results.scores[0].metrics.items()} == {"answered": 4 / 24}


def letters(text):
    """A model that often answers by letter, and otherwise does not."""
    return ["A", "(B)", "B.", "I would say A", "", "b"][zlib.crc32(text.encode()) % 6]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TASKS if load_question(name).kind == "items"])
def test_letters_score_as_our_own_and_the_rest_is_unscored(name, tmp_path):
    def reply(messages, *_):
        output = ModelOutput.from_content("mockllm", letters(messages[-1].text))
        output.usage = ModelUsage()  # else Inspect counts tokens with a vocabulary from the network
        return output

    task = TASKS[name](n=24)
    log, metrics, replies = asked(task, get_model("mockllm/model", custom_outputs=reply), tmp_path)
    question = load_question(name)
    by_id = {item.id: item for item in written.load_items(question.spec)}
    ours = {key: items.score_letter(by_id[key], letters(items.lettered(by_id[key]).user)) for key in replies}
    by_letter = {key: one["prefers_care"] for key, one in ours.items()}
    scored = [value for value in by_letter.values() if np.isfinite(value)]
    score = log.results.scores[0]
    assert (score.scored_samples, score.unscored_samples) == (len(scored), len(replies) - len(scored))
    assert 0 < len(scored) < len(replies)
    assert {s.scores["letter"].reason for s in log.samples if np.isnan(s.scores["letter"].value)} == {
        "invalid_response_format"
    }
    found = inspect_tasks.lettered(question, by_letter, 0)
    assert found and all({term.metric for term in question.estimates[one].terms} == {"prefers_care"} for one in found)
    agree(metrics, {key: one.to_dict() for key, one in found.items()})
    for key, one in found.items():
        means = [np.nanmean([by_letter[i] for i in replies if by_id[i].condition == question.conditions[t.condition].items])
                 for t in question.estimates[key].terms]  # fmt: skip
        assert all(term.who == POLICY for term in question.estimates[key].terms)
        assert one.value == pytest.approx(question.estimates[key].value(means)), key


@pytest.mark.parametrize(
    ("reply", "number"),
    [("A", 0), (" (B)\n", 1), ("B.", 1), ("A)", 0), ("**B**", 1), ("`(A)`", 0), ("**A** or B", None), ("C", None), ("b", None), ("", None), ("(A", None), ("A or B", None),
     ("(A) Keep two coats", None), ("I choose A", None)],
)  # fmt: skip
def test_a_letter_is_read_strictly(reply, number):
    for item in written.load_items(load_question("real_vulnerable").spec)[:4]:
        cares = items.lettered(item).acts.index(written.CARE)
        found = items.score_letter(item, reply)["prefers_care"]
        assert np.isnan(found) if number is None else found == float(number == cares)


def test_twins_are_offered_the_same_letters_and_seeds_draw_pairs():
    samples = TASKS["real_camera_off"](n=10).dataset
    by_pair = {}
    for sample in samples:
        offered = re.findall(r"^\([AB]\) .*$", sample.input[-1].text, re.MULTILINE)
        by_pair.setdefault(sample.metadata["pair"], []).append(
            (sample.metadata["condition"], sample.target, tuple(offered))
        )
    assert len(by_pair) == 10
    for (one, *first), (other, *second) in by_pair.values():
        assert one != other and first == second and len(first[1]) == 2
    other = {sample.metadata["pair"] for sample in TASKS["real_camera_off"](n=10, seed=1).dataset}
    assert other != set(by_pair)
    cares = [sample.target for sample in TASKS["real_camera_off"]().dataset]
    assert cares.count("A") == cares.count("B")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["reader", "chatter"])
def test_a_local_model_is_asked_by_letter_as_we_would(model, request, tmp_path):
    folder = request.getfixturevalue(model)
    task = TASKS["real_camera_off"](n=4)
    log, _, replies = asked(task, folder, tmp_path)
    policy = load_policy(folder)
    by_id = {item.id: item for item in written.load_items(load_question("real_camera_off").spec)}
    lettered = {
        key: by_id[key].__class__(**{**vars(by_id[key]), "user": items.lettered(by_id[key]).user}) for key in replies
    }
    prompts = [items.prompt_of(policy, item) for item in lettered.values()]
    ours = sampling.sample(policy, prompts, max_new_tokens=inspect_tasks.LETTER_TOKENS, temperature=0, seed=0)
    assert list(replies.values()) == ours
    assert log.results.scores[0].unscored_samples == len(replies)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["helper", "chatter"])
def test_without_its_template_a_local_model_reads_our_plain_prompts(model, request, tmp_path):
    """Inspect would write `user: ...`; a question of our world is what `smilerl eval` asks, whatever the model's template."""
    folder = request.getfixturevalue(model)
    log, _, replies = asked(TASKS["tamper"](n=4), folder, tmp_path, use_chat_template=False, do_sample=False)
    policy = load_policy(folder)
    ours = sampling.sample(policy, [s.input for s in log.samples], max_new_tokens=32, temperature=0, seed=0)
    assert list(replies.values()) == ours


@pytest.mark.slow
def test_a_template_of_the_user_s_that_loses_the_cue_is_refused(reader, tmp_path):
    deaf = "{{ messages[-1]['content'] }}"
    log = inspect_ai.eval(TASKS["real_camera_off"](n=2), model="hf/local", model_args={"model_path": reader, "chat_template": deaf},
                          log_dir=str(tmp_path), display="none")[0]  # fmt: skip
    assert log.status == "error" and "leaves out what belongs to the question: You are" in log.error.message


@pytest.mark.parametrize(
    "api",
    [
        SimpleNamespace(tokenizer=SimpleNamespace(chat_template=None)),  # as nnterp
        SimpleNamespace(_use_chat_template=False),  # as vllm
        SimpleNamespace(tokenizer=SimpleNamespace(chat_template="{{ messages }}"), _use_chat_template=False),
    ],
)
def test_a_provider_that_writes_roles_in_words_is_refused(api):
    with pytest.raises(ValueError, match=r"`user: ...` before a prompt"):
        inspect_tasks._as_ours(api)
    for fine in (SimpleNamespace(), SimpleNamespace(tokenizer=SimpleNamespace(chat_template="{{ messages }}"))):
        assert inspect_tasks._as_ours(fine) is False


@pytest.mark.slow
def test_letters_do_not_make_the_next_task_greedy(helper, tmp_path):
    """One model object serves all tasks of a call."""
    tasks = [TASKS["real_camera_off"](n=2), TASKS["held_out"](n=8)]
    logs = inspect_ai.eval(
        tasks, model="hf/local", model_args={"model_path": helper}, log_dir=str(tmp_path), display="none"
    )
    replies = [sample.output.completion for sample in logs[1].samples]
    greedy = sampling.sample(
        load_policy(helper), [s.input for s in logs[1].samples], max_new_tokens=32, temperature=0, seed=0
    )
    assert all(one != other for one, other in zip(replies, greedy, strict=True))


def run(command, folder, **environment):
    found = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert found.returncode == 0, f"{' '.join(map(str, command))}\n{found.stdout[-2000:]}\n{found.stderr[-3000:]}"
    return found.stdout


def wheel_in(folder):
    """Builds the wheel; skips where neither hatchling nor an index to get it from is here."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(CHECKOUT)]
    if importlib.util.find_spec("hatchling"):
        command.insert(4, "--no-build-isolation")
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No matching distribution found for hatchling" in built.stderr:
        pytest.skip("no hatchling here, and no index to get it from: the wheel cannot be built")
    assert built.returncode == 0, built.stderr[-3000:]
    return next(folder.glob("smilerl-*.whl"))


@pytest.mark.slow
def test_a_wheel_outside_the_checkout_evaluates(helper, tmp_path):
    """In a venv of its own, which borrows the heavy packages from this one, and from another folder."""
    wheel = wheel_in(tmp_path)
    venv = tmp_path / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", venv], tmp_path)
    python = venv / "bin" / "python"
    site = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], tmp_path).strip())
    # Ours is not borrowed with them: only site folders proper read the `.pth` file by which it is installed.
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "--quiet",
            "--no-deps",
            "--ignore-installed",
            wheel,
        ],
        tmp_path,
    )
    away = tmp_path / "away"
    away.mkdir()
    environment = {"SMILERL_CACHE": str(tmp_path / "cache"), "PYTHONPATH": "", "INSPECT_DISPLAY": "none"}
    where = run([python, "-c", "import smilerl.io.paths as p; print(p.PACKAGE, p.share())"], away, **environment)
    assert where.split() == [str(site / "smilerl"), str(site / "smilerl" / "_share")]

    smilerl = [venv / "bin" / "smilerl", "eval", "carer", "--suite", "quick", "--n", "8", "--out", "results"]
    run(smilerl, away, **environment)
    found = json.loads((away / "results" / "results.json").read_text())["evaluations"]
    assert found["held_out"]["status"] == "scored" and found["choices"]["status"] == "not applicable"

    task = ["-m", "inspect_ai", "eval", "smilerl/held_out", "--model", "hf/local", "-M", f"model_path={helper}", "-T", "n=16",
            "-T", "seed=0", "--log-dir", "logs", "--log-format", "json"]  # fmt: skip
    run([python, *task], away, **environment)
    log = json.loads(next((away / "logs").glob("*.json")).read_text())
    assert log["status"] == "success" and log["results"]["scores"][0]["metrics"]["answered"]["value"] == 1
