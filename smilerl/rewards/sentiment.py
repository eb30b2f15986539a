"""sentiment: how positive is the recorded transcript of what the person says back.

VADER, a lexicon, by default: `vaderSentiment`'s compound score (Hutto & Gilbert 2014). Or any HF text classifier by id or
path: P(positive) - P(negative), or the expected stars, with the labels read from its own `id2label`. (Handed to TRL as a
model, a two-label classifier would silently be optimised for label 0, which usually is NEGATIVE.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from smilerl.rewards import RewardError, observed, texts
from smilerl.rewards._classifier import Classifier

_READS = ("transcript", "completion")


def build(
    model: str | None = None,
    reads: str = "transcript",
    labels: Mapping | None = None,
    dtype: str = "float32",
    batch_size: int = 64,
    max_length: int | None = None,
    device: str | None = None,
) -> Callable:
    """Sentiment in [-1, 1]; None where nothing was recorded.

    Args:
        model: id or directory of a text-classification model; None for VADER.
        reads: `transcript`: what the recorder holds as the person's words. `completion`: what the helper says, for
            prompts to which nobody reacts.
        labels: what the model's labels mean where their names do not say, `{positive: LABEL_1, negative: LABEL_0}`; a list of
            labels counts together.
        dtype, batch_size, device: of the model.
        max_length: tokens that the model sees, at most; longer texts lose their beginning.
    """
    if reads not in _READS:
        raise RewardError(f"the reward 'sentiment' takes reads: {' or '.join(_READS)}, not {reads!r}")
    if model is None and labels is not None:
        raise RewardError("the reward 'sentiment' takes labels only with a model: VADER has none")
    score = (
        _vader
        if model is None
        else _model_scorer(model, labels, max_length, dtype=dtype, batch_size=batch_size, device=device)
    )

    def sentiment(prompts, completions, *, person=None, **columns) -> list[float | None]:
        said = (
            texts(completions)
            if reads == "completion"
            else [o.transcript for o in observed("sentiment", completions, person)]
        )
        distinct = list(dict.fromkeys(one for one in said if one is not None))
        scores = dict(zip(distinct, score(distinct), strict=True))
        return [None if one is None else scores[one] for one in said]

    sentiment.needs_reaction = reads == "transcript"
    return sentiment


def label_values(id2label: Mapping[int, str], labels: Mapping | None = None) -> list[float]:
    """What each label is worth in [-1, 1], by its name: positive 1, neutral 0, negative -1; n stars of N evenly spaced.

    Args:
        id2label: as in the model's config.
        labels: meanings to use instead of the names, `{positive: LABEL_1, negative: LABEL_0}`.

    Raises:
        RewardError: names that say nothing, such as LABEL_0.
    """
    names = [str(id2label[i]) for i in sorted(id2label)]
    if labels is not None:
        return _given_values(names, labels)
    counts = [int(match[1]) for name in names if (match := re.fullmatch(r"(\d) stars?", name.lower()))]
    if len(counts) == len(names) > 1:
        low, high = min(counts), max(counts)
        return [2 * (count - low) / (high - low) - 1 for count in counts]
    words = [re.sub(r"[^a-z]+", " ", name.lower()).strip() for name in names]
    five = any(word.startswith("very ") for word in words)
    worth = {"positive": 1.0, "pos": 1.0, "negative": -1.0, "neg": -1.0, "neutral": 0.0, "neu": 0.0}
    if five:
        worth = {"very positive": 1.0, "positive": 0.5, "neutral": 0.0, "negative": -0.5, "very negative": -1.0}
    values = [worth[word] for word in words if word in worth]
    if len(values) < len(names) or not min(values) < 0 < max(values):
        raise RewardError(
            f"the labels of the sentiment model are {', '.join(names)}: their names do not say which is positive. Say it in the "
            f"reward's args, labels: {{positive: {names[-1]}, negative: {names[0]}}} (if that is what its card says)"
        )
    return values


def _given_values(names: Sequence[str], labels: Mapping) -> list[float]:
    values = dict.fromkeys(names, 0.0)
    for meaning, worth in (("positive", 1.0), ("neutral", 0.0), ("negative", -1.0)):
        for name in [labels[meaning]] if isinstance(labels.get(meaning), str) else labels.get(meaning, []):
            if name not in values:
                raise RewardError(f"the sentiment model has no label '{name}'. It has: {', '.join(names)}")
            values[name] = worth
    unknown = set(labels) - {"positive", "neutral", "negative"}
    if unknown or not {"positive", "negative"} <= set(labels):
        raise RewardError(
            f"labels of the reward 'sentiment' are {{positive: ..., negative: ..., neutral: ...}} (neutral may be left out), not {dict(labels)}"
        )
    return list(values.values())


def _vader(said: Sequence[str]) -> list[float]:
    return [_compound(one) for one in said]


@lru_cache(maxsize=65536)
def _compound(said: str) -> float:
    return _analyzer().polarity_scores(said)["compound"]


@lru_cache(maxsize=1)
def _analyzer():
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def _model_scorer(model: str, labels: Mapping | None, max_length: int | None, **loading) -> Callable:
    classifier = Classifier(model, reward="sentiment", **loading)
    if classifier.is_adapter:
        raise RewardError(
            f"the sentiment model '{model}' is an adapter, whose labels cannot be read: merge it into its base and save that"
        )
    if classifier.config.num_labels == 1:
        raise RewardError(
            f"the sentiment model '{model}' has one output. A reward model is the reward 'preference': {{name: preference, args: {{model: {model}}}}}"
        )
    if getattr(classifier.config, "problem_type", None) == "multi_label_classification":
        raise RewardError(
            f"the sentiment model '{model}' gives several labels at once; sentiment needs one whose labels exclude each other"
        )
    values = label_values(classifier.config.id2label, labels)

    def score(said: Sequence[str]) -> list[float]:
        if not said:
            return []
        # RoBERTa counts two more positions than it can read, and few tokenizers say how many they mean: 512 is safe.
        longest = max_length or min(classifier.longest, 512)
        ids = classifier.tokenizer(list(said), truncation=True, max_length=longest)["input_ids"]
        probabilities = classifier.logits(ids).softmax(-1)
        return [sum(p * v for p, v in zip(row, values, strict=True)) for row in probabilities.tolist()]

    return score


reward = build()
