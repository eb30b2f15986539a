"""local: any causal LM with a chat template, in this process, batched, on the policy's device.

A reply depends on its conversation and the seed, not on the batch, except for rounding in bfloat16.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from smilerl.chat_models import ChatModelError, Conversation, Usage
from smilerl.config.recipe import Attention
from smilerl.io import paths
from smilerl.models.gguf import GgufError
from smilerl.models.replies import opening

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Local:
    """A causal language model that is loaded at its first call.

    Attributes:
        model: directory (a run's, too), adapter directory, GGUF file or Hub id.
        dtype: of the weights; None for bfloat16 on a GPU and float32 elsewhere.
        device: None for that of this process's policy.
        batch_size: conversations at once.
        template: keyword arguments for the chat template; the default turns thinking off.
        attn_implementation: as transformers names it.
    """

    model: str
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    device: str | None = None
    batch_size: int = 32
    template: dict[str, Any] = field(default_factory=lambda: {"enable_thinking": False})
    attn_implementation: Attention | None = None
    usage: Usage = field(default_factory=Usage, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ChatModelError(f"the chat model 'local': batch_size is {self.batch_size}, but should be at least 1")
        if self.model.endswith((".yaml", ".yml")):
            wrong = f"'{self.model}' is a recipe, not a model. Train it, and write its run directory"
            raise ChatModelError(f"the chat model 'local': {wrong}")

    @property
    def name(self) -> str:
        """The model's, for reports."""
        return f"local {self.model}"

    @property
    def fingerprint(self) -> str:
        """The hash of a model directory; the id of a model on the Hub."""
        from smilerl.runs.identity import hash_path

        return hash_path(self._found()) if Path(self._found()).is_dir() else self.model

    def check(self) -> None:
        """Raises ChatModelError where the model is missing or has no chat template; loads no weights."""
        from transformers import AutoConfig

        tokenizer = _tokenizer(self._found())
        if tokenizer.chat_template is None:
            raise ChatModelError(
                f"the chat model '{self.model}' has no chat template, so it cannot be talked to. "
                "Take a chat model (its name often ends in Instruct), or save one with a template."
            )
        if (Path(self._found()) / "adapter_config.json").is_file():
            return
        with _explained(self.model):
            AutoConfig.from_pretrained(self._found(), trust_remote_code=False)

    def __call__(
        self, conversations: Sequence[Conversation], *, max_new_tokens: int, temperature: float = 1.0, seed: int = 0
    ) -> list[str | None]:
        """One reply to each conversation; None where a conversation is too long for the model."""
        from smilerl.models.sampling import sample_ids

        distinct = {json.dumps(conversation): conversation for conversation in conversations}
        if not distinct:
            return []
        policy = self._policy()
        prompts = dict(zip(distinct, self._encoded(list(distinct.values())), strict=True))
        fitting = self._fitting(policy, prompts, max_new_tokens)
        settings: dict[str, Any] = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "batch_size": self.batch_size,
        }
        seeds = [_own_seed(key, seed) for key in fitting]
        ids = sample_ids(policy, [prompts[key] for key in fitting], seed=seeds, **settings)
        tag = opening(policy.tokenizer, **self.template)
        said = [tag + one for one in policy.tokenizer.batch_decode(ids, skip_special_tokens=True)] if ids else []
        replies = dict(zip(fitting, said, strict=True))
        self.usage.tokens_out += sum(map(len, ids))
        return [replies.get(json.dumps(conversation)) for conversation in conversations]

    def option_logprobs(
        self, conversations: Sequence[Conversation], options: Sequence[Sequence[str]], *, eos: bool
    ) -> list[np.ndarray | None]:
        """log π(option | conversation) for several beginnings of a reply to each of N conversations.

        Args:
            options: for each conversation, the beginnings to compare.
            eos: whether ending there counts.

        Returns:
            Of each conversation a float64 array, one number per option, in nats; None where it is too long.

        Raises:
            ChatModelError: all are too long, or the template begins each reply with thoughts.
        """
        from smilerl.models import sampling

        if not conversations:
            return []
        policy = self._policy()
        if opening(policy.tokenizer, **self.template):
            raise ChatModelError(
                f"the chat template of '{self.model}' begins each reply with thoughts, before which no verdict is "
                "likely. Leave out `scores: by_likelihood`, or turn thoughts off by `template`."
            )
        prompts = dict(enumerate(self._encoded(list(conversations))))
        texts = [option for own in options for option in own]
        longest = max(map(len, policy.tokenizer(texts, add_special_tokens=False)["input_ids"])) + eos
        fitting = self._fitting(policy, prompts, longest)
        asked = [prompts[row] for row in fitting], [options[row] for row in fitting]
        found = dict(zip(fitting, sampling.option_logprobs(policy, *asked, eos=eos), strict=True))
        return [found.get(row) for row in prompts]

    def _policy(self):
        return _loaded(self._found(), *self._dtype_and_device(), self.attn_implementation)

    def _fitting(self, policy: Any, prompts: Mapping[Any, list[int]], follows: int) -> list[Any]:
        """The keys of the prompts that leave room for so many tokens; counts them and the others in `usage`."""
        room = _longest(policy.model.config) - follows
        fitting = [key for key, ids in prompts.items() if len(ids) <= room]
        self.usage.calls += len(fitting)
        self.usage.tokens_in += sum(len(prompts[key]) for key in fitting)
        if len(fitting) < len(prompts):
            self.usage.failed += len(prompts) - len(fitting)
            self.usage.trouble = f"longer than the {room} tokens that the model takes besides its reply"
        if not fitting:
            raise ChatModelError(
                f"the chat model '{self.model}' can read none of {len(prompts)} conversations: {self.usage.trouble}."
            )
        return fitting

    def _encoded(self, conversations: list[Conversation]) -> list[list[int]]:
        import jinja2

        try:
            return _tokenizer(self._found()).apply_chat_template(
                conversations, add_generation_prompt=True, tokenize=True, return_dict=True, **self.template
            )["input_ids"]
        except (jinja2.TemplateError, ValueError) as error:
            roles = ", ".join(message["role"] for message in conversations[0])
            raise ChatModelError(
                f"the chat template of the chat model '{self.model}' does not take a talk of {roles}: {error}"
            ) from None

    def _found(self) -> str:
        from smilerl.models import dequantised  # imports transformers, which takes seconds

        try:
            read = dequantised.checkpoint(self.model)
        except GgufError as error:
            raise ChatModelError(f"the chat model 'local': {error}") from None
        if read is not None:
            return str(read)
        place = paths.find(self.model)
        if place is not None and (place / "status.json").is_file():  # a run
            return str(place / "model")
        return str(place or self.model)

    def _dtype_and_device(self) -> tuple[str, str]:
        """Asked at the first call, when the trainer has chosen its device."""
        from accelerate import PartialState

        device = self.device or str(PartialState().device)
        return self.dtype or ("bfloat16" if device.startswith("cuda") else "float32"), device


def build(**args) -> Local:
    """A model in this process; see `Local`."""
    return Local(**args)


@lru_cache(maxsize=4)
def _loaded(model: str, dtype: str, device: str, attn_implementation: str | None):
    """The policy of this model, loaded once in a process."""
    from smilerl.models.policy import load_policy

    with _explained(model):
        return load_policy(model, dtype=dtype, device=device, attn_implementation=attn_implementation)


@lru_cache(maxsize=4)
def _tokenizer(model: str):
    from smilerl.models.policy import load_tokenizer

    with _explained(model):
        return load_tokenizer(model)


@contextmanager
def _explained(model: str) -> Iterator[None]:
    """Turns the libraries' errors about a model into a short ChatModelError with the fix."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ChatModelError(
            f"the chat model 'local' cannot load '{model}': {reason}\n"
            "Write a directory with a model, or the id of one on the Hub (org/name). A gated one needs its terms "
            "accepted there and `hf auth login`; without network, a model that was downloaded before."
        ) from None


def _longest(config) -> int:
    text = config.get_text_config()
    return getattr(text, "max_position_embeddings", None) or 1 << 30


def _own_seed(conversation: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {conversation}".encode()).digest()[:8])
