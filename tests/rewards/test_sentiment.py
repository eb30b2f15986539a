"""The sentiment reward: the transcript, VADER, and labels that mean what their names say."""

from __future__ import annotations

import pytest
import torch

from smilerl import worlds
from smilerl.rewards import RewardError
from smilerl.rewards.sentiment import build, label_values, reward


def test_it_reads_what_was_recorded_not_what_was_said(world):
    person = world.people("train", 8, seed=0, where={"camera": "on"})["person"]
    said = [" great great wonderful happy joy!"] * len(person)
    transcripts = [observation.transcript for observation in worlds.observe(person, said)]
    read = build(reads="completion")(prompts=[""] * 8, completions=said)
    heard = reward(prompts=[""] * 8, completions=said, person=person)
    assert set(read) == {read[0]}
    assert read[0] > 0.9
    assert heard == build(reads="completion")(prompts=[""] * 8, completions=transcripts)


def test_nothing_recorded_is_no_score(world):
    person = list(world.people("train", 8, seed=0, where={"camera": "off"})["person"])
    assert reward(prompts=[""] * 8, completions=[" ok."] * 8, person=person) == [None] * 8


def test_vader_agrees_with_its_package():
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    said = ["i am so happy now!", "this is terrible.", "the chair.", ""]
    scores = build(reads="completion")(prompts=said, completions=said)
    assert scores == [SentimentIntensityAnalyzer().polarity_scores(one)["compound"] for one in said]
    assert scores[0] > 0 > scores[1]
    assert scores[2:] == [0.0, 0.0]


def test_a_world_without_reactions_needs_the_completion():
    with pytest.raises(RewardError, match="reads: completion"):
        reward(prompts=["p"], completions=["c"], person=['{"world": "dialogue"}'])


@pytest.mark.parametrize(
    ("names", "labels", "values"),
    [
        (["NEGATIVE", "POSITIVE"], None, [-1, 1]),
        (["positive", "neutral", "negative"], None, [1, 0, -1]),
        (["Negative", "Positive"], None, [-1, 1]),
        (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], None, [-1, -0.5, 0, 0.5, 1]),
        (["Very Negative", "Negative", "Neutral", "Positive", "Very Positive"], None, [-1, -0.5, 0, 0.5, 1]),
        (["LABEL_0", "LABEL_1"], {"positive": "LABEL_0", "negative": "LABEL_1"}, [1, -1]),
        (["joy", "love", "anger", "surprise"], {"positive": ["joy", "love"], "negative": "anger"}, [1, 1, -1, 0]),
    ],
)
def test_labels_mean_what_their_names_say(names, labels, values):
    assert label_values(dict(enumerate(names)), labels) == values


@pytest.mark.parametrize(
    ("names", "labels", "says"),
    [
        (["LABEL_0", "LABEL_1"], None, "labels: {positive: LABEL_1, negative: LABEL_0}"),
        (["joy", "anger"], None, "joy, anger"),
        (["positive", "neutral"], None, "do not say which is positive"),
        (
            ["LABEL_0", "LABEL_1"],
            {"positive": "LABEL_2", "negative": "LABEL_0"},
            "no label 'LABEL_2'. It has: LABEL_0, LABEL_1",
        ),
        (["LABEL_0", "LABEL_1"], {"positive": "LABEL_1"}, "{positive: ..., negative: ..., neutral: ...}"),
        (["LABEL_0", "LABEL_1"], {"good": "LABEL_1", "bad": "LABEL_0"}, "{positive: ..., negative: ..., neutral: ...}"),
    ],
)
def test_labels_that_say_nothing_are_an_error_with_the_fix(names, labels, says):
    with pytest.raises(RewardError) as caught:
        label_values(dict(enumerate(names)), labels)
    assert says in str(caught.value)


def test_a_classifier_is_optimised_for_positive_whichever_label_comes_first(classifier_dir, batch):
    """The same weights under the two orders of names give opposite rewards."""
    said = batch["completions"]
    as_named = build(model=classifier_dir(["NEGATIVE", "POSITIVE"]), reads="completion")(prompts=said, completions=said)
    turned = build(model=classifier_dir(["POSITIVE", "NEGATIVE"]), reads="completion")(prompts=said, completions=said)
    assert as_named == [pytest.approx(-value) for value in turned]
    assert len(set(as_named)) > 1


@pytest.mark.parametrize("model_type", ["llama", "bert"])
def test_a_classifier_scores_a_text_the_same_alone_and_in_a_batch(model_type, classifier_dir, batch):
    folder = classifier_dir(["negative", "neutral", "positive"], model_type)
    said = batch["completions"]
    together = build(model=folder, reads="completion", batch_size=16)(prompts=said, completions=said)
    alone = [build(model=folder, reads="completion")(prompts=[""], completions=[one])[0] for one in said[:6]]
    assert together[:6] == pytest.approx(alone, abs=1e-5)
    assert all(-1 <= value <= 1 for value in together)


def test_a_classifier_truncates_and_takes_a_dtype(classifier_dir):
    folder = classifier_dir(["negative", "positive"])
    long = " great" * 400
    assert len(build(model=folder, reads="completion")(prompts=[""], completions=[long])) == 1
    short = build(model=folder, reads="completion", max_length=8)
    end = " i am so happy now, thank you so much!"
    assert short(prompts=[""], completions=[long + end]) == short(prompts=[""], completions=[" joy" * 50 + end]), (
        "the end is kept"
    )
    rough = build(model=folder, reads="completion", dtype="bfloat16")(prompts=[""], completions=[end])
    assert rough == pytest.approx(build(model=folder, reads="completion")(prompts=[""], completions=[end]), abs=0.05)


def test_what_is_no_sentiment_model_is_known_before_it_loads(classifier_dir, reward_model, monkeypatch):
    monkeypatch.setattr(torch, "load", None)
    cases = [
        ({"model": "/nowhere/at/all"}, "no model"),
        ({"model": "recipes/rm.yaml"}, "recipe"),
        ({"model": reward_model}, "name: preference"),
        ({"model": classifier_dir(["LABEL_0", "LABEL_1"])}, "labels: {positive: LABEL_1"),
        (
            {"model": classifier_dir(["negative", "positive"], problem_type="multi_label_classification")},
            "several labels",
        ),
        ({"model": classifier_dir(["negative", "positive"]), "dtype": "float8"}, "float32, bfloat16"),
        ({"labels": {"positive": "a", "negative": "b"}}, "VADER has none"),
        ({"reads": "prompt"}, "transcript or reply or thoughts or both"),
    ]
    for args, says in cases:
        with pytest.raises(RewardError) as caught:
            build(**args)
        assert says in str(caught.value)
        assert len(str(caught.value).splitlines()) <= 10
