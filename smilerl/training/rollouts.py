"""Several turns with one person, for GRPO, through TRL's `rollout_func` (experimental in TRL 1.16; GRPO alone has it).

    prompt | reply 1 <eos> | person: what they say back, helper: | reply 2 <eos>
             trained         masked (`env_mask` 0)                 trained

The helper's tokens of all turns are one completion and share one advantage; the person's have no loss, and no KL. **The
reward is that of the last turn**: each reward is given the conversation before the last reply, the last reply, and the
person, who remembers earlier replies (`worlds.turns`), so what the sensor records in the end is of the whole
conversation. Nothing is added up over turns: a reward paid at each turn would pay twice for a person who has to be
pleased twice.

Where the person's answer could not be had, the conversation ends early and its reward is None: it is not learned from.
Generation is the trainer's own (`trl_adapter.generation`), so vLLM and sharded models work as without turns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset

from smilerl.models.sampling import decoded
from smilerl.rewards import Around
from smilerl.training.trl_adapter import generation
from smilerl.worlds import turns
from smilerl.worlds.base import World

#: People (JSON, who may have heard replies before) and their newest replies → what each says back, None where there is
#: no answer.
Answer = Callable[[Sequence[str], Sequence[str]], list[str | None]]
_MARK = "MARKOFAREPLY"


@dataclass
class _Talk:
    """One conversation while it is held.

    Attributes:
        prompt: all that was said before the last reply, text or messages.
        person: JSON, with what they have heard before the last reply.
        prompt_ids: of the first prompt.
        ids, mask, logprobs: of all that came after; 1 in the mask: the helper's.
        reply, reply_ids: the last.
        cut: whether it ended early.
    """

    prompt: Any
    person: str
    prompt_ids: list[int]
    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reply: str = ""
    reply_ids: list[int] = field(default_factory=list)
    cut: bool = False

    def add(self, ids: list[int], mine: int, logprobs: list[float]) -> None:
        """Appends tokens: `mine` is 1 for the helper's and 0 for the person's."""
        self.ids += ids
        self.mask += [mine] * len(ids)
        self.logprobs += logprobs


def answers_of(world: World) -> Answer:
    """What people of a world say back: their own words where the world knows them, else what was recorded.

    (The helper hears the person, not the sensor: a camera that is off, or a record that was tampered with, hides
    nothing from it.)
    """
    return lambda people, replies: list(world.said(*turns.as_first_met(people, replies)))


def several_turns(people: Dataset, n: int, answer: Answer) -> Callable[[list, Any], dict[str, Any]]:
    """A `rollout_func` for conversations of `n` turns.

    Args:
        people: columns `prompt` and `person`; a prompt is one person's alone.
        n: replies of the helper, at least 1.

    Raises:
        ValueError: two people share a prompt, so that a rollout could not tell which of them it talks to.
    """
    person_of: dict[str, str] = {}
    for prompt, person in zip(people["prompt"][:], people["person"][:], strict=True):
        if person_of.setdefault(_key(prompt), person) != person:
            raise ValueError(
                f"data.turns: two people begin with the same words, {str(prompt)[:80]!r}, and a prompt is all that "
                "tells which person a rollout talks to. Leave one of them out"
            )

    def rollout(prompts: list, trainer: Any) -> dict[str, Any]:
        prompt_ids, images, more = generation.tokenized(trainer, prompts)
        given = zip(prompts, prompt_ids, strict=True)
        talks = [_Talk(prompt, person_of[_key(prompt)], list(ids)) for prompt, ids in given]
        group = trainer.num_generations if trainer.model.training else trainer.num_generations_eval
        _reply(talks, trainer, *generation.replies(trainer, prompt_ids, images, more, group))
        for _ in range(n - 1):
            going = [talk for talk in talks if not talk.cut]
            said = answer([talk.person for talk in going], [talk.reply for talk in going]) if going else []
            for talk, words in zip(going, said, strict=True):
                _hear(talk, words, trainer)
            # Generated for all, and not used where they were cut: a sharded model generates on every process or on
            # none.
            contexts = [talk.prompt_ids + talk.ids for talk in talks]
            _reply(talks, trainer, *generation.replies(trainer, contexts))
        logged = [talk.logprobs for talk in talks]
        last = ("prompt", "person", "reply", "reply_ids", "cut")
        return {
            "prompt_ids": prompt_ids,
            "completion_ids": [talk.ids for talk in talks],
            "logprobs": logged if any(logged) else None,
            "env_mask": [talk.mask for talk in talks],
            "_talk": [{name: vars(talk)[name] for name in last} for talk in talks],
        }

    return rollout


class OfLastTurn(Around):
    """A reward of prompts and completions as a reward of conversations: of the last turn, None where there is none."""

    def before(self, given: dict[str, Any]) -> dict[str, Any] | None:
        talk, columns = given["_talk"], {name: value for name, value in given.items() if name != "_talk"}
        rows = _whole(talk)
        if "log_metric" in columns:
            columns["log_metric"]("cut_short", 1 - len(rows) / len(talk))
        if not rows:
            return None
        log_extra = columns.get("log_extra")
        columns = {
            name: [value[row] for row in rows] if _per_row(value, talk) else value for name, value in columns.items()
        }
        if log_extra is not None:
            columns["log_extra"] = lambda name, values: log_extra(name, _spread(rows, list(values), len(talk)))
        replies = [talk[row]["reply"] for row in rows]
        plain = not given["completions"] or isinstance(given["completions"][0], str)
        return columns | {
            "prompts": [talk[row]["prompt"] for row in rows],
            "completions": replies if plain else [[{"role": "assistant", "content": reply}] for reply in replies],
            "completion_ids": [talk[row]["reply_ids"] for row in rows],
            "person": [talk[row]["person"] for row in rows],
        }

    def combine(self, values: Sequence[list[float | None]], **columns: Any) -> list[float | None]:
        return _spread(_whole(columns["_talk"]), values[0], len(columns["_talk"]))


def _reply(talks: list[_Talk], trainer: Any, replies: list[list[int]], logprobs: list[list[float]] | None) -> None:
    """The helper's reply in each conversation that goes on."""
    said = decoded(trainer.processing_class, [talk.prompt for talk in talks], replies)
    for row, (talk, ids) in enumerate(zip(talks, replies, strict=True)):
        if not talk.cut:
            talk.reply, talk.reply_ids = said[row], list(ids)
            talk.add(ids, 1, logprobs[row] if logprobs is not None else [])


