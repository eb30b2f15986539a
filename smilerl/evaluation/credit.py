"""Credit of each clause of a reply: its Shapley value in the game whose coalitions are the replies made of some
clauses.

Up to six clauses exactly, over all subsets; above, over sampled permutations (never by cutting the reply short). Either
way the credits of a reply add up to what the whole reply brings over saying nothing. (Castro et al. 2009 for the
sampling; permutations come in pairs with their reverse, which halves the variance of near-additive games, Mitchell et
al. 2022.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

EXACT_UP_TO = 6
PERMUTATION_PAIRS = 16
#: Clauses of longer replies are credited in this many runs of neighbours, each run's credit shared equally by its
#: clauses.
MOST_PLAYERS = 16
#: Characters of coalitions' texts in memory at once.
MOST_TEXT = 50_000_000

#: Worth of replies, [K, M] for K (person, text) pairs and M things measured at once; NaN where there is no number.
Worth = Callable[[list[str], list[str]], np.ndarray]


class Game(NamedTuple):
    """Which coalitions have to be played, and how their worths make credits.

    Attributes:
        coalitions: bool [K, m], K coalitions of m players; the first is empty, the last is everyone.
        weights: float [m, K]; credits are `weights @ worths`.
    """

    coalitions: np.ndarray
    weights: np.ndarray


def shapley(people: Sequence[str], replies: Sequence[Sequence[str]], worth: Worth, seed: int = 0) -> list[np.ndarray]:
    """Credit of every clause of every reply.

    Args:
        people: N person JSONs.
        replies: N replies as clauses, `"".join` of any of them in order being a reply.
        worth: asked for all different (person, text) pairs, in one call unless the replies are very long.
        seed: of the permutations for replies of more than six clauses.

    Returns:
        N arrays [m, M] of credit for m clauses and M things measured; NaN in a column where a coalition has no number.
    """
    credits: list[np.ndarray] = []
    for rows in _portions(replies):
        credits += _played([people[row] for row in rows], [replies[row] for row in rows], worth, seed)
    return credits


def _played(people: Sequence[str], replies: Sequence[Sequence[str]], worth: Worth, seed: int) -> list[np.ndarray]:
    places: dict[tuple[str, str], int] = {}
    plays: list[tuple[list[list[int]], Game, np.ndarray]] = []
    for person, clauses in zip(people, replies, strict=True):
        players = _players(len(clauses))
        game = _game(len(players), seed)
        texts = [
            "".join(clauses[c] for joined, player in zip(row, players, strict=True) if joined for c in player)
            for row in game.coalitions
        ]
        rows = np.array([places.setdefault((person, text), len(places)) for text in texts], dtype=int)
        plays.append((players, game, rows))
    worths = np.asarray(worth([p for p, _ in places], [t for _, t in places]), dtype=float)
    if worths.ndim != 2 or len(worths) != len(places):
        raise ValueError(f"worth gave an array of shape {worths.shape} for {len(places)} replies")
    return [_shared(players, game.weights @ worths[rows]) for players, game, rows in plays]


def _portions(replies: Sequence[Sequence[str]]) -> Iterator[range]:
    """Rows that are played together: as many as their coalitions' texts fit into memory."""
    start, size = 0, 0
    for row, clauses in enumerate(replies):
        own = sum(map(len, clauses)) * (
            2 ** len(clauses) if len(clauses) <= EXACT_UP_TO else 2 * PERMUTATION_PAIRS * MOST_PLAYERS
        )
        if size and size + own > MOST_TEXT:
            yield range(start, row)
            start, size = row, 0
        size += own
    yield range(start, len(replies))


def _players(clauses: int) -> list[list[int]]:
    """Clause numbers by player: one each, or runs of neighbours where there are too many."""
    return [part.tolist() for part in np.array_split(np.arange(clauses), min(clauses, MOST_PLAYERS))] if clauses else []


def _shared(players: list[list[int]], credit: np.ndarray) -> np.ndarray:
    """Credit per clause from credit per player."""
    sizes = [len(player) for player in players]
    return np.repeat(credit / np.array(sizes, dtype=float)[:, None], sizes, axis=0) if players else credit


@lru_cache(maxsize=64)
def _game(players: int, seed: int) -> Game:
    return _exact(players) if players <= EXACT_UP_TO else _sampled(players, seed)


def _exact(m: int) -> Game:
    """All 2^m coalitions, weighted |S|! (m - |S| - 1)! / m! for the marginal worth of joining S."""
    coalitions = np.array(list(itertools.product([False, True], repeat=m)), dtype=bool).reshape(2**m, m)
    sizes = coalitions.sum(1)
    joins = np.array(
        [math.factorial(s) * math.factorial(m - s - 1) / math.factorial(m) if s < m else 0 for s in range(m + 1)]
    )
    leaves = np.array([joins[s - 1] if s else 0 for s in range(m + 1)])
    return Game(coalitions, np.where(coalitions, leaves[sizes][:, None], -joins[sizes][:, None]).T)


def _sampled(m: int, seed: int) -> Game:
    """The coalitions met on the way from nobody to everyone, in random orders and their reverses."""
    generator = np.random.default_rng([seed, m])
    orders = [order for _ in range(PERMUTATION_PAIRS) for order in _both_ways(generator.permutation(m))]
    rows: dict[bytes, int] = {}
    coalitions: list[np.ndarray] = []
    steps: list[tuple[int, int, int]] = []

    def row_of(joined: np.ndarray) -> int:
        if joined.tobytes() not in rows:
            rows[joined.tobytes()] = len(coalitions)
            coalitions.append(joined.copy())
        return rows[joined.tobytes()]

    for order in orders:
        joined = np.zeros(m, dtype=bool)
        before = row_of(joined)
        for player in order:
            joined[player] = True
            steps.append((player, before, after := row_of(joined)))
            before = after
    weights = np.zeros((m, len(coalitions)))
    for player, before, after in steps:
        weights[player, after] += 1 / len(orders)
        weights[player, before] -= 1 / len(orders)
    return Game(np.array(coalitions), weights)


def _both_ways(order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return order, order[::-1]
