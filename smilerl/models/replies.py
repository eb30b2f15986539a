"""The visible reply: a completion without its thoughts, for rewards, people, judges, measures, chat and harnesses.

Thoughts are

* in messages: the fields `reasoning_content`, `reasoning`, `thinking`, and parts of the content of such a type. Only
  messages of the assistant count.
* in text: what a pair of tags encloses, `<think>...</think>` or another of `_PAIRS`; gpt-oss's channels but `final`.
* all text before a closing tag without an opening one, which the chat template has written into the prompt.
* all text from an unclosed opening tag at the beginning of a line: the reply was cut off in its thoughts.

A tag in quotes or backticks, and an unclosed one in the middle of a line, are words. Sampling puts a tag back that the
template has opened in the prompt (`opening`, `opened`). Tags around the reply (`_ANSWER`) are left out. Tags that a
tokenizer decodes as special tokens, as Magistral's, are lost, and such thoughts look like the reply.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

#: A part of a completion. Both: thoughts first, then the reply, without the tags.
Part = Literal["reply", "thoughts", "both"]
PARTS = ("reply", "thoughts", "both")
#: Fields of a message, and types of a part of its content, that hold thoughts.
_FIELDS = ("reasoning_content", "reasoning", "thinking")
_TYPES = frozenset((*_FIELDS, "thought"))

#: Words of tags such as `<think>`, `</think>`, then all pairs of tags that open and close thoughts.
_WORDS = (
    "think thinking thought thoughts reasoning reflection analysis scratchpad inner_monologue antthinking seed:think"
)
_PAIRS = (
    *((f"<{word}>", f"</{word}>") for word in _WORDS.split()),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThoughts, Sky-T1
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ("<|im_start|>think", "<|im_start|>answer"),  # s1
    ("<|thinking|>", "<|/thinking|>"),
    ("<|think|>", "<|/think|>"),
)
#: Tags that some models put around the reply.
_ANSWER = "<|begin_of_solution|> <|end_of_solution|> <|START_RESPONSE|> <|END_RESPONSE|>".split()
#: Characters that a tag begins with.
_FIRST = ("<", "[", "◁")


def _any_case(tag: str) -> str:
    return re.escape(tag) if tag.startswith("[") else f"(?i:{re.escape(tag)})"  # [think] is a word


_TAG = re.compile(
    f"(?=[{re.escape(''.join(_FIRST))}])(?:"
    + "|".join(
        f"(?P<opens{number}>{_any_case(opens)})|(?P<closes{number}>{_any_case(closes)})"
        for number, (opens, closes) in enumerate(_PAIRS)
    )
    + ")"
)
_OPENED = re.compile(rf"(?:{_TAG.pattern})\s*\Z")
_MARK = "|".join(map(re.escape, _ANSWER))
_MARKED = re.compile(rf"(?<![`\"'“‘])(?:{_MARK})|(?:{_MARK})(?![`\"'”’])")
_QUOTES, _STOPS = frozenset("`\"'“”‘’"), frozenset(".,!?")
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w+)[^\n]{0,200}?<\|message\|>(.*?)(?=<\|(?:channel|start|end|return|call)\|>|\Z)", re.DOTALL
)
#: Channels decoded without special tokens: `analysisThe user ...assistantfinalHello.`
_BARE_CHANNELS = re.compile(r"\s*analysis(?=[A-Z])(.*?)(?:assistantfinal(.*)|\Z)", re.DOTALL)


class _Parts(NamedTuple):
    thoughts: str
    reply: str


def visible(completion: str | Sequence[Mapping]) -> str:
    """The reply in a completion, plain or messages. Text without thoughts stays as it is."""
    return part_of(completion, "reply")


def all_visible(completions: Sequence) -> list[str]:
    """The reply in each completion."""
    return [part_of(completion, "reply") for completion in completions]


def part_of(completion: str | Sequence[Mapping], part: Part) -> str:
    """A part of a completion, plain or messages; empty where it has none."""
    if isinstance(completion, str):
        found = _split(completion)
    else:
        each = [_of_message(message) for message in completion if message.get("role", "assistant") == "assistant"]
        found = _Parts(_lines(one.thoughts for one in each), "\n".join(one.reply for one in each))
    if part == "both":
        return _lines(found) if found.thoughts else found.reply
    return found.reply if part == "reply" else found.thoughts


def as_said(messages: Sequence[Mapping], part: Part = "reply") -> list[dict[str, Any]]:
    """Messages whose assistant's content is reduced to that part, without fields of thoughts."""
    return [
        {key: value for key, value in message.items() if key not in _FIELDS} | {"content": part_of([message], part)}
        if message.get("role") == "assistant"
        else dict(message)
        for message in messages
    ]


def opening(tokenizer: Any, **settings: Any) -> str:
    """The tag by which the chat template opens thoughts in the prompt, or empty; `settings` go to the template."""
    if not isinstance(getattr(tokenizer, "chat_template", None), str):
        return ""
    import jinja2

    talk = [{"role": "user", "content": "x"}]
    try:
        return opening_of(tokenizer.apply_chat_template(talk, add_generation_prompt=True, tokenize=False, **settings))
    except (jinja2.TemplateError, ValueError, TypeError):  # the template wants more than a user's turn
        return ""


