"""RLOO and GRPO with each prompt read once for its group, in every pass, gradients included.

TRL reads prompt and completion of every row, in the pass of the old policy, of the reference and of the update. Rows of
a group have one prompt; here they become one row,

    prompt but its last token | last, completion 1 | last, completion 2 | ...

in which each completion sees the prompt and itself, with positions that go on from the prompt's. (The last token stands
before each completion, since what it predicts is the first token of each.) Padding is dropped. The log-probabilities
are those of TRL's rows but for rounding; they are put back into TRL's padded layout, and all else is TRL's.

The reason for a subclass: no callback can replace a pass, and a step of the default recipe takes .26 of TRL's time
(`benchmarks/overhead.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from accelerate.utils import extract_model_from_parallel
from trl import GRPOTrainer, RLOOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import pad

from smilerl.models import packed
from smilerl.models.decoding import chooser, decode, logprob, measuring

#: The standing of a trainer whose rows share their prompt.
SHARED = "yes"
#: Attention over packed rows may be so many times that over TRL's rows (it is dense: what a mask hides costs, too), and
#: their tokens so many.
MOST_ATTENTION, MOST_TOKENS = 2, 0.95
#: Why a batch is left to TRL.
NOTHING = "no two rows of a batch have a prompt in common, or completions are too long beside it"
#: The label of a position that is not scored.
_IGNORED = -100


class Packed(NamedTuple):
    """R rows of a batch as B rows, one a prompt or a part of its group, of L tokens; prompts end in column `start`.

    Attributes:
        tokens, positions, labels: [B, L]; a label is the token that comes next, `_IGNORED` where none is scored.
        allowed: [B, 1, L, L], whether a position (third axis) sees another (fourth).
        start: the first column with a label.
        rows, columns, places: where each of N scored tokens belongs, row and column in TRL's layout; and the place
            where it was scored, among the L - start columns of all B rows.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
    allowed: torch.Tensor
    start: int
    rows: torch.Tensor
    columns: torch.Tensor
    places: torch.Tensor


def pack(ids: torch.Tensor, mask: torch.Tensor, keep: int) -> Packed | None:
    """Packs a batch; None where no two rows share a prompt, or padding stands within a prompt or a completion, or
    completions are so long that packing saves nothing.

    Args:
        ids, mask: [R, P + keep], prompts padded on the left and completions on the right.
        keep: columns of completions.
    """
    width = ids.shape[1] - keep
    lengths = mask.long()
    before, after = lengths[:, :width].sum(1), lengths[:, width:].sum(1)
    columns = torch.arange(ids.shape[1], device=ids.device)
    real = (columns >= width - before[:, None]) & (columns < width + after[:, None])
    if not torch.equal(real, mask.bool()) or int(before.min()) < 1:
        return None
    prompts, same = torch.unique(ids[:, :width].masked_fill(~real[:, :width], -1), dim=0, return_inverse=True)
    if len(prompts) == len(ids) or not int(after.sum()):
        return None
    split = _split(same, after, start := width - 1, ids.shape)
    if split is None:
        return None
    same, length, of = split
    prompts = prompts[of]
    # Where each row's part begins, behind the parts of the rows before it that are packed with it.
    begins = (torch.tril(same[:, None] == same, diagonal=-1) * after).sum(1)
    rows, at = torch.nonzero(real[:, width:], as_tuple=True)
    owner, place = same[rows], start + begins[rows] + at

    def laid(filler: int, of_prompt: torch.Tensor, of_completion: torch.Tensor) -> torch.Tensor:
        whole = ids.new_full((len(prompts), length), filler)
        whole[:, :start] = of_prompt
        whole[owner, place] = of_completion
        return whole

    tokens = laid(0, prompts[:, :start].clamp(min=0), ids[rows, width + at - 1])
    # The column in TRL's layout, padding counted: models with learned positions see the same as from TRL.
    positions = laid(0, columns[:start].expand(len(prompts), start), start + at)
    labels = laid(_IGNORED, ids.new_full((), _IGNORED).expand(len(prompts), start), ids[rows, width + at])
    # Of the prompt 0, of a row its number + 1, of padding -1.
    parts = laid(-1, torch.where(prompts[:, :start] >= 0, 0, -1), rows + 1)
    sees = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    shared = (parts[:, None, :] == 0) | (parts[:, None, :] == parts[:, :, None])
    allowed = (sees & shared & (parts >= 0)[:, None, :]) | torch.eye(length, dtype=torch.bool, device=ids.device)
    return Packed(
        tokens, positions, labels, allowed[:, None], start, rows, at, owner * (length - start) + place - start
    )


