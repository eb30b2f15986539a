"""Prompts as token ids, and whether a model can take them: its chat template, its context, and not empty.

A model with learned positions fails in the middle of a run on a prompt that is too long; one with rotary positions goes
on without a word, on positions that it never learned. A chat template may know no system message, or want the user to
begin. All of this is found out before anything is sampled, for all prompts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from smilerl.io.terminal import brief, first_line

#: Plain text, chat messages, or token ids (exact: for whoever has put them through a template of their own).
Prompt = str | list[dict[str, str]] | list[int]
#: The place of a prompt, such as file:line; None: not known.
Place = Callable[[Any], str | None]
_SHOWN = 60


class PromptError(ValueError):
    """A prompt that a model cannot take: which, why, how many there are of its kind, and what to do.

    Attributes:
        row: its number among those that were given.
        prompt: the prompt itself.
        text: without what to do, which is `fix`.
    """

    def __init__(self, row: int, prompt: Any, text: str, fix: str) -> None:
        super().__init__(f"{text}\n{fix}")
        self.row, self.prompt, self.text, self.fix = row, prompt, text, fix


def encode(tokenizer: Any, prompts: Sequence[Prompt], place: Place | None = None) -> list[list[int]]:
    """Token ids of each prompt, as TRL makes them: text as it stands, messages through the chat template.

    Args:
        place: where a prompt comes from, for the error.

    Raises:
        PromptError: one is empty, or the chat template refuses it, or there is none.
    """
    if not prompts:
        return []
    if not isinstance(prompts[0], str) and prompts[0] and isinstance(prompts[0][0], dict):
        ids = _through_template(tokenizer, prompts, place)
    elif isinstance(prompts[0], str):
        ids = tokenizer(list(prompts), return_attention_mask=False)["input_ids"]
    else:
        ids = [list(prompt) for prompt in prompts]  # type: ignore[arg-type]
    empty = [row for row, own in enumerate(ids) if not len(own)]
    if empty:
        said = _said(tokenizer, prompts, empty, place, "the prompt is empty: it has no token to go on from")
        raise PromptError(empty[0], prompts[empty[0]], said, "Give it a text, or leave the row out.")
    return ids


def check(
    tokenizer: Any, config: Any, prompts: Sequence[Prompt], room: int, place: Place | None = None
) -> list[list[int]]:
    """As `encode`; and each prompt fits into the context of the model together with `room` tokens more.

    Args:
        config: of the model.

    Raises:
        PromptError: one cannot be taken.
    """
    ids = encode(tokenizer, prompts, place)
    fits(tokenizer, config, prompts, [len(own) for own in ids], [room] * len(ids), place)
    return ids


def fits(
    tokenizer: Any,
    config: Any,
    prompts: Sequence[Prompt],
    lengths: Sequence[int],
    rooms: Sequence[int],
    place: Place | None = None,
) -> None:
    """Raises PromptError where a prompt with what follows it is longer than the model's context.

    Args:
        lengths: tokens of each of N prompts.
        rooms: tokens that follow each.
    """
    context = context_of(config)
    if context is None or max(map(sum, zip(lengths, rooms, strict=True)), default=0) <= context:
        return
    long = [row for row in range(len(lengths)) if lengths[row] + rooms[row] > context]
    why = (
        f"the prompt has {lengths[long[0]]} tokens, and with {rooms[long[0]]} that follow it that is more than the "
        f"model's context of {context}"
    )
    fix = (
        "Leave long prompts out (max_prompt_chars), let fewer tokens follow (max_completion_length), or take a model "
        "with a longer context."
    )
    raise PromptError(long[0], prompts[long[0]], _said(tokenizer, prompts, long, place, why), fix)


def context_of(config: Any) -> int | None:
    """Tokens that a model has positions for; None where there is no limit.

    Rotary positions that are stretched (`rope_parameters` with a factor) reach as far as the stretched ones.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limit = getattr(text, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit < 1:
        return None
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    factor, original = rope.get("factor"), rope.get("original_max_position_embeddings") or limit
    return max(limit, int(factor * original)) if isinstance(factor, int | float) else limit


def _through_template(tokenizer: Any, prompts: Sequence[Any], place: Place | None) -> list[list[int]]:
    rendered = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
    if getattr(tokenizer, "chat_template", None) is None:
        said = _said(
            tokenizer, prompts, range(len(prompts)), place, "the prompt is messages, and the model has no chat template"
        )
        raise PromptError(
            0, prompts[0], said, "Give plain text (the dialogue world's format: text), or take a model with a template."
        )
    try:
        return tokenizer.apply_chat_template(list(prompts), **rendered)["input_ids"]
    except Exception as error:
        refused: dict[int, Exception] = {}
        for row, prompt in enumerate(prompts):
            try:
                tokenizer.apply_chat_template([prompt], **rendered)
            except Exception as own:  # noqa: BLE001
                refused[row] = own
        if not refused:
            raise
        row = next(iter(refused))
        roles = [message.get("role") for message in prompts[row]]
        why = (
            f"the model's chat template refuses it: {first_line(refused[row])} (roles: "
            f"{', '.join(map(str, roles[:6]))})"
        )
        fix = (
            "Leave the system message out, or write it in front of what the user says."
            if "system" in roles
            else "Most templates want the user first, and user and assistant in turn."
        )
        raise PromptError(row, prompts[row], _said(tokenizer, prompts, list(refused), place, why), fix) from error


def _said(tokenizer: Any, prompts: Sequence[Prompt], rows: Sequence[int], place: Place | None, why: str) -> str:
    """What is wrong with some rows: the first of them by its place, or its number and first words."""
    prompt = prompts[rows[0]]
    found = place(prompt) if place is not None else None
    if found is None:
        words = (
            prompt
            if isinstance(prompt, str)
            else " ".join(str(message["content"]) for message in prompt)
            if prompt and isinstance(prompt[0], dict)
            else tokenizer.decode(prompt[: 4 * _SHOWN])
        )
        found = f"row {rows[0]} ({brief(' '.join(words.split())[:_SHOWN])!r})"
    return f"{found}: {why}. {len(rows)} of {len(prompts)} prompts are so."
