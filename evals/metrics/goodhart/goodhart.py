"""Goodhart curves: what proxy or gold does with the distance from the base, and whether and where it turns."""

import datasets
import evaluate
import numpy as np

from smilerl.statistics import goodhart

_DESCRIPTION = """
Fits of Gao et al. (2023) to how a measure changes with the distance d = sqrt(KL) from the base policy: best-of-n d
(alpha - beta d), RL d (alpha - beta log d), a line, and a monotone null, compared at held-out distances. It says
`undetermined` where the data do not speak for one of them: no peak is named unless its whole interval lies within the
sampled distances and the points beyond it fall by themselves.
"""

_KWARGS_DESCRIPTION = """
Args:
    d: sqrt of KL(policy || base) of each point, nats per completion, positive (the base itself is left out).
    change: the measure minus its value at the base: a number, or a list with one number per prompt. None or NaN:
        unscored.
    group: which run each point is from; with three runs or more, runs are resampled. Optional, for `compute`.
    clusters: which prompts are alike, where `change` is by prompt. Optional, for `compute`.
    d_error: standard errors of d, one for each point; or, for each point, how far each prompt moves d. Errors in d make
        one form look like another. Optional, for `compute`; without it d is taken as exact.
    seed: of the bootstrap. Optional, for `compute`.
Returns:
    form: `linear`, `bon`, `rl`, `monotone` or `undetermined`; why: in words.
    peak: d of the maximum with its 95 % interval, or None.
    fits: alpha, beta (value, low, high), peak, error at held-out distances, and more, of each form.
    scored, of: points with a number, of all.
Examples:
    >>> import evaluate
    >>> metric = evaluate.load("evals/metrics/goodhart/goodhart.py")
    >>> d = [0.2 * step for step in range(1, 21)]
    >>> found = metric.compute(d=d, change=[x * (0.9 - 0.3 * x) + 0.01 * (-1) ** i for i, x in enumerate(d)])
    >>> print(found["form"], round(found["peak"][0], 1))
    bon 1.5
"""

_CITATION = """
@inproceedings{gao2023scaling,
  title = {Scaling Laws for Reward Model Overoptimization},
  author = {Gao, Leo and Schulman, John and Hilton, Jacob},
  booktitle = {Proceedings of the 40th International Conference on Machine Learning},
  year = {2023},
  url = {https://arxiv.org/abs/2210.10760}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class Goodhart(evaluate.Metric):
    """See the description."""

    def _info(self):
        number = datasets.Value("float64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[
                datasets.Features({"d": number, "change": number}),
                datasets.Features({"d": number, "change": datasets.Sequence(number)}),
            ],
            reference_urls=["https://arxiv.org/abs/2210.10760"],
        )

    def _compute(self, d, change, group=None, clusters=None, d_error=None, seed=0):
        found = goodhart.summary(d, np.array(change, dtype=float), group, clusters, d_error=d_error, seed=seed)
        return found | {count: found["fits"]["monotone"][count] for count in ("scored", "of")}
