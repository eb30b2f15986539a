"""Small checkpoints of the architectures that people use, made on the spot: nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

#: Fixtures that several folders share, and the table of attacks.
pytest_plugins = (
    "tests.fixtures.endpoint",
    "tests.fixtures.gguf_files",
    "tests.fixtures.hub",
    "tests.fixtures.recipes",
    "tests.fixtures.rewards",
    "tests.faults.table",
)

#: Begun first: these build the embedded model or train for minutes, and would else be waited for at the end.
_FIRST = ("test_shipped.py", "test_base_model.py", "test_real_text.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the longest tests to the front; all else stays in order."""
    items.sort(key=lambda item: item.path.name not in _FIRST)


#: ChatML, as Qwen writes it; `{% generation %}` marks what the helper says, for losses on that alone.
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|im_end|>{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIALS = ["<pad>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_DECODER = {**_SIZES, "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": True}
#: architecture → model_type, what it is, and its settings.
ARCHITECTURES: dict[str, tuple[str, str, dict]] = {
    "qwen3": ("qwen3", "lm", {**_DECODER, "head_dim": 8}),
    "llama": ("llama", "lm", _DECODER),
    "mistral": ("mistral", "lm", {**_DECODER, "sliding_window": 12}),
    "gpt2": ("gpt2", "lm", {"n_embd": 32, "n_layer": 2, "n_head": 4}),
    "roberta": ("roberta", "classifier", {**_SIZES, "max_position_embeddings": 514, "type_vocab_size": 1}),
    "deberta": ("deberta-v2", "classifier", {
        **_SIZES, "max_position_embeddings": 512, "relative_attention": True, "position_buckets": 32, "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False,
    }),
}  # fmt: skip


@pytest.fixture(scope="session")
def embedded_base() -> Path:
    """The embedded model's directory; building it takes minutes, so it stays in the cache of the whole session."""
    from smilerl.training.models import model_dir

    return model_dir("recipes/smileworld/pretrain.yaml", progress=False)


@pytest.fixture(scope="session")
def base_recipe(tmp_path_factory) -> Callable[[int], Path]:
    """The embedded model's recipe with another seed, for the weights and for the conversations."""

    def written(seed: int) -> Path:
        recipe = Path("recipes/smileworld/pretrain.yaml").read_text(encoding="utf-8")
        path = tmp_path_factory.mktemp("base") / "pretrain.yaml"
        path.write_text(recipe.replace("seed: 0", f"seed: {seed}"), encoding="utf-8")
        return path

    return written


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Callable[..., str]:
    """Makes the directory of a checkpoint with random weights: `checkpoint("qwen3")`, `checkpoint("roberta", labels=[...])`.

    `qwen3` and `llama` are language models; `roberta` and `deberta` classify sequences into `labels` (default: one, which is
    the form of a reward model). `classifier=True` makes a classifier of a language model's architecture. All have a fast
    byte-level tokenizer of 260 tokens; `chat=False` leaves out the chat template.
    """
    made: dict[str, str] = {}

    def make(
        architecture: str, *, labels: list[str] | None = None, classifier: bool = False, chat: bool = True, **config
    ) -> str:
        asked = json.dumps([architecture, labels, classifier, chat, config])
        if asked not in made:
            folder = tmp_path_factory.mktemp(architecture)
            _make(folder, architecture, labels, classifier, chat, config)
            made[asked] = str(folder)
        return made[asked]

    return make


def _make(
    folder: Path, architecture: str, labels: list[str] | None, classifier: bool, chat: bool, config: dict
) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    tokenizer = _tokenizer(chat)
    model_type, kind, settings = ARCHITECTURES[architecture]
    ids = {
        "vocab_size": len(tokenizer),
        "pad_token_id": 0,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    if kind == "classifier" or classifier:
        ids |= {"id2label": dict(enumerate(labels or ["LABEL_0"]))}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        auto = AutoModelForSequenceClassification if kind == "classifier" or classifier else AutoModelForCausalLM
        model = auto.from_config(
            AutoConfig.for_model(model_type, **{**ids, **settings, "initializer_range": 0.1, **config})
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer(chat: bool):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE({token: number for number, token in enumerate([*_SPECIALS, *alphabet])}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, padding_side="left", clean_up_tokenization_spaces=False, model_max_length=512,
        pad_token="<pad>", eos_token="<|im_end|>" if chat else "<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"], model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
