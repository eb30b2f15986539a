"""How well a reward agrees with people, on pairs of replies of which they preferred one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from smilerl import worlds
from smilerl.reward_check.asking import Asked
from smilerl.reward_check.findings import Finding
from smilerl.rewards import RewardError
from smilerl.statistics.agreement import Agreement, agreement, said


def read_pairs(path: str, form: str = "as_is") -> list[Any]:
    """The pairs in a JSONL file: rows with `prompt`, `completion` (the chosen reply) and `rejected`.

    Args:
        path: `chosen` and `rejected`, whole transcripts or messages, or with a `prompt` of their own.
        form: as_is, text or messages, as the dialogue world's `format`.

    Raises:
        ValueError: FILE:LINE of a line that is no pair.
    """
    rows = worlds.build("dialogue", path=path, held_out_fraction=0, format=form).rows
    lacking = next((row.where for row in rows if row.completion is None or row.rejected is None), None)
    if lacking is not None:
        raise ValueError(f"{lacking}: this pair lacks chosen or rejected; each line needs both")
    return list(rows)


def judge_pairs(reward: Callable, pairs: Sequence[Any], above: float | None = None) -> tuple[Finding, Agreement | None]:
    """Asks a reward about both replies of each pair.

    Args:
        pairs: N rows with `prompt`, `completion` (the chosen reply) and `rejected`.
        above: the accuracy that the whole interval must be above; None: none is demanded.

    Returns:
        The finding `pairs`, and the agreement where there is one.
    """
    asked, n = Asked(reward), len(pairs)
    prompts, chosen, rejected = zip(*((row.prompt, row.completion, row.rejected) for row in pairs), strict=True)
    names = dict.fromkeys(key for row in pairs for key in row.columns)
    columns: dict[str, list] = {name: [row.columns.get(name) for row in pairs] * 2 for name in names}
    try:
        scores = asked.values({"prompts": [*prompts] * 2, "completions": [*chosen, *rejected], **columns})
    except RewardError as error:
        fix = (
            "Nobody reacts to the replies of pairs, so a reward must read the replies themselves: {name: sentiment, "
            "args: {reads: completion}}."
        )
        return Finding("pairs", "fails", str(error).splitlines()[0], fix), None
    found = agreement(prompts, chosen, rejected, (scores[:n], scores[n:]))
    return _finding(found, above), found


def _finding(found: Agreement, above: float | None) -> Finding:
    accuracy, shorter, balanced = found.accuracy, found.shorter, found.against_length
    if accuracy.value is None or accuracy.low is None or accuracy.high is None:
        fix = "Are they too long for the model? See truncated."
        return Finding("pairs", "fails", "no pair has both replies scored", fix)
    ties = f", {found.ties} ties" if found.ties else ""
    words = f"accuracy {said(accuracy)}{ties}; preferring the shorter reply: {said(shorter)}"
    if balanced.value is not None:
        words += f"; length held fixed: {balanced.value:.3f} [{balanced.low:.3f}, {balanced.high:.3f}]"
    if above is not None and accuracy.low <= above:
        fix = f"The interval is not above {above}: train longer or on more pairs, or lower --accuracy_above."
        return Finding("pairs", "fails", words, fix)
    if accuracy.high < 0.5:
        fix = "It prefers what people rejected. Is its sign, or its label map, upside down?"
        return Finding("pairs", "fails", words, fix)
    if accuracy.low <= 0.5:
        return Finding("pairs", "note", words, "No better than a coin on these pairs, as far as they can tell.")
    return Finding("pairs", "ok", words)
