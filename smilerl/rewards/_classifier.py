"""A HF sequence classifier as a batched scorer of texts: what the sentiment and preference rewards share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from smilerl.rewards import _shared
from smilerl.rewards._failures import RewardError
from smilerl.rewards._loading import DTYPES, base_of, load_model, load_tokenizer, read_config, trained_as

#: One tokenized text: `input_ids`, and `token_type_ids` where the model tells two segments apart by them.
Encoded = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Loading:
    """Where and how a model runs.

    Attributes:
        dtype: of the weights; None: bfloat16 on CUDA, float32 elsewhere. The head is float32 in any case.
        device: such as "cuda:0"; None: this process's own (its rank's card, which the policy shares).
        batch_size: texts in a forward pass, at most.
        batch_tokens: tokens in a forward pass, padding included, at most (but one text always goes through).
    """

    dtype: str | None = None
    device: str | None = None
    batch_size: int = 64
    batch_tokens: int = 32768


class Classifier:
    """A sequence classifier. Its configuration is read at once, to refuse a wrong model early; its weights later.

    Args:
        model: a directory (adapter directories included) or a Hub id.
        reward: the reward that asks, for its error messages.

    Raises:
        RewardError: there is nothing there, it is gated, or it is no model.
    """

    def __init__(self, model: str, reward: str, loading: Loading | None = None) -> None:
        self.path, self.name, self._loading = str(model), reward, loading or Loading()
        if self.path.endswith((".yaml", ".yml")):
            raise RewardError(
                f"the reward '{reward}' got the recipe '{model}' as its model. `smilerl train` builds it first; here, "
                "name the directory that it built"
            )
        if self._loading.dtype not in (None, *DTYPES):
            raise RewardError(f"the reward '{reward}' takes dtype: {', '.join(DTYPES)}, not {self._loading.dtype!r}")
        for setting in ("batch_size", "batch_tokens"):
            if (size := getattr(self._loading, setting)) < 1:
                raise RewardError(f"the reward '{reward}' takes {setting}: at least 1, not {size}")
        self.is_adapter = base_of(self.path) is not None
        #: Whether common beginnings are read once; None: not known yet.
        self._shares: bool | None = None
        if not self.is_adapter:
            self.config = read_config(self.path, reward)

    @cached_property
    def tokenizer(self):
        """Of the model. Texts longer than the model reads lose their beginning where they are truncated."""
        return load_tokenizer(self.path)

    @cached_property
    def model(self) -> torch.nn.Module:
        """The weights, in evaluation mode, by default on the rank's own device."""
        from accelerate import PartialState

        device = PartialState().device if self._loading.device is None else torch.device(self._loading.device)
        return load_model(self.path, self.name, self._loading.dtype, device)

    @cached_property
    def longest(self) -> int:
        """Most tokens that the model can read."""
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or -1
        embeddings = [one for name, one in self.model.named_modules() if name.endswith("position_embeddings")]
        # RoBERTa counts positions from its padding token on, so that two of 514 are never a text's.
        before = next((i + 1 for one in embeddings if (i := getattr(one, "padding_idx", None)) is not None), 0)
        return min(limit for limit in (self.tokenizer.model_max_length, positions - before) if limit > 0)

    @cached_property
    def trained_as(self) -> dict[str, Any]:
        """What it was trained here to read, see `_loading.trained_as`; empty for models of other origin."""
        return trained_as(self.path, self.model.config)

    @cached_property
    def closes_texts(self) -> bool:
        """Whether the tokenizer itself ends a text with a special token, as encoders' do ([SEP], </s>)."""
        closed, open_ = (self.tokenizer("a", add_special_tokens=add)["input_ids"] for add in (True, False))
        return len(closed) > len(open_) and closed[-1] != open_[-1]

    def about(self) -> dict[str, Any]:
        """What of the model a user should see before it judges anything."""
        tokenizer, config = self.tokenizer, self.model.config
        pad = config.get_text_config().pad_token_id
        return {
            "model": self.path,
            "architecture": (config.architectures or [type(self.model).__name__])[0],
            "outputs": [str(config.id2label[label]) for label in sorted(config.id2label)],
            "dtype": str(next(self.model.parameters()).dtype).removeprefix("torch."),
            "device": str(self.model.device),
            "reads at most": self.longest,
            "EOS": tokenizer.eos_token,
            "padding": "none named: one text at a time" if pad is None else f"right, with {tokenizer.decode([pad])!r}",
            "chat template": tokenizer.chat_template is not None,
        }

    @torch.inference_mode()
    def logits(self, encoded: Sequence[Encoded]) -> torch.Tensor:
        """float32 logits, shape [N, labels], of N tokenized texts; NaN for a text without a token.

        Batched by length, the longest first, so that little is padding and a card that is too small fails at once. What
        texts have in common at their beginning is read once, where that is known to give the same (_shared.py).

        Raises:
            RewardError: the device's memory is too small, or tokenizer and model do not belong together.
        """
        lengths = [len(one["input_ids"]) for one in encoded]
        self._check_ids(encoded)
        logits = torch.full((len(encoded), self.model.config.num_labels), float("nan"))
        texts, alone = [one["input_ids"] for one in encoded], set(range(len(encoded)))
        for groups in self._alike(encoded):
            rows = [row for group in groups for row in group]
            with self._room(rows, lengths):
                found = _shared.logits(self.model, texts, groups, self._pad or 0)
                if self._shares is None:
                    self._shares = found is not None and _shared.same(found, self._whole(encoded, rows))
            if not self._shares or found is None:
                break
            logits[rows] = found.cpu()
            alone -= set(rows)
        for rows in self._batches({row: lengths[row] for row in alone}):
            with self._room(rows, lengths):
                logits[rows] = self._whole(encoded, rows).cpu()
        return logits

    def _whole(self, encoded: Sequence[Encoded], rows: Sequence[int]) -> torch.Tensor:
        return self.model(**self._padded([encoded[row] for row in rows])).logits.float()

    def _alike(self, encoded: Sequence[Encoded]) -> Iterator[list[list[int]]]:
        """Groups of rows that begin alike, in batches; none where reading their beginning once is not known to do."""
        if self._shares is None and not _shared.can_share(self.model):
            self._shares = False
        if self._shares is False or self._pad is None or any("token_type_ids" in one for one in encoded):
            return
        texts = [one["input_ids"] for one in encoded]
        yield from _shared.batches(texts, self._pad, self._loading.batch_size, self._loading.batch_tokens)

    @contextmanager
    def _room(self, rows: Sequence[int], lengths: Sequence[int]) -> Iterator[None]:
        try:
            yield
        except torch.cuda.OutOfMemoryError:
            raise RewardError(
                f"the model of the reward '{self.name}' ran out of memory on {self.model.device} with {len(rows)} "
                f"texts of up to {max(lengths[row] for row in rows)} tokens. In its args: batch_tokens: "
                f"{max(1, self._loading.batch_tokens // 4)}, or dtype: bfloat16, or device: another one (cpu works)"
            ) from None

    @property
    def _pad(self) -> int | None:
        return self.model.config.get_text_config().pad_token_id

    def _batches(self, lengths: Mapping[int, int]) -> Iterator[list[int]]:
        """Rows in batches within both limits; rows without a token are in none.

        Args:
            lengths: of each row, in tokens.
        """
        # Without a padding token the model reads the last position: right for one text, wrong for a padded batch.
        most = self._loading.batch_size if self._pad is not None else 1
        batch: list[int] = []
        for row in sorted((row for row, length in lengths.items() if length), key=lambda row: -lengths[row]):
            wide = lengths[batch[0]] if batch else lengths[row]
            if batch and (len(batch) == most or (len(batch) + 1) * wide > self._loading.batch_tokens):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _padded(self, batch: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """Padded on the right, whatever the tokenizer's side, which suits pooling by first and by last token."""
        pad = self._pad or 0
        whole = [{**one, "attention_mask": [1] * len(one["input_ids"])} for one in batch]
        return {
            name: torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(one[name]) for one in whole], True, pad if name == "input_ids" else 0
            ).to(self.model.device)
            for name in whole[0]
        }

    def _check_ids(self, encoded: Sequence[Encoded]) -> None:
        """A token that the model has no embedding for is an unreadable crash on a GPU."""
        known = self.model.get_input_embeddings().num_embeddings
        largest = max((max(one["input_ids"], default=0) for one in encoded), default=0)
        if largest >= known:
            raise RewardError(
                f"the tokenizer of the model '{self.path}' makes token {largest}, and the model knows {known}: they do "
                "not belong together. Save the tokenizer that it was trained with into its directory"
            )


def rows_of(encoding: Mapping[str, Sequence[Sequence[int]]]) -> list[Encoded]:
    """A tokenizer's output for N texts as N rows; segment ids only where they tell segments apart."""
    names = ["input_ids"] + (["token_type_ids"] if any(map(any, encoding.get("token_type_ids", []))) else [])
    return [dict(zip(names, row, strict=True)) for row in zip(*(encoding[name] for name in names), strict=True)]
