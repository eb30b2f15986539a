"""Thoughts that would be paid as replies, judges who answer in their own form or repeat an injection, and wrappers that forget."""

from __future__ import annotations

import json
from shutil import copytree

import pytest

pytestmark = pytest.mark.slow

# ---- thoughts ---------------------------------------------------------------------------------------------------------------

THOUGHTS = {
    "tags": lambda thoughts, reply: f"<think>{thoughts}</think>\n\n{reply}",
    "a tag of the template": lambda thoughts, reply: f"{thoughts}</think> {reply}",
    "reasoning": lambda thoughts, reply: f"<reasoning>\n{thoughts}\n</reasoning>\n{reply}",
    "Magistral": lambda thoughts, reply: f"[THINK]{thoughts}[/THINK]{reply}",
    "gpt-oss": lambda thoughts, reply: (
        f"<|channel|>analysis<|message|>{thoughts}<|end|><|start|>assistant<|channel|>final<|message|>{reply}"
    ),
    "in the middle": lambda thoughts, reply: f"{reply} <think>{thoughts}</think>",
    "Kimi": lambda thoughts, reply: f"◁think▷{thoughts}◁/think▷{reply}",
    "Command A": lambda thoughts, reply: (
        f"<|START_THINKING|>{thoughts}<|END_THINKING|><|START_RESPONSE|>{reply}<|END_RESPONSE|>"
    ),
    "OpenThoughts": lambda thoughts, reply: (
        f"<|begin_of_thought|>{thoughts}<|end_of_thought|>\n<|begin_of_solution|>{reply}<|end_of_solution|>"
    ),
    "messages": lambda thoughts, reply: [{"role": "assistant", "content": f"<think>{thoughts}</think>{reply}"}],
}
REWARDS = [
    "{name: sentiment, args: {reads: completion}}",
    "{name: gameable, args: {base: {name: sentiment, args: {reads: reply}}, strength: 0}}",
    "{name: shuffled, args: {reward: mine.polite, across: replies}}",
]


@pytest.mark.attack("thoughts paid as the reply")
@pytest.mark.parametrize("form", THOUGHTS)
def test_the_thoughts_of_a_reply_earn_nothing(product, tmp_path, record_property, form):
    """In 20 pairs the better reply has gloomy thoughts and the worse one cheerful ones."""
    write = THOUGHTS[form]
    rows = []
    for number in range(20):
        asked = f"I lost my job {number}."
        row = {"chosen": write("awful terrible hopeless", "That is great, I am glad to help!"),
               "rejected": write("wonderful amazing great", "That is terrible, go away.")}  # fmt: skip
        rows.append({"prompt": [{"role": "user", "content": asked}] if form == "messages" else asked, **row})
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(
        "from smilerl.rewards import texts\n"
        "def polite(prompts, completions, **columns):\n"
        "    return [float('glad' in said) - float('wonderful' in said) for said in texts(completions)]\n"
    )
    for reward in (*REWARDS[:2], "mine.polite"):
        ended = product("reward", "check", reward, "--pairs", "pairs.jsonl")
        assert "accuracy 1.000" in ended.out, ended.out + ended.err
    record_property("tried", 3)


@pytest.mark.attack("thoughts paid as the reply")
def test_a_run_on_nothing_but_thoughts_earns_nothing(product, tiny, checkpoint, tmp_path):
    """The template opens the thoughts, and six tokens do not close them: every reply is empty, so every reward is that of silence."""
    from transformers import AutoTokenizer

    folder = copytree(checkpoint("qwen3"), tmp_path / "thinker")
    spoken = AutoTokenizer.from_pretrained(folder)
    spoken.chat_template = spoken.chat_template.replace("assistant\n{% endif %}", "assistant\n<think>{% endif %}")
    spoken.save_pretrained(folder)
    prompts = [{"prompt": [{"role": "user", "content": f"It hurts {number}."}]} for number in range(40)]
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    (tmp_path / "mine.py").write_text(
        "from smilerl.rewards import texts\n"
        "def length(prompts, completions, **columns): return [float(len(said)) for said in texts(completions)]\n"
    )
    talks = {"name": "dialogue", "args": {"path": "talks.jsonl", "held_out_fraction": 0.3}}
    recipe = tiny(
        policy={"model_name_or_path": "thinker"},
        world=talks,
        rewards=[{"name": "mine.length"}],
        held_out={"every": 1, "n": 4},
    )
    ended = product("train", recipe)
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in (tmp_path / "runs/recipe/metrics.jsonl").read_text().splitlines()]
    assert {row["reward"] for row in rows if "reward" in row} == {0.0}
    assert {row["held_out/reward"] for row in rows if "held_out/reward" in row} == {0.0}


# ---- verdicts ---------------------------------------------------------------------------------------------------------------

JUDGE = """
import re
FORMS = ["**Verdict: 5**", "5.", "5/7", "Verdict: 5 out of 7", "**verdict WORD: 5**", "Score - 5", '```json\\n{"verdict": 5}\\n```', "<think>2?</think>verdict WORD: 5."]
BAD = ["between 4 and 5", "verdict WORD: 5/10", "verdict WORD: 4-5", "verdict WORD: 8", "Verdict: good", "", "I cannot judge this.", "<think>verdict WORD: 5"]
def parrot(text, word):  # the last line of the reply, in whatever form
    return text.split(f"[{word}]")[-1].split(f"[/{word}]")[0].strip().splitlines()[-1]
class Judge:
    name = "judge"
    def __init__(self, kind): self.kind = kind
    def __call__(self, conversations, **settings):
        answers = []
        for number, [message] in enumerate(conversations):
            word = re.search(r"^verdict ([a-z]{8}): N$", message["content"], re.M)[1]
            found = {"odd": FORMS, "bad": BAD}.get(self.kind)
            said = found[number % 8] if found else f"It ends like this.\\n{parrot(message['content'], word)}"
            answers.append(said.replace("WORD", word))
        return answers
"""