def _split(
    same: torch.Tensor, after: torch.Tensor, start: int, shape: torch.Size
) -> tuple[torch.Tensor, int, torch.Tensor] | None:
    """Which of R rows are packed together: those that share a prompt, in parts where attention over all is too much.

    Args:
        same: the prompt of each row. [R]
        after: tokens of each completion. [R]
        start: columns of prompts.
        shape: of TRL's batch.

    Returns:
        The packed row of each row [R], of B; their length; and the prompt of each [B]. None where packing saves
        nothing.
    """
    rank = torch.tril(same[:, None] == same, diagonal=-1).sum(1)
    together, tokens = int(rank.max()) + 1, shape[0] * shape[1]
    while together > 1:
        packed, owner = torch.unique(same * len(same) + rank // together, return_inverse=True)
        length = start + int(after.new_zeros(len(packed)).index_add(0, owner, after).max())
        if len(packed) * length > MOST_TOKENS * tokens:
            return None
        if len(packed) * length**2 <= MOST_ATTENTION * tokens * shape[1]:
            return owner, length, packed // len(same)
        together = (together + 1) // 2
    return None


#: The largest difference of a log-probability from TRL's, in nats: in single precision, and in half on average (30
#: layers in bfloat16 round to .02).
TOLERANCE, TOLERANCE_OF_HALF = 1e-4, 0.03
#: The largest difference of a sampled token's log-probability at which the pass of the old policy is left out; and the
#: one up to which the reference's is then taken for the same.
SAME, ROUNDING = 1e-5, 3e-5


def why_not(model: Any, distributed: str) -> str | None:
    """Why the rows of a model cannot share their prompt, in words; None where they can, as far as its config says.

    Args:
        distributed: accelerate's name of how the model is spread.
    """
    if distributed in ("FSDP", "DEEPSPEED", "MEGATRON_LM", "TP"):
        return f"the model is spread by {distributed}, which was not tried"
    return packed.why_not(model)


class SharedPrompt:
    """A mixin over TRL's trainers.

    RLOO's pass of the old policy gives again what was known when the completions were sampled. In single precision it
    is left out, once the first batch has shown that both agree. The reference's log-probabilities that then differ by
    rounding alone are taken for the same: a difference would pass for a KL, and with a constant reward nothing but that
    would move the weights.

    Attributes:
        standing: `yes`, or why prompts are not shared; None before the first batch in which they could be.
        unshared: whether there was a batch before that.
        draws: whether what sampling knew stands for the old policy's pass; None before the first sampled batch.
            A resumed run goes on with what it had found.
        tell: takes why prompts are not shared, once.
    """

    standing: str | None = None
    unshared: bool = False
    _drawn: torch.Tensor | None = None  # log-probabilities [R, steps] of the tokens that were sampled last
    draws: bool | None = None
    _old: torch.Tensor | None = None
    tell: Callable[[str], None] = staticmethod(lambda text: None)

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False,
        compute_aux_loss=False, **images,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:  # fmt: skip
        """As TRL's: log-probabilities and entropies [R, logits_to_keep], 0 where nothing is scored."""
        old, self._old = self._old, None
        plain = {"batch_size": batch_size, "compute_entropy": compute_entropy, "compute_aux_loss": compute_aux_loss}
        logps, *more = self._scored(model, input_ids, attention_mask, logits_to_keep, **plain, **images)
        if old is not None and not torch.is_grad_enabled():  # of the reference: it is read after the old policy
            logps = torch.where((logps - old).abs() <= ROUNDING, old, logps)
        return logps, *more

    def _scored(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, compute_aux_loss, **images
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        given = (model, input_ids, attention_mask, logits_to_keep)
        plain = {"batch_size": batch_size, "compute_entropy": compute_entropy, "compute_aux_loss": compute_aux_loss}

        def theirs():
            return super(SharedPrompt, self)._get_per_token_logps_and_entropies(*given, **plain, **images)  # type: ignore[misc]

        drawn, self._drawn = self._drawn, None
        known = None if drawn is None else _in_layout(drawn, attention_mask[:, -logits_to_keep:])
        if self.standing is None:
            self._stand(given, batch_size, compute_aux_loss or any(one is not None for one in images.values()), known)
        if self.standing != SHARED:
            return theirs()
        if known is not None and self.draws:
            self._old = known
            return known, None, None
        size, found = batch_size or len(input_ids), []
        for start in range(0, len(input_ids), size):
            rows = slice(start, start + size)
            part = self._shared(model, input_ids[rows], attention_mask[rows], logits_to_keep, compute_entropy)
            if part is None:
                return theirs()
            found.append(part)
        logps = torch.cat([one for one, _ in found])
        entropies = torch.cat([one for _, one in found if one is not None]) if compute_entropy else None
        return logps, entropies, None

    def _shared(self, model, ids, mask, keep: int, entropy: bool) -> tuple[torch.Tensor, torch.Tensor | None] | None:
        """One pass over packed rows; None where nothing is shared in them, or a window is too short for a row."""
        rows = pack(ids, mask, keep) if packed.fits_window(model, ids.shape[1]) else None
        if rows is None:
            return None
        with packed.to_the_head(model, lambda hidden: hidden[:, rows.start :]), self.accelerator.autocast():
            output = model(
                input_ids=rows.tokens,
                attention_mask=packed.attention(rows.allowed, model),
                position_ids=rows.positions,
                shift_labels=rows.labels[:, rows.start :],
                fused_lm_head=True,
            )

        def back(scored: torch.Tensor) -> torch.Tensor:
            empty = scored.new_zeros(len(ids), keep)
            return empty.index_put((rows.rows, rows.columns), scored.reshape(-1)[rows.places])

        return back(output.log_probs), back(output.entropy) if entropy else None

    def _stand(self, given: tuple, batch_size: int | None, has_more: bool, known: torch.Tensor | None) -> None:
        """Finds out on the first batch that can be packed whether prompts are shared: by config, and as TRL says. And
        whether what sampling knew of it (`known`) stands for the pass of the old policy."""
        _, ids, mask, keep = given
        model = extract_model_from_parallel(given[0])  # processes may differ in how often they ask it here
        if self.args.shared_prompt == "off":
            self.standing = "training.shared_prompt is off"
            return
        said = why_not(model, self.accelerator.distributed_type.name)
        if said is None and has_more:
            said = "rows have more than text, or a router"
        if said is None:
            rows = slice(0, batch_size or len(ids))
            with _as_in_evaluation(model):
                own = self._shared(model, *_padded(ids[rows], mask[rows]), keep, entropy=False)
                if own is None:  # another batch may have something to share
                    if not self.unshared:
                        self.tell(NOTHING)
                    self.unshared = True
                    return
                theirs = self._theirs(given, rows)
                half = packed.plain(model).dtype != torch.float32 or self.accelerator.mixed_precision != "no"
                said = _differs(own[0], theirs, mask[rows, -keep:], half)
                if known is not None and self.draws is None:
                    close = float((known[rows] - theirs).abs().max()) <= SAME
                    self.draws = close and not half
        self.standing = said or SHARED
        if said is not None:
            self.tell(said)

    def _theirs(self, given: tuple, rows: slice) -> torch.Tensor:
        model, ids, mask, keep = given
        model, padded = extract_model_from_parallel(model), _padded(ids[rows], mask[rows])
        return super()._get_per_token_logps_and_entropies(model, *padded, keep)[0]  # type: ignore[misc]


def _in_layout(drawn: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What is known of sampled tokens, [R, steps], in TRL's layout: [R, columns], 0 where the mask is."""
    wide = torch.nn.functional.pad(drawn, (0, max(0, mask.shape[1] - drawn.shape[1])))
    return wide[:, : mask.shape[1]].masked_fill(~mask.bool(), 0)


def _padded(ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """With one column of padding more: a model may count padding among its positions, and this batch have none."""
    return torch.nn.functional.pad(ids, (1, 0)), torch.nn.functional.pad(mask, (1, 0))


@contextmanager
def _as_in_evaluation(model: Any) -> Iterator[None]:
    """Without gradients, and without dropout, which would draw other numbers."""
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was)


def _differs(own: torch.Tensor, theirs: torch.Tensor, mask: torch.Tensor, half: bool) -> str | None:
    """How log-probabilities differ beyond rounding, in words; None where they do not.

    Args:
        half: whether they were computed in half precision; under mixed precision they are in single themselves.
    """
    apart = (own.float() - theirs.float()).abs()[mask.bool()]
    found, most = (apart.mean(), TOLERANCE_OF_HALF) if half else (apart.max(), TOLERANCE)
    return None if float(found) <= most else f"log-probabilities differ from TRL's by {float(found):.2g} nats"


class SharedSampling:
    """A mixin over TRL's trainers: samples as evaluations do, each prompt read once and rows dropped when they end.

    The distribution is that of `generate`; the numbers drawn are others. Random numbers come from torch's own state,
    which a checkpoint holds.
    """

    _drawn: torch.Tensor | None

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, *more):
        if not self._samples_here(images, multimodal_fields):
            return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *more)  # type: ignore[misc]
        completions, logps = self._sampled(prompt_ids)
        if isinstance(self, GRPOTrainer):
            return completions, None
        self._drawn = logps
        return completions

    def _samples_here(self, images: Any, fields: Any) -> bool:
        said = self.generation_config
        if self.args.shared_prompt == "off":
            return False
        plain = said.do_sample and not (said.top_k or said.min_p or self.args.generation_kwargs or images or fields)
        spread = self.accelerator.distributed_type.name not in ("NO", "MULTI_GPU", "MULTI_CPU")
        elsewhere = self.use_vllm or self.use_transformers_continuous_batching
        return bool(plain and said.repetition_penalty in (None, 1.0)) and not (spread or elsewhere)

    @torch.no_grad()
    def _sampled(self, prompt_ids: list[list[int]]) -> tuple[list[list[int]], torch.Tensor]:
        """A completion to each of R tokenized prompts, the last token of one that ended is its end; and the
        log-probabilities [R, steps] of its tokens."""
        device, steps = self.accelerator.device, self.generation_config.max_new_tokens
        numbers = {ids: number for number, ids in enumerate(dict.fromkeys(map(tuple, prompt_ids)))}
        owner = torch.tensor([numbers[tuple(ids)] for ids in prompt_ids], device=device)
        whole = [torch.tensor(ids) for ids in numbers]
        ids = pad(whole, padding_value=self._tokenizer.pad_token_id, padding_side="left").to(device)
        mask = pad([torch.ones_like(one) for one in whole], padding_value=0, padding_side="left").to(device)
        drawn = torch.rand((len(owner), steps), dtype=torch.float64, device=device)
        temperature, logps = self.generation_config.temperature, torch.zeros(drawn.shape, device=device)
        choose = chooser(drawn, temperature, self.generation_config.top_p or 1.0)
        noted = measuring(choose, logprob, temperature, logps)

        ends, filler = set(self.eos_token_ids), self._tokenizer.pad_token_id
        with unwrap_model_for_generation(
            self.model_wrapped, self.accelerator, gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs
        ) as model:
            return decode(model, ids, mask, owner, noted, steps, ends, filler), logps


class SharedRLOO(SharedPrompt, SharedSampling, RLOOTrainer):
    """TRL's RLOO with shared prompts."""


class SharedGRPO(SharedPrompt, SharedSampling, GRPOTrainer):
    """TRL's GRPO with shared prompts."""
