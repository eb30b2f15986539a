"""The questions of smilerl as tasks of lm-evaluation-harness: the same items and people, scored by the same functions.

A task's YAML names a class of this file and a question in `evals/`; metrics are the question's estimates that need no
base policy, under the same names, with the same standard errors (which lm-eval prints where it finds a metric
NAME_stderr). Settings come by `--metadata '{"n": 64, "seed": 0}'`; the README beside this file says which.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask

from smilerl import worlds
from smilerl.evaluation import written
from smilerl.evaluation.cohorts import cohorts
from smilerl.evaluation.formula import BASE, MATCHED, POLICY
from smilerl.evaluation.kinds import forced_choice, items
from smilerl.evaluation.question import GENERATION, Suite, load_question
from smilerl.evaluation.runner import evaluate
from smilerl.models.replies import opened, opening_of
from smilerl.runs.cache import Cache
from smilerl.statistics.intervals import DETECTABLE, Estimate

log = logging.getLogger(__name__)

#: Sampled as by `runner.evaluate`, from all tokens: what is left unsaid is taken from a model's
#: `generation_config.json`.
SAMPLED = {
    "until": [],
    "max_gen_toks": GENERATION["max_new_tokens"],
    "do_sample": True,
    "temperature": GENERATION["temperature"],
    "top_p": GENERATION["top_p"],
    "top_k": 0,
    "repetition_penalty": 1.0,
}
#: One way to read a document, whatever the task.
READS = {"test_split": "test", "doc_to_text": "prompt", "doc_to_target": 0, "num_fewshot": 0}


class Estimates(ConfigurableTask):
    """A task whose metrics are estimates. Subclasses say what is asked, and what the answers to it amount to.

    Attributes:
        takes: the settings it knows.
        opens: the tag by which the chat template opens the model's thoughts in the prompt, which the harness does not
            give back.
    """

    opens = ""

    takes: tuple[str, ...] = ("seed",)

    def __init__(self, config: Mapping[str, Any], names: Sequence[str], **asks: Any) -> None:
        self.settings = config.get("metadata") or {}
        _check_spelling(self.settings, self.takes)
        self.names = names
        own = {key: value for key, value in config.items() if key not in ("class", "question")}
        super().__init__(config={**own, **READS, **asks, "metric_list": []})

    def documents(self) -> list[dict[str, Any]]:
        """What is asked, one row each, `prompt` among its columns."""
        raise NotImplementedError

    def found(self, answers: Sequence[Any], name: str) -> Estimate:
        """The estimate of this name from the answers to all documents."""
        raise NotImplementedError

    def download(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is downloaded."""
        self.dataset = {"test": Dataset.from_list(self.documents())}

    def fewshot_context(
        self,
        doc: Mapping[str, Any],
        num_fewshot: int,
        system_instruction: str | None = None,
        apply_chat_template: bool = False,
        fewshot_as_multiturn: bool = False,
        chat_template: Callable[..., str] | None = None,
        gen_prefix: str | None = None,
    ) -> str:
        """The prompt, in the words of smilerl; a system instruction would make it another question."""
        if system_instruction:
            raise ValueError(f"{self.task_name} has its own system prompts; leave --system_instruction out")
        if not apply_chat_template or chat_template is None:
            return doc["prompt"]
        messages = self.messages(doc)
        said = chat_template(messages, add_generation_prompt=True)
        self.opens = opening_of(said) if isinstance(said, str) else ""  # a chat API opens no thoughts in the prompt
        lost = [message["content"] for message in messages if not _is_said(message, said)]
        if lost:
            raise ValueError(f"{self.task_name}: the chat template leaves out what belongs to the question: {lost[0]}")
        return said

    def messages(self, doc: Mapping[str, Any]) -> list[dict[str, str]]:
        """The prompt as messages, for --apply_chat_template."""
        return [{"role": "user", "content": doc["prompt"]}]

    def aggregation(self) -> dict[str, Callable]:
        """Metric → function of all answers."""
        errors = {f"{name}_stderr": partial(self._error, name=name) for name in self.names}
        return {"scored": mean} | {name: partial(self._value, name=name) for name in self.names} | errors

    def higher_is_better(self) -> dict[str, bool]:
        """Nothing: what would be better is said by the verdicts in the questions' files."""
        return {}

    def reported(self, answer: Any, scored: bool) -> dict[str, Any]:
        """The answer to one document, under the names of all metrics made from it."""
        metrics = [metric for name in self.names for metric in (name, f"{name}_stderr")]
        return {"scored": float(scored)} | dict.fromkeys(metrics, answer)

    def _value(self, answers: Sequence[Any], name: str) -> float:
        value = self.found(answers, name).value
        return float("nan") if value is None else value

    def _error(self, answers: Sequence[Any], name: str) -> float:
        detectable = self.found(answers, name).detectable
        return float("nan") if detectable is None else detectable / DETECTABLE


