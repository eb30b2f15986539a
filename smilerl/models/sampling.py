"""Sampling completions and scoring them, in batches that do not change the answer.

(seed, row, position) fixes one uniform number per token, and the token is where it falls in the cumulative
distribution. So a completion does not depend on its batch, the global random state is neither read nor moved, and
policies sampled with one seed share their random numbers, which makes paired comparisons sharper. All log-probabilities
are in nats, at temperature 1 unless another is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from smilerl.models import messages, option_tree, packed, replies
from smilerl.models.decoding import Measure, arguments, chooser, decode, measuring, rows_can_be_chosen
from smilerl.models.policy import Policy
from smilerl.models.prompts import Prompt, check, fits

#: The most numbers in one batch of logits: 2 GB in single precision.
_MOST_LOGITS = 2**29

#: Text, chat messages, or token ids as `sample_ids` returns them (exact: nothing is tokenized again).
Completion = str | list[dict[str, str]] | list[int]


def sample(
    policy: Policy, prompts: Sequence[Prompt], *, max_new_tokens: int, seed: int | Sequence[int], **settings: Any
) -> list[str]:
    """One completion for each prompt, as text: `sample_ids`, decoded. Takes the same settings."""
    ids = sample_ids(policy, prompts, max_new_tokens=max_new_tokens, seed=seed, **settings)
    return decoded(policy.tokenizer, prompts, ids)


def decoded(tokenizer: Any, prompts: Sequence[Prompt], ids: Sequence[list[int]]) -> list[str]:
    """Completions of N prompts as text, each after the tag by which the chat template opened its thoughts."""
    said = tokenizer.batch_decode(ids, skip_special_tokens=True) if len(ids) else []
    tag = opening_after(tokenizer, prompts)
    return [replies.opened(one, tag) for one in said] if tag else said


def opening_after(tokenizer: Any, prompts: Sequence[Prompt]) -> str:
    """The tag by which the chat template opens the thoughts of a reply to these prompts; empty for plain texts."""
    talks = len(prompts) and not isinstance(prompts[0], str) and prompts[0] and isinstance(prompts[0][0], dict)
    return replies.opening(tokenizer) if talks else ""


def sample_ids(
    policy: Policy, prompts: Sequence[Prompt], *, max_new_tokens: int, seed: int | Sequence[int], **settings: Any
) -> list[list[int]]:
    """One completion for each prompt, as token ids; see `sample_measured`."""
    return sample_measured(policy, prompts, None, max_new_tokens=max_new_tokens, seed=seed, **settings)[0]


@torch.inference_mode()
def sample_measured(
    policy: Policy,
    prompts: Sequence[Prompt],
    measure: Measure | None,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int | Sequence[int],
    batch_size: int = 256,
) -> tuple[list[list[int]], np.ndarray]:
    """One completion for each prompt, and what sampling knows of it.

    Args:
        prompts: N plain texts, lists of chat messages, or lists of token ids.
        measure: of each token, such as `decoding.logprob`; needs a temperature above 0.
        temperature: 0 takes the likeliest token.
        seed: fixes every completion together with its row. N seeds, one a row, make rows independent of their number
            and order, too.
        batch_size: the most rows at once; does not change the result.

    Returns:
        N lists of token ids, of which the last is EOS unless the reply was cut off; and the sum of the measure over
        each reply's tokens, float64 [N], 0 where nothing is measured.

    Raises:
        ValueError: the temperature is negative, or a prompt cannot be taken (`PromptError`).
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be 0 or more, not {temperature}")
    uniforms = torch.from_numpy(_uniforms(seed, len(prompts), max_new_tokens))
    prompt_ids = encode_prompts(policy, prompts, max_new_tokens)
    numbers = {ids: number for number, ids in enumerate(dict.fromkeys(map(tuple, prompt_ids)))}
    same = [numbers[tuple(ids)] for ids in prompt_ids]
    completions: list[list[int]] = [[]] * len(prompts)
    totals = np.zeros(len(prompts))
    for rows in _batches([len(ids) for ids in prompt_ids], batch_size, same):
        first = {same[row]: row for row in reversed(rows)}  # one row of each different prompt
        place = {number: at for at, number in enumerate(first)}
        inputs, mask = _padded([prompt_ids[row] for row in first.values()], policy, "left")
        owner = torch.tensor([place[same[row]] for row in rows], device=inputs.device)
        choose = chooser(uniforms[rows].to(inputs.device), temperature, top_p)
        measured = torch.zeros(len(rows), max_new_tokens, device=inputs.device)
        if measure is not None:
            choose = measuring(choose, measure, temperature, measured)
        ends, pad = _eos_ids(policy), policy.tokenizer.pad_token_id
        found = decode(policy.model, inputs, mask, owner, choose, max_new_tokens, ends, pad)
        for row, ids, each in zip(rows, found, measured.double().cpu().numpy(), strict=True):
            completions[row], totals[row] = ids, each[: len(ids)].sum()
    return completions, totals


