"""The checks: each asks one thing of a reward, and says what to do where the answer is wrong."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from smilerl.io.errors import users_place
from smilerl.io.terminal import named
from smilerl.models.randomness import unmoved_randomness
from smilerl.reward_check.asking import Asked
from smilerl.reward_check.findings import Finding, Findings, Status
from smilerl.reward_check.purity import ONCE, plain_values, pure
from smilerl.reward_check.tried import Tried, as_message
from smilerl.rewards import RewardError, text, texts
from smilerl.rewards._failures import as_values
from smilerl.rewards.preference import GUESSED

#: Largest difference of a value between batches, as a share of the largest value (at least 1), by type of number.
TOLERANCE = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 3e-2}
#: Texts that are asked about one at a time, at most.
ALONE = 24
#: The share of texts that are cut or unscored for their length, above which a check fails.
TOO_LONG = 0.05
#: Completions of one training step, for the sentence about speed.
STEP = 96
#: What to do about a value that depends on the rest of the batch.
BATCH = (
    "The value of a text depends on its batch: score each by itself, pad with an attention mask, leave out statistics "
    "of the batch (trainers standardise already). A model in half precision: dtype: float32."
)
ORDER = "The value of a text depends on its place: use its own prompt and completion, and columns at the same index."


def look(reward: Callable, tried: Tried) -> Findings:
    """All checks of a reward.

    Args:
        reward: as `build_reward` gives it, not `checked`, which would hide what is looked for.
        tried: at least two texts.
    """
    asked = Asked(reward)
    about = asked.reward.about()  # loads the model, so that the clock below counts scoring alone
    with unmoved_randomness():
        findings = [_in_words(finding, asked.reward) for finding in _all(asked, tried, about)]
    return Findings(asked.name, tried.what, about, findings)


def _in_words(finding: Finding, reward: Callable) -> Finding:
    """A check that a reward says it fails on purpose, as controls do (`by_design`), fails nobody."""
    if finding.status == "fails" and finding.name in reward.by_design:
        return dataclasses.replace(finding, status="by design", fix="")
    return finding


def _all(asked: Asked, tried: Tried, about: Mapping[str, Any]) -> Iterator[Finding]:
    n, started = len(tried), time.perf_counter()
    try:
        raw = asked(tried.only(range(n)))
        took = time.perf_counter() - started
        values = as_values(asked.name, raw, tried.columns["completions"])
    except Exception as error:  # noqa: BLE001 - whatever a user's reward raises is the finding
        yield Finding("values", "fails", _first_line(error), "Mend this first; the other checks need values.")
        return
    yield Finding("values", "ok", f"a finite number or None for each of {n} texts")
    yield _numbers(raw, values)
    yield _spread(values, tried)
    try:
        purity = list(pure(asked, tried))
    except Exception as error:  # noqa: BLE001
        purity = [Finding("twice", "fails", f"the second time: {_first_line(error)}", ONCE)]
    yield from purity
    yield from _batches(asked, tried, values, about)
    yield from _lengths(asked.reward, tried, about)
    yield _form(asked, tried, values, about)
    speed = f"{n / took:,.0f} texts a second; a step of {STEP} completions: {took / n * STEP:.2g} s"
    yield Finding("speed", "ok", speed, numbers={"texts_per_second": n / took})


def _numbers(raw: Any, values: Sequence[float | None]) -> Finding:
    """How many texts have no score. NaN is an error: None says that there is none."""
    nan = sum(isinstance(x, float) and math.isnan(x) for x in plain_values(raw))
    unscored, of = sum(x is None for x in values), len(values)
    status: Status = "fails" if nan or unscored == of else "note" if unscored else "ok"
    fix = "Such completions drop out of training; see that this is meant." if unscored else ""
    if unscored == of:
        fix = "A run would learn nothing. Is this the right world, and are texts short enough?"
    if nan:
        fix = "Return None where a text cannot be scored; if a model overflows in float16: dtype: bfloat16 or float32."
    said = f"{of - unscored} of {of} scored{f'; {nan} values are NaN' if nan else ''}"
    return Finding("unscored", status, said, fix, {"nan": nan / of, "unscored": unscored / of})


def _spread(values: Sequence[float | None], tried: Tried) -> Finding:
    """Methods here learn from differences between replies to one prompt, and from nothing else."""
    groups: dict[str, list[float]] = {}
    people = tried.columns.get("person", [None] * len(values))
    for *asked, value in zip(tried.columns["prompts"], people, values, strict=True):
        if value is not None:
            groups.setdefault(repr(asked), []).append(value)
    known = np.array([value for own in groups.values() for value in own])
    if not len(known):
        return Finding("spread", "n/a", "nothing is scored")
    several = [own for own in groups.values() if len(own) > 1]
    flat = sum(max(own) == min(own) for own in several)
    within = float(np.sqrt(np.mean([np.var(own) for own in several]))) if several else None
    numbers = {
        "mean": float(known.mean()), "sd": float(known.std()), "sd_within_prompts": within,
        "least": float(known.min()), "most": float(known.max()),
        "prompts_without_difference": flat / len(several) if several else None,
    }  # fmt: skip
    said = f"{known.mean():.3f} ± {known.std():.3f} (SD), from {known.min():.3f} to {known.max():.3f}"
    said += f"; within prompts ± {within:.3f}, none in {flat} of {len(several)}" if several else ""
    if several and flat == len(several):
        fix = "All replies to a prompt score the same: nothing to learn. Let the reward depend on the completion."
        return Finding("spread", "fails", said, fix, numbers)
    return Finding("spread", "ok", said, numbers=numbers)


def _batches(asked: Asked, tried: Tried, values: Sequence[float | None], about: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether a text's value depends on the other texts in the batch, or on their order."""
    n, dtype = len(tried), about.get("dtype", "float32")
    allowed = TOLERANCE.get(dtype, 1e-4) * max([1.0, *(abs(value) for value in values if value is not None)])
    lengths = [len(said) for said in texts(tried.columns["completions"])]
    by_length = sorted(range(n), key=lambda row: lengths[row])
    some = sorted({by_length[at * (n - 1) // max(1, min(ALONE, n) - 1)] for at in range(min(ALONE, n))})
    for name, orders, what, fix in (
        ("batch", [[row] for row in some], f"{len(some)} texts alone as among {n}", BATCH),
        ("order", [list(range(n - 1, -1, -1))], f"{n} texts in the opposite order", ORDER),
    ):
        try:
            found = [pair for rows in orders for pair in zip(rows, asked.values(tried.only(rows)), strict=True)]
        except Exception as error:  # noqa: BLE001
            yield Finding(name, "fails", f"{what}: {_first_line(error)}", "A batch may have any size, 1 included.")
            continue
        worst = max(_apart(values[row], value) for row, value in found)
        numbers = {"largest_difference": worst if math.isfinite(worst) else None, "allowed": allowed}
        said = f"{what}: largest difference {worst:.2g} (allowed for {dtype}: {allowed:.2g})"
        said = f"{what}: scored in one, unscored in the other" if math.isinf(worst) else said
        yield Finding(name, "ok" if worst <= allowed else "fails", said, "" if worst <= allowed else fix, numbers)


def _apart(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    return abs(one - other)


def _lengths(reward: Callable, tried: Tried, about: Mapping[str, Any]) -> Iterator[Finding]:
    """How many texts are longer than the model in the reward reads."""
    if "limit" not in about:
        return
    lengths = [length for length in reward.tokens(**tried.columns) if length is not None]
    if not lengths:
        yield Finding("truncated", "n/a", "no texts to measure")
        return
    share = sum(length > about["limit"] for length in lengths) / len(lengths)
    said = (
        f"{share:.1%} of texts are longer than {about['limit']} tokens (longest {max(lengths)}, mean "
        f"{np.mean(lengths):.0f}): a longer one {'is ' if about['too long'] == 'unscored' else ''}{about['too long']}"
    )
    fix = (
        "Raise max_length in the reward's args if the model reads more; else shorter prompts (max_prompt_chars) or "
        "max_completion_length."
    )
    status: Status = "fails" if share > TOO_LONG else "note" if share else "ok"
    numbers = {"share": share, "limit": about["limit"], "longest": max(lengths)}
    yield Finding("truncated", status, said, fix if share else "", numbers)


def _form(asked: Asked, tried: Tried, values: Sequence[float | None], about: Mapping[str, Any]) -> Finding:
    """Plain prompts and messages: does it take both, and is it asked in the form that its model was trained on?"""
    prompts = tried.columns["prompts"]
    plain = isinstance(prompts[0], str)
    if about.get("form from") == GUESSED:
        if plain and about["chat template"] and about["reads"].startswith("joined"):
            fix = (
                "Write chat: true in its args (plain prompts become messages), or chat: false if it was trained on "
                "plain text."
            )
            return Finding("form", "fails", "its model has a chat template, and plain text is put to it", fix)
        if not about["chat template"]:
            fix = "See on its card how it was trained, and say it in its args: pair: true or false, eos: true or false."
            return Finding("form", "note", f"that it reads {about['reads']} is a guess", fix)
    return _both_forms(asked, tried, values, plain)


def _both_forms(asked: Asked, tried: Tried, values: Sequence[float | None], plain: bool) -> Finding:
    """Worlds have plain text or messages: the reward is also asked in the form that is not this world's."""
    one, other = ("plain prompts", "messages") if plain else ("messages", "plain prompts")
    rows = _unlike(values)
    columns = tried.only(rows)
    for name in ("prompts", "completions"):
        columns[name] = [_as_messages(said, name) if plain else text(said) for said in columns[name]]
    try:
        found = asked.values(columns)
    except RewardError as error:
        if not isinstance(error.__cause__, Exception):
            return Finding("form", "ok", f"{one}; {other} are refused: {_first_line(error)}")
        fix = (
            "Completions come as [{role: assistant, content: ...}] where prompts are messages; smilerl.rewards.texts "
            "reads both."
        )
        return Finding("form", "note", f"{one}; {other} fail: {_first_line(error)}", fix)
    here, there = {values[row] for row in rows}, set(found)
    if len(here) > 1 and len(there) == 1:
        fix = (
            "It reads the list of messages, or the string, and not what is said: begin with "
            "`said = smilerl.rewards.texts(completions)`."
        )
        return Finding("form", "fails", f"{one}; as {other} all {len(rows)} texts score {found[0]}", fix)
    worst = max(_apart(values[row], value) for row, value in zip(rows, found, strict=True))
    same = "score the same" if worst < 1e-6 else "score otherwise (a template's markers, or roles)"
    numbers = {"difference_in_other_form": worst if math.isfinite(worst) else None}
    return Finding("form", "ok", f"{one}; the same as {other} {same}", numbers=numbers)


def _unlike(values: Sequence[float | None]) -> list[int]:
    """Up to 16 rows, those of different values first."""
    firsts = list({value: row for row, value in reversed(list(enumerate(values)))}.values())
    return [*firsts, *(row for row in range(len(values)) if row not in set(firsts))][:16]


def _as_messages(said: Any, name: str) -> Any:
    if not isinstance(said, str):
        return said
    return as_message(said) if name == "completions" else [{"role": "user", "content": said}]


def _first_line(error: Exception) -> str:
    """What an error says, in one line, with its type where it is not ours."""
    first = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, RewardError):
        return first
    at = users_place(error)
    return f"{named(error, first)}{f' ({at})' if at else ''}"
