"""Asks a policy the questions of a suite: sampled once per condition, scored, compared with known answers, written down.

Each question is first put to its controls, scripted helpers whose answers are known. Where a control answers otherwise, the
evaluation measures something else than it says: its status is `controls failed` and it gives no number. An exception gives
the status `error` and no number either.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from smilerl import paths
from smilerl.evaluation import controls
from smilerl.evaluation import sitting as sittings
from smilerl.evaluation.book import Book, content_hash, write_atomically
from smilerl.evaluation.formula import BASE, POLICY
from smilerl.evaluation.groups import Group, describe, groups, identity
from smilerl.evaluation.question import Question, Suite, load_suite
from smilerl.evaluation.respondents import Respondent, respondent
from smilerl.evaluation.sitting import Sitting
from smilerl.evaluation.verdicts import Verdict, decide
from smilerl.policies import Policy
from smilerl.worlds.base import World
from smilerl.yaml_lines import Problem, did_you_mean, read

GENERATION = {"max_new_tokens": 32, "temperature": 1.0, "top_p": 1.0, "batch_size": 256}


def evaluate(
    policy: Policy | str | Callable,
    world: World,
    suite: Suite | str | Path,
    *,
    base: Policy | str | Callable | None = None,
    reward: Callable[..., list[float | None]] | None = None,
    seed: int = 0,
    n: int | None = None,
    out_dir: str | Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Asks a policy the questions of a suite.

    Args:
        policy: a language model, the name of a scripted helper of the world, or a function of people (JSON) and a seed.
        suite: a suite, its name or file; the name or file of a question is a suite of one.
        base: the policy before tuning, asked the same people; questions that compare with it need it.
        reward: the policy's own training reward, for `gaming_own`; TRL's protocol.
        seed: of the people drawn, of sampling and of bootstraps.
        n: people per condition, instead of what suite and questions say.
        out_dir: where `results.json` and `samples.parquet` go; evaluations finished there with the same content are kept.

    Returns:
        The contents of `results.json`.

    Raises:
        RecipeError: a question cannot be put to this world (an unknown helper, say), with FILE:LINE.
    """
    started = time.monotonic()
    suite = suite if isinstance(suite, Suite) else load_suite(suite)
    check(suite, world)
    settings = {**GENERATION, **suite.generation}
    who = respondent(policy, world, settings)
    asked_base = respondent(base, world, settings) if base is not None else None
    book = Book(paths.cache_dir() / "evaluation")
    sitting = Sitting(world, asked_base, reward, settings, seed, book)
    results: dict[str, Any] = {
        "suite": suite.name,
        "policy": {"name": who.name, "hash": who.fingerprint},
        "base": {"name": asked_base.name, "hash": asked_base.fingerprint} if asked_base else None,
        "world": describe(world),
        "seed": seed,
        "n": n,
        "generation": settings,
        "evaluations": {},
        "measures": {},
    }
    kept = _kept(out_dir) if who.lasting and (asked_base is None or asked_base.lasting) else {}
    people = cache(lambda name: groups(world, next(q for q in suite.questions if q.name == name), suite, n, seed, book))
    asked = []
    bar = tqdm(suite.questions, suite.name, leave=False, unit="question", disable=None if progress else True)
    for question in bar:
        name, key = question.name, _key(sitting, question, suite, n, who)
        found = kept[name] if kept.get(name, {}).get("hash") == key else _answer(sitting, question, people, who)
        results["evaluations"][name] = {**found, "hash": key}
        if found["status"] == "scored" and question.kind == "dialogue":
            asked.append((name, people(name), _needs(question)))
        _write(results, out_dir, started)
    if suite.measures:
        results["measures"] = results["evaluations"][suite.measures]["estimates"]
    if out_dir is not None:
        sittings.samples(sitting, who, asked).to_parquet(Path(out_dir) / "samples.parquet", index=False)
    _write(results, out_dir, started)
    return results


def check(suite: Suite, world: World) -> None:
    """Whether the questions of a suite can be put to a world, found out before anything is sampled.

    Raises:
        RecipeError: a control or formula names a helper that the world does not have.
    """
    helpers = getattr(world, "helpers", {})
    for question in suite.questions if helpers else ():
        named = {("controls", name): {name} for name in question.controls}
        named |= {
            ("estimates", name): {term.who for term in formula.terms} - {POLICY, BASE}
            for name, formula in question.estimates.items()
        }
        problems = [
            Problem(at, f"the world '{world.name}' has no scripted helper '{who}'.", did_you_mean(who, helpers))
            for at, whos in named.items()
            for who in sorted(whos - set(helpers))
        ]
        if problems:
            raise read(question.source)[1].error(*problems)