@torch.inference_mode()
def completion_logprobs(
    policy: Policy,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    *,
    eos: bool = True,
    temperature: float = 1.0,
    batch_size: int = 64,
) -> np.ndarray:
    """log π(completion | prompt), summed over tokens, in nats.

    Args:
        completions: N texts (or messages, or token ids, which are scored as they are).
        eos: whether ending there counts: adds log π(EOS) to texts.
        temperature: by which logits are divided, above 0.

    Returns:
        float64 array [N]; an empty completion without EOS scores 0.
    """
    totals = np.zeros(len(completions))
    for rows, logits, tokens, counted in _completion_logits(policy, prompts, completions, eos, batch_size):
        totals[rows] = _sum_logprobs(logits, tokens, counted, temperature)
    return totals


@torch.inference_mode()
def completion_entropies(
    policy: Policy,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    temperatures: Sequence[float],
    *,
    batch_size: int = 16,
) -> np.ndarray:
    """Mean entropy of the next token along N completions at each temperature, in nats.

    Args:
        temperatures: each above 0. [T]

    Returns:
        float64 array [T].
    """
    totals, n = np.zeros(len(temperatures)), 0
    for _, logits, _, counted in _completion_logits(policy, prompts, completions, False, batch_size):
        along = logits[counted].float()
        n += len(along)
        for place, temperature in enumerate(temperatures):
            scores = (along / temperature).log_softmax(-1)
            totals[place] -= float((scores.exp() * scores.clamp(min=-1e4)).sum(-1).double().sum())
    return totals / max(n, 1)


