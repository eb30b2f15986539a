"""Sentences about a run's own log: numbers that look like results and are none, or that need an explanation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def remarks(rows: Sequence[Row]) -> list[str]:
    """Sentences about the rows of a run's `metrics.jsonl`; none where there is nothing to say."""
    return [*_nothing_learnt(rows), *_unscored(rows), *_lost(rows), *_negative_kl(rows)]


def kl_text(row: Row) -> str:
    """The held-out KL of a row in nats per completion, with the half-width of its 95 % interval (it is estimated)."""
    value, error = row.get("held_out/kl"), row.get("held_out/kl_se")
    if value is None:
        return "none"
    return f"{value:.3f}" + (f" ± {1.96 * error:.3f}" if error else "")


def _values(rows: Sequence[Row], name: str) -> list[float | None]:
    return [row[name] for row in rows if name in row]


def _nothing_learnt(rows: Sequence[Row]) -> Iterator[str]:
    if set(_values(rows, "completions/clipped_ratio")) == {1.0}:
        yield (
            "every completion was cut off at training.max_completion_length, at every step (completions/clipped_ratio "
            "1.0): the policy has never ended a reply by EOS, and what was rewarded are beginnings of replies. Raise "
            "max_completion_length, or start from a model that ends its replies."
        )
    if set(_values(rows, "frac_reward_zero_std")) == {1.0}:
        values = {value for value in _values(rows, "reward") if value is not None}
        alike = f"every completion was rewarded alike ({min(values):.3g})" if len(values) == 1 else None
        yield (
            f"{alike or 'all completions to one prompt were rewarded alike'}, at every step (frac_reward_zero_std 1.0):"
            " the reward has taught nothing. Look at it with `smilerl reward check`; if it tells replies apart, raise"
            " num_generations or temperature."
        )
    norms = _values(rows, "grad_norm")
    if broken := norms.count(None):
        yield (
            f"grad_norm was no finite number at {broken} of {len(norms)} logged steps: lower learning_rate, or look "
            "for rewards that are huge."
        )
    elif norms and not any(norms):
        yield f"grad_norm was 0 at all {len(norms)} logged steps: no weight has moved."


def _unscored(rows: Sequence[Row]) -> Iterator[str]:
    for name in _names(rows, "/scored"):
        shares = [value for value in _values(rows, name) if value is not None]
        if shares and min(shares) < 1:
            yield (
                f"the reward '{name.split('/')[1]}' scored {sum(shares) / len(shares):.0%} of the completions "
                f"({min(shares):.0%} at the worst step); the others had no part in training."
            )


def _lost(rows: Sequence[Row]) -> Iterator[str]:
    """Of `rewards/incomplete` and `rewards/NAME/missing`, which are logged only at steps where they are above 0."""
    if shares := [value for value in _values(rows, "rewards/incomplete") if value]:
        yield (
            f"rewards/incomplete: at {len(shares)} of {len(rows)} logged steps some rewards scored a completion and "
            f"others did not (up to {max(shares):.0%} of the completions). These had no part in training: a sum"
            " without one of its rewards is another reward."
        )
    for name in _names(rows, "/missing"):
        if shares := [value for value in _values(rows, name) if value]:
            yield (
                f"{name}: the reward '{name.split('/')[1]}' gave no answer in time at {len(shares)} of {len(rows)} "
                "logged steps, and its completions had no part in training there. Give it more time (timeout), or see "
                "why it is slow."
            )


def _names(rows: Sequence[Row], ending: str) -> list[str]:
    """The names `rewards/NAME` with this ending, in the order of logging."""
    keys = (key for row in rows for key in row if key.startswith("rewards/") and key.endswith(ending))
    return list(dict.fromkeys(keys))


def _negative_kl(rows: Sequence[Row]) -> Iterator[str]:
    kinds = {"kl": "of training", "held_out/kl": "with held-out people"}
    where = [said for name, said in kinds.items() if any(value and value < 0 for value in _values(rows, name))]
    if where:
        yield (
            f"the KL {' and '.join(where)} is below 0 at some steps. A KL itself never is: this is an estimate, the"
            " mean log-ratio of the completions that were sampled, and near 0 its error is larger than the KL"
            " (held_out/kl_se)."
        )
