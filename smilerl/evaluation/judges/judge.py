"""A judge: a chat model with a rubric, asked about many replies at once, whose verdicts are kept.

Asking one inside a sealed run raises, as computing wellbeing does: what a judge thinks of a reply is an outcome.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pandas as pd

from smilerl import chat_models
from smilerl.config.yaml_lines import RecipeError, parse_value
from smilerl.evaluation.judges import likelihood
from smilerl.evaluation.judges.rubric import Rubric, load_rubric
from smilerl.evaluation.judges.verdict import Verdict, read_verdict
from smilerl.io import paths
from smilerl.models.messages import text
from smilerl.models.replies import as_said, visible
from smilerl.runs.cache import Cache
from smilerl.worlds.base import check_open

#: What decides a verdict besides the rubric and the judge. Other code may change without judging anew, which costs
#: money.
_CODE = tuple(f"evaluation/judges/{name}.py" for name in ("rubric", "verdict", "judge", "likelihood"))
#: How a verdict is had of a chat model.
Scores = Literal["by_writing", "by_likelihood"]


@dataclass(frozen=True)
class Item:
    """What is judged: a prompt (text or messages), the reply, and the person's answer if the judge may see it."""

    prompt: Any
    reply: str
    answer: str | None = None

    def said(self) -> list[tuple[str, str]]:
        """As (heading, text) pairs for the rubric."""
        before = (
            self.prompt
            if isinstance(self.prompt, str)
            else "\n".join(f"{m['role']}: {text([m])}" for m in as_said(self.prompt))
        )
        after = [] if self.answer is None else [("What the person said then", self.answer)]
        return [("The conversation so far", before), ("The helper's reply", visible(self.reply)), *after]


@dataclass(frozen=True)
class Judge:
    """A chat model with a rubric.

    Attributes:
        chat_model: the model that is asked.
        rubric: what is asked.
        spec: of the judge, as `chat_model_spec` gives it; verdicts are kept on disk only where it is known, since a
            function has no hash.
        scores: `by_writing`, the model writes a verdict; `by_likelihood`, it is asked which verdict it finds likeliest
            (`likelihood`), for models too small to write one.
        samples: answers to each question; a scale's verdict is their median, a label is given by more than half of
            them.
        temperature, max_new_tokens, seed: of the judge's answers.
        batch: questions put at once, and kept at once.
        salt: from which the words of the fences are drawn. A secret drawn for this judge, unless one is given to make
            calls repeatable: whoever writes what is judged must not know it.
        cache: where verdicts are kept.
    """

    chat_model: chat_models.ChatModel
    rubric: Rubric
    spec: Mapping[str, Any] | None = None
    scores: Scores = "by_writing"
    samples: int = 1
    temperature: float = 0.0
    max_new_tokens: int = 256
    seed: int = 0
    batch: int = 64
    salt: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    cache: Cache = field(default_factory=lambda: Cache(paths.cache_dir() / "verdicts", code=_CODE), repr=False)

    def __post_init__(self) -> None:
        if self.samples < 1 or self.batch < 1 or self.max_new_tokens < 1 or self.temperature < 0:
            raise ValueError(
                f"a judge needs samples, batch and max_new_tokens of at least 1 and a temperature of at least 0: {self}"
            )
        if self.scores == "by_likelihood" and not hasattr(self.chat_model, "option_logprobs"):
            raise chat_models.ChatModelError(
                f"the chat model '{self.chat_model.name}' gives no log-probabilities, so it cannot judge by "
                "likelihood.\n"
                "    Leave out `scores: by_likelihood`, or take a model in this process: "
                "'{name: local, args: {model: MODEL, scores: by_likelihood}}'.\n"
                "    A chat model of your own needs a method option_logprobs(conversations, options, *, eos)."
            )

    @property
    def name(self) -> str:
        """The chat model's, for reports, and how it is asked where that is not by writing."""
        return self.chat_model.name + (", by likelihood" if self.scores == "by_likelihood" else "")

    def verdicts(self, items: Sequence[Item], again: int = 0) -> list[Verdict]:
        """One verdict for each item.

        Args:
            again: asks all the same questions another time, with other fences and another seed.

        Raises:
            OutcomeSealed: inside a sealed run.
        """
        check_open()
        each = [self._sample(items, turn, again * self.samples + turn) for turn in range(self.samples)]
        return [_together(list(verdicts)) for verdicts in zip(*each, strict=True)]

    def _sample(self, items: Sequence[Item], turn: int, draw: int) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for start in range(0, len(items), self.batch):
            some = items[start : start + self.batch]
            key = [self.spec, self.rubric.data, [item.said() for item in some], turn, draw, self._settings()]
            table = self.cache.table(
                key,
                lambda some=some: self._ask(some, turn, draw),  # type: ignore[misc]
                on_disk=self.spec is not None,
                keep=lambda table: (
                    not table["answer"].isna().any()
                ),  # who could not be reached is asked again another time
            )
            verdicts += [
                likelihood.read(self.rubric, answer)
                if self.scores == "by_likelihood"
                else read_verdict(self.rubric, word, answer, "\n".join(text for _, text in item.said()))
                for word, answer, item in zip(table["word"], table["answer"], some, strict=True)
            ]
        return verdicts

    def _ask(self, items: Sequence[Item], turn: int, draw: int) -> pd.DataFrame:
        """The fence word and the judge's answer to each item."""
        words = [_word(self.salt, item.said(), draw) for item in items]
        if self.scores == "by_likelihood":
            answers = likelihood.answers(self.chat_model, self.rubric, [item.said() for item in items], words, turn)
        else:
            asked = [self.rubric.messages(item.said(), word, turn) for item, word in zip(items, words, strict=True)]
            answers = self.chat_model(
                asked, max_new_tokens=self.max_new_tokens, temperature=self.temperature, seed=self.seed + draw
            )
        if len(answers) != len(items):
            raise ValueError(
                f"the chat model '{self.chat_model.name}' gave {len(answers)} answers to {len(items)} questions"
            )
        return pd.DataFrame({"word": words, "answer": pd.Series(list(answers), dtype=object)})

    def _settings(self) -> list[Any]:
        return [self.scores, self.temperature, self.max_new_tokens, self.seed]