def _completion_logits(
    policy: Policy, prompts: Sequence[Prompt], completions: Sequence[Completion], eos: bool, batch_size: int
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Batches of completions: their rows [B], the logits [B, T, V] of their tokens [B, T], and which of these count."""
    answers = _encode_completions(policy, completions, eos)
    prompt_ids = encode_prompts(policy, prompts)
    _check_lengths(policy, prompts, prompt_ids, [len(answer) for answer in answers])
    sequences = [prompt + answer for prompt, answer in zip(prompt_ids, answers, strict=True)]
    lengths = [len(ids) for ids in sequences]
    can_skip = "logits_to_keep" in arguments(policy.model)
    for rows in _batches(lengths, _fitting(policy, batch_size, lengths)):
        inputs, mask = _padded([sequences[row] for row in rows], policy, "right")
        starts = torch.tensor([len(prompt_ids[row]) for row in rows], device=inputs.device)[:, None]
        first = int(starts.min()) if can_skip else 1  # no logits of what is prompt in every row
        keep = {"logits_to_keep": inputs.shape[1] - first} if can_skip else {}
        read = {"input_ids": inputs[:, :-1], "attention_mask": mask[:, :-1]}
        logits = policy.model(**read, use_cache=False, **keep).logits
        places = torch.arange(first, inputs.shape[1], device=inputs.device)
        yield rows, logits, inputs[:, first:], (places >= starts) & mask[:, first:].bool()


@torch.inference_mode()
def option_logprobs(
    policy: Policy,
    prompts: Sequence[Prompt],
    options: Sequence[Sequence[Completion]],
    *,
    eos: bool = True,
    temperature: float | Sequence[float] = 1.0,
    batch_size: int = 256,
) -> list[np.ndarray]:
    """log π(option | prompt) for several options to each prompt; each prompt is read once, and where the model can read
    them in one row, so is what options have in common (option_tree.py).

    Args:
        options: for each of N prompts, its options (any number, at least one).
        temperature: by which logits are divided, above 0; or several.
        batch_size: the most options scored at once; those of one prompt stay together.

    Returns:
        N float64 arrays, one number per option, in nats; at temperature 1 equal to `completion_logprobs` of each pair.
        Of several temperatures one row per option, a number for each.
    """
    prompt_ids = encode_prompts(policy, prompts)
    encoded = iter(_encode_completions(policy, [option for own in options for option in own], eos))
    answers = [[next(encoded) for _ in own] for own in options]
    _check_lengths(policy, prompts, prompt_ids, [max(map(len, own), default=0) for own in answers])
    by_themselves = partial(_scored_after, policy, batch_size=batch_size)
    several = temperature if isinstance(temperature, Sequence) else (temperature,)
    if prompt_ids and option_tree.works(policy.model, prompt_ids, answers, by_themselves):
        found = option_tree.logprobs(policy.model, prompt_ids, answers, several)
    else:
        each = zip(*(by_themselves(prompt_ids, answers, one) for one in several), strict=True)
        found = [np.stack(own, axis=1) for own in each]
    return found if several is temperature else [own[:, 0] for own in found]


def _scored_after(
    policy: Policy,
    prompts: list[list[int]],
    answers: list[list[list[int]]],
    temperature: float = 1.0,
    *,
    batch_size: int,
) -> list[np.ndarray]:
    """Log-probabilities of each prompt's answers, which share its cache."""
    counts = [len(own) for own in answers]
    totals: list[np.ndarray] = [np.zeros(0)] * len(prompts)
    batch_size = _fitting(policy, batch_size, [len(answer) for own in answers for answer in own])
    lengths = [len(ids) for ids in prompts]
    per_batch = min(max(1, batch_size // max([1, *counts])), _fitting(policy, len(prompts), lengths))
    for rows in _batches(lengths, per_batch):
        owner = torch.tensor([place for place, row in enumerate(rows) for _ in range(counts[row])])
        flat = [answer for row in rows for answer in answers[row]]
        scores = _score_after(policy, [prompts[row] for row in rows], owner, flat, temperature)
        for row, own in zip(rows, np.split(scores, np.cumsum([counts[row] for row in rows])[:-1]), strict=True):
            totals[row] = own
    return totals


def encode_prompts(policy: Policy, prompts: Sequence[Prompt], room: int = 0) -> list[list[int]]:
    """Token ids of each prompt, see `prompts.check`.

    Args:
        room: tokens that will follow each.
    """
    return check(policy.tokenizer, policy.model.config, prompts, room)


def _check_lengths(
    policy: Policy, prompts: Sequence[Prompt], prompt_ids: Sequence[list[int]], follows: Sequence[int]
) -> None:
    fits(policy.tokenizer, policy.model.config, prompts, [len(ids) for ids in prompt_ids], follows)


def _uniforms(seed: int | Sequence[int], rows: int, width: int) -> np.ndarray:
    """Numbers in [0, 1), [rows, width]."""
    if not isinstance(seed, Sequence):
        return np.random.default_rng(seed).random((rows, width))
    return np.array([np.random.default_rng(own).random(width) for own in seed]).reshape(rows, width)


def _encode_completions(policy: Policy, completions: Sequence[Completion], eos: bool) -> list[list[int]]:
    tail = [policy.tokenizer.eos_token_id] if eos else []
    said: list[Any] = [  # texts, or token ids
        messages.text(one) if isinstance(one, str) or (one and isinstance(one[0], dict)) else one for one in completions
    ]
    # Each text once and all in one call: one by one takes longer than a small model takes to score them.
    texts = list(dict.fromkeys(one for one in said if isinstance(one, str)))
    ids = policy.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    known = {text: own + tail for text, own in zip(texts, ids, strict=True)}
    return [known[one] if isinstance(one, str) else list(one) for one in said]


def _score_after(
    policy: Policy, prompts: list[list[int]], owner: torch.Tensor, answers: list[list[int]], temperature: float
) -> np.ndarray:
    """Log-probability of each answer after the prompt that owns it."""
    device = policy.model.device
    owner = owner.to(device)
    inputs, mask = _padded(prompts, policy, "left")
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    read = policy.model(input_ids=inputs, attention_mask=mask, position_ids=positions, use_cache=True)
    cache: Any = getattr(read, "past_key_values", None)
    if not rows_can_be_chosen(cache):
        each = [prompts[row] for row in owner.tolist()]
        return completion_logprobs(policy, each, answers, eos=False, temperature=temperature)
    cache.batch_select_indices(owner)
    tokens, counted = _padded(answers, policy, "right")
    logits = read.logits[owner, -1:]
    if tokens.shape[1] > 1:
        further = policy.model(
            input_ids=tokens[:, :-1],
            attention_mask=torch.cat([mask[owner], counted[:, :-1]], 1),
            position_ids=mask.sum(1)[owner, None] + torch.arange(tokens.shape[1] - 1, device=device),
            past_key_values=cache,
            use_cache=True,
        )
        logits = torch.cat([logits, further.logits], 1)
    return _sum_logprobs(logits, tokens, counted.bool(), temperature)


def _sum_logprobs(
    logits: torch.Tensor, tokens: torch.Tensor, counted: torch.Tensor, temperature: float = 1.0
) -> np.ndarray:
    logits = logits.float() if temperature == 1 else logits.float() / temperature
    chosen = logits.gather(-1, tokens[..., None]).squeeze(-1) - logits.logsumexp(-1)
    return torch.where(counted, chosen.double(), 0.0).sum(1).cpu().numpy()


def _eos_ids(policy: Policy) -> set[int]:
    """Every token that ends a reply: the tokenizer's EOS and those the model's generation settings add."""
    named = policy.model.generation_config.eos_token_id
    more = named if isinstance(named, list) else [] if named is None else [named]
    return {policy.tokenizer.eos_token_id, *more}


def _padded(sequences: list[list[int]], policy: Policy, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [B, T] and attention mask [B, T], padded on one side, on the model's device."""
    ids, mask = packed.padded(sequences, policy.tokenizer.pad_token_id, side)
    return ids.to(policy.model.device), mask.to(policy.model.device)


def _fitting(policy: Policy, size: int, lengths: Sequence[int]) -> int:
    """At most `size` sequences, fewer where their logits would not fit."""
    return max(1, min(size, _MOST_LOGITS // (max([1, *lengths]) * policy.model.config.get_text_config().vocab_size)))


def _batches(lengths: Sequence[int], size: int, alike: Sequence[int] | None = None) -> Iterator[list[int]]:
    """Row numbers in batches of similar length, so that little is spent on padding; longest first.

    Args:
        alike: a number for each row; rows of one length with the same number stay together.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], alike[row] if alike else 0))
    yield from (order[start : start + size] for start in range(0, len(order), size))
