"""A HF sequence classifier as a batched scorer of texts: what the sentiment and preference rewards share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch

from smilerl.rewards._checked import RewardError

DTYPES = ("float32", "bfloat16", "float16", "auto")


class Classifier:
    """Its configuration is read at once, so that a wrong model is an error early; its weights on first use.

    Args:
        model: a directory (adapter directories included) or a Hub id.
        reward: the reward that asks, for its error messages.
        dtype: of the weights.
        device: such as "cuda:0"; the current accelerator when None, else the CPU.
        batch_size: texts per forward pass.

    Raises:
        RewardError: there is nothing there, or it is no model.
    """

    def __init__(
        self, model: str, *, reward: str, dtype: str = "float32", device: str | None = None, batch_size: int = 64
    ) -> None:
        if str(model).endswith((".yaml", ".yml")):
            raise RewardError(
                f"the reward '{reward}' got the recipe '{model}' as its model. `smilerl train` builds it first; here, name the directory that it built"
            )
        if dtype not in DTYPES:
            raise RewardError(f"the reward '{reward}' takes dtype: {', '.join(DTYPES)}, not {dtype!r}")
        self.path, self.name, self._dtype, self._device, self._batch_size = (
            str(model),
            reward,
            dtype,
            device,
            batch_size,
        )
        self.is_adapter = (Path(model) / "adapter_config.json").is_file()
        if not self.is_adapter:
            self.config = self._read_config()

    def _read_config(self):
        from transformers import AutoConfig

        try:
            return AutoConfig.from_pretrained(self.path)
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise RewardError(
                f"no model for the reward '{self.name}' at '{self.path}', neither a directory with config.json nor a Hub id.\n{first}"
            ) from None

    @cached_property
    def tokenizer(self):
        """Of the model. Texts longer than the model reads lose their beginning where they are truncated."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.path, truncation_side="left")

    @cached_property
    def model(self) -> torch.nn.Module:
        """The weights, in evaluation mode."""
        if self.is_adapter:
            from peft import AutoPeftModelForSequenceClassification as Auto

            model = Auto.from_pretrained(self.path, num_labels=1, dtype=self._dtype)
        else:
            from transformers import AutoModelForSequenceClassification as Auto

            model = Auto.from_pretrained(self.path, dtype=self._dtype)
        current = f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"
        return model.to(self._device or current).eval().requires_grad_(False)

    @property
    def longest(self) -> int:
        """Most tokens that the model can read."""
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return min(self.tokenizer.model_max_length, positions or self.tokenizer.model_max_length)

    @torch.inference_mode()
    def logits(self, token_ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """float32 logits, shape [N, labels], of N tokenized texts; batched by length so that little is padding."""
        order = sorted(range(len(token_ids)), key=lambda row: len(token_ids[row]))
        # Without a padding token the model reads the last position: right for one text, wrong for a padded batch.
        pad = self.model.config.get_text_config().pad_token_id
        size = self._batch_size if pad is not None else 1
        logits = torch.empty(len(token_ids), self.model.config.num_labels)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            width = max(len(token_ids[row]) for row in rows)
            ids = torch.full((len(rows), width), 0 if pad is None else pad)
            mask = torch.zeros_like(ids)
            for i, row in enumerate(rows):
                ids[i, : len(token_ids[row])] = torch.tensor(token_ids[row])
                mask[i, : len(token_ids[row])] = 1
            device = self.model.device
            logits[rows] = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits.float().cpu()
        return logits
