"""The policy: a causal LM with its tokenizer, fresh, from a directory, with an adapter, or from the Hub.

The tokenizer of a fresh policy holds one token per word of a world, with the space in front of it: counting tokens is
counting words, and decoding loses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Protocol

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from smilerl.config.yaml_lines import RecipeError
from smilerl.io import errors
from smilerl.io.errors import UserError
from smilerl.io.terminal import brief, first_line, printable
from smilerl.models import model_files
from smilerl.models.chat_template import set_defaults

if TYPE_CHECKING:
    from smilerl.config.recipe import PolicySpec

#: A word, a punctuation mark (each with the space in front of it, if any), a line break, another space.
TOKEN = r" ?[a-z0-9']+| ?[^\sa-z0-9']|\n| "
#: The most seconds and characters of a chat template for one short message.
_TEMPLATE_SECONDS, _TEMPLATE_LETTERS = 10.0, 1_000_000
#: Code in a repository of weights is never run. (transformers' default asks on a terminal.)
NO_CODE: dict[str, Any] = {"trust_remote_code": False}
#: The most parameters of a model whose weights are checked when it is loaded; 135 million take a tenth of a second.
_MOST_CHECKED = 1_000_000_000
#: Errors by which the libraries refuse a model.
_LIBRARY_ERRORS = (OSError, ValueError, TypeError, AttributeError, RuntimeError)
SPECIAL = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "<eos>"}


class HasVocabulary(Protocol):
    """The part of a world that a tokenizer is made from."""

    def tokenizer(self) -> Any | None:
        """Its own tokenizer, if it has one."""

    def vocabulary(self) -> Iterable[str]:
        """The tokens that occur in the world's text, with the space in front of those that have one."""
        ...


@dataclass(frozen=True)
class Policy:
    """A language model and the tokenizer it goes with.

    Attributes:
        model: a causal LM, or the `PeftModel` around one.
        tokenizer: pads on the left, as generation needs.
        name: what to call it in reports: the path or Hub id it was loaded from.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str


def split_tokens(text: str) -> list[str]:
    """The tokens that the word-level tokenizer makes of a text; joined, they are the text again."""
    return [token for token in re.split(f"({TOKEN})", text) if token]


def tokenizer_for(world: HasVocabulary) -> PreTrainedTokenizerFast:
    """The world's own tokenizer, else a word-level one of its vocabulary and the specials `<unk>`, `<pad>`, `<eos>`.

    Raises:
        ValueError: the vocabulary holds a token that the tokenizer could never produce.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    if (own := world.tokenizer()) is not None:
        return own
    words = list(dict.fromkeys(world.vocabulary()))
    if impossible := [word for word in words if split_tokens(word) != [word]]:
        raise ValueError(f"{len(impossible)} vocabulary entries are not single tokens, such as {impossible[0]!r}")
    numbered = {token: number for number, token in enumerate([*SPECIAL.values(), *words])}
    tokenizer = Tokenizer(models.WordLevel(numbered, unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(TOKEN), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, padding_side="left", clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"], **SPECIAL,
    )  # fmt: skip


def fresh_policy(config: dict[str, Any], world: HasVocabulary, *, dtype: str = "float32") -> Policy:
    """A policy with random weights (of torch's current seed) and a world's vocabulary.

    Args:
        config: `model_type` and the fields of that model's configuration; sizes of the vocabulary are filled in.
    """
    tokenizer = tokenizer_for(world)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    settings = AutoConfig.for_model(**{**ids, "bos_token_id": None, **config})
    return Policy(AutoModelForCausalLM.from_config(settings, dtype=_dtype(dtype)), tokenizer, "fresh")


def load_policy(
    model_name_or_path: str | Path,
    *,
    dtype: str = "float32",
    device: str | torch.device | None = None,
    attn_implementation: str | None = None,
    is_trainable: bool = False,
) -> Policy:
    """The policy saved in a directory (a model, or an adapter, which is not merged) or under a Hub id.

    Args:
        dtype: "float32", "bfloat16", "float16" or "auto" (as saved).
        device: None leaves it where it was loaded, on the CPU.
        is_trainable: whether an adapter is to be trained further.

    Raises:
        FileNotFoundError: a path with nothing there, or an adapter whose base model is gone.
        RunError: a model that was sealed here is not what was saved.
        ValueError: what is there cannot be loaded, lacks weights, or holds NaN or infinities.
    """
    name = str(model_name_or_path)
    base = model_files.check(name)
    settings = {"dtype": _dtype(dtype), "attn_implementation": attn_implementation}
    given = {key: value for key, value in settings.items() if value is not None}
    with _loading(name):
        model, found = AutoModelForCausalLM.from_pretrained(base or name, output_loading_info=True, **given, **NO_CODE)
        if base is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, name, is_trainable=is_trainable)
    _refuse_missing(name, found["missing_keys"])
    check_finite(model, name)
    if device is not None:
        model = model.to(device)
    tokenizer = _tokenizer_of(name, base)
    if tokenizer.pad_token is None:
        raise ValueError(
            f"the tokenizer of {name} names neither an end nor a padding token, so replies could not end.\n"
            '    Name the token in its tokenizer_config.json, such as "eos_token": "</s>".'
        )
    return Policy(model.eval(), tokenizer, name)


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """Turns the errors of transformers and peft about a model into a short RecipeError."""
    try:
        yield
    except (*_LIBRARY_ERRORS, LookupError, ImportError, UnpicklingError) as error:
        if isinstance(error, UserError) or errors.is_memory(error) or errors.is_of_machine(error):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise RecipeError(f"{printable(name)} cannot be loaded as a language model: {brief(said, most=600)}") from error