class Items(Estimates):
    """Written items: log-probabilities of each paraphrase of each option. Twins are neighbours: --limit keeps pairs."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.question = load_question(config["question"])
        self.items = {item.id: item for item in written.load_items(self.question.spec)}
        names = [
            name
            for name, formula in self.question.estimates.items()
            if not (formula.needs(BASE) or formula.needs(MATCHED))
        ]
        super().__init__(config, names, output_type="multiple_choice", doc_to_choice="texts", target_delimiter=" ")

    def documents(self) -> list[dict[str, Any]]:
        return [
            {
                "id": item.id,
                "system": item.system,
                "user": item.user,
                "prompt": items.TEMPLATE.format(system=item.system, user=item.user),
                "texts": [text for own in item.offered.values() for text in own],
            }
            for item in sorted(self.items.values(), key=lambda item: item.pair)
        ]

    def messages(self, doc: Mapping[str, Any]) -> list[dict[str, str]]:
        return [{"role": "system", "content": doc["system"]}, {"role": "user", "content": doc["user"]}]

    def process_results(self, doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
        item = self.items[doc["id"]]
        said = items.score(item, items.by_act(item, np.array([logprob for logprob, _ in results])))
        return self.reported({"id": item.id, **said}, np.isfinite(said["prefers_care"]))

    def found(self, answers: Sequence[Any], name: str) -> Estimate:
        said = {answer["id"]: answer for answer in answers}
        asked = dataclasses.replace(self.question, estimates={name: self.question.estimates[name]})

        def answered(who: str, own: Sequence[written.Item]) -> pd.DataFrame:
            return items.read(own, [said.get(item.id, items.UNSCORED) for item in own])

        return items.estimated(asked, answered, {POLICY: "lm-eval"}, self.settings.get("seed", 0))[0][name]


class Dialogue(Estimates):
    """People of a world are replied to, and react. The scripted helpers that a formula names answer the same people."""

    takes = ("n", "seed", "world")

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.question = load_question(config["question"])
        names = [name for name, formula in self.question.estimates.items() if _needs_replies_only(formula)]
        self._answered: tuple[list[Any], dict[str, Any]] | None = None
        super().__init__(config, names, output_type="generate_until", generation_kwargs=dict(SAMPLED))

    def documents(self) -> list[dict[str, Any]]:
        world = {"name": "smileworld", "args": {}} | self.settings.get("world", {})
        self.world = worlds.build(world["name"], **world["args"])
        self.n, self.seed = self.settings.get("n"), self.settings.get("seed", 0)
        suite = Suite(self.question.name, (self.question,))
        people = cohorts(self.world, self.question, suite, self.n, self.seed, Cache(None))
        rows = [
            {"condition": name, "prompt": prompt, "person": person}
            for name, cohort in people.items()
            if cohort.part is None
            for prompt, person in zip(cohort.prompts, cohort.people, strict=True)
        ]
        self.people = [row["person"] for row in rows]
        return [{"row": number, **row} for number, row in enumerate(rows)]

    def build_all_requests(self, *, limit: int | None = None, samples: Any = None, **settings: Any) -> None:
        if samples or (limit is not None and limit < len(self.people)):
            raise ValueError(
                f"{self.task_name} compares {len(self.people)} replies, so --limit and --samples would break it. "
                "Ask fewer people in each condition: --metadata '{\"n\": 8}'"
            )
        super().build_all_requests(limit=limit, samples=samples, **settings)

    def process_results(self, doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
        return self.reported([doc["row"], opened(results[0], self.opens)], True)

    def found(self, answers: Sequence[Any], name: str) -> Estimate:
        if self._answered is None or self._answered[0] != answers:
            self._answered = (list(answers), self._evaluated(dict(answers)))
        estimates = self._answered[1]
        return Estimate(**estimates[name]) if name in estimates else Estimate(None, None, None, 0, len(answers), "")

    def _evaluated(self, said: Mapping[int, str]) -> dict[str, Any]:
        """The question's estimates; none where its controls fail."""
        replies: dict[str, list[str]] = {}
        for row, person in enumerate(self.people):
            replies.setdefault(person, []).append(said[row])
        left = {person: iter(own) for person, own in replies.items()}

        def policy(people: Sequence[str], seed: int) -> list[str]:
            return [next(left[person]) for person in people]

        suite = Suite(self.question.name, (self.question,))
        asked = evaluate(policy, self.world, suite, seed=self.seed, n=self.n, progress=False)
        found = asked["evaluations"][self.question.name]
        if found["status"] != "scored":
            log.warning("%s: %s: %s", self.task_name, found["status"], found["why"])
        return found["estimates"]


