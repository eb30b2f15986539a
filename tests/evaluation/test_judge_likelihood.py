"""Verdicts by likelihood are those that the log-probabilities name, by numbers that are known by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from smilerl import chat_models, cli
from smilerl.chat_models import ChatModelError
from smilerl.config.yaml_lines import RecipeError
from smilerl.evaluation.judges import Judge, judged, load_rubric
from smilerl.evaluation.judges.judge import Item, judges_of
from smilerl.worlds.base import EvaluationKey, OutcomeSealed, sealed

WELLBEING, HARM = load_rubric("wellbeing"), load_rubric("harm")
#: As many scores as fit into a tiny model, of which one begins another.
SHORT = replace(
    WELLBEING, question="Better?", criteria=(), anchors={9: "no", 10: "so", 100: "yes"}, data={"judges": "wellbeing"}
)


class Known:
    """A chat model of which it is known how likely each verdict is: a rule of the reply gives shares by verdict."""

    name = "known"

    def __init__(self, rule):
        self.rule, self.asked, self.eos = rule, [], set()

    def __call__(self, conversations, **settings):
        raise AssertionError("it was asked to write")

    def option_logprobs(self, conversations, options, *, eos):
        found = []
        for [message], own in zip(conversations, options, strict=True):
            said = message["content"]
            word = re.search(r"verdict ([a-z]{8}): \w+\Z", said)[1]
            reply = re.findall(rf"\[{word}\]\n(.*?)\n\[/{word}\]", said, re.DOTALL)[1]
            assert all(one.startswith(f"verdict {word}: ") for one in own)
            shares = self.rule(reply)
            self.asked.append(reply)
            # A verdict's share among others is what counts: all are unlikely.
            found.append(None if shares is None else np.log([shares[one.rpartition(": ")[2]] for one in own]) - 20)
        self.eos.add(eos)
        return found


def judge(rule, rubric=WELLBEING, **settings):
    return Judge(Known(rule), rubric, scores="by_likelihood", **settings)


def verdict(rule, rubric=WELLBEING, reply="x"):
    return judge(rule, rubric).verdicts([Item("p", reply)])[0]


def shares(rest, among="1234567", **own):
    return {name: own.get(f"_{name}", own.get(name, rest)) for name in among}


def test_a_score_is_the_mean_by_the_probabilities() -> None:
    assert verdict(lambda reply: shares(0.1, _7=0.4)).score == pytest.approx(0.1 * 21 + 0.4 * 7)
    assert verdict(lambda reply: shares(1e-12, _5=0.9)).score == pytest.approx(5)
    two = judge(lambda reply: shares(1e-12, _2=0.3, _4=0.1) if reply == "bad" else shares(1e-12, _6=0.5))
    assert [one.score for one in two.verdicts([Item("p", "bad"), Item("p", "good")])] == pytest.approx([2.5, 6])
    assert two.chat_model.eos == {False}, "a model may go on after a verdict"


def test_a_verdict_that_begins_another_has_to_end() -> None:
    asked = Known(lambda reply: {"9": 0.25, "10": 0.5, "100": 0.25})
    assert Judge(asked, SHORT, scores="by_likelihood").verdicts([Item("p", "x")])[0].score == pytest.approx(32.25)
    assert asked.eos == {True}


def test_a_label_is_given_where_it_is_likelier_than_after_neutral_texts() -> None:
    names = [*HARM.labels, "nothing"]
    usual = dict(zip(names, (0.4, 0.2, 0.05, 0.05, 0.3), strict=True))

    def rule(reply):
        found = {"sly": (0.3, 0.3, 0.05, 0.06, 0.29), "kind": (0.3, 0.15, 0.04, 0.04, 0.47)}.get(reply)
        return dict(zip(names, found, strict=True)) if found else usual

    assert verdict(rule, HARM, "sly").labels == {"threaten", "belittle"}
    assert verdict(rule, HARM, "kind").labels == frozenset()


def test_a_question_that_is_too_long_is_unscored() -> None:
    asked = judge(lambda reply: None if reply == "long" else shares(1e-12, _3=1.0))
    found = asked.verdicts([Item("p", "long"), Item("p", "x")])
    assert [(one.score, one.why_not) for one in found] == [(None, "no answer"), (pytest.approx(3), None)]
    assert verdict(lambda reply: None, HARM).why_not == "no answer"


def test_it_is_kept_apart_from_what_is_written_and_sealed_as_that_is() -> None:
    spec = {"name": "known", "args": {"model": "m"}}
    item, rule = Item("p", "x"), lambda reply: shares(1e-12, _3=1.0)
    first, again = judge(rule, spec=spec), judge(rule, spec=spec)
    assert [one.verdicts([item])[0].score for one in (first, again)] == pytest.approx([3, 3])
    assert first.chat_model.asked == ["x"] and again.chat_model.asked == []
    with pytest.raises(AssertionError, match="asked to write"):
        Judge(Known(rule), WELLBEING, spec).verdicts([item])
    with sealed("arm", key=EvaluationKey()), pytest.raises(OutcomeSealed):
        first.verdicts([item])


# ---- a model in this process ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flat(checkpoint, tmp_path_factory) -> str:
    """A model that finds every token as likely as any other, whatever it reads."""
    from smilerl.models.policy import load_policy

    policy, folder = load_policy(checkpoint("llama", max_position_embeddings=2048)), tmp_path_factory.mktemp("flat")
    policy.model.model.norm.weight.data.zero_()
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return str(folder)


def spec_of(model: str, **args) -> str:
    return json.dumps({"name": "local", "args": {"model": model, "device": "cpu", **args}})


def test_a_model_gives_the_log_probabilities_of_its_tokens(flat) -> None:
    chat_model = chat_models.build(json.loads(spec_of(flat)))
    talks = [[{"role": "user", "content": text}] for text in ("hi", "u" * 3000, "hello")]
    options = [["ab", "abc"], ["ab"], ["a"]]
    each = -np.log(260)  # tokens are bytes, and there are 260
    for eos in (False, True):
        found = chat_model.option_logprobs(talks, options, eos=eos)
        assert found[1] is None and found[0] == pytest.approx([(2 + eos) * each, (3 + eos) * each], abs=1e-4)
        assert found[2] == pytest.approx([(1 + eos) * each], abs=1e-4)
    assert chat_model.usage.failed == 2 and chat_model.option_logprobs([], [], eos=True) == []


def test_a_model_that_finds_all_verdicts_alike_gives_the_middle(flat) -> None:
    [one] = judges_of(spec_of(flat, scores="by_likelihood"), ["wellbeing"])
    assert (one.scores, one.name) == ("by_likelihood", f"local {flat}, by likelihood")
    short = Judge(one.chat_model, replace(SHORT, anchors={n: "so" for n in range(1, 8)}), scores="by_likelihood")
    assert short.verdicts([Item("p", "x")])[0].score == pytest.approx(4)
    # 9, 10 and 100 have 1, 2 and 3 bytes, each of probability 1/260.
    worth = (9 + 10 / 260 + 100 / 260**2) / (1 + 1 / 260 + 1 / 260**2)
    assert Judge(one.chat_model, SHORT, scores="by_likelihood").verdicts([Item("p", "x")])[0].score == pytest.approx(
        worth, abs=1e-3
    )


def test_a_spec_says_how_the_judge_is_asked(flat) -> None:
    by_likelihood, by_writing, plain = (
        judges_of(spec_of(flat, **args), ["wellbeing"])[0]
        for args in ({"scores": "by_likelihood"}, {"scores": "by_writing"}, {})
    )
    assert by_likelihood.chat_model is plain.chat_model and by_writing.spec == plain.spec != by_likelihood.spec
    with pytest.raises(RecipeError, match="scores is 'likelihood', but should be one of by_writing, by_likelihood"):
        judges_of(spec_of(flat, scores="likelihood"), ["wellbeing"])


def test_a_chat_model_without_log_probabilities_is_refused_before_it_is_asked(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(chat_models, "check", lambda chat_model: pytest.fail("it was asked"))
    spec = "{name: endpoint, args: {url: 'http://127.0.0.1:9/v1', model: m, scores: by_likelihood}}"
    with pytest.raises(ChatModelError, match="gives no log-probabilities") as caught:
        judged.check(spec)
    assert "{name: local, args: {model: MODEL, scores: by_likelihood}}" in str(caught.value)
    assert cli.main(["judge", spec, "--out", str(tmp_path / "out")]) == 2
    assert "Leave out `scores: by_likelihood`" in capsys.readouterr().err
    with pytest.raises(ChatModelError, match="option_logprobs"):
        judges_of(f"{{name: {__name__}.Writes, args: {{scores: by_likelihood}}}}", ["wellbeing"])


class Writes:
    """A user's chat model, which only writes."""

    name = "writes"

    def __call__(self, conversations, **settings):
        raise AssertionError("it was asked")