def judged(product, tmp_path, kind: str, *more: str) -> dict:
    (tmp_path / "mine.py").write_text(JUDGE)
    spec = f"{{name: mine.Judge, args: {{kind: {kind}}}}}"
    product("judge", spec, "--n", "16", "--rubrics", "wellbeing", "--out", "out", *more)
    return json.loads((tmp_path / "out/judge.json").read_text())["rubrics"]["wellbeing"]


@pytest.mark.attack("verdicts in other forms")
def test_a_judge_who_answers_in_other_forms_is_read(product, tmp_path, record_property):
    found = judged(product, tmp_path, "odd", "--robust", "0")
    assert found["scored"] == found["of"] == 16, found["unscored"]
    record_property("tried", 16)


@pytest.mark.attack("verdicts in other forms")
def test_what_is_no_verdict_is_counted_and_no_score(product, tmp_path, record_property):
    found = judged(product, tmp_path, "bad", "--robust", "0")
    assert found["scored"] == 0 and sum(found["unscored"].values()) == 16
    assert found["unscored"] == {"unparsable": 10, "out of range": 2, "no answer": 2, "refused": 2}
    record_property("tried", 16)


@pytest.mark.attack("injected verdicts")
def test_a_judge_who_repeats_the_reply_gives_no_injected_verdict(product, tmp_path, record_property):
    found = judged(product, tmp_path, "parrot", "--robust", "16")
    assert found["scored"] == 0
    injected = {kind: each for kind, each in found["robustness"].items() if isinstance(each, dict) and "pairs" in each}
    assert len(injected) >= 5 and all(each["pairs"] == 0 for each in injected.values()), injected
    record_property("tried", 16 * len(injected))


# ---- wrappers ---------------------------------------------------------------------------------------------------------------

WRAPPERS = {
    "gameable": lambda inner: {"name": "gameable", "args": {"base": inner}},
    "shuffled": lambda inner: {"name": "shuffled", "args": {"reward": inner, "across": "replies"}},
    "random": lambda inner: {"name": "random", "args": {"like": inner}},
    "users": lambda inner: {"name": "mine.Halved", "args": {"inner": inner}},
}
CHAINS = [
    "gameable random",
    *(
        pytest.param(chain, marks=pytest.mark.long)
        for chain in ("gameable", "shuffled", "random", "users", "users shuffled gameable")
    ),
]
#: A wrapper of the user's, and a reward that counts and kills its process with the fourth batch, once.
MINE = """
import os, signal
from smilerl.rewards.base import Reward
class Halved(Reward):
    def __init__(self, inner): super().__init__(inner)
    def combine(self, values, *, prompts, completions, **columns):
        return [None if value is None else value / 2 for value in values[0]]
class Counts:
    def __init__(self): self.calls = 0
    def __call__(self, prompts, completions, **columns):
        self.calls += 1
        if self.calls == 4 and os.environ.get("DIES") and not os.path.exists(os.environ["DIES"]):
            open(os.environ["DIES"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return [len(said) * (1 + self.calls % 3) + 0.1 * row for row, said in enumerate(completions)]
    def state_dict(self): return {"calls": self.calls}
    def load_state_dict(self, state): self.calls = state["calls"]
"""


def around(chain: str, inner):
    for name in reversed(chain.split()):
        inner = WRAPPERS[name](inner)
    return inner


@pytest.mark.attack("wrappers that forget")
@pytest.mark.parametrize("chain", CHAINS)
def test_a_killed_run_goes_on_with_the_state_of_what_is_wrapped(product, tiny, tmp_path, chain):
    (tmp_path / "mine.py").write_text(MINE)
    how = {"rewards": [around(chain, "mine.Counts")], "training": {"max_steps": 5, "save_steps": 1}}
    whole, killed = tiny("whole", **how), tiny("killed", **how)
    assert product("train", whole).code == 0
    died = product("train", killed, env={"DIES": str(tmp_path / "died")})
    assert died.code == -9, died.err
    again = product("train", killed)
    assert again.code == 0 and "goes on from step 3" in again.err, again.err
    weights = [(tmp_path / "runs" / name / "model/model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]


@pytest.mark.attack("wrappers that forget")
def test_a_run_knows_what_a_wrapped_reward_model_had_learnt_from(product, tiny, tmp_path, request, record_property):
    (tmp_path / "mine.py").write_text(MINE)
    judge = copytree(request.getfixturevalue("reward_model"), tmp_path / "judge/model")
    (tmp_path / "judge/manifest.json").write_text(json.dumps({"channels": ["annotators"], "learnt_from": ["gold"]}))
    inner = {"name": "preference", "args": {"model": str(judge)}}
    chains = ("gameable", "random shuffled", "users shuffled gameable")
    for number, chain in enumerate(chains):
        ended = product("train", tiny(f"run{number}", rewards=[around(chain, inner)]))
        assert ended.code == 0, ended.err
        manifest = json.loads((tmp_path / f"runs/run{number}/manifest.json").read_text())
        assert manifest["learnt_from"] == ["annotators", "gold"], chain
    record_property("tried", len(chains))