def opening_of(prompt: str) -> str:
    """The tag by which a prompt, as its template has written it, opens thoughts; empty where it opens none."""
    found = _OPENED.search(prompt[-64:])
    return found[0] if found and not _closes(found) else ""


def opened(completion: Any, tag: str) -> Any:
    """A completion, text or messages, after the tag that its prompt holds, if any."""
    if not tag:
        return completion
    if isinstance(completion, str):
        return tag + completion
    first, *rest = completion
    return [{**first, "content": tag + (first.get("content") or "")}, *rest]


def _of_message(message: Mapping) -> _Parts:
    content = message.get("content")
    aside = [str(message[field]) for field in _FIELDS if message.get(field)]
    if not isinstance(content, str):
        parts = content or []  # None: a message that only calls a tool
        thoughts = [part for part in parts if part.get("type") in _TYPES]
        aside += ["".join(str(part.get(key) or "") for key in ("text", *_FIELDS)) for part in thoughts]
        content = "".join(part.get("text") or "" for part in parts if part.get("type") not in _TYPES)
    said = _split(content)
    return _Parts(_lines([*aside, said.thoughts]), said.reply) if aside else said


def _split(text: str) -> _Parts:
    # A quick test that most texts fail.
    if any(first in text for first in _FIRST):
        text = _unmarked(text) if "|>" in text else text
        return _by_channel(text) if "<|channel|>" in text else _by_tag(text)
    found = _BARE_CHANNELS.match(text) if text.lstrip().startswith("analysis") else None
    return _Parts(found[1].strip(), (found[2] or "").lstrip()) if found else _Parts("", text)


def _unmarked(text: str) -> str:
    """Text without the tags around a reply."""
    left, marks = _MARKED.subn("", text)
    return left.strip() if marks else text


def _by_channel(text: str) -> _Parts:
    found = _CHANNEL.findall(text)
    if not found:
        return _by_tag(text)
    reply = "\n".join(said.strip() for channel, said in found if channel == "final")
    return _Parts(_lines(said.strip() for channel, said in found if channel != "final"), reply)


def _by_tag(text: str) -> _Parts:
    tags = [tag for tag in _TAG.finditer(text) if not _quoted(text, tag)]
    closing: dict[str, list[re.Match]] = {}
    for tag in filter(_closes, tags):
        for name in (_name(tag), "any"):
            closing.setdefault(name, []).append(tag)
    thoughts, reply, at = [], [""], 0  # up to `at` the text is read
    for tag in tags:
        if tag.start() < at:
            continue
        if _closes(tag):  # nothing has opened it
            thoughts.append(_joined([*reply, text[at : tag.start()]]))
            reply, at = [""], tag.end()
            continue
        ends = _next(closing.get(_name(tag), []), tag.end())
        if ends is None and not _begins_a_line(text, tag.start()):
            continue
        ends = ends or _next(closing.get("any", []), tag.end())  # models mix up the names
        start, end = ends.span() if ends else (len(text), len(text))
        reply.append(text[at : tag.start()])
        thoughts.append(text[tag.end() : start].strip())
        at = end
    if not thoughts:
        return _Parts("", text)
    # The first space stays, since it separates a reply from a plain prompt.
    return _Parts(_lines(thoughts), text[: len(text) - len(text.lstrip(" "))] + _joined([*reply, text[at:]]))


def _next(tags: Sequence[re.Match], at: int) -> re.Match | None:
    place = bisect.bisect_left(tags, at, key=re.Match.start)
    return tags[place] if place < len(tags) else None


def _joined(pieces: Sequence[str]) -> str:
    """The text around thoughts as one text."""
    said = ""
    for piece in pieces:
        if piece.strip():
            kept, more = said.rstrip(), piece.lstrip()
            broken = "\n" in said[len(kept) :] or "\n" in piece[: len(piece) - len(more)]
            said = f"{kept}{chr(10) if broken else ' '}{more}" if kept else more
    return said if pieces[-1].strip() else said.rstrip()


def _lines(pieces: Any) -> str:
    return "\n".join(piece for piece in pieces if piece)


def _closes(tag: re.Match) -> bool:
    return tag.lastgroup.startswith("closes")  # type: ignore[union-attr]


def _name(tag: re.Match) -> str:
    return tag.lastgroup.removeprefix("closes").removeprefix("opens")  # type: ignore[union-attr]


def _quoted(text: str, tag: re.Match) -> bool:
    """Whether a tag stands in quotes. In `he said "no"</think>"Hi"` the first quote closes other words."""
    start, end = tag.span()
    around = start > 0 and text[start - 1] in _QUOTES and text[end : end + 1] in _QUOTES
    return around and not (text[start - 2 : start - 1].isalnum() or text[start - 2 : start - 1] in _STOPS)


def _begins_a_line(text: str, at: int) -> bool:
    before = text[max(0, at - 64) : at].rstrip(" \t")
    return not before or before.endswith("\n")
