"""Pairs and labels made by a reward: the policy's own replies to people, best against worst, or good and bad.

A file of them is JSONL, one row a line, ready for DPO, KTO and reward modelling here or in any TRL script. Beside it
lies `FILE.provenance.json`: the policy, the reward and its declared channels, the people, the seed, and what became of
every reply. Both appear whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from smilerl.config.recipe import Recipe, RewardSpec
from smilerl.config.trl import FORM_OF
from smilerl.data.candidates import Candidates, Sampling, device_of, draw
from smilerl.data.preferences import SampledArgs
from smilerl.io import paths
from smilerl.io.files import write as write_whole
from smilerl.io.files import write_json
from smilerl.models.messages import as_trained
from smilerl.models.policy import Policy, as_spoken
from smilerl.models.prompts import PromptError, check, context_of
from smilerl.rewards import Reward, RewardContext
from smilerl.rewards._summed import summed_as, unnoticed
from smilerl.runs import lineage
from smilerl.runs.identity import hash_path
from smilerl.runs.manifest import command_line, software, without_home
from smilerl.worlds.base import World, sealed


def rows_of(found: Candidates, form: str, threshold: float | None = None) -> tuple[list[dict], dict[str, int]]:
    """The pairs or labels in scored replies, and how many of what there were.

    A reply that was cut off is no candidate: trainers put an end after what they learn, and it had none. Nor is one
    without a score.

    Args:
        form: `pairs`: the best reply to each person against the worst, at most one pair a person; none where all are
            worth the same or say the same. `labels`: replies worth more (true) or less (false) than the threshold.
        threshold: for labels; None: the median over the candidates of the same person.

    Returns:
        Rows with `prompt`, `person`, and `chosen`, `rejected`, `score_chosen`, `score_rejected` or `completion`,
        `label`, `score`; and counts: people, replies, scored, cut_off, rows, ties (people, or replies at the
        threshold), too_few (people with fewer candidates than needed: two, or one beside a threshold).

    Raises:
        ValueError: no row came out, with the reason.
    """
    rows: list[dict] = []
    scored = np.isfinite(found.rewards)
    counts = {"people": len(found.people), "replies": int(scored.size), "scored": int(scored.sum())}
    counts |= {"cut_off": int((~found.ended).sum()), "rows": 0, "ties": 0, "too_few": 0}
    usable = scored & found.ended
    for row, (prompt, person, said) in enumerate(zip(found.prompts, found.people, found.completions, strict=True)):
        able = np.flatnonzero(usable[row])
        if len(able) < (2 if form == "pairs" or threshold is None else 1):
            counts["too_few"] += 1
            continue
        known = {"prompt": prompt, "person": person}
        values, texts = found.rewards[row, able], [said[index].removeprefix(found.opening) for index in able]
        own, ties = _pair(texts, values, prompt) if form == "pairs" else _labels(texts, values, prompt, threshold)
        rows += [known | one for one in own]
        counts["ties"] += ties
    counts["rows"] = len(rows)
    if not rows:
        raise ValueError(_why_none(counts, found))
    if form == "labels" and len({row["label"] for row in rows}) == 1:
        side = "above" if rows[0]["label"] else "below"
        raise ValueError(f"all {len(rows)} replies are {side} the threshold of {threshold}; labels are of both kinds")
    return rows, counts


def make_for(recipe: Recipe, world: World, rewards: Sequence[Reward], path: Path, *, progress: bool) -> str:
    """Makes the pairs or labels of a recipe: its policy's replies to `data.n` people, scored by its rewards.

    The people follow `data.seed` and the replies the recipe's seed, as in methods that sample while they train.

    Args:
        rewards: as built; may need channels to be open.
        path: where the file goes.
        progress: a bar on standard error.

    Returns:
        What came out, in a sentence.
    """
    data, spec, form = recipe.data, recipe.policy, FORM_OF[recipe.method]
    args = SampledArgs(**data.args)
    policy = as_spoken(spec, device=device_of(recipe.training))
    people = world.people(data.split, data.n, data.seed)
    how = Sampling(args.k, _length(recipe, world, policy, people["prompt"][:]), args.temperature, seed=recipe.seed)
    declared = sorted({name for one in rewards for name in one.channels})
    with sealed("pairs", declared), unnoticed(rewards):
        reward = summed_as(recipe.rewards, rewards, RewardContext.before(recipe.training, data.split))
        rows, counts = rows_of(draw(policy, people, reward, how, progress=progress), form, args.threshold)
    about = {
        "policy": policy_facts(str(spec.model_name_or_path)),
        "world": {"name": world.name, "args": recipe.world.args},
        "people": {"split": data.split, "n": data.n, "seed": data.seed},
        "sampling": asdict(how),
    }
    said = describe(form, args.threshold, rewards, recipe.rewards, counts)
    said["learnt_from"] = sorted({*said["learnt_from"], *lineage.of_model(spec.model_name_or_path)})
    write(path, rows, said | about)
    return summary(counts, form)


def _length(recipe: Recipe, world: World, policy: Policy, prompts: list) -> int:
    """Tokens of a reply: as the recipe says, else no more than fit behind the longest prompt.

    All prompts are checked before the first is sampled: a RecipeError where the policy cannot take one.
    """
    length, place = SampledArgs(**recipe.data.args).max_completion_length, world.found_at
    tokenizer, config = policy.tokenizer, policy.model.config
    try:
        longest, context = max(map(len, check(tokenizer, config, prompts, 1, place))), context_of(config)
        if "max_completion_length" not in recipe.data.args and context is not None:
            return min(length, context - longest)
        check(tokenizer, config, prompts, length, place)
    except PromptError as error:
        raise recipe.error("world", error.text, error.fix) from None
    return length


def count(path: Path) -> int:
    """How many rows a file has."""
    with path.open(encoding="utf-8") as file:
        return sum(bool(line.strip()) for line in file)


def write(path: Path, rows: Sequence[Mapping], about: Mapping[str, Any]) -> None:
    """Writes a file of rows, and first what is said about it.

    Args:
        about: how they were made; the hash of the rows is added.
    """
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(lineage.provenance_path(path), {**about, "sha256": hashlib.sha256(text.encode()).hexdigest()})
    write_whole(path, text)


def describe(
    form: str, threshold: float | None, rewards: Sequence[Callable], specs: Sequence[RewardSpec], counts: Mapping
) -> dict[str, Any]:
    """What a file says about how it was made, but for the policy, the people and the sampling.

    Its `channels` and `learnt_from` are those through which outcomes reached the rewards: a run that learns from the
    file notes them in its manifest.
    """
    above = f"above {'the median of the person' if threshold is None else threshold}"
    return {
        "format": form,
        "rule": "best against worst" if form == "pairs" else above,
        "rewards": [{"name": spec.name, "weight": spec.weight, "args": _portable(spec.args)} for spec in specs],
        "channels": sorted({name for reward in rewards for name in reward.channels}),
        "learnt_from": sorted({name for reward in rewards for name in reward.learnt_from}),
        "counts": dict(counts),
        "command": command_line(sys.argv),
        **software(),
    }


def policy_facts(name: str) -> dict[str, str | None]:
    """What a file says of the policy whose replies it holds: its name, and the hash of its directory, if it is one."""
    return {"name": _portable(name), "hash": hash_path(name) if Path(name).exists() else None}


def summary(counts: Mapping[str, int], form: str) -> str:
    """The counts in a sentence, for the screen."""
    unit = "person" if form == "pairs" else "reply"
    return (
        f"{counts['rows']} {form} from {counts['people']} people; scored {counts['scored']} of {counts['replies']} "
        f"replies, {counts['cut_off']} cut off; dropped: {counts['ties']} ties (by {unit}), {counts['too_few']} people "
        "with too few candidates"
    )


def _pair(texts: list[str], values: np.ndarray, prompt: str | list) -> tuple[list[dict], int]:
    best, worst = int(values.argmax()), int(values.argmin())
    # Noise can pay one text twice, and differently: that is no preference.
    if values[best] == values[worst] or texts[best] == texts[worst]:
        return [], 1
    chosen, rejected = as_trained([prompt] * 2, [texts[best], texts[worst]])
    pair = {"chosen": chosen, "rejected": rejected}
    return [pair | {"score_chosen": float(values[best]), "score_rejected": float(values[worst])}], 0


def _labels(
    texts: list[str], values: np.ndarray, prompt: str | list, threshold: float | None
) -> tuple[list[dict], int]:
    limit = float(np.median(values)) if threshold is None else threshold
    rows = [
        {"completion": said, "label": bool(value > limit), "score": float(value)}
        for said, value in zip(as_trained([prompt] * len(texts), texts), values, strict=True)
        if value != limit
    ]
    return rows, len(texts) - len(rows)


def _why_none(counts: Mapping[str, int], found: Candidates) -> str:
    if counts["cut_off"] == counts["replies"]:
        return "every reply was cut off before its end: raise max_completion_length (--max_completion_length)"
    if counts["scored"] == 0:
        return f"the reward scored none of the {counts['replies']} replies"
    if counts["too_few"] == counts["people"]:
        return (
            f"nobody has two candidates: {counts['cut_off']} of {counts['replies']} replies were cut off and "
            f"{counts['scored']} scored. Raise k or max_completion_length"
        )
    return "the reward likes all replies to a person alike, so no reply is better than another"


def _portable(value: Any) -> Any:
    """Without the places of this machine: models that were built on first use lie in the cache."""
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_portable(item) for item in value]
    if not isinstance(value, str):
        return value
    return without_home(value.replace(str(paths.cache_dir()), "$SMILERL_CACHE"))
