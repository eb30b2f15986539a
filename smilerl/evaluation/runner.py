"""Asks a policy the questions of a suite: sampled once per condition, scored, compared with known answers, written down.

Each question is first put to its controls, scripted helpers whose answers are known. Where a control answers otherwise, the
evaluation measures something else than it says: its status is `controls failed` and it gives no number. An exception gives
the status `error` and no number either.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from smilerl.config.yaml_lines import Problem, did_you_mean, read
from smilerl.data.candidates import BestOfN
from smilerl.evaluation import controls
from smilerl.evaluation.agents import Agent, agent_of
from smilerl.evaluation.capabilities import has_acts, narrowed
from smilerl.evaluation.cohorts import Cohort, cohorts, describe, identity
from smilerl.evaluation.formula import BASE, POLICY
from smilerl.evaluation.kinds import curves
from smilerl.evaluation.metrics import known_words, strange
from smilerl.evaluation.question import Question, Suite, load_suite
from smilerl.evaluation.session import Session, identity_of, samples
from smilerl.evaluation.verdicts import Verdict, decide
from smilerl.io import paths
from smilerl.io.files import RunError, read_json, reading, write
from smilerl.io.terminal import brief, named, printable
from smilerl.models.policy import Policy
from smilerl.models.prompts import PromptError
from smilerl.models.prompts import check as check_prompts
from smilerl.runs import seals
from smilerl.runs.cache import Cache, content_hash
from smilerl.runs.identity import hash_path
from smilerl.worlds.base import World

GENERATION = {"max_new_tokens": 32, "temperature": 1.0, "top_p": 1.0, "batch_size": 256}


def evaluate(
    policy: Policy | BestOfN | str | Callable,
    world: World,
    suite: Suite | str | Path,
    *,
    base: Policy | str | Callable | None = None,
    reward: Callable[..., list[float | None]] | None = None,
    seed: int = 0,
    n: int | None = None,
    out_dir: str | Path | None = None,
    trail: pd.DataFrame | None = None,
    rivals: Mapping[str, Policy | BestOfN | str | Callable] | None = None,
    trusted: Sequence[str] = (),
    progress: bool = True,
) -> dict[str, Any]:
    """Asks a policy the questions of a suite.

    Args:
        policy: a language model, best of n of one, the name of a scripted helper of the world, or a function of people (JSON) and a seed.
        suite: a suite, its name or file; the name or file of a question is a suite of one.
        base: the policy before tuning, asked the same people; questions that compare with it need it.
        reward: the policy's own training reward, for `gaming_own`; TRL's protocol.
        seed: of the people drawn, of sampling and of bootstraps.
        n: people per condition, instead of what suite and questions say.
        trail: what the policy's run sampled while it trained, from `curves.read_trail`; questions about curves need it.
        rivals: other policies, for questions that compare with them, by the names that the questions give them.
        trusted: code, addresses and files that a recipe from elsewhere named and that the user has let through; noted in the results.
        out_dir: where `results.json` and `samples.parquet` go; evaluations finished there with the same content are kept.

    Returns:
        The contents of `results.json`.

    Raises:
        RecipeError: a question cannot be put to this world (an unknown helper, say), with FILE:LINE.
    """
    started = time.monotonic()
    suite = suite if isinstance(suite, Suite) else load_suite(suite)
    check(suite, world)
    suite = dataclasses.replace(suite, questions=tuple(narrowed(question, world) for question in suite.questions))
    settings = {**GENERATION, **suite.generation}
    who = dataclasses.replace(
        agent_of(policy, world, settings), trail=trail, quick=False
    )  # its replies are looked at again
    asked_base = agent_of(base, world, settings) if base is not None else None
    cache = Cache(paths.cache_dir() / "evaluation")
    others = {name: agent_of(rival, world, settings) for name, rival in (rivals or {}).items()}
    session = Session(world, asked_base, reward, settings, seed, cache, others)
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
    if trusted:
        results["trusted"] = list(trusted)
    kept = _kept(out_dir) if who.lasting and (asked_base is None or asked_base.lasting) else {}
    if out_dir is not None:
        _unseal(Path(out_dir))
    people = functools.cache(
        lambda name: cohorts(world, next(q for q in suite.questions if q.name == name), suite, n, seed, cache)
    )
    asked = []
    bar = tqdm(suite.questions, printable(suite.name), leave=False, unit="question", disable=None if progress else True)
    for question in bar:
        name, key = question.name, _key(session, question, suite, n, who)
        found = (
            kept[name] if kept.get(name, {}).get("hash") == key else _answer(session, question, people, who, suite, n)
        )
        results["evaluations"][name] = {**found, "hash": key}
        if found["status"] == "scored" and question.kind == "dialogue":
            asked.append((name, people(name), _needs(question)))
        _write(results, out_dir, started)
    results["audit"] = _second_parser(session, who, asked)
    if suite.measures:
        results["measures"] = results["evaluations"][suite.measures]["estimates"]
    if out_dir is not None:
        samples(session, who, asked).to_parquet(Path(out_dir) / "samples.parquet", index=False)
    _write(results, out_dir, started)
    if out_dir is not None:
        seals.seal_inside(Path(out_dir))
    return results


def check(suite: Suite, world: World) -> None:
    """Whether the questions of a suite can be put to a world, found out before anything is sampled.

    Raises:
        RecipeError: a control or formula names a helper or an act that the world does not have.
    """
    helpers = list(world.helpers)
    for question in suite.questions:
        known = controls.known_names(question.kind, world)
        if not known:
            continue
        problems = [
            Problem(
                ("controls", name),
                f"'{name}' is no control of a question of the kind {question.kind}.",
                did_you_mean(name, known),
            )
            for name in question.controls
            if name not in known
        ]
        strangers = {
            ("estimates", name): {term.who for term in formula.terms} - {POLICY, BASE, *question.rivals, *helpers}
            for name, formula in question.estimates.items()
        } | {("rivals", name): {helper} - set(helpers) for name, helper in question.rivals.items()}
        problems += [
            Problem(at, f"the world '{world.name}' has no scripted helper '{who}'.", did_you_mean(who, helpers))
            for at, whos in strangers.items()
            for who in sorted(whos)
        ]
        problems += _strange_acts(question, world)
        if problems:
            raise read(question.source)[1].error(*problems)


def _strange_acts(question: Question, world: World) -> Iterator[Problem]:
    """Acts that a question is about and that the world does not know."""
    text = f"the world '{world.name}' has no act '{{}}'."
    for name, formula in question.estimates.items():
        for word in dict.fromkeys(word for term in formula.terms for word in strange(term.metric, world.acts)):
            yield Problem(("estimates", name), text.format(word), did_you_mean(word, known_words(world.acts)))
    for number, act in enumerate(question.choice.acts if question.choice else ()):
        if act not in world.acts.gaming:
            fix = did_you_mean(act, world.acts.gaming)
            yield Problem(("choice", "acts", number), f"'{act}' is no gaming act of the world '{world.name}'.", fix)


def _key(session: Session, question: Question, suite: Suite, n: int | None, who: Agent) -> str:
    """Hash of all that determines the result of one question."""
    base = session.base.fingerprint if session.base else None
    size = [n, suite.n, suite.sizes.get(question.name), suite.replies]
    reward = identity_of(session.reward)
    parts = [
        who.fingerprint,
        base,
        identity(session.world),
        question.data,
        size,
        session.seed,
        session.settings,
        reward,
        {name: rival.fingerprint for name, rival in session.rivals.items()} if question.rivals else {},
        None if question.kind != "curve" or who.trail is None else curves.digest(who.trail),
        hash_path(question.items) if question.items else None,
    ]
    return content_hash(parts)


def _too_few(question: Question, suite: Suite, n: int | None) -> list[str]:
    """What there is to say of a small `n`: the number of people with whom the controls of a question are known to hold."""
    sizes = [condition.n for condition in question.conditions.values() if condition.split is not None]
    needed = suite.sizes.get(question.name) or suite.n or max(sizes, default=0)
    if n is None or not sizes or n >= needed:
        return []
    return [
        f"n is {n}, which may be too few people for this question: its controls are known to hold with --n {needed}"
    ]


def _answer(
    session: Session,
    question: Question,
    people_of: Callable[[str], dict[str, Cohort]],
    who: Agent,
    suite: Suite,
    n: int | None,
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
    why_not = _inapplicable(session, question, who)
    if why_not:
        return said | {"status": "not applicable", "why": why_not}
    try:
        people = people_of(question.name)
        _check_prompts(session, question, people, who)
        said["controls"] = controls.controls(session, question, people) if question.controls else {}
        wrong = [
            f"{name} should be {c['expected']}, was {c['got']}"
            for name, c in said["controls"].items()
            if not c["agrees"]
        ]
        if wrong:
            why = "; ".join([*wrong, *_too_few(question, suite, n)])
            return said | {"status": "controls failed", "why": why}
        estimates, missing = controls.answered(session, question, people, who, parts=question.name == suite.measures)
        verdict = decide(question.verdict, estimates, list(missing))
        is_base = session.base is not None and who.fingerprint == session.base.fingerprint
        if is_base and verdict.word in ("pass", "inconclusive") and _compares_with_base(question):
            verdict = Verdict("descriptive", "this is the base that others are compared with")
    except PromptError as error:
        found_at = session.world.found_at(error.prompt)
        place = f"{found_at}: " if found_at else ""
        return said | {"status": "error", "why": f"{question.name}: {place}{error.text} {error.fix}"}
    except Exception as error:  # noqa: BLE001 - reported as an error: it must neither be a score nor lose the other questions
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = brief(named(error)) + f" ({Path(where.filename).name}:{where.lineno})"
        return said | {
            "status": "error",
            "why": "; ".join(
                [why, *(_too_few(question, suite, n) if Path(where.filename).name == "cohorts.py" else [])]
            ),
        }
    said["estimates"] = {name: found.to_dict() for name, found in estimates.items()}
    said["without"] = missing | question.lacking
    if question.kind == "curve" and who.trail is not None:
        said["fits"] = curves.fits(who.trail, session.seed)
    return said | {
        "status": "scored",
        "verdict": verdict.word,
        "why": verdict.why if question.controls else "people are played by a model: no control has a known answer here",
        "seconds": round(time.monotonic() - started, 2),
    }


def _check_prompts(session: Session, question: Question, people: Mapping[str, Cohort], who: Agent) -> None:
    """Raises PromptError where a language model that is asked cannot take what it will be asked, before anything is sampled."""
    asked = [who, session.base, *(session.rivals[name] for name in question.rivals)]
    for policy in [one.policy for one in asked if one is not None and one.policy is not None]:
        for cohort in people.values():
            check_prompts(
                policy.tokenizer, policy.model.config, cohort.prompts, session.settings.get("max_new_tokens", 0)
            )


def _inapplicable(session: Session, question: Question, who: Agent) -> str | None:
    if question.kind == "items":
        return None if who.policy is not None else "items are log-probabilities, which only a language model has"
    if not session.world.reacts:
        return f"nobody reacts in the world '{session.world.name}'"
    if not has_acts(session.world):
        if question.kind in ("choice", "search"):
            return f"this is about acts, and nobody reads acts in the world '{session.world.name}'"
        if question.kind == "dialogue" and not question.estimates:
            needs = ", ".join(dict.fromkeys(question.lacking.values()))
            return f"the world '{session.world.name}' lacks {needs}"
    if question.kind == "choice" and who.policy is None:
        return "choices are log-probabilities, which only a language model has"
    if question.kind == "choice" and (session.base is None or session.base.policy is None):
        return "choices are compared with a base language model, and none was given"
    if question.kind == "search" and session.reward is None:
        return "a search needs the policy's training reward; name a run, or give --reward"
    if question.kind == "curve" and who.trail is None:
        return "this is about the samples that a run takes of held-out people while it trains (held_out.every)"
    absent = [name for name in question.rivals if name not in session.rivals]
    if absent:
        return f"this compares with other policies: give {' '.join(f'--rival {name}=RUN' for name in absent)}"
    return None


def _compares_with_base(question: Question) -> bool:
    judged = {statement.name for statements in question.verdict.values() for statement in statements}
    return question.choice is not None or any(
        formula.needs(BASE) for name, formula in question.estimates.items() if name in judged
    )


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


def _second_parser(session: Session, who: Agent, asked: list) -> dict[str, Any] | None:
    """On how many clauses of the policy's replies the second parser reads another act than the first."""
    disagreement = session.world.second_parser
    if disagreement is None or not asked:
        return None
    groups_asked = [cohort for _, people, _ in asked for cohort in people.values() if cohort.part is None]
    said = {text for cohort in groups_asked for text in session.answers(who, cohort)["completion"]}
    differ, clauses = disagreement(sorted(said))
    return {"differ": differ, "clauses": clauses, "share": differ / clauses if clauses else None}


