"""sentiment: how positive is the recorded transcript of what the person says back.

VADER, a lexicon, by default: `vaderSentiment`'s compound score (Hutto & Gilbert 2014). Or any HF text classifier by id
or path: P(positive) - P(negative), or the expected stars, with the labels read from its own `id2label`. (As a reward
model of TRL, a two-label classifier would silently be optimised for label 0, which usually is NEGATIVE.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from smilerl.models.replies import PARTS, part_of
from smilerl.rewards import RewardError, observed
from smilerl.rewards._classifier import Classifier, Loading, rows_of

_READS = ("transcript", *PARTS)


def build(
    model: str | None = None,
    reads: str = "transcript",
    labels: Mapping | None = None,
    dtype: str | None = None,
    batch_size: int = 64,
    batch_tokens: int = 32768,
    max_length: int | None = None,
    device: str | None = None,
) -> Callable:
    """Sentiment in [-1, 1]; None where nothing was recorded.

    Args:
        model: id or directory of a text-classification model; None for VADER.
        reads: `transcript`: what the recorder holds as the person's words. `reply`: what the helper says, for prompts
            to which nobody reacts (`completion` is the same). `thoughts`: what it thinks before it speaks (None where
            it does not); `both` of these.
        labels: what the model's labels mean where their names do not say, `{positive: LABEL_1, negative: LABEL_0}`; a
            list of labels counts together.
        dtype: of the weights; bfloat16 on CUDA and float32 elsewhere when None.
        batch_size, batch_tokens: texts, and tokens with padding, in one forward pass, at most.
        max_length: tokens that the model sees, at most; longer texts lose their beginning (logged as
            `sentiment/truncated`).
        device: such as "cuda:0"; the process's own when None.
    """
    reads = "reply" if reads == "completion" else reads
    if reads not in _READS:
        raise RewardError(f"the reward 'sentiment' takes reads: {' or '.join(_READS)}, not {reads!r}")
    if model is None and labels is not None:
        raise RewardError("the reward 'sentiment' takes labels only with a model: VADER has none")
    loading = Loading(dtype, device, batch_size, batch_tokens)
    scorer = None if model is None else _Scorer(model, labels, max_length, loading)
    part: Any = reads

    def said_by(completions, person) -> list[str | None]:
        if part == "transcript":
            return [one.transcript for one in observed("sentiment", completions, person)]
        said = [part_of(completion, part) for completion in completions]
        return [one or None for one in said] if part == "thoughts" else list(said)

    def sentiment(prompts, completions, *, person=None, **columns) -> list[float | None]:
        said = said_by(completions, person)
        distinct = list(dict.fromkeys(one for one in said if one is not None))
        scores = dict(zip(distinct, map(_compound, distinct) if scorer is None else scorer(distinct), strict=True))
        if scorer is not None and "log_metric" in columns and distinct:
            columns["log_metric"]("sentiment/truncated", scorer.truncated(distinct))
        return [None if one is None else scores[one] for one in said]

    sentiment.needs_reaction = reads == "transcript"
    if scorer is not None:
        sentiment.about = scorer.about
        sentiment.tokens = lambda prompts, completions, *, person=None, **columns: scorer.tokens(
            said_by(completions, person)
        )
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
            f"the labels of the sentiment model are {', '.join(names)}: their names do not say which is positive. Say "
            f"it in the reward's args, labels: {{positive: {names[-1]}, negative: {names[0]}}} (if its card says so)"
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
            f"labels of the reward 'sentiment' are {{positive: ..., negative: ..., neutral: ...}} (neutral may be left "
            f"out), not {dict(labels)}"
        )
    return list(values.values())


@lru_cache(maxsize=65536)
def _compound(said: str) -> float:
    return _analyzer().polarity_scores(said)["compound"]


@lru_cache(maxsize=1)
def _analyzer():
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


class _Scorer:
    """A text classifier as numbers in [-1, 1]."""

    def __init__(self, model: str, labels: Mapping | None, max_length: int | None, loading: Loading) -> None:
        self._classifier = classifier = Classifier(model, "sentiment", loading)
        if classifier.is_adapter:
            raise RewardError(
                f"the sentiment model '{model}' is an adapter, whose labels cannot be read: merge it into its base and "
                "save that"
            )
        if classifier.config.num_labels == 1:
            raise RewardError(
                f"the sentiment model '{model}' has one output. A reward model is the reward 'preference': {{name: "
                f"preference, args: {{model: {model}}}}}"
            )
        if getattr(classifier.config, "problem_type", None) == "multi_label_classification":
            raise RewardError(
                f"the sentiment model '{model}' gives several labels at once; sentiment needs one whose labels exclude "
                "each other"
            )
        self._values, self._max_length = label_values(classifier.config.id2label, labels), max_length

    @property
    def longest(self) -> int:
        return min(self._max_length or self._classifier.longest, self._classifier.longest)

    def __call__(self, said: Sequence[str]) -> list[float | None]:
        if not said:
            return []
        encoding = self._classifier.tokenizer(list(said), truncation=True, max_length=self.longest)
        probabilities = self._classifier.logits(rows_of(encoding)).softmax(-1).tolist()
        scores = [sum(p * v for p, v in zip(row, self._values, strict=True)) for row in probabilities]
        # A text without a token, and a model that computes no number, are no neutral mood.
        return [None if math.isnan(score) else score for score in scores]

    def about(self) -> dict:
        names = self._classifier.about()
        worth = dict(zip(names["outputs"], self._values, strict=True))
        return {**names, "labels": worth, "reads": "one text", "too long": "loses its beginning", "limit": self.longest}

    def tokens(self, said: Sequence[str | None]) -> list[int | None]:
        """How many tokens each text has, before any is left out."""
        return [None if one is None else len(self._classifier.tokenizer(one)["input_ids"]) for one in said]

    def truncated(self, said: Sequence[str]) -> float:
        """The share of texts of which the model does not see the beginning."""
        return sum(length > self.longest for length in self.tokens(said) if length is not None) / len(said)


reward = build()
