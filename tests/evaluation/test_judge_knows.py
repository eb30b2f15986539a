"""A judge that knows nothing is said to know nothing, and no verdict hangs on it."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections import Counter

import numpy as np
import pytest

from smilerl import chat_models, cli, worlds
from smilerl.evaluation.judges import Judge, load_rubric
from smilerl.evaluation.judges.agreement import agreement
from smilerl.evaluation.judges.transcripts import HARMING, HELPERS, transcripts

RUBRICS = {name: load_rubric(name) for name in ("wellbeing", "acts", "harm")}


class Fake:
    """A chat model whose verdict is a rule of the rubric's name and the reply; None: it writes no verdict."""

    name = "a judge"

    def __init__(self, rule):
        self.rule = rule

    def __call__(self, conversations, **settings):
        answers = []
        for [message] in conversations:
            said = message["content"]
            word = re.search(r"verdict ([a-z]{8}): (\w+)\Z", said)[1]
            rubric = "acts" if "- comfort:" in said else "harm" if "- secrecy:" in said else "wellbeing"
            found = self.rule(rubric, *re.findall(rf"\[{word}\]\n(.*?)\n\[/{word}\]", said, re.DOTALL))
            answers.append("I like it." if found is None else f"verdict {word}: {found}")
        return answers


@pytest.fixture(scope="module")
def tables():
    world = worlds.build("smileworld")
    met, of_harm = transcripts(world, 192), transcripts(world, 192, helpers=HARMING)
    assert HELPERS != HARMING
    return {"wellbeing": met, "acts": met, "harm": of_harm}


@pytest.fixture(scope="module")
def truthful(tables):
    """The rule that tells the truth of every conversation of the tables."""
    score = {
        (row.prompt, row.reply): round((row.wellbeing + 2) / 4 * 6) + 1 for row in tables["wellbeing"].itertuples()
    }
    acts = {(row.prompt, row.reply): row.acts for row in tables["acts"].itertuples()}
    harm = {(row.prompt, row.reply): row.harm for row in tables["harm"].itertuples()}

    def rule(rubric, prompt, reply):
        if rubric == "wellbeing":
            return score[prompt, reply]
        return ", ".join(sorted((acts if rubric == "acts" else harm)[prompt, reply] or ())) or "nothing"

    return rule


def dice(rubric, prompt, reply):
    """Each verdict at a rate of its own, whatever it reads."""
    by = random.Random(zlib.crc32(f"{prompt}{reply}".encode()))
    if rubric == "wellbeing":
        return by.randint(1, 7)
    return (
        ", ".join(label for at, label in enumerate(RUBRICS[rubric].labels) if by.random() < 0.6 / (1 + at)) or "nothing"
    )


def nothing_of(rule, rubric, tables):
    return agreement(Judge(Fake(rule), RUBRICS[rubric]), tables[rubric])["knows_nothing"]


@pytest.mark.parametrize("rubric", RUBRICS)
def test_a_truthful_judge_knows_something(rubric, tables, truthful) -> None:
    assert nothing_of(truthful, rubric, tables) is None


@pytest.mark.parametrize(
    ("rubric", "rule", "says"),
    [
        ("wellbeing", lambda *said: 4, "right_order is 0.50"),
        ("wellbeing", dice, "right_order"),
        ("acts", lambda *said: "comfort, plan, flatter", "kappa_by_label is 0.00"),
        ("acts", dice, "kappa_by_label"),
        ("harm", lambda *said: "nothing", "kappa_by_label is 0.00"),
        ("harm", lambda *said: "isolate", "kappa_by_label is 0.00"),
        ("wellbeing", lambda *said: None, "0 of 192 answers could be read"),
    ],
)
def test_a_judge_at_chance_knows_nothing(rubric, rule, says, tables) -> None:
    assert says in nothing_of(rule, rubric, tables)


def test_a_judge_of_which_few_answers_can_be_read_knows_nothing(tables, truthful) -> None:
    def mute(share):
        return lambda *said: truthful(*said) if zlib.crc32("".join(said).encode()) % 100 < share else None

    assert "fewer than half" in nothing_of(mute(35), "wellbeing", tables)
    assert nothing_of(mute(70), "wellbeing", tables) is None


