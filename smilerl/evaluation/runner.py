"""Asks a policy the questions of a suite: sampled once per condition, scored, compared with known answers, written
down.

Each question is first put to its controls, scripted helpers whose answers are known. Where a control answers otherwise,
the evaluation measures something else than it says: its status is `controls failed` and it gives no number. An
exception gives the status `error` and no number either.
"""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from smilerl.config.yaml_lines import Problem, did_you_mean, read
from smilerl.data.candidates import BestOfN
from smilerl.evaluation import controls, kinds, matching, power
from smilerl.evaluation.agents import Agent, agent_of
from smilerl.evaluation.cohorts import Cohort, cohorts, describe, identity
from smilerl.evaluation.formula import EVALUATED, MATCHED, POLICY
from smilerl.evaluation.legibility import as_answered
from smilerl.evaluation.question import GENERATION, Question, Suite, load_suite
from smilerl.evaluation.session import Session, identity_of, samples
from smilerl.evaluation.verdicts import Verdict
from smilerl.io import paths
from smilerl.io.files import RunError, by_line, read_json, reading, write
from smilerl.io.terminal import brief, named, printable, say
from smilerl.models.policy import Policy
from smilerl.models.prompts import PromptError
from smilerl.models.prompts import check as check_prompts
from smilerl.rewards import build_reward
from smilerl.runs import seals
from smilerl.runs.cache import Cache
from smilerl.runs.identity import evaluation_hash
from smilerl.worlds.base import World


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
        policy: a language model, best of n of one, a scripted helper's name, or a function of people (JSON) and a seed.
        suite: a suite, its name or file; the name or file of a question is a suite of one.
        base: the policy before tuning, asked the same people; questions that compare with it need it.
        reward: the policy's own training reward, for `gaming_own`; TRL's protocol.
        seed: of the people drawn, of sampling and of bootstraps.
        n: people per condition, instead of what suite and questions say.
        trail: what the policy's run sampled while it trained, from `curve.read_trail`; questions about curves need it.
        rivals: other policies, for questions that compare with them, by the names that the questions give them.
        trusted: what a recipe from elsewhere named and the user has let through; noted in the results.
        out_dir: for `results.json` and `samples.parquet`; evaluations finished there with the same content are kept.

    Returns:
        The contents of `results.json`.

    Raises:
        RecipeError: a question cannot be put to this world (an unknown helper, say), with FILE:LINE.
    """
    started = time.monotonic()
    suite = _narrowed(suite if isinstance(suite, Suite) else load_suite(suite), world)
    settings = {**GENERATION, **suite.generation}
    who, *others = (agent_of(one, world, settings) for one in (policy, *([] if base is None else [base])))
    known = {name: agent_of(rival, world, settings) for name, rival in (rivals or {}).items()}
    cache = Cache(paths.cache_dir() / "evaluation")
    session = Session(world, next(iter(others), None), reward and build_reward(reward), settings, seed, cache, known)
    who = dataclasses.replace(who, trail=trail, quick=False)  # its replies are looked at again, so they are kept
    interview = _Interview(session, suite, who, n)
    results = interview.about() | ({"trusted": list(trusted)} if trusted else {})
    kept = _kept(out_dir) if all(one.lasting for one in (who, *others)) else {}
    _unseal(out_dir)
    bar = {"leave": False, "unit": "question", "disable": None if progress else True}
    for question in tqdm(suite.questions, printable(suite.name), **bar):
        results["evaluations"][question.name] = interview.result(question, kept.get(question.name))
        _write(results, out_dir, started)
    asked = interview.replied(results["evaluations"])
    results |= {"audit": _second_parser(session, who, asked), **interview.matched(results["evaluations"])}
    if suite.measures:
        results["measures"] = results["evaluations"][suite.measures]["estimates"]
    if out_dir is not None:
        samples(session, who, asked).to_parquet(Path(out_dir) / "samples.parquet", index=False)
        _write(results, out_dir, started)
        seals.seal_inside(Path(out_dir))
    return results


def check(suite: Suite, world: World) -> None:
    """Whether the questions of a suite can be put to a world, found out before anything is sampled.

    Raises:
        RecipeError: a control or formula names a helper or an act that the world does not have.
    """
    helpers = list(world.helpers)
    for question in suite.questions:
        known = _kind(question).controls(world)
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
            ("estimates", name): {term.who for term in formula.terms} - {*EVALUATED, *question.rivals, *helpers}
            for name, formula in question.estimates.items()
        } | {("rivals", name): {helper} - set(helpers) for name, helper in question.rivals.items()}
        problems += [
            Problem(at, f"the world '{world.name}' has no scripted helper '{who}'.", did_you_mean(who, helpers))
            for at, whos in strangers.items()
            for who in sorted(whos)
        ]
        problems += _kind(question).strange(question, world)
        if problems:
            raise read(question.source)[1].error(*problems)


def _narrowed(suite: Suite, world: World) -> Suite:
    """The suite as far as it can be asked in this world, once it has passed `check`."""
    check(suite, world)
    return dataclasses.replace(suite, questions=tuple(_kind(one).narrowed(one, world) for one in suite.questions))


@dataclasses.dataclass
class _Interview:
    """One agent, asked the questions of a suite in a session; `n` people per condition, where it is given."""

    session: Session
    suite: Suite
    who: Agent
    n: int | None
    _people: dict[str, dict[str, Cohort]] = dataclasses.field(default_factory=dict)

    def about(self) -> dict[str, Any]:
        """The results before any question has been asked."""
        base = self.session.base
        return {
            "suite": self.suite.name,
            "policy": {"name": self.who.name, "hash": self.who.fingerprint},
            "base": {"name": base.name, "hash": base.fingerprint} if base else None,
            "world": describe(self.session.world),
            "seed": self.session.seed,
            "n": self.n,
            "generation": self.session.settings,
            "evaluations": {},
            "measures": {},
        }

    def result(self, question: Question, kept: dict[str, Any] | None) -> dict[str, Any]:
        """The result of one question; `kept` is that of an earlier call, which is taken where nothing has changed."""
        key = self._key(question)
        found = kept if kept is not None and kept.get("hash") == key else self._answer(question)
        return {**found, "hash": key}

    def replied(self, results: Mapping[str, Any]) -> list[tuple[str, dict[str, Cohort], dict[str, set[str]]]]:
        """The scored questions that replies were sampled for: name, people, and what was computed in each condition."""
        return [
            (one.name, self.people(one), _needs(one))
            for one in self.suite.questions
            if _kind(one).has_replies and results[one.name]["status"] == "scored"
        ]

    def matched(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """`matched`: temperature and entropies of the base at matched entropy, where a question compares with it."""
        scored = [one for one in self.suite.questions if results[one.name]["status"] == "scored"]
        if not any(formula.needs(MATCHED) for one in scored for formula in one.estimates.values()):
            return {}
        return {"matched": matching.temperature(self.session, self.who)}

    def people(self, question: Question) -> dict[str, Cohort]:
        """The people of each condition, drawn once."""
        if question.name not in self._people:
            seed, cache = self.session.seed, self.session.cache
            self._people[question.name] = cohorts(self.session.world, question, self.suite, self.n, seed, cache)
        return self._people[question.name]

    def _key(self, question: Question) -> str:
        """Hash of all that determines the result of one question."""
        session, suite = self.session, self.suite
        rivals = {name: rival.fingerprint for name, rival in session.rivals.items()} if question.rivals else {}
        return evaluation_hash([
            self.who.fingerprint,
            session.base.fingerprint if session.base else None,
            identity(session.world),
            question.data,
            [self.n, suite.n, suite.sizes.get(question.name), suite.replies],
            session.seed,
            session.settings,
            identity_of(session.reward),
            rivals,
            _kind(question).inputs(question, self.who),
        ])  # fmt: skip

    def _answer(self, question: Question) -> dict[str, Any]:
        """The result of one question, whatever happens."""
        said: dict[str, Any] = {
            "question": question.question,
            "kind": question.kind,
            "verdict": None,
            "estimates": {},
            "controls": {},
        }
        why_not = _kind(question).unanswerable(self.session, question, self.who)
        if why_not:
            return said | {"status": "not applicable", "why": why_not}
        try:
            return said | self._asked(question, said)
        except PromptError as error:
            found_at = self.session.world.found_at(error.prompt)
            place = f"{found_at}: " if found_at else ""
            return said | {"status": "error", "why": f"{question.name}: {place}{error.text} {error.fix}"}
        except Exception as error:  # noqa: BLE001 - reported as an error: it must neither be a score nor lose the other questions
            where = traceback.extract_tb(error.__traceback__)[-1]
            why = brief(named(error)) + f" ({Path(where.filename).name}:{where.lineno})"
            few = self._too_few(question) if Path(where.filename).name == "cohorts.py" else []
            return said | {"status": "error", "why": "; ".join([why, *few])}

    def _asked(self, question: Question, said: dict[str, Any]) -> dict[str, Any]:
        """The result of controls and agent; the controls are put into `said` at once, since what follows may fail."""
        started, kind, session, who = time.monotonic(), _kind(question), self.session, self.who
        people = self.people(question)
        _check_prompts(session, question, people, who)
        said["controls"] = found = controls.controls(session, question, people) if question.controls else {}
        wrong = [f"{name} should be {c['expected']}, was {c['got']}" for name, c in found.items() if not c["agrees"]]
        if wrong:
            why = "; ".join([*wrong, *self._too_few(question)])
            return {"status": "controls failed", "why": why}
        parts = question.name == self.suite.measures
        estimates, missing = kind.answer(session, question, people, who, parts)
        verdict = kind.decided(session, question, people, who, estimates, missing)
        is_base = session.base is not None and who.fingerprint == session.base.fingerprint
        if is_base and verdict.word in ("pass", "inconclusive") and kind.compares_with_base(question):
            verdict = Verdict("descriptive", "this is the base that others are compared with")
        few = power.too_few(question, self.suite, self.n)
        if verdict.word in ("pass", "fail", "inconclusive") and (
            withheld := kind.withheld(session, question, who) or few
        ):
            verdict = Verdict("descriptive", withheld)
        if verdict.word == "pass" and (unsure := power.no_pass(question, estimates)):
            verdict = Verdict("inconclusive", unsure)
        untested = "people are played by a model: no control has a known answer here"
        return {
            "estimates": {name: one.to_dict() for name, one in estimates.items()},
            "without": missing | question.lacking,
            "power": power.powers(question, self.suite, self.n, estimates),
            **kind.also(session, question, people, who),
            "status": "scored",
            "verdict": verdict.word,
            "why": verdict.why if question.controls else untested,
            "seconds": round(time.monotonic() - started, 2),
        }

    def _too_few(self, question: Question) -> list[str]:
        """What there is to say of a small `n`: the number of people with whom the controls are known to hold."""
        sizes = [condition.n for condition in question.conditions.values() if condition.split is not None]
        needed = self.suite.sizes.get(question.name) or self.suite.n or max(sizes, default=0)
        if self.n is None or not sizes or self.n >= needed:
            return []
        few = "which may be too few people for this question: its controls are known to hold"
        return [f"n is {self.n}, {few} with --n {needed}"]


def _kind(question: Question) -> kinds.QuestionKind:
    return kinds.load(question.kind)


def _check_prompts(session: Session, question: Question, people: Mapping[str, Cohort], who: Agent) -> None:
    """Raises PromptError where a language model cannot take what it will be asked, before anything is sampled."""
    asked = [who, session.base, *(session.rivals[name] for name in question.rivals)]
    for policy in [one.policy for one in asked if one is not None and one.policy is not None]:
        for cohort in people.values():
            check_prompts(
                policy.tokenizer, policy.model.config, cohort.prompts, session.settings.get("max_new_tokens", 0)
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
                return {name: as_answered(result) for name, result in found.items() if result["status"] != "error"}
    except RunError as error:
        wrong = str(error).removesuffix(".")
    say(f"{out_dir}: {wrong}. It is evaluated again.")
    return {}


def _unseal(out_dir: str | Path | None) -> None:
    """From now on the files there are others, until all are written.

    Raises:
        RunError: a folder stands where a file goes.
    """
    if out_dir is None:
        return
    for name in (seals.RUN, "results.json", "samples.parquet"):
        if Path(out_dir, name).is_dir():
            raise RunError(
                f"{Path(out_dir, name)} is a folder, and a file of the evaluation goes there.\n    Delete it."
            )
    Path(out_dir, seals.RUN).unlink(missing_ok=True)


def _write(results: dict[str, Any], out_dir: str | Path | None, started: float) -> None:
    results["seconds"] = round(time.monotonic() - started, 2)
    if out_dir is not None:
        Path(out_dir).mkdir(parents=True, exist_ok=True)
        write(Path(out_dir) / "results.json", by_line(results), together=True)