def _kept(out_dir: str | Path | None) -> dict[str, Any]:
    """Evaluations that an earlier call has finished there."""
    if out_dir is None or not (Path(out_dir) / "results.json").exists():
        return {}
    path, wrong = Path(out_dir) / "results.json", seals.damage_inside(Path(out_dir))
    try:
        if wrong is None:
            with reading(path):
                found = read_json(path)["evaluations"]
                return {name: result for name, result in found.items() if result["status"] != "error"}
    except RunError as error:
        wrong = str(error).removesuffix(".")
    print(printable(f"{out_dir}: {wrong}. It is evaluated again."), file=sys.stderr, flush=True)
    return {}


def _unseal(out_dir: Path) -> None:
    """From now on the files there are others, until all are written.

    Raises:
        RunError: a folder stands where a file goes.
    """
    for name in (seals.RUN, "results.json", "samples.parquet"):
        if (out_dir / name).is_dir():
            raise RunError(f"{out_dir / name} is a folder, and a file of the evaluation goes there.\n    Delete it.")
    (out_dir / seals.RUN).unlink(missing_ok=True)


def _write(results: dict[str, Any], out_dir: str | Path | None, started: float) -> None:
    results["seconds"] = round(time.monotonic() - started, 2)
    if out_dir is not None:
        Path(out_dir).mkdir(parents=True, exist_ok=True)
        write(Path(out_dir) / "results.json", json.dumps(results, indent=1), together=True)
