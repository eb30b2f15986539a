"""What `smilerl judge` found of a judge, kept in the cache: no verdict may hang on a judge that knows nothing.

The last measurement counts, of the same spec, rubric and settings.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smilerl.chat_models import ChatModelError
from smilerl.evaluation.judges.judge import Judge
from smilerl.io import bounded, disk, paths
from smilerl.runs.identity import digest


def keep(judge: Judge, found: Mapping[str, Any]) -> None:
    """Keeps what `agreement.agreement` found of a judge; nothing where it has no spec, since a function has no hash."""
    if judge.spec is not None:
        known = {key: found[key] for key in ("knows_nothing", "scored", "of")}
        disk.keep_in_cache(_file(judge), json.dumps(known))


def recall(judge: Judge) -> dict[str, Any] | None:
    """`knows_nothing`, `scored` and `of` of the last measurement of this judge; None where it was not measured."""
    try:
        known = bounded.mapping(_file(judge))
        return {key: known[key] for key in ("knows_nothing", "scored", "of")}
    except (OSError, ValueError, KeyError, RecursionError):
        return None  # not there, or spoilt: it has to be measured again


def refuse_ignorant(judge: Judge) -> None:
    """Raises ChatModelError where a judge was measured and knows nothing by its rubric."""
    known = recall(judge)
    if known is not None and known["knows_nothing"] is not None:
        other = "{name: local, args: {model: MODEL, scores: by_likelihood}}"
        raise ChatModelError(
            f"the judge {judge.name} knows nothing: of {judge.rubric.judges}, {known['knows_nothing']} "
            f"(measured on {known['of']} conversations).\n"
            "    Verdicts would hang on it. Take another judge, or leave --judge out."
            f"{f' One too small to write: {other}.' if judge.scores == 'by_writing' else ''}\n"
            f"    To measure it again, with more conversations: {command(judge.spec)} --n 1024"
        )


def command(spec: Mapping[str, Any] | None) -> str:
    """The command that measures the judge of a spec."""
    return f"smilerl judge {shlex.quote(json.dumps(spec))}"


def _file(judge: Judge) -> Path:
    settings = [judge.scores, judge.samples, judge.temperature, judge.max_new_tokens]
    return paths.cache_dir() / "judges" / f"{digest([judge.spec, judge.rubric.data, settings])[:32]}.json"
