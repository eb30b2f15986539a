"""The questions of smilerl as tasks of Inspect, for local models and any API.

inspect eval smilerl/held_out --model hf/local -M model_path=MODEL -T n=64 -T seed=0
inspect eval smilerl/real_camera_off --model openai/gpt-4o -T n=40

Every dialogue question is a task: people are replied to, and react. Every question of written items is one too, asked
by letter, since an API seldom gives log-probabilities; a reply that is no letter is unscored. Metrics are the
question's estimates that need no base policy, under the same names, with the ends of their intervals as NAME_low and
NAME_high.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from smilerl import worlds
from smilerl.config.recipe import DEFAULT_WORLD
from smilerl.evaluation import care, written
from smilerl.evaluation.cohorts import cohorts
from smilerl.evaluation.formula import POLICY
from smilerl.evaluation.kinds import items
from smilerl.evaluation.question import GENERATION, Question, Suite, load_question, names
from smilerl.evaluation.runner import evaluate
from smilerl.models.replies import visible
from smilerl.runs.cache import Cache
from smilerl.statistics.intervals import Estimate
from smilerl.worlds.base import World

log = logging.getLogger(__name__)

#: How a local model without a chat template is asked: in plain text, as by `generation` and by `items.TEMPLATE`.
PLAIN = "{% if messages|length > 1 %}" + items.TEMPLATE.format(
    system="{{ messages[0]['content'] }}", user="{{ messages[1]['content'] }}"
) + "{% else %}{{ messages[0]['content'] }}{% endif %}"  # fmt: skip
#: Said aloud, since what is left unsaid is taken from the settings that a model was published with.
NEUTRAL = {"top_k": 0, "top_p": GENERATION["top_p"], "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
#: A letter, and what a talkative model puts around it.
LETTER_TOKENS = 16


@solver
def answer(sampled: bool = True) -> Solver:
    """Generates a reply.

    Args:
        sampled: False takes a local model's likeliest tokens (it would refuse a temperature of 0).
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        api = get_model().api
        local = _as_ours(api)
        if local:
            _refuse_another_prompt(api, state)
        return await (generate(state) if sampled or not local else generate(state, top_k=1, temperature=1.0))

    return solve


@scorer(metrics=[])
def reaction(world: str | dict) -> Scorer:
    """How the person takes the reply."""
    built = _world(world)

    async def score(state: TaskState, target: Target) -> Score:
        person, best = state.metadata["person"], state.metadata["best"]
        found = care.react(built, [person], [state.output.completion], [best]).iloc[0]
        return Score(
            value={name: float(found[name]) for name in ("wellbeing", "smile", "care")},
            answer=state.output.completion,
            explanation=f"{', '.join(found['acts']) or 'nothing'}; the record: {found['transcript']}",
            metadata={"person": person},
        )

    return score


@scorer(metrics=[])
def letter(question: str) -> Scorer:
    """Whether the letter of the caring answer is given; unscored where the reply is no letter."""
    by_id = {item.id: item for item in written.load_items(load_question(question).spec)}

    async def score(state: TaskState, target: Target) -> Score:
        reply = visible(state.output.completion)
        value = items.score_letter(by_id[str(state.sample_id)], reply)["prefers_care"]
        if not np.isfinite(value):
            return Score.unscored(reason="invalid_response_format", answer=reply)
        return Score(value=value, answer=reply)

    return score


@metric(scores="unreduced")
def dialogue_estimates(question: str, people: int, n: int | None, seed: int, world: str | dict) -> Metric:
    """The share of people who have been replied to and, where it is 1, the estimates of the question with their
    intervals.

    Args:
        people: how many there are.
    """

    def compute(scores: list[SampleScore]) -> dict[str, float]:
        said: dict[str, list[str]] = {}
        for one in scores:
            said.setdefault((one.score.metadata or {})["person"], []).append(one.score.answer or "")
        found = {"answered": len(said) / people}
        if len(said) == people and len({len(own) for own in said.values()}) == 1:
            found |= _flat(replied(load_question(question), said, _world(world), n, seed))
        return found

    return compute


@metric
def item_estimates(question: str, seed: int) -> Metric:
    """The estimates of a question of written items, and their intervals."""

    def compute(scores: list[SampleScore]) -> dict[str, float]:
        return _flat(lettered(load_question(question), {str(s.sample_id): s.score.as_float() for s in scores}, seed))

    return compute


def replied(
    question: Question, said: Mapping[str, Sequence[str]], world: World, n: int | None, seed: int
) -> dict[str, Estimate]:
    """Estimates of a dialogue question from replies that somebody else has sampled; none where its controls fail.

    Args:
        said: person → replies, the same number for each.
        n, seed: with which the people were drawn.
    """
    left = {person: iter(own) for person, own in said.items()}

    def policy(people: Sequence[str], seed: int) -> list[str]:
        return [next(left[person]) for person in people]

    suite = Suite(question.name, (question,), replies=len(next(iter(said.values()))))
    found = evaluate(policy, world, suite, seed=seed, n=n, progress=False)["evaluations"][question.name]
    if found["status"] != "scored":
        log.warning("%s: %s: %s", question.name, found["status"], found["why"])
    return {name: Estimate(**one) for name, one in found["estimates"].items()}


