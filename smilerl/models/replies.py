"""The visible reply: what a person sees of a completion, without the thoughts that a model writes down before it.

One notion for all who read a reply: rewards, people, judges, measures, chat and the harnesses. Thoughts are

* in messages: the fields `reasoning_content`, `reasoning` and `thinking`, and parts of the content of such a type. Only
what
  the helper says counts: the result of a tool is no reply.
* in text: what stands between a pair of tags, `<think>...</think>`; the others are in `_PAIRS`. gpt-oss's channels
other than
  `final`.
* all text before a closing tag that nothing has opened: the chat template has opened it in the prompt.
* all text from an opening tag at the beginning of a line, where none closes it: the reply was cut off in its thoughts.

A tag in quotes or backticks, and one in the middle of a line that nothing closes, are words. Where a template opens the
thoughts
and the reply is cut off in them, the completion alone does not show it: whoever samples puts the tag back (`opening`,
`opened`). Some models put tags around the reply, too (`_ANSWER`): these are left out.
Tags that a tokenizer takes for special tokens are lost when it decodes, as Magistral's are: such thoughts cannot be
told apart.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

#: What can be read of a completion. Both: thoughts first, then the reply, without the tags.
Part = Literal["reply", "thoughts", "both"]
PARTS = ("reply", "thoughts", "both")
#: Fields of a message, and types of a part of its content, that hold thoughts.
_FIELDS = ("reasoning_content", "reasoning", "thinking")
_TYPES = frozenset((*_FIELDS, "thought"))

#: What opens thoughts, and what closes them: `<think>`, `</think>` and other words so; then what single families of
#: models write.
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
#: Around the reply of models that mark it, too.
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
#: The same, where decoding has left out the special tokens: `analysisThe user ...assistantfinalHello.`
_BARE_CHANNELS = re.compile(r"\s*analysis(?=[A-Z])(.*?)(?:assistantfinal(.*)|\Z)", re.DOTALL)


class _Parts(NamedTuple):
    thoughts: str
    reply: str


def visible(completion: str | Sequence[Mapping]) -> str:
    """What a person sees of a completion, plain or messages. Text without thoughts stays as it is."""
    return part_of(completion, "reply")


def all_visible(completions: Sequence) -> list[str]:
    """What a person sees of each completion."""
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
    """Messages of which the helper's have that part for their content, and no field with thoughts."""
    return [
        {key: value for key, value in message.items() if key not in _FIELDS} | {"content": part_of([message], part)}
        if message.get("role") == "assistant"
        else dict(message)
        for message in messages
    ]


def opening(tokenizer: Any, **told: Any) -> str:
    """The tag with which the tokenizer's chat template opens the helper's thoughts in the prompt; empty where it opens
    none.

    Args:
        told: keyword arguments for the template.
    """
    if not isinstance(getattr(tokenizer, "chat_template", None), str):
        return ""
    import jinja2

    try:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": "x"}], add_generation_prompt=True, tokenize=False, **told
        )
    except (jinja2.TemplateError, ValueError, TypeError):  # one that wants more than a user's turn
        return ""
    return opening_of(prompt)


def opening_of(prompt: str) -> str:
    """The tag with which a prompt, as its template has written it, opens the helper's thoughts; empty where it opens
    none.
    """
    found = _OPENED.search(prompt[-64:])
    return found[0] if found and not _closes(found) else ""


def opened(completion: Any, tag: str) -> Any:
    """A completion, text or messages, with the tag in front that its prompt holds. Without a tag: the completion
    itself.
    """
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
        aside += [
            "".join(str(part.get(key) or "") for key in ("text", *_FIELDS))
            for part in parts
            if part.get("type") in _TYPES
        ]
        content = "".join(part.get("text") or "" for part in parts if part.get("type") not in _TYPES)
    said = _split(content)
    return _Parts(_lines([*aside, said.thoughts]), said.reply) if aside else said


def _split(text: str) -> _Parts:
    # Looking for a character first spares nearly every text the search.
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
    # Its own first space stays: it is what parts a reply from a plain prompt.
    return _Parts(_lines(thoughts), text[: len(text) - len(text.lstrip(" "))] + _joined([*reply, text[at:]]))


def _next(tags: Sequence[re.Match], at: int) -> re.Match | None:
    place = bisect.bisect_left(tags, at, key=re.Match.start)
    return tags[place] if place < len(tags) else None


def _joined(pieces: Sequence[str]) -> str:
    """What is left around thoughts, as one text."""
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
    """Whether a tag stands in quotes. A quote that closes other words, `he said "no"</think>"Hi"`, is not one in front
    of a tag.
    """
    start, end = tag.span()
    around = start > 0 and text[start - 1] in _QUOTES and text[end : end + 1] in _QUOTES
    return around and not (text[start - 2 : start - 1].isalnum() or text[start - 2 : start - 1] in _STOPS)


def _begins_a_line(text: str, at: int) -> bool:
    before = text[max(0, at - 64) : at].rstrip(" \t")
    return not before or before.endswith("\n")