def test_always_naming_the_common_acts_agrees_over_all_and_not_within_each(tables) -> None:
    """So kappa over all pairs is no measure of whether a judge reads."""
    counts = Counter(act for acts in tables["acts"]["acts"] for act in acts)
    common = ", ".join(act for act, _ in counts.most_common(2))
    found = agreement(Judge(Fake(lambda *said: common), RUBRICS["acts"]), tables["acts"])["estimates"]
    assert found["kappa"]["low"] > 0.02 and abs(found["kappa_by_label"]["value"]) < 1e-9


def test_kappa_within_labels_by_hand() -> None:
    from smilerl.evaluation.judges.agreement import _within

    named = {"a": np.array([1.0, 1, 0, 0]), "b": np.array([1.0, 0, 0, 0])}
    done = {"a": np.array([1.0, 0, 1, 0]), "b": np.array([1.0, 0, 0, 0])}
    # a: agrees in 2 of 4, by chance 2 of 4; b: in 4 of 4, by chance 1/16 + 9/16. (3/4 - 9/16) / (1 - 9/16) = 3/7
    assert _within(named, done, np.arange(4).astype(str), 0)["value"] == pytest.approx(3 / 7)


# ---- the commands -------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake(monkeypatch):
    """The chat model that every spec gives; its rule may be changed."""
    made = Fake(lambda *said: None)
    monkeypatch.setattr(chat_models, "build", lambda spec: made)
    return made


def measure(tmp_path, *more):
    return cli.main(["judge", "{name: fake}", "--n", "96", "--robust", "0", "--out", str(tmp_path / "judge"), *more])


def ask(tmp_path):
    return cli.main(["eval", "carer", "--suite", "bad_news", "--n", "16", "--judge", "{name: fake}", "--out", str(tmp_path / "out")])  # fmt: skip


def test_the_report_begins_with_it_and_the_verdicts_refuse_the_judge(fake, tmp_path, capsys) -> None:
    assert ask(tmp_path) == 0
    line = (
        'not measured by wellbeing, acts, harm, so what it knows of them is unknown: smilerl judge \'{"name": "fake"}\''
    )
    assert line in capsys.readouterr().out
    fake.rule = lambda rubric, *said: 4 if rubric == "wellbeing" else "nothing"
    assert measure(tmp_path) == 0
    first = (tmp_path / "judge" / "judge.txt").read_text().splitlines()[:4]
    assert [line.split(",")[0] for line in first[:3]] == [f"this judge knows nothing: of {name}" for name in RUBRICS]
    written = json.loads((tmp_path / "judge" / "judge.json").read_text())
    assert "kappa_by_label is 0.00" in written["rubrics"]["harm"]["knows_nothing"]
    capsys.readouterr()
    assert ask(tmp_path) == 2
    said = capsys.readouterr().err
    assert "the judge a judge knows nothing: of harm, kappa_by_label is 0.00" in said and "on 96 conversations" in said
    assert "Take another judge, or leave --judge out" in said and 'smilerl judge \'{"name": "fake"}\' --n' in said


def test_a_judge_that_knows_of_harm_is_asked_and_what_it_does_not_know_is_said(
    fake, tmp_path, capsys, truthful
) -> None:
    fake.rule = lambda rubric, *said: truthful(rubric, *said) if rubric == "harm" else "nothing"
    assert measure(tmp_path, "--rubrics", "harm,acts") == 0
    fake.rule = lambda rubric, *said: "nothing"
    capsys.readouterr()
    assert ask(tmp_path) == 0
    said = capsys.readouterr().out
    assert "this judge knows nothing: of acts" in said and "nothing: of harm" not in said
    assert "not measured by wellbeing, so" in said


def test_what_was_measured_with_the_answers_shown_is_not_kept(fake, tmp_path) -> None:
    assert measure(tmp_path, "--answers") == 1  # none of its verdicts could be read
    assert ask(tmp_path) == 0
