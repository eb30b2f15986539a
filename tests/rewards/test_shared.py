"""What texts have in common at their beginning is read once, and only where that changes no score."""

from __future__ import annotations

import functools

import pytest
import torch

from smilerl.rewards import _shared
from smilerl.rewards._classifier import Classifier, Loading

PAD = 0


def texts(groups: int = 3, of: int = 4, *, end: tuple[int, ...] = ()) -> list[dict[str, list[int]]]:
    """Prompts of 20 to 22 tokens, each with replies of 1 to 7, and one text that is like no other."""
    draw = torch.Generator().manual_seed(0)

    def some(length: int) -> list[int]:
        return torch.randint(5, 60, (length,), generator=draw).tolist()

    prompts = [some(20 + number) for number in range(groups)]
    rows = [prompt + some(1 + 2 * (reply % 4)) + list(end) for prompt in prompts for reply in range(of)]
    order = torch.randperm(len(rows), generator=draw).tolist()
    return [{"input_ids": ids} for ids in [*(rows[row] for row in order), some(9), []]]


def alone(classifier: Classifier, encoded) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([classifier.model(input_ids=torch.tensor([one["input_ids"]])).logits for one in encoded])


@pytest.fixture
def read(monkeypatch):
    """How many tokens the model was given, padding included, call by call."""
    seen: list[int] = []

    def watch(classifier: Classifier) -> list[int]:
        forward = classifier.model.forward

        @functools.wraps(forward)
        def counted(**given):
            seen.append(given["input_ids"].numel())
            return forward(**given)

        monkeypatch.setattr(classifier.model, "forward", counted)
        return seen

    return watch


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2", "mistral"])
@pytest.mark.parametrize("loading", [{}, {"batch_size": 3}, {"batch_tokens": 60}])
def test_scores_are_those_of_each_text_alone(checkpoint, architecture, loading, read):
    classifier = Classifier(checkpoint(architecture, classifier=True), "preference", Loading(**loading))
    encoded = texts()
    expected, seen = alone(classifier, encoded[:-1]), read(classifier)
    for _ in range(2):  # the first batch is read both ways
        seen.clear()
        found = classifier.logits(encoded)
        assert torch.allclose(found[:-1], expected, atol=1e-5) and found[-1].isnan().all()
    assert classifier._shares
    if not loading:
        assert sum(seen) < 0.6 * sum(len(one["input_ids"]) for one in encoded)


def test_texts_that_end_in_the_padding_token_are_scored_by_the_last_other(checkpoint):
    """Where EOS is the padding token: what replies do not have in common may be EOS alone."""
    classifier = Classifier(checkpoint("llama", classifier=True), "preference")
    encoded = texts(1, 3, end=(classifier._pad,))[:-2]
    encoded.append({"input_ids": encoded[0]["input_ids"][:20]})
    encoded.append({"input_ids": [*encoded[0]["input_ids"][:20], classifier._pad]})
    assert torch.allclose(classifier.logits(encoded), alone(classifier, encoded), atol=1e-5)


def test_a_model_that_scores_otherwise_after_a_cache_reads_whole_texts(checkpoint, monkeypatch, read):
    """The first batch decides: here the second pass forgets where it is."""
    classifier = Classifier(checkpoint("llama", classifier=True), "preference")
    encoded, forward = texts()[:-1], classifier.model.forward

    @functools.wraps(forward)
    def forgetful(**given):
        if given.get("past_key_values") is not None:
            given["position_ids"] = given["position_ids"] * 0
        return forward(**given)

    expected = alone(classifier, encoded)
    monkeypatch.setattr(classifier.model, "forward", forgetful)
    assert torch.allclose(classifier.logits(encoded), expected, atol=1e-5)
    assert classifier._shares is False


@pytest.mark.parametrize(("architecture", "dtype"), [("roberta", None), ("llama", "bfloat16")])
def test_encoders_and_half_precision_read_whole_texts(checkpoint, architecture, dtype):
    classifier = Classifier(checkpoint(architecture, classifier=True), "preference", Loading(dtype=dtype))
    classifier.logits(texts()[:-1])
    assert classifier._shares is False


def test_texts_are_grouped_by_what_they_have_in_common():
    rows = [[1, 2, 3, 4], [9, 9, 9, 1], [1, 2, 3, 5, 6], [1, 8, 8, 8], [9, 9, 9, 1]]
    assert list(_shared.batches(rows, PAD, 64, 1000)) == [[[0, 2], [1, 4]]]
    assert list(_shared.batches(rows, PAD, 2, 1000)) == [[[0, 2]], [[1, 4]]]
    assert list(_shared.batches(rows, PAD, 64, 9)) == [[[0, 2]], [[1, 4]]]
    assert list(_shared.batches([[1], [1], []], PAD, 64, 9)) == []