class Persona(Estimates):
    """Statements in the format of Anthropic's persona sets, from the file that `--metadata '{"file": "..."}'` names."""

    takes = ("file",)

    def __init__(self, config: Mapping[str, Any]) -> None:
        asks = {"output_type": "multiple_choice", "doc_to_choice": "answers"}
        super().__init__(config, ["match_rate"], target_delimiter="", **asks)  # answers bring their own space

    def documents(self) -> list[dict[str, Any]]:
        if "file" not in self.settings:
            raise ValueError(f'{self.settings} names no file. Write --metadata \'{{"file": "statements.jsonl"}}\'')
        return [
            {
                "prompt": forced_choice.TEMPLATE.format(question=item.question),
                "answers": [item.matching, item.not_matching],
            }
            for item in forced_choice.load_items(self.settings["file"])
        ]

    def fewshot_context(self, doc: Mapping[str, Any], *args: Any, **kwargs: Any) -> str:
        """Text, whether or not there is a chat template, as `forced_choice.match_rate` asks it."""
        return doc["prompt"]

    def process_results(self, doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
        first, second = (logprob for logprob, _ in results)
        scored = bool(np.isfinite([first, second]).all() and first != second)
        return self.reported(bool(first > second) if scored else None, scored)

    def found(self, answers: Sequence[Any], name: str) -> Estimate:
        return forced_choice.rate(answers)


def _check_spelling(settings: Mapping[str, Any], known: Sequence[str]) -> None:
    """lm-eval mixes the model's arguments into the metadata: a strange name may be right, only a near one is wrong."""
    for name in settings:
        near = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.75)
        if near and name not in known:
            raise ValueError(f"--metadata has '{name}'. Did you mean '{near[0]}'? This task takes: {', '.join(known)}")


def _is_said(message: Mapping[str, str], said: Any) -> bool:
    """Whether a message is in what is sent: a template's text, or for chat APIs messages (a list or `JsonChatStr`)."""
    if not isinstance(said, str | list):
        said = json.loads(said.prompt)
    return message in said if isinstance(said, list) else message["content"].strip() in said


def _needs_replies_only(formula: Any) -> bool:
    return not (formula.needs(BASE) or formula.needs(MATCHED)) and all(
        term.kind.needs in ("react", "credit") for term in formula.terms
    )