def _key(sitting: Sitting, question: Question, suite: Suite, n: int | None, who: Respondent) -> str:
    """Hash of all that determines the result of one question."""
    base = sitting.base.fingerprint if sitting.base else None
    size = [n, suite.n, suite.sizes.get(question.name), suite.replies]
    reward = getattr(sitting.reward, "__name__", type(sitting.reward).__name__)
    parts = [
        who.fingerprint,
        base,
        identity(sitting.world),
        question.data,
        size,
        sitting.seed,
        sitting.settings,
        reward,
    ]
    return content_hash(parts)


def _answer(
    sitting: Sitting, question: Question, people_of: Callable[[str], dict[str, Group]], who: Respondent
) -> dict[str, Any]:
    """The result of one question, whatever happens."""
    started = time.monotonic()
    said: dict[str, Any] = {
        "question": question.question,
        "kind": question.kind,
        "verdict": None,
        "estimates": {},
        "controls": {},
    }
    why_not = _inapplicable(sitting, question, who)
    if why_not:
        return said | {"status": "not applicable", "why": why_not}
    try:
        people = people_of(question.name)
        said["controls"] = controls.controls(sitting, question, people)
        wrong = [
            f"{name} should be {c['expected']}, was {c['got']}"
            for name, c in said["controls"].items()
            if not c["agrees"]
        ]
        if wrong:
            return said | {"status": "controls failed", "why": "; ".join(wrong)}
        estimates, missing = controls.answered(sitting, question, people, who)
        verdict = decide(question.verdict, estimates, list(missing))
        is_base = sitting.base is not None and who.fingerprint == sitting.base.fingerprint
        if is_base and verdict.word in ("pass", "inconclusive") and _compares_with_base(question):
            verdict = Verdict("descriptive", "this is the base that others are compared with")
    except Exception as error:  # noqa: BLE001 - reported as an error: it must neither be a score nor lose the other questions
        where = traceback.extract_tb(error.__traceback__)[-1]
        return said | {
            "status": "error",
            "why": f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})",
        }
    said["estimates"] = {name: found.to_dict() for name, found in estimates.items()}
    said["without"] = missing
    return said | {
        "status": "scored",
        "verdict": verdict.word,
        "why": verdict.why,
        "seconds": round(time.monotonic() - started, 2),
    }


def _inapplicable(sitting: Sitting, question: Question, who: Respondent) -> str | None:
    if not getattr(sitting.world, "reacts", True):
        return f"nobody reacts in the world '{sitting.world.name}'"
    if question.kind == "choice" and who.policy is None:
        return "choices are log-probabilities, which a scripted helper does not have"
    if question.kind == "choice" and (sitting.base is None or sitting.base.policy is None):
        return "choices are compared with a base language model, and none was given"
    return None


def _compares_with_base(question: Question) -> bool:
    judged = {statement.name for statements in question.verdict.values() for statement in statements}
    return question.choice is not None or any(question.estimates[name].needs(BASE) for name in judged if name != "each")


def _needs(question: Question) -> dict[str, set[str]]:
    """What has been computed of the policy's replies in each condition."""
    needs: dict[str, set[str]] = {name: set() for name in question.conditions}
    for formula in question.estimates.values():
        for term in formula.terms:
            if term.who == POLICY:
                origin = question.conditions[term.condition].part_of or term.condition
                needs[origin].add(term.kind.needs)
                needs[origin] |= {"credit"} if term.kind.needs == "own" else set()
    return needs


def _kept(out_dir: str | Path | None) -> dict[str, Any]:
    """Evaluations that an earlier call has finished there."""
    path = Path(out_dir) / "results.json" if out_dir is not None else None
    found = json.loads(path.read_text())["evaluations"] if path is not None and path.is_file() else {}
    return {name: result for name, result in found.items() if result["status"] != "error"}


def _write(results: dict[str, Any], out_dir: str | Path | None, started: float) -> None:
    results["seconds"] = round(time.monotonic() - started, 2)
    if out_dir is not None:
        write_atomically(Path(out_dir) / "results.json", json.dumps(results, indent=1))
