"""Scores the options to a prompt in one row: the prompt is read once, and so is what options have in common.

The prompt's tokens come first, then the options as a tree: a token that several options share after the same beginning
stands once. Each sees the prompt and what comes before it in its own options. Last tokens are scored and not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch

from smilerl.models import packed
from smilerl.models.decoding import has_virtual_tokens

#: The most numbers in a batch of logits, and the most tokens in one of rows, padding included.
_MOST_LOGITS, _MOST_TOKENS = 2**27, 2**14
#: The largest difference from what a model says of each option by itself, in nats, in single precision; in half, of the
#: mean.
TOLERANCE, TOLERANCE_OF_HALF = 1e-4, 0.02
#: Of models that were tried.
_works: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

#: Prompts and options, as token ids, to the log-probability of each option.
Plain = Callable[[list[list[int]], list[list[list[int]]]], list[np.ndarray]]


class Tree(NamedTuple):
    """A prompt with its options in one row of L tokens.

    Attributes:
        tokens: of the prompt, then of the tree. [L]
        parents: the place of the token that each follows, -1 for the first. [L]
        edges: what is scored: a place, and a token that may come next.
        paths: of each option, its edges.
    """

    tokens: list[int]
    parents: list[int]
    edges: list[tuple[int, int]]
    paths: list[list[int]]

    @property
    def places(self) -> list[int]:
        """Where something is scored, in order."""
        return sorted({place for place, _ in self.edges})


class Scored(NamedTuple):
    """What a batch of trees says.

    Attributes:
        rows: which of the trees these are, by number.
        logits: at the places of all of them, one tree after the other. [N, V]
    """

    rows: list[int]
    logits: torch.Tensor


def tree(prompt: Sequence[int], options: Sequence[Sequence[int]]) -> Tree:
    """Lays out one prompt, of at least one token, with its options."""
    tokens, parents = list(prompt), [place - 1 for place in range(len(prompt))]
    edges: dict[tuple[int, int], int] = {}
    stands: dict[int, int] = {}  # where the token of an edge stands, once something follows it
    paths: list[list[int]] = []
    for option in options:
        place, path = len(prompt) - 1, []
        for number, token in enumerate(option):
            path.append(edge := edges.setdefault((place, token), len(edges)))
            if number == len(option) - 1:
                break
            if edge not in stands:
                stands[edge] = len(tokens)
                tokens.append(token)
                parents.append(place)
            place = stands[edge]
        paths.append(path)
    return Tree(tokens, parents, list(edges), paths)


def works(model: Any, prompts: list[list[int]], options: list[list[list[int]]], plain: Plain) -> bool:
    """Whether the model says the same of options in one row as of each by itself: tried once, on the first prompt.

    Args:
        plain: how options are scored by themselves.
    """
    longest = max(len(prompt) + max(map(len, own), default=0) for prompt, own in zip(prompts, options, strict=True))
    if packed.why_not(model) is not None or has_virtual_tokens(model) or not packed.fits_window(model, longest):
        return False
    if model not in _works:
        first = (prompts[:1], [options[0][:8]])
        (own,), (theirs,) = logprobs(model, *first), plain(*first)
        apart = np.abs(own[:, 0] - theirs)
        half = model.dtype != torch.float32
        most = TOLERANCE_OF_HALF * max(map(len, first[1][0])) if half else TOLERANCE
        _works[model] = bool((apart.mean() if half else apart.max()) <= most)
    return _works[model]


def logprobs(
    model: Any, prompts: list[list[int]], options: list[list[list[int]]], temperatures: Sequence[float] = (1.0,)
) -> list[np.ndarray]:
    """log π(option | prompt) in nats, float64, of each prompt's options at each temperature [options, T]; 0 for an
    option without a token."""
    trees = [tree(prompt, own) for prompt, own in zip(prompts, options, strict=True)]
    found = [np.zeros((len(own), len(temperatures))) for own in options]
    for rows, logits in scored(model, trees):
        whole, start = logits.float(), 0
        totals = torch.stack([(whole / temperature).logsumexp(-1) for temperature in temperatures], -1)
        divisors = torch.tensor(temperatures, device=whole.device)
        for row in rows:
            one = trees[row]
            at = {place: start + number for number, place in enumerate(one.places)}
            start += len(at)
            places = torch.tensor([at[place] for place, _ in one.edges], device=logits.device)
            chosen = torch.tensor([token for _, token in one.edges], device=logits.device)
            each = (whole[places, chosen, None] / divisors - totals[places]).double().cpu().numpy()
            found[row] = np.array([each[path].sum(0) for path in one.paths])
    return found


def scored(model: Any, trees: Sequence[Tree]) -> Iterator[Scored]:
    """Reads trees in batches of like length; those without an edge are left out."""
    vocabulary = packed.plain(model).config.get_text_config().vocab_size
    batch: list[int] = []
    places = 0
    for row in sorted((row for row, one in enumerate(trees) if one.edges), key=lambda row: -len(trees[row].tokens)):
        own = len(trees[row].places)
        wide = len(trees[(batch or [row])[0]].tokens)
        if batch and ((places + own) * vocabulary > _MOST_LOGITS or (len(batch) + 1) * wide > _MOST_TOKENS):
            yield Scored(batch, _read(model, [trees[one] for one in batch]))
            batch, places = [], 0
        batch.append(row)
        places += own
    if batch:
        yield Scored(batch, _read(model, [trees[one] for one in batch]))


def _read(model: Any, trees: Sequence[Tree]) -> torch.Tensor:
    """Logits at the places of all trees, [N, V]."""
    length, device = max(len(one.tokens) for one in trees), model.device
    tokens, positions = np.zeros((2, len(trees), length), dtype=np.int64)
    allowed = np.zeros((len(trees), length, length), dtype=bool)
    allowed[:, range(length), range(length)] = True  # padding sees itself: what sees nothing is no number
    for row, one in enumerate(trees):
        tokens[row, : len(one.tokens)] = one.tokens
        for place, parent in enumerate(one.parents):
            if parent >= 0:
                positions[row, place] = positions[row, parent] + 1
                allowed[row, place] |= allowed[row, parent]
    owner = torch.tensor([row for row, one in enumerate(trees) for _ in one.places], device=device)
    places = torch.tensor([place for one in trees for place in one.places], device=device)
    with packed.to_the_head(model, lambda hidden: hidden[owner, places][None]):
        return model(
            input_ids=torch.from_numpy(tokens).to(device),
            attention_mask=packed.attention(torch.from_numpy(allowed)[:, None].to(device), model),
            position_ids=torch.from_numpy(positions).to(device),
            use_cache=False,
        ).logits[0]
