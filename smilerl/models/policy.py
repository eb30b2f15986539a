"""The policy that talks: a causal LM with its tokenizer, fresh, from a directory, with an adapter, or from the Hub.

A fresh policy speaks the words of a world and no others: its tokenizer is word-level, one token per word with the space in
front of it, so that ` the` and `the` are different tokens, counting tokens is counting words, and decoding loses nothing.
What it saves is an ordinary Hugging Face checkpoint.
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
from smilerl.io import bounded, errors
from smilerl.io.errors import UserError
from smilerl.io.terminal import brief, printable
from smilerl.models.chat_template import set_defaults
from smilerl.runs import seals

if TYPE_CHECKING:
    from smilerl.config.recipe import PolicySpec

#: A word, a punctuation mark (each with the space in front of it, if any), a line break, a space that is left over.
TOKEN = r" ?[a-z0-9']+| ?[^\sa-z0-9']|\n| "
#: Files of a model that are JSON objects, each looked at before a library reads it: their errors name no file.
_OBJECTS = (
    "generation_config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "model.safetensors.index.json",
)  # fmt: skip
#: Bytes of a config.json; those of classifiers list their labels.
_MOST_CONFIG = 4 * 1024 * 1024
#: Sizes beyond which a configuration is no model's: built, it would take the memory and time of the machine.
_LARGEST = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "encoder_layers", "decoder_layers"), 2_000),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "intermediate_size", "num_attention_heads"), 2**20),
    **dict.fromkeys(("vocab_size", "max_position_embeddings", "n_positions"), 2**28),
}
#: Seconds that a chat template may take for one short message, and characters that it may write.
_TEMPLATE_SECONDS, _TEMPLATE_LETTERS = 10.0, 1_000_000
#: Code that a repository of weights brings is never run, nor is anybody asked whether to (transformers' default asks on a terminal).
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
    base = _check_exists(name)
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
    """The policy that a recipe names, to talk and not to be trained: in its precision, its chat template told what the recipe tells it."""
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
    base = _check_exists(name)
    if base is not None:
        check_configuration(base)
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
    """A reward model to train: the body of a pretrained LM with a fresh head of one number (of torch's current seed)."""
    _check_exists(str(spec.model_name_or_path))
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
                f"{name}: the tensor '{tensor}' holds NaN or infinities, so nothing that this model says means anything.\n"
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
        first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        if "ignore_mismatched_sizes" in str(error):
            first = "its weights have other sizes than its config.json says"
        raise ValueError(f"the model {name} cannot be loaded{files}: {first[:300]}") from error
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


def _check_exists(name: str) -> str | None:
    """The base model of an adapter directory, None for anything else; an error when a path leads nowhere."""
    path = Path(name)
    if not path.exists() and (path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1):
        raise FileNotFoundError(f"no model at {name}. Give a directory with a config.json, an adapter, or a Hub id.")
    if path.is_dir() and not any((path / file).is_file() for file in ("config.json", "adapter_config.json")):
        inside = path / "model"
        hint = f" Did you mean {inside}?" if inside.is_dir() else ""
        raise FileNotFoundError(f"{name} holds neither config.json nor adapter_config.json.{hint}")
    seals.check_model(path)
    check_configuration(path)
    base = base_of(path)
    if base is None:
        return None
    if Path(base).is_absolute() and not Path(base).exists():
        raise FileNotFoundError(f"the adapter {name} belongs to the model {base}, which is no longer there.")
    seals.check_model(base)
    return base


def base_of(folder: str | Path) -> str | None:
    """The model that an adapter directory names as its base: a directory or Hub id. None where the directory holds no adapter.

    Raises:
        ValueError: it names none, or something that is no model, such as a recipe.
    """
    file = Path(folder) / "adapter_config.json"
    if not file.is_file():
        return None
    said = bounded.mapping(file, bounded.MOST_SETTINGS)
    base = said.get("base_model_name_or_path")
    if said.get("megatron_config"):  # peft imports the module that stands beside it
        raise ValueError(f"{printable(file)}: adapters for Megatron are not loaded. Save it without megatron_config.")
    if not isinstance(base, str) or not base:
        raise ValueError(
            f"{printable(file)}: base_model_name_or_path names no model, so there is nothing to put the adapter on."
        )
    beside = Path(folder) / base
    if "://" in base or Path(base).suffix in (".yaml", ".yml") or Path(base).is_file() or beside.is_file():
        raise ValueError(
            f"{printable(file)}: base_model_name_or_path is '{printable(base[:200])}', which is no directory with a model and no Hub id.\n"
            "    A base is never built from a recipe that an adapter names."
        )
    return base


def check_configuration(folder: str | Path) -> None:
    """Whether what a directory says about its weights can be read, and names no code.

    transformers takes `attn_implementation` from there, too, and would load `org/name` from the Hub as a kernel and run it.

    Raises:
        ValueError: it is no JSON, or names such a kernel.
    """
    for name in _OBJECTS:
        _check_object(Path(folder) / name)
    file = Path(folder) / "config.json"
    if not file.is_file():
        return
    said = bounded.mapping(file, _MOST_CONFIG)
    for key, value in _sizes(said):
        if isinstance(value, int) and value > _LARGEST[key]:
            raise ValueError(f"{printable(file)}: {key} is {value}, but no model has more than {_LARGEST[key]}.")
    named = next((name for name in _implementations(said) if "/" in name), None)
    if named is not None:
        raise ValueError(
            f"{printable(file)}: '{printable(named[:200])}' would be loaded from the Hub and run. Write \"sdpa\" there if you want the model."
        )


def _check_object(file: Path) -> None:
    """Raises ValueError where a file beside the weights holds JSON of another kind than an object. Of a long one only the beginning is read."""
    if not file.is_file():
        return
    if file.stat().st_size <= bounded.MOST_SETTINGS:
        bounded.mapping(file, bounded.MOST_SETTINGS)
        return
    with file.open("rb") as opened:
        if not opened.read(4096).lstrip().startswith(b"{"):
            raise ValueError(f"{printable(file)}: should be a JSON object, and does not begin with one.")


def _sizes(said: Any) -> Iterator[tuple[str, Any]]:
    """The sizes in a configuration that a model is built from, those of its parts included."""
    if isinstance(said, dict):
        for name, value in said.items():
            if name in _LARGEST:
                yield name, value
            yield from _sizes(value)


def _implementations(said: Any, inside: bool = False) -> Iterator[str]:
    """The names of kernels in a configuration, those of its parts included."""
    if isinstance(said, dict):
        for name, value in said.items():
            yield from _implementations(value, inside or "_implementation" in name)
    elif isinstance(said, str) and inside:
        yield said