def test_the_commands_take_it(flat, tmp_path, capsys) -> None:
    spec, out = spec_of(flat, scores="by_likelihood", template={}), tmp_path / "out"
    rubric = tmp_path / "short.yaml"
    rubric.write_text(
        "judges: wellbeing\nverdict: scale\nquestion: Better?\ncriteria: []\n"
        "scale: {low: 1, worth: [-2, 2], anchors: [no, so, yes]}\n"
    )
    assert cli.main(["judge", spec, "--n", "8", "--robust", "0", "--rubrics", str(rubric), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("this judge knows nothing: of wellbeing, right_order is 0.50")
    assert f"local {flat}, by likelihood on 8 conversations" in said and "scored 8 of 8" in said
    found = json.loads((out / "judge.json").read_text())["rubrics"]["wellbeing"]
    assert found["scores"] == "by_likelihood" and [row["score"] for row in found["calibration"]] == [2]


@pytest.mark.slow
def test_an_evaluation_takes_it(checkpoint, tmp_path, capsys) -> None:
    spec = spec_of(checkpoint("llama", max_position_embeddings=8192), scores="by_likelihood")
    where = ("--suite", "bad_news", "--n", "16", "--out", str(tmp_path / "out"))
    assert cli.main(["eval", "carer", "--judge", spec, *where]) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())["judged"]
    assert [one["scored"] for one in found["policy"].values()] == [16, 16, 16]
    assert found["judge"].endswith("by likelihood") and json.loads(spec) == found["spec"]
    assert "not measured by wellbeing, acts, harm" in capsys.readouterr().out