def judges_of(text: str, rubrics: Sequence[str], **settings: Any) -> list[Judge]:
    """One judge for each rubric, of one chat model as typed on the command line; nothing is asked yet.

    Args:
        settings: attributes of `Judge`.

    Raises:
        RecipeError: no such rubric, or the judge is not written as one. ValueError: no such chat model, or one without
            log-probabilities that is to judge by likelihood.
    """
    spec, read = chat_model_spec(text), [load_rubric(rubric.strip()) for rubric in rubrics]
    args = spec.get("args")
    scores: Any = "by_writing"
    spoken = spec
    if isinstance(args, dict) and "scores" in args:  # how the judge is asked, of which the chat model knows nothing
        scores = args["scores"]
        spoken = spec | {"args": {key: value for key, value in args.items() if key != "scores"}}
        if scores not in get_args(Scores):
            raise RecipeError(
                f"command line: scores is {scores!r}, but should be one of {', '.join(get_args(Scores))}."
            )
        spec = spec if scores == "by_likelihood" else spoken
    chat_model = chat_models.build(spoken)
    return [Judge(chat_model, rubric, spec, scores, **settings) for rubric in read]


def chat_model_spec(text: str) -> dict[str, Any]:
    """The spec of a judge, as typed on the command line: that of a chat model, and maybe `scores` among its args.

    Raises:
        RecipeError: it is neither a name nor a mapping with name and args.
    """
    given = parse_value(text)
    spec = given if isinstance(given, dict) else {"name": str(given)}
    if "name" not in spec or set(spec) - {"name", "args"}:
        raise RecipeError(
            f"command line: the judge is {text}, but should be {{name: ..., args: {{...}}}}.\n"
            "    Write '{name: local, args: {model: MODEL}}', or '{name: endpoint, args: {url: URL, model: MODEL}}'."
        )
    return spec


def reasons(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many replies are unscored, for each reason that occurs."""
    return dict(Counter(verdict.why_not for verdict in verdicts if verdict.why_not is not None))


def _word(salt: str, said: Sequence[tuple[str, str]], draw: int) -> str:
    """Eight letters that the judged text does not hold and could not have been written to hold."""
    whole = "\n".join(text for _, text in said)
    for attempt in range(1000):
        digest = hashlib.sha256(json.dumps([salt, said, draw, attempt]).encode()).digest()
        word = "".join(chr(ord("a") + byte % 26) for byte in digest[:8])
        if word not in whole:
            return word
    raise ValueError("this text holds every word that could fence it in")


def _together(verdicts: list[Verdict]) -> Verdict:
    """The median score, or the labels that more than half name; unscored where half are, for the commonest reason."""
    usable = [verdict for verdict in verdicts if verdict.why_not is None]
    if len(usable) * 2 <= len(verdicts):
        common = Counter(verdict.why_not for verdict in verdicts if verdict.why_not).most_common(1)[0][0]
        return next(verdict for verdict in verdicts if verdict.why_not == common)
    scores = [verdict.score for verdict in usable if verdict.score is not None]
    if scores:
        return Verdict(score=statistics.median(scores))
    counts = Counter(label for verdict in usable for label in verdict.labels or ())
    return Verdict(labels=frozenset(label for label, count in counts.items() if count * 2 > len(usable)))