def lettered(question: Question, prefers_care: Mapping[str, float], seed: int) -> dict[str, Estimate]:
    """Estimates of a question of items from what was chosen by letter; those made of odds are unscored.

    Args:
        prefers_care: id of an item → 1 or 0; items that are not among them are unscored.
    """

    def answered(who: str, own: Sequence[written.Item]) -> pd.DataFrame:
        return pd.DataFrame([items.UNSCORED | {"prefers_care": prefers_care.get(item.id, np.nan)} for item in own])

    found, _ = items.estimated(question, answered, {POLICY: "by letter"}, seed)
    return {name: one for name, one in found.items() if _by_letter(question, name)}


def _dialogue(question: Question) -> Callable[..., Task]:
    @task(name=question.name)
    def dialogue(n: int | None = None, seed: int = 0, world: str | dict = DEFAULT_WORLD) -> Task:
        """A dialogue question.

        Args:
            n: people in each condition, instead of what the question says.
            seed: of the people drawn and of bootstraps.
            world: its name, or {name: ..., args: {...}}.
        """
        suite = Suite(question.name, (question,))
        people = cohorts(_world(world), question, suite, n, seed, Cache(None))
        asked = {name: cohort for name, cohort in people.items() if cohort.part is None}
        samples = [
            Sample(input=prompt, id=f"{condition}-{row}", metadata={"person": person, "best": best})
            for condition, cohort in asked.items()
            for row, (prompt, person, best) in enumerate(zip(cohort.prompts, cohort.people, cohort.best, strict=True))
        ]
        everybody = {person for cohort in asked.values() for person in cohort.people}
        return Task(
            dataset=MemoryDataset(samples, name=question.name),
            solver=answer(),
            scorer=reaction(world),
            metrics=[dialogue_estimates(question.name, len(everybody), n, seed, world)],
            config=GenerateConfig(temperature=GENERATION["temperature"], max_tokens=int(GENERATION["max_new_tokens"])),
        )

    return dialogue


def _choice(question: Question) -> Callable[..., Task]:
    @task(name=question.name)
    def choice(n: int | None = None, seed: int = 0) -> Task:
        """A question of written items, by letter.

        Args:
            n: pairs of twins, drawn by `seed`; all of them when None.
            seed: of the pairs drawn and of bootstraps.
        """
        all_items = written.load_items(question.spec)
        pairs = sorted({item.pair for item in all_items}, key=lambda pair: zlib.crc32(f"{seed} {pair}".encode()))[:n]
        samples = [
            Sample(
                input=[ChatMessageSystem(content=item.system), ChatMessageUser(content=items.lettered(item).user)],
                target=chr(ord("A") + items.lettered(item).acts.index(written.CARE)),
                id=item.id,
                metadata={"pair": item.pair, "condition": item.condition, "theme": item.theme},
            )
            for item in all_items
            if item.pair in pairs
        ]
        return Task(
            dataset=MemoryDataset(samples, name=question.name),
            solver=answer(sampled=False),
            scorer=letter(question.name),
            metrics=[item_estimates(question.name, seed)],
            config=GenerateConfig(temperature=0.0, max_tokens=LETTER_TOKENS),
        )

    return choice


def _as_ours(api: Any) -> bool:
    """Makes a local Hugging Face model read prompts and sample as `smilerl.models.sampling` does; False for others."""
    settings = getattr(getattr(api, "model", None), "generation_config", None)
    if settings is None or not hasattr(api, "chat_template"):
        _refuse_roles_in_words(api)
        return False
    if api.use_chat_template is False:  # Inspect would write `user: ...`, which is nobody's prompt
        api.chat_template, api.use_chat_template = PLAIN, True
    if api.tokenizer.chat_template is None and api.chat_template is None:
        api.chat_template = PLAIN
    elif api.chat_template != PLAIN:
        api.tokenizer_call_args.setdefault("add_special_tokens", False)  # the template has written them
    for name, value in NEUTRAL.items():
        setattr(settings, name, value)
    return True


def _refuse_another_prompt(api: Any, state: TaskState) -> None:
    """Raises ValueError where a chat template leaves out a message, such as the system message with the cue."""
    said = api.hf_chat(state.messages, [])
    lost = [message.text for message in state.messages if message.text.strip() not in said]
    if lost:
        raise ValueError(f"the chat template leaves out what belongs to the question: {lost[0]}")


def _refuse_roles_in_words(api: Any) -> None:
    """Raises ValueError where Inspect would write `user: ...` before a prompt, and cannot be told otherwise."""
    tokenizer = getattr(api, "tokenizer", None)
    without = tokenizer is not None and getattr(tokenizer, "chat_template", "") is None
    if without or getattr(api, "_use_chat_template", None) is False:
        raise ValueError(
            f"{type(api).__name__} writes `user: ...` before a prompt where it uses no chat template.\n"
            "Use hf/local, which asks in plain text then, or a model with a chat template."
        )


def _by_letter(question: Question, name: str) -> bool:
    return all(term.metric == "prefers_care" for term in question.estimates[name].terms)


def _flat(found: Mapping[str, Estimate]) -> dict[str, float]:
    """Values, then ends of intervals, by name."""
    named = [(name, one.value) for name, one in found.items()]
    for name, one in found.items():
        named += [(f"{name}_low", one.low), (f"{name}_high", one.high)]
    return {name: float("nan") if value is None else float(value) for name, value in named}


def _world(given: str | dict) -> World:
    if isinstance(given, str):
        return worlds.build(given)
    return worlds.build(given["name"], **given.get("args", {}))


_MAKERS = {"dialogue": _dialogue, "items": _choice}
#: A question's file is all that a task needs; those that compare with other policies cannot be asked of one model
#: alone.
TASKS = {
    question.name: _MAKERS[question.kind](question)
    for question in map(load_question, names())
    if question.kind in _MAKERS and not question.rivals
}
