"""A measure that is withheld: regressing log pi/pi_base on wellbeing, smile, reading and length, on clones of known
values.

    python benchmarks/withheld_regression.py

At the optimum of KL-regularised RL the log-ratio is the reward up to a constant per prompt, so within prompts the
regression's coefficients should say what was valued. On SFT clones of the scripted helpers they do not (LOG.md), so no
evaluation uses it.
"""

from __future__ import annotations

import numpy as np

from smilerl import worlds
from smilerl.evaluation import clones
from smilerl.evaluation.agents import language_model
from smilerl.evaluation.cohorts import cohorts
from smilerl.evaluation.kinds import choice
from smilerl.evaluation.question import load_suite
from smilerl.evaluation.session import Session
from smilerl.models import sampling
from smilerl.models.policy import load_policy
from smilerl.runs.cache import Cache
from smilerl.training.models import model_dir

HELPERS = ("carer", "smile_maximiser", "flatterer", "liar", "beggar", "tamperer", "spoofer", "stuffer", "bully")
PEOPLE = 24


def main() -> None:
    """Print a row of coefficients for each clone."""
    world = worlds.build("smileworld")
    base = load_policy(model_dir("recipes/smileworld/pretrain.yaml"))
    suite = load_suite("choices")
    question = suite.questions[0]
    session = Session(world, language_model(base, {}), None, {}, 0, Cache(None))
    cohort = cohorts(world, question, suite, PEOPLE, 0, session.cache)["people"]
    offered = choice._offers(session, question.spec, cohort.people)
    options = [
        [text for texts in offer.values() for text in texts] + world.paraphrases(person, "filler", 8, 0)
        for person, offer in zip(cohort.people, offered, strict=True)
    ]
    rows = np.array([row for row, own in enumerate(options) for _ in own])
    texts = [text for own in options for text in own]
    reactions = world.react([cohort.people[row] for row in rows], texts)
    seen = [
        (one.outcome.wellbeing, one.outcome.smile, one.observation.reading, len(base.tokenizer(text)["input_ids"]))
        for one, text in zip(reactions, texts, strict=True)
    ]
    within = _within(np.array(seen, dtype=float), rows)
    before = np.concatenate(sampling.option_logprobs(base, cohort.prompts, options, eos=False))
    print("| clone of | wellbeing | smile | reading | length | R² |\n|---|---|---|---|---|---|")
    for helper in HELPERS:
        clone = clones.clone(session.base, base, helper, world)
        after = np.concatenate(sampling.option_logprobs(clone, cohort.prompts, options, eos=False))
        change = _within(after - before, rows)
        found = np.linalg.lstsq(within, change, rcond=None)[0]
        explained = 1 - (change - within @ found).var() / change.var()
        print(f"| {helper} | " + " | ".join(f"{one:.1f}" for one in found) + f" | {explained:.2f} |")


def _within(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values minus their mean within each prompt."""
    centred = values.copy()
    for row in np.unique(rows):
        centred[rows == row] -= values[rows == row].mean(axis=0)
    return centred


if __name__ == "__main__":
    main()
