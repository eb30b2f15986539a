"""The policy that talks: a causal LM with its tokenizer, fresh, from a directory, with an adapter, or from the Hub.

A fresh policy speaks the words of a world and no others: its tokenizer is word-level, one token per word with the space
in front of it, so that ` the` and `the` are different tokens, counting tokens is counting words, and decoding loses
nothing. What it saves is an ordinary Hugging Face checkpoint.
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

#: A word, a punctuation mark (each with the space in front of it, if any), a line break, a space that is left over.
TOKEN = r" ?[a-z0-9']+| ?[^\sa-z0-9']|\n| "
#: Seconds that a chat template may take for one short message, and characters that it may write.
_TEMPLATE_SECONDS, _TEMPLATE_LETTERS = 10.0, 1_000_000
#: Code that a repository of weights brings is never run, nor is anybody asked whether to (transformers' default asks on
#: a terminal).
NO_CODE: dict[str, Any] = {"trust_remote_code": False}
#: Parameters of a model whose weights are looked at when it is loaded, which takes a tenth of a second for 135 million.
_LOOKED_AT = 1_000_000_000
SPECIAL = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "<eos>"}


class HasVocabulary(Protocol):
    """What of a world a tokenizer needs."""

    def tokenizer(self) -> Any | None:
        """Its own tokenizer, if it has one."""
        ...

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
    """The tokens that the word-level tokenizer makes of a text; joined, they are the text again.

    Tabs and other white space that is neither a space nor a line break come out as tokens of their own.
    """
    return [token for token in re.split(f"({TOKEN})", text) if token]


def tokenizer_for(world: HasVocabulary) -> PreTrainedTokenizerFast:
    """The world's own tokenizer, else a word-level one of its vocabulary and the specials `<unk>`, `<pad>`, `<eos>`.

    Raises:
        ValueError: the vocabulary holds a token that the tokenizer could never produce.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    if (own := world.tokenizer()) is not None:  # real text needs more than a list of words: the world trains its own
        return own
    words = list(dict.fromkeys(world.vocabulary()))
    if impossible := [word for word in words if split_tokens(word) != [word]]:
        raise ValueError(f"{len(impossible)} vocabulary entries are not single tokens, such as {impossible[0]!r}")
    numbered = {token: number for number, token in enumerate([*SPECIAL.values(), *words])}
    tokenizer = Tokenizer(models.WordLevel(numbered, unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(TOKEN), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        **SPECIAL,
    )


def fresh_policy(config: dict[str, Any], world: HasVocabulary, *, dtype: str = "float32") -> Policy:
    """A policy with random weights (of torch's current seed) that speaks a world's vocabulary.

    Args:
        config: `model_type` and the fields of that model's configuration; sizes of the vocabulary are filled in.
    """
    tokenizer = tokenizer_for(world)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**{**ids, "bos_token_id": None, **config}), dtype=_dtype(dtype)
    )
    return Policy(model, tokenizer, "fresh")


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
    tokenizer = load_tokenizer(name if _holds_tokenizer(name) else base or name)
    if tokenizer.pad_token is None:
        raise ValueError(
            f"the tokenizer of {name} names neither an end nor a padding token, so replies could not end.\n"
            '    Name the token in its tokenizer_config.json, such as "eos_token": "</s>".'
        )
    return Policy(model.eval(), tokenizer, name)


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """What transformers and peft say of a model that they do not load, shortly and without a traceback.

    Raises:
        RecipeError: the model named so cannot be loaded.
    """
    try:
        yield
    except UserError:
        raise
    except (
        ValueError,
        OSError,
        LookupError,
        TypeError,
        AttributeError,
        ImportError,
        RuntimeError,
        UnpicklingError,
    ) as error:
        if errors.is_memory(error) or errors.is_of_machine(error):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise RecipeError(f"{printable(name)} cannot be loaded as a language model: {brief(said, most=600)}") from error


