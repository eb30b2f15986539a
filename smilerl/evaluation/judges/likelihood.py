"""Verdicts by likelihood: which of the allowed verdicts a chat model finds likeliest, for models too small to write.

The model's turn would begin with the last line that the rubric asks for, `verdict WORD: 5`; what is compared is the
probability of each such line, in one pass over the question.

* A scale: the mean of the scores, weighted by these probabilities and not rounded (G-Eval: Liu et al. 2023,
  arXiv:2303.16634). A small model finds one score likeliest whatever it reads, and what it knows is in how likely it
  finds the others; rounded, nearly all replies would be tied. A model that is sure gives nearly whole scores.
  Calibrated by what it finds likely after neutral texts (Zhao et al. 2021, arXiv:2102.09690), SmolLM2-135M-Instruct
  agreed with the truth no better, and a model that rightly calls neutral texts neutral would shun that score.
* Labels: a label is given where the log-odds of naming it first are higher than after neutral texts. There is no other
  threshold, since each label has a length and a rate of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import log_softmax, logsumexp

from smilerl.evaluation.judges.rubric import Rubric
from smilerl.evaluation.judges.verdict import Verdict

#: What stands between the fences of neutral questions, and the word of these.
NEUTRAL, NEUTRAL_WORD = ("N/A", "...", "[MASK]"), "neutrals"
#: The verdict by labels where none is given.
NOTHING = "nothing"


def answers(
    chat_model: Any, rubric: Rubric, said: Sequence[Sequence[tuple[str, str]]], words: Sequence[str], turn: int
) -> list[str | None]:
    """The verdict on each of N items, for `read`; None where an item is too long for the model.

    Args:
        chat_model: one with `option_logprobs`, see `chat_models.local`.
        said, words: of each item, what is judged, as (heading, text) pairs, and the word of its fences.
        turn: see `Rubric.messages`.
    """
    verdicts = [str(score) for score in sorted(rubric.anchors)] or [*rubric.labels, NOTHING]
    neutral = [[(heading, text) for heading, _ in said[0]] for text in NEUTRAL] if rubric.labels else []
    said, words = [*said, *neutral], [*words, *[NEUTRAL_WORD] * len(neutral)]
    asked = [rubric.messages(one, word, turn) for one, word in zip(said, words, strict=True)]
    options = [[f"verdict {word}: {verdict}" for verdict in verdicts] for word in words]
    # A model may go on after a verdict, so its end counts only where one verdict begins another, as 1 begins 10.
    ends = any(one != other and other.startswith(one) for one in verdicts for other in verdicts)
    found = chat_model.option_logprobs(asked, options, eos=ends)
    shares = [None if one is None else log_softmax(one) for one in found]
    if not rubric.labels:
        scores = np.array(sorted(rubric.anchors))
        return [None if one is None else repr(float(np.exp(one) @ scores)) for one in shares]
    known = [one for one in shares[len(shares) - len(neutral) :] if one is not None]
    if not known:  # the rubric alone is too long
        return [None] * (len(said) - len(neutral))
    usual = _log_odds(logsumexp(known, axis=0) - np.log(len(known)))
    return [None if one is None else _named(rubric, _log_odds(one) - usual) for one in shares[: -len(neutral)]]


def read(rubric: Rubric, answer: str | None) -> Verdict:
    """The verdict that `answers` gave."""
    if answer is None:
        return Verdict(why_not="no answer")
    if not rubric.labels:
        return Verdict(score=float(answer))
    return Verdict(labels=frozenset(answer.split(", ")) - {NOTHING})


def _named(rubric: Rubric, evidence: np.ndarray) -> str:
    """The labels for which there is evidence, in nats: [labels, then `nothing`, which does not count]."""
    return ", ".join(label for label, own in zip(rubric.labels, evidence, strict=False) if own > 0) or NOTHING


def _log_odds(shares: np.ndarray) -> np.ndarray:
    return shares - np.log1p(-np.exp(np.minimum(shares, -1e-12)))
