"""How far the two parsers agree: on the base, on every policy of a study, and on text that a search made to please a
reward.

    python benchmarks/parsers.py runs/smile        # after `make study`

Adversarial text is what evolution (as in `exploit_search`) makes of the base mix's replies for each reward: `gold` is
paid by the first parser's own reading, so what it finds would fool that parser if anything does.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from smilerl import worlds
from smilerl.evaluation.agents import helper_of
from smilerl.evaluation.cohorts import Cohort, cohorts
from smilerl.evaluation.kinds import search
from smilerl.evaluation.question import load_suite
from smilerl.evaluation.session import Session
from smilerl.rewards import build_reward
from smilerl.runs.cache import Cache
from smilerl.worlds.smileworld.parser import clauses
from smilerl.worlds.smileworld.second_parser import disagreement, kappa

REWARDS = ("reading", "smile", "sentiment", "gameable", "gold")


def row(name: str, texts: Sequence[str]) -> str:
    """A row of the table: of the clauses as said, then of the different clauses among them."""
    said = [clause for text in texts for clause in clauses(text)]
    cells = [name]
    for counted in (said, sorted(set(said))):
        differ, of = disagreement(counted)
        cells.append(f"{kappa(counted):.2f} | {differ / max(of, 1):.1%} of {of}")
    return f"| {' | '.join(cells)} |"


def evolved(name: str, people: int, seed: int) -> list[str]:
    """The best-paid replies that evolution finds for held-out people, from the base mix's own."""
    world, suite = worlds.build("smileworld"), load_suite("exploit_search")
    settings = suite.questions[0].spec
    session = Session(world, None, build_reward(name, seed), {}, seed, Cache(None))
    cohort: Cohort = next(iter(cohorts(world, suite.questions[0], suite, people, seed, session.cache).values()))
    rewarded = search._Rewarded(session, cohort)
    who = helper_of(world, "mix")
    replies = who.reply(cohort.prompts * settings.samples, cohort.people * settings.samples, seed + 1)
    shape = (settings.samples, len(cohort.people))
    paid = rewarded(cohort.people * settings.samples, replies).reshape(shape).T
    said = np.array(replies, dtype=object).reshape(shape).T
    return search._evolve(session, settings, cohort, said, paid, rewarded)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", type=Path, help="a study's folder; without one, only the searches")
    parser.add_argument("--people", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(
        "| text of | kappa, as said | read otherwise | kappa, each clause once | read otherwise |\n"
        "|---|---|---|---|---|"
    )
    for samples in sorted(given.study.glob("**/evals/*/samples.parquet")) if given.study else []:
        policy = samples.parents[2].relative_to(given.study)
        print(row(str(policy), pd.read_parquet(samples)["completion"].tolist()))
    for name in REWARDS:
        print(row(f"search for `{name}`", evolved(name, given.people, given.seed)))


if __name__ == "__main__":
    main()
