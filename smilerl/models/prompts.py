"""Encodes prompts and checks that a model can take them: its chat template, its context, no empty prompt.

All prompts are checked before anything is sampled: a model with learned positions fails on a prompt that is too long,
and one with rotary positions goes on silently, on positions that it never learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from smilerl.io.terminal import brief, first_line

#: Plain text, chat messages, or token ids, which are taken as they are.
Prompt = str | list[dict[str, str]] | list[int]
#: Returns the place of a prompt, such as file:line; None if it is not known.
Place = Callable[[Any], str | None]
_SHOWN = 60


class PromptError(ValueError):
    """A prompt that a model cannot take.

    Attributes:
        row: its row among the given prompts.
        prompt: the prompt itself.
        text: which, why, and how many there are of its kind.
        fix: what to do.
    """

    def __init__(self, row: int, prompt: Any, text: str, fix: str) -> None:
        super().__init__(f"{text}\n{fix}")
        self.row, self.prompt, self.text, self.fix = row, prompt, text, fix


def encode(tokenizer: Any, prompts: Sequence[Prompt], place: Place | None = None) -> list[list[int]]:
    """Token ids of each prompt, as TRL makes them: text as it stands, messages through the chat template.

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
    if empty := [row for row, own in enumerate(ids) if not len(own)]:
        why, fix = "the prompt is empty: it has no token to go on from", "Give it a text, or leave the row out."
        raise _error(tokenizer, prompts, empty, place, why, fix)
    return ids


def check(
    tokenizer: Any, config: Any, prompts: Sequence[Prompt], room: int, place: Place | None = None
) -> list[list[int]]:
    """As `encode`, and checks that each prompt and `room` more tokens fit into the context of the model's config."""
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
    raise _error(tokenizer, prompts, long, place, why, fix)


def context_of(config: Any) -> int | None:
    """Tokens that a model has positions for, stretched rotary ones included; None where there is no limit."""
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
        why = "the prompt is messages, and the model has no chat template"
        fix = "Give plain text (the dialogue world's format: text), or take a model with a template."
        raise _error(tokenizer, prompts, range(len(prompts)), place, why, fix)
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
        row, first = next(iter(refused.items()))
        roles = [message.get("role") for message in prompts[row]]
        why = f"the model's chat template refuses it: {first_line(first)} (roles: {', '.join(map(str, roles[:6]))})"
        fix = (
            "Leave the system message out, or write it in front of what the user says."
            if "system" in roles
            else "Most templates want the user first, and user and assistant in turn."
        )
        raise _error(tokenizer, prompts, list(refused), place, why, fix) from error


def _error(
    tokenizer: Any, prompts: Sequence[Prompt], rows: Sequence[int], place: Place | None, why: str, fix: str
) -> PromptError:
    """The error of some rows; names the first by its place, or its number and first words."""
    row, prompt = rows[0], prompts[rows[0]]
    found = place(prompt) if place is not None else None
    if found is None:
        if isinstance(prompt, str):
            words = prompt
        elif prompt and isinstance(prompt[0], dict):
            words = " ".join(str(message["content"]) for message in prompt)
        else:
            words = tokenizer.decode(prompt[: 4 * _SHOWN])
        found = f"row {row} ({brief(' '.join(words.split())[:_SHOWN])!r})"
    return PromptError(row, prompt, f"{found}: {why}. {len(rows)} of {len(prompts)} prompts are so.", fix)