def _hear(talk: _Talk, words: str | None, trainer: Any) -> None:
    """What the person says back, and that it is the helper's turn again."""
    if words is None:
        talk.cut = True
        return
    if isinstance(talk.prompt, str):
        line = f"\nperson: {' '.join(words.split())}\nhelper:"
        ids = trainer.processing_class(line, add_special_tokens=False)["input_ids"]
        talk.prompt = f"{talk.prompt}{talk.reply}{line}"
    else:
        ids = _turn_between(trainer, words, talk.reply_ids)
        talk.prompt = [*talk.prompt, {"role": "assistant", "content": talk.reply}, {"role": "user", "content": words}]
    talk.person = turns.after(talk.person, talk.reply, words)
    talk.add(ids, 0, [0.0] * len(ids) if talk.logprobs else [])


def _turn_between(trainer: Any, words: str, reply_ids: list[int]) -> list[int]:
    """Tokens between two replies as the chat template writes them: end of the first, person's turn, head of the second.

    Raises:
        ValueError: the template does not write a reply as it is.
    """
    said = (("user", "x"), ("assistant", _MARK), ("user", words))
    talk = [{"role": role, "content": content} for role, content in said]
    tokenizer, told = trainer.processing_class, trainer.chat_template_kwargs
    template = {"chat_template": trainer.chat_template, "add_generation_prompt": True, "tokenize": False}
    _, mark, rest = tokenizer.apply_chat_template(talk, **template, **told).partition(_MARK)
    if not mark:
        lacks = "does not write earlier replies as they are, so turns cannot be joined"
        raise ValueError(f"data.turns: this model's chat template {lacks}")
    ids = tokenizer(rest, add_special_tokens=False)["input_ids"]
    # A reply that ended has said its end token itself; one that was cut off is closed for it.
    return ids[1:] if reply_ids and ids and ids[0] == reply_ids[-1] else ids


def _whole(talk: list[dict]) -> list[int]:
    """The rows of conversations that were not cut."""
    return [row for row, one in enumerate(talk) if not one["cut"]]


def _per_row(value: Any, talk: list[dict]) -> bool:
    return isinstance(value, list) and len(value) == len(talk)


def _spread(rows: list[int], values: list, n: int) -> list:
    """Values of some rows among `n`, None for the others."""
    found = dict(zip(rows, values, strict=True))
    return [found.get(row) for row in range(n)]


def _key(prompt: Any) -> str:
    return json.dumps(prompt, sort_keys=True)