def as_spoken(spec: PolicySpec, *, device: str | torch.device | None = None) -> Policy:
    """The policy that a recipe names, for inference: in its precision, with its chat template's settings."""
    name = str(spec.model_name_or_path)
    with told_of(name):
        policy = load_policy(name, dtype=spec.dtype, device=device, attn_implementation=spec.attn_implementation)
    set_defaults(policy.tokenizer, spec.chat_template_kwargs)
    return policy


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, padding on the left; `<eos>` pads where the model names no padding token."""
    with _loading(name, " (its tokenizer.json and tokenizer_config.json)"):
        tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left", **NO_CODE)
    _check_template(tokenizer, name)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _check_template(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raises ValueError where a chat template does not end in time, or writes too much."""
    from smilerl.io.time_limit import TimedOut, within

    if not tokenizer.chat_template:
        return
    talk = [{"role": "user", "content": "x"}]
    written: Any = ""
    try:
        with suppress(Exception):  # it may want other messages; prompts are checked elsewhere
            written = within(_TEMPLATE_SECONDS, lambda: tokenizer.apply_chat_template(talk, tokenize=False))
    except TimedOut:
        slow = f"the chat template of {name} did not end within {_TEMPLATE_SECONDS:g} s for one short message."
        raise ValueError(slow) from None
    if len(written) > _TEMPLATE_LETTERS:
        raise ValueError(f"the chat template of {name} writes {len(written)} characters for one short message.")


def tokenizer_and_config(name: str) -> tuple[PreTrainedTokenizerBase, PretrainedConfig]:
    """The tokenizer of a saved model or adapter, and the configuration of its language model; no weights are loaded.

    Raises:
        FileNotFoundError: as `load_policy`.
    """
    base = model_files.check(name)
    if base is not None:
        model_files.check_configuration(base)
    tokenizer = _tokenizer_of(name, base)
    with _loading(name):
        return tokenizer, AutoConfig.from_pretrained(base or name, **NO_CODE)


def policy_of(spec: PolicySpec, world: HasVocabulary, *, is_trainable: bool = True) -> Policy:
    """The policy that a recipe starts from: fresh from `config`, else loaded from `model_name_or_path`."""
    if spec.config is not None:
        return fresh_policy(spec.config, world, dtype=spec.dtype)
    if spec.model_name_or_path is None:
        raise ValueError("a policy needs model_name_or_path or config")
    name, attention = spec.model_name_or_path, spec.attn_implementation
    return load_policy(name, dtype=spec.dtype, attn_implementation=attention, is_trainable=is_trainable)


def reward_model_of(spec: PolicySpec) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A reward model to train: a pretrained LM with a fresh head of one number (of torch's current seed)."""
    name = str(spec.model_name_or_path)
    model_files.check(name)
    tokenizer = load_tokenizer(name)
    with _loading(name):
        model = AutoModelForSequenceClassification.from_pretrained(
            name, num_labels=1, dtype=_dtype(spec.dtype), **NO_CODE
        )
    check_finite(model, name)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def check_finite(model: torch.nn.Module, name: str) -> None:
    """Raises ValueError with the first tensor of NaN or infinities; models over `_MOST_CHECKED` pass unchecked."""
    if sum(weight.numel() for weight in model.parameters()) > _MOST_CHECKED:
        return
    for tensor, weight in model.named_parameters():
        # The sum is quick; single numbers are checked only where it is not finite.
        finite = not weight.is_floating_point() or weight.sum(dtype=torch.float32).isfinite() or weight.isfinite().all()
        if not finite:
            raise ValueError(
                f"{name}: the tensor '{tensor}' holds NaN or infinities, so what this model says means nothing.\n"
                "    Name another model, or train it again with a smaller learning rate."
            )


@contextmanager
def _loading(name: str, files: str = "") -> Iterator[None]:
    """Turns the libraries' errors about a model's files into a ValueError of one line that names it."""
    from safetensors import SafetensorError
    from transformers import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # its reports take many lines
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        known = (*_LIBRARY_ERRORS, KeyError, SafetensorError)
        if type(error) is not Exception and not isinstance(error, known):  # tokenizers raises the class itself
            raise
        first = first_line(error, 300)
        if "ignore_mismatched_sizes" in str(error):
            first = "its weights have other sizes than its config.json says"
        raise ValueError(f"the model {name} cannot be loaded{files}: {first}") from error
    finally:
        logging.set_verbosity(verbosity)


def _refuse_missing(name: str, missing: Iterable[str]) -> None:
    if lacking := sorted(missing):
        raise ValueError(
            f"the model {name} has no weights for {', '.join(lacking[:3])}{', ...' * (len(lacking) > 3)}: they would "
            "be random numbers.\n    Name a model that was saved whole."
        )


def _dtype(name: str) -> torch.dtype | str:
    return name if name == "auto" else getattr(torch, name)


def _tokenizer_of(name: str, base: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model; of an adapter its own, else its base's."""
    return load_tokenizer(name if (Path(name) / "tokenizer_config.json").is_file() else base or name)
