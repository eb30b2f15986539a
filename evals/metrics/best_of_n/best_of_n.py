"""Best of n: what a reward chooses among n samples, and what becomes of another measure."""

import datasets
import evaluate
import numpy as np

from smilerl.statistics import best_of_n

_DESCRIPTION = """
From N scored samples per prompt: the expected best reward of n samples, and the expected value of another measure
(wellbeing, say) of the sample with the best reward, unbiased over all subsets of n, for n = 1, 2, 4, ..., N; the slope
of the measure in log n, with a 95 % interval over clusters of prompts; and log n - (n - 1)/n, an upper bound on the KL
from the base.
"""

_KWARGS_DESCRIPTION = """
Args:
    rewards: for each prompt a list of the rewards of its N samples. A sample with None or NaN is no candidate.
    measure: for each prompt a list with another number of each sample.
    clusters: which prompts are alike; without it each is its own. Optional, for `compute`.
    seed: of the bootstrap. Optional, for `compute`.
Returns:
    n: the sizes; kl_upper_bound: in nats; prompts: how many have n scored samples.
    reward, measure: expected values for each n, means over those prompts; None where there are none.
    slope, low, high: of the measure in log n.
    scored, of: samples with a reward, of all.
Examples:
    >>> import evaluate
    >>> metric = evaluate.load("evals/metrics/best_of_n/best_of_n.py")
    >>> rewards = [[0.0, 1.0, 2.0, None], [0.0, 1.0, 2.0, 3.0]]
    >>> found = metric.compute(rewards=rewards, measure=[[3, 2, 1, 0], [3, 2, 1, 0]])
    >>> print(found["n"], [round(value, 3) for value in found["reward"]], found["prompts"])
    [1, 2, 4] [1.25, 2.0, 3.0] [2, 2, 1]
    >>> print(round(found["slope"], 3), f"scored {found['scored']} of {found['of']}")
    -1.022 scored 7 of 8
"""

_CITATION = """
@misc{beirami2024theoretical,
  title = {Theoretical guarantees on the best-of-n alignment policy},
  author = {Beirami, Ahmad and Agarwal, Alekh and Berant, Jonathan and D'Amour, Alexander and Eisenstein, Jacob and
    Nagpal, Chirag
            and Suresh, Ananda Theertha},
  year = {2024},
  eprint = {2401.01879},
  archivePrefix = {arXiv}
}
@inproceedings{gao2023scaling,
  title = {Scaling Laws for Reward Model Overoptimization},
  author = {Gao, Leo and Schulman, John and Hilton, Jacob},
  booktitle = {Proceedings of the 40th International Conference on Machine Learning},
  year = {2023}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class BestOfN(evaluate.Metric):
    """See the description."""

    def _info(self):
        samples = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"rewards": samples, "measure": samples}),
            reference_urls=["https://arxiv.org/abs/2401.01879", "https://arxiv.org/abs/2210.10760"],
        )

    def _compute(self, rewards, measure, clusters=None, seed=0):
        found = best_of_n.curves(rewards, measure)
        slope = best_of_n.slope(found, clusters, seed=seed)
        return {
            "n": found.n.tolist(),
            "kl_upper_bound": [best_of_n.kl_bound(n) for n in found.n],
            "prompts": np.isfinite(found.proxy).sum(axis=0).tolist(),
            "reward": _means(found.proxy),
            "measure": _means(found.gold),
            "slope": slope.value,
            "low": slope.low,
            "high": slope.high,
            "scored": found.scored,
            "of": found.of,
        }


def _means(table):
    columns = [column[np.isfinite(column)] for column in table.T]
    return [float(column.mean()) if len(column) else None for column in columns]
