"""What a run's own log says against it, in sentences: numbers that look like results and are none, or that want an explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def remarks(rows: Sequence[Row]) -> list[str]:
    """Sentences about the rows of a run's `metrics.jsonl`; none where there is nothing to say."""
    found = (_cut_off(rows), _alike(rows), _no_gradient(rows), *_unscored(rows), *_lost(rows), _negative_kl(rows))
    return [said for said in found if said]


def kl_text(row: Row) -> str:
    """The held-out KL of a row in nats per completion, with the half-width of its 95 % interval: it is an estimate from samples."""
    value, error = row.get("held_out/kl"), row.get("held_out/kl_se")
    if value is None:
        return "none"
    return f"{value:.3f}" + (f" ± {1.96 * error:.3f}" if error else "")


def _values(rows: Sequence[Row], name: str) -> list[float | None]:
    return [row[name] for row in rows if name in row]


def _always(rows: Sequence[Row], name: str, value: float) -> bool:
    values = _values(rows, name)
    return bool(values) and all(one == value for one in values)


def _cut_off(rows: Sequence[Row]) -> str | None:
    if not _always(rows, "completions/clipped_ratio", 1.0):
        return None
    return (
        "every completion was cut off at training.max_completion_length, at every step (completions/clipped_ratio 1.0): the policy has never ended "
        "a reply by EOS, and what was rewarded are beginnings of replies. Raise max_completion_length, or start from a model that ends its replies."
    )


def _alike(rows: Sequence[Row]) -> str | None:
    if not _always(rows, "frac_reward_zero_std", 1.0):
        return None
    values = {value for value in _values(rows, "reward") if value is not None}
    how = (
        f"every completion was rewarded alike ({min(values):.3g})"
        if len(values) == 1
        else "all completions to one prompt were rewarded alike"
    )
    return (
        f"{how}, at every step (frac_reward_zero_std 1.0): the reward has taught nothing. Look at it with `smilerl reward check`; if it tells replies apart, "
        "raise num_generations or temperature."
    )


def _no_gradient(rows: Sequence[Row]) -> str | None:
    values = _values(rows, "grad_norm")
    broken = sum(value is None for value in values)
    if broken:
        return f"grad_norm was no finite number at {broken} of {len(values)} logged steps: lower learning_rate, or look for rewards that are huge."
    if values and not any(values):
        return f"grad_norm was 0 at all {len(values)} logged steps: no weight has moved."
    return None


def _unscored(rows: Sequence[Row]) -> list[str]:
    said = []
    for name in _names(rows, "/scored"):
        shares = [value for value in _values(rows, name) if value is not None]
        if shares and min(shares) < 1:
            mean = sum(shares) / len(shares)
            said.append(
                f"the reward '{name.split('/')[1]}' scored {mean:.0%} of the completions ({min(shares):.0%} at the worst step); the others had no part in training."
            )
    return said


def _lost(rows: Sequence[Row]) -> list[str]:
    """Of `rewards/incomplete` and `rewards/NAME/missing`, which are logged only at steps where they are above 0."""
    said = []
    shares = [value for value in _values(rows, "rewards/incomplete") if value]
    if shares:
        said.append(
            f"rewards/incomplete: at {len(shares)} of {len(rows)} logged steps some rewards scored a completion and others did not (up to "
            f"{max(shares):.0%} of the completions). These had no part in training: a sum without one of its rewards is another reward."
        )
    for name in _names(rows, "/missing"):
        shares = [value for value in _values(rows, name) if value]
        if shares:
            said.append(
                f"{name}: the reward '{name.split('/')[1]}' gave no answer in time at {len(shares)} of {len(rows)} logged steps, and its completions had "
                "no part in training there. Give it more time (timeout), or see why it is slow."
            )
    return said


def _names(rows: Sequence[Row], ending: str) -> list[str]:
    """The names `rewards/NAME` with this ending, in the order of logging."""
    keys = (key for row in rows for key in row if key.startswith("rewards/") and key.endswith(ending))
    return list(dict.fromkeys(keys))


def _negative_kl(rows: Sequence[Row]) -> str | None:
    where = [
        words
        for name, words in (("kl", "of training"), ("held_out/kl", "with held-out people"))
        if any(value is not None and value < 0 for value in _values(rows, name))
    ]
    if not where:
        return None
    return (
        f"the KL {' and '.join(where)} is below 0 at some steps. A KL itself never is: this is an estimate, the mean log-ratio of the completions that were "
        "sampled, and near 0 its error is larger than the KL (held_out/kl_se)."
    )