def as_spoken(spec: PolicySpec, *, device: str | torch.device | None = None) -> Policy:
    """The policy that a recipe names, to talk and not to be trained: in its precision, its chat template told what the
    recipe tells it.
    """
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
    """Whether a model's chat template ends: one from elsewhere may hold loops without end, or write without measure.

    Raises:
        ValueError: it does not.
    """
    from smilerl.io.time_limit import TimedOut, within

    if not tokenizer.chat_template:
        return
    talk = [{"role": "user", "content": "x"}]
    written: Any = ""
    try:
        with suppress(Exception):  # a template may want other messages: prompts are checked by themselves
            written = within(_TEMPLATE_SECONDS, lambda: tokenizer.apply_chat_template(talk, tokenize=False))
    except TimedOut:
        raise ValueError(
            f"the chat template of {name} did not end within {_TEMPLATE_SECONDS:g} s for one short message."
        ) from None
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
    tokenizer = load_tokenizer(name if _holds_tokenizer(name) else base or name)
    with _loading(name):
        return tokenizer, AutoConfig.from_pretrained(base or name, **NO_CODE)


def policy_of(spec: PolicySpec, world: HasVocabulary, *, is_trainable: bool = True) -> Policy:
    """The policy that a recipe starts from: fresh from `config`, else loaded from `model_name_or_path`."""
    if spec.config is not None:
        return fresh_policy(spec.config, world, dtype=spec.dtype)
    if spec.model_name_or_path is None:
        raise ValueError("a policy needs model_name_or_path or config")
    return load_policy(
        spec.model_name_or_path,
        dtype=spec.dtype,
        attn_implementation=spec.attn_implementation,
        is_trainable=is_trainable,
    )


def reward_model_of(spec: PolicySpec) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A reward model to train: the body of a pretrained LM with a fresh head of one number (of torch's current
    seed).
    """
    model_files.check(str(spec.model_name_or_path))
    tokenizer = load_tokenizer(str(spec.model_name_or_path))
    with _loading(str(spec.model_name_or_path)):
        model = AutoModelForSequenceClassification.from_pretrained(
            spec.model_name_or_path, num_labels=1, dtype=_dtype(spec.dtype), **NO_CODE
        )
    check_finite(model, str(spec.model_name_or_path))
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def check_finite(model: torch.nn.Module, name: str) -> None:
    """Refuses weights that are NaN or infinite, of models below `_LOOKED_AT` parameters.

    Raises:
        ValueError: names the first such tensor.
    """
    if sum(weight.numel() for weight in model.parameters()) > _LOOKED_AT:
        return
    for tensor, weight in model.named_parameters():
        # A sum is read in one pass; only where it is not finite, each number is looked at.
        if (
            weight.is_floating_point()
            and not weight.sum(dtype=torch.float32).isfinite()
            and not weight.isfinite().all()
        ):
            raise ValueError(
                f"{name}: the tensor '{tensor}' holds NaN or infinities, so nothing that this model says means "
                "anything.\n"
                "    Name another model, or train it again with a smaller learning rate."
            )


@contextmanager
def _loading(name: str, files: str = "") -> Iterator[None]:
    """What the libraries raise about a model's files, as one line that names it."""
    from safetensors import SafetensorError
    from transformers import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)  # its reports of many lines say what is said here in one
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        known = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError)
        if type(error) is not Exception and not isinstance(error, known):  # tokenizers raises the class itself
            raise
        first = first_line(error, 300)
        if "ignore_mismatched_sizes" in str(error):
            first = "its weights have other sizes than its config.json says"
        raise ValueError(f"the model {name} cannot be loaded{files}: {first}") from error
    finally:
        logging.set_verbosity(verbosity)


def _refuse_missing(name: str, missing: Iterable[str]) -> None:
    lacking = sorted(missing)
    if lacking:
        more = ", ..." if len(lacking) > 3 else ""
        raise ValueError(
            f"the model {name} has no weights for {', '.join(lacking[:3])}{more}: they would be random numbers.\n"
            "    Name a model that was saved whole."
        )


def _dtype(name: str) -> torch.dtype | str:
    return name if name == "auto" else getattr(torch, name)


def _holds_tokenizer(name: str) -> bool:
    return (Path(name) / "tokenizer_config.json").is_file()
