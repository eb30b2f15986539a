"""Best of n: draws n replies from the base and says the one that the rewards score highest. Trains nothing.

The same reward objects as in training, searched instead of optimised: what the rewards ask for, with as little of an
optimiser's own effects as possible. `method: best_of_n` makes a run like any other, with a manifest and samples of
held-out people; it can be evaluated, talked to and be an arm of a study, by the same questions as a run that was
trained on the same rewards.

Its distance from the base is known only as a bound, log n − (n − 1)/n nats (Beirami et al., arXiv:2401.01879), which is
logged as `best_of_n/kl_bound` and never as a KL.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from datasets import Dataset

from smilerl.config.recipe import Recipe
from smilerl.config.trl import BestOfNConfig
from smilerl.data.candidates import Candidates, Sampling, best, device_of, draw
from smilerl.models.policy import Policy, as_spoken
from smilerl.rewards import Reward, RewardContext
from smilerl.rewards._summed import refuse_unlearnt, summed_as, unnoticed
from smilerl.runs.directory import Run
from smilerl.statistics import best_of_n as estimates
from smilerl.training.gold_log import reacted
from smilerl.worlds.base import EvaluationKey, World

CONFIG = BestOfNConfig
_GOLD = ("reading", "smile", "wellbeing")


def dataset(recipe, world) -> Dataset:
    """The held-out people for whom it chooses while the run is made: columns `prompt` and `person`."""
    return world.people(recipe.held_out.split, recipe.held_out.n, recipe.held_out.seed)


def policy(recipe, world=None) -> Policy:
    """The policy that draws, on the accelerator where there is one."""
    return as_spoken(recipe.policy, device=device_of(recipe.training))


def sampling(recipe) -> Sampling:
    """How it draws."""
    said = CONFIG(**recipe.training)
    return Sampling(said.num_generations, said.max_completion_length, said.temperature, said.top_p, seed=recipe.seed)


def measure(
    recipe: Recipe, run: Run, world: World, people: Dataset, rewards: Sequence[Reward], key: EvaluationKey
) -> None:
    """Logs what best of 1, 2, 4, ..., n does to the held-out people, and keeps all replies that were drawn.

    Each row of the log holds `best_of_n/n`, `best_of_n/kl_bound` (nats) and the expected `reward`, `reading`, `smile`
    and `wellbeing` of the best of n, by the unbiased estimator over all subsets of the replies
    (`statistics.best_of_n`). The replies go to `samples/candidates.parquet`, one row each; `chosen` marks what best of
    n says.

    Args:
        recipe: with directories in place of recipes.
        people: columns `prompt` and `person`.
        rewards: as built; the run around this has declared their channels.
        key: of the run, to look at outcomes once the choice is made.
    """
    with unnoticed(rewards):
        reward = summed_as(recipe.rewards, rewards, RewardContext.before(recipe.training))
        found = draw(policy(recipe), people, reward, sampling(recipe))
    refuse_unlearnt(int(np.isfinite(found.rewards).sum()), found.rewards.size)
    table = _table(found)
    table = table.assign(**reacted(world, table["person"].tolist(), table["completion"].tolist(), key))
    path = run.path / "samples" / "candidates.parquet"
    path.parent.mkdir(exist_ok=True)
    table.to_parquet(path, index=False)
    for row in curve(table, found.rewards.shape):
        run.log({"step": 0, **{f"best_of_n/{name}": value for name, value in row.items()}})


def curve(table: pd.DataFrame, shape: tuple[int, int]) -> list[dict[str, float]]:
    """One row for each size 1, 2, 4, ..., n, all over the same people: those with a number at the largest n.

    `people` of `of` have n scored replies; `<name>_scored` is the share of these with a reading, smile or wellbeing
    where it is not all of them.

    Args:
        table: P x n replies, those to one person together; columns `reward` and, where people react, reading, smile,
            wellbeing.
        shape: (P, n).
    """
    columns = {name: table[name].to_numpy(float).reshape(shape) for name in ("reward", *_GOLD) if name in table}
    curves = {name: estimates.curves(columns["reward"], values) for name, values in columns.items()}
    own = curves.pop("reward")
    whole = np.isfinite(own.proxy[:, -1])  # people with fewer scored replies have no best of n
    rows = []
    for place, n in enumerate(map(int, own.n)):
        row = {"n": n, "kl_bound": estimates.kl_bound(n), "people": int(whole.sum()), "of": len(whole)}
        row["reward"] = _mean(own.proxy[whole, place])
        for name, found in curves.items():
            known = whole & np.isfinite(found.gold).all(axis=1)
            row[name] = _mean(found.gold[known, place])
            if known.sum() < whole.sum():
                row[f"{name}_scored"] = float(known.sum() / max(whole.sum(), 1))
        rows.append(row)
    return rows


def _table(found: Candidates) -> pd.DataFrame:
    n = found.rewards.shape[1]
    said = np.array(best(found.rewards))
    return pd.DataFrame(
        {
            "prompt": [prompt for prompt in found.prompts for _ in range(n)],
            "person": [person for person in found.people for _ in range(n)],
            "completion": [text for own in found.completions for text in own],
            "reward": found.rewards.ravel(),
            "ended": found.ended.ravel(),
            "chosen": (np.arange(n) == said[:, None]).ravel(),
        }
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
