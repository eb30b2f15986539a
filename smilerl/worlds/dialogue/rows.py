"""Reads rows of conversation data in any of the usual forms into one: prompt, reply, rejected reply."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from smilerl.worlds.base import GIVEN
from smilerl.worlds.dialogue.said import said

if TYPE_CHECKING:
    from smilerl.worlds.dialogue.played import Player

#: Roles in plain text, written as the embedded world writes them.
SPEAKER = {"user": "person", "assistant": "helper"}
#: Whole talks in one text, as in Anthropic's hh-rlhf.
_TRANSCRIPT_TURN = "\n\nAssistant:"
_TURNS = {"Human": "user", "Assistant": "assistant"}
#: Where the prompt, or a talk with it, is searched by default.
_PROMPTS = ("prompt", "messages", "conversations", "conversation", "chosen")
#: Columns of prompts and replies; all others go to the rewards.
_SAID = {"prompt", "messages", "completion", "chosen", "rejected"}
#: Names of other arguments of rewards: a column with such a name is passed as `data_<name>`.
TAKEN = GIVEN | {"environments", "image", "images", "tools"}


@dataclass(frozen=True)
class Row:
    """One row of the data, as prompt and replies in the same form: plain text, or messages."""

    prompt: str | list[dict]
    completion: str | list[dict] | None
    rejected: str | list[dict] | None
    bucket: float  # in [0, 1), by a hash of the prompt or the group
    talk: list[dict]  # the prompt as messages, whatever its form
    state: dict[str, str] = field(default_factory=dict)  # the person's hidden state, where people are played
    columns: dict[str, Any] = field(default_factory=dict)  # the other columns, for rewards: plain data without None
    where: str = ""  # file:line

    @cached_property
    def identity(self) -> str:
        """A hash of all but the replies, sixteen hex digits. Rows that agree in it are one person."""
        if self.columns:
            return key([self.prompt, self.state, self.columns])
        return key([self.prompt, self.state] if self.state else self.prompt)


@dataclass(frozen=True)
class Reader:
    """Reads items of the data as rows."""

    prompt_column: str | None
    completion_column: str
    group_column: str | None
    format: str
    roles: dict[str, str]
    system: str | None = None
    player: Player | None = None

    def row(self, item: Mapping, where: str) -> Row:
        """The row that an item of the data holds; `where` (file:line) is for errors."""
        prompt, completion, rejected = self._parts(item, where)
        group = self._group(item, prompt) if self.group_column is None else _at(item, self.group_column, where)
        bucket = int(hashlib.sha256(key(group).encode()).hexdigest()[:12], 16) / 16**12
        talk = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        state = {} if self.player is None else self.player.state(item, where)
        # After the bucket and the talk: neither the split nor the person depends on the system message.
        if self.system is not None:
            prompt = _told(self.system, prompt)
        if self.format == "text":
            speaks = isinstance(prompt, list)
            prompt = _written(prompt) if speaks else prompt
            completion, rejected = (_spoken(reply, speaks) for reply in (completion, rejected))
        return Row(prompt, completion, rejected, bucket, talk, state, self._others(item), where)

    def _others(self, item: Mapping) -> dict[str, Any]:
        """The columns for the rewards: all but prompt, replies and hidden state."""
        own = {*_SAID, self._column(item), *(() if self.player is None else self.player.hidden)}
        found: dict[str, Any] = {}
        for name, value in item.items():
            if name not in own and (value := _plain(value)) is not None:
                while name in TAKEN or name in found:
                    name = f"data_{name}"
                found[name] = value
        return found

    def _group(self, item: Mapping, prompt: str | list[dict]) -> str | list[dict]:
        """The group of a row: the opening of its talk, which may be there at several depths."""
        talk = item.get("chosen")
        if self._column(item) == "chosen" and isinstance(talk, str):
            return talk.partition(_TRANSCRIPT_TURN)[0]
        return until_answered(prompt) if isinstance(prompt, list) else prompt

    def _column(self, item: Mapping) -> str:
        return self.prompt_column or next((name for name in _PROMPTS if item.get(name) is not None), "prompt")

    def _parts(self, item: Mapping, where: str) -> tuple:
        """Prompt, completion and rejected completion of an item, plain or as messages; the last two may be None."""
        column = self._column(item)
        if column == "chosen":
            return self._pair(item, where)
        prompt = self._said(_at(item, column, where), f"{where}: {column}", "user")
        replies = {name: item.get(name) for name in (self.completion_column, "chosen", "rejected")}
        said = {
            name: None if value is None else self._said(value, f"{where}: {name}", "assistant")
            for name, value in replies.items()
        }
        completion = said[self.completion_column] if said[self.completion_column] is not None else said["chosen"]
        if isinstance(prompt, list) and completion is None and column != "prompt":  # a whole talk
            if len(prompt) > 1 and prompt[-1]["role"] == "assistant":
                return prompt[:-1], prompt[-1:], None
        prompt_is_talk, completion_is_talk = isinstance(prompt, list), isinstance(completion, list)
        if completion is not None and prompt_is_talk != completion_is_talk:
            prompts = "messages" if prompt_is_talk else "text"
            raise ValueError(f"{where}: the prompt is {prompts} and the reply is not: both must be of one kind")
        return prompt, completion, said["rejected"]

    def _pair(self, item: Mapping, where: str) -> tuple:
        """Prompt, chosen and rejected reply of two whole talks: the prompt is what they share."""
        talks: list[Any] = []
        for name in ("chosen", "rejected"):
            value, place = item.get(name), f"{where}: {name}"
            if isinstance(value, str) and self.format != "as_is":
                value = _messages(value, place)
            talks.append(None if value is None else self._said(value, place, "assistant"))
        chosen, rejected = talks
        if rejected is None:
            return (*_last_reply(chosen, f"{where}: chosen"), None)
        return _shared(chosen, rejected, where)

    def _said(self, value: Any, where: str, role: str) -> str | list[dict]:
        return said(value, where, role, self.roles)


def until_answered(talk: list[dict]) -> list[dict]:
    """The messages of a talk before the helper first speaks."""
    return talk[: next((at for at, message in enumerate(talk) if message["role"] == "assistant"), len(talk))]


def _at(item: Mapping, column: str, where: str):
    if item.get(column) is None:
        there = f"{where}: no '{column}' here. Its columns are: {', '.join(item)}"
        raise ValueError(f"{there}. Say which to use: prompt_column, group_column")
    return item[column]


def _last_reply(talk: str | list[dict], where: str) -> tuple:
    """A whole talk, cut before its last reply."""
    if isinstance(talk, list):
        return talk[:-1], talk[-1:]
    before, turn, reply = talk.rpartition(_TRANSCRIPT_TURN)
    if not turn:
        raise ValueError(_no_transcript(where))
    return before + turn, reply


def _shared(chosen: Any, rejected: Any, where: str) -> tuple:
    """Two whole talks as the beginning that they share, up to a turn of the helper, and the two continuations.

    Mostly they differ in the last reply only; where they part earlier, each continuation holds the turns since.
    """
    if type(chosen) is not type(rejected):
        raise ValueError(f"{where}: chosen and rejected are of two kinds, text and messages: both must be of one kind")
    text = isinstance(chosen, str)
    if text and not (_TRANSCRIPT_TURN in chosen and _TRANSCRIPT_TURN in rejected):
        raise ValueError(_no_transcript(f"{where}: {'rejected' if _TRANSCRIPT_TURN in chosen else 'chosen'}"))
    limit = min(len(chosen), len(rejected)) - (not text)
    cut = next((at for at in range(limit) if chosen[at] != rejected[at]), limit)
    if text:
        turn = chosen.rfind(_TRANSCRIPT_TURN, 0, cut)
        cut = -1 if turn < 0 else turn + len(_TRANSCRIPT_TURN)
    else:
        while cut > 0 and not chosen[cut]["role"] == rejected[cut]["role"] == "assistant":
            cut -= 1
    if cut < 1:
        why = "chosen and rejected share no beginning up to a reply, so they do not compare two replies to one prompt"
        raise ValueError(f"{where}: {why}")
    return chosen[:cut], chosen[cut:], rejected[cut:]


def _messages(talk: str, where: str) -> list[dict]:
    """The turns of a transcript as messages."""
    parts = re.split(rf"(?:^|\n\n)({'|'.join(_TURNS)}):", talk)
    if len(parts) < 3 or parts[0].strip():
        raise ValueError(_no_transcript(where))
    turns = zip(parts[1::2], parts[2::2], strict=True)
    return [{"role": _TURNS[who], "content": said.strip()} for who, said in turns]


def _no_transcript(where: str) -> str:
    expected = f"a whole transcript is expected, with its last turn after {_TRANSCRIPT_TURN!r}"
    return f"{where}: {expected}; or give the data a column 'prompt'"


def _written(messages: list[dict]) -> str:
    lines = [f"{SPEAKER[m['role']]}: {m['content']}" if m["role"] in SPEAKER else m["content"] for m in messages]
    return "\n".join([*lines, f"{SPEAKER['assistant']}:"])


def _spoken(reply, after_messages: bool):
    if reply is None or not after_messages:
        return reply
    first, *later = reply if isinstance(reply, list) else [{"role": "assistant", "content": reply}]
    return "\n".join([f" {first['content'].strip()}", *(f"{SPEAKER[m['role']]}: {m['content']}" for m in later)])


def plain(said: str | list[dict]) -> str:
    """Text as it is, or the contents of messages, one a line."""
    return said if isinstance(said, str) else "\n".join(message["content"] for message in said)


def key(value) -> str:
    """A hash of any JSON value, sixteen hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def _told(system: str, prompt: str | list[dict]) -> str | list[dict]:
    if isinstance(prompt, str):
        return f"{system}\n{prompt}"
    return [{"role": "system", "content": system}, *(message for message in prompt if message["role"] != "system")]


def _plain(value: Any) -> Any:
    """A value as JSON: times become text; NaN, infinity and anything else (pictures, bytes) become None."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value if isinstance(value, str | int) else None
