"""Settings of a chat template go where the tokenizer goes, and who says otherwise is heard."""

from __future__ import annotations

from pathlib import Path

import pytest
import trl
from transformers import AutoTokenizer

from smilerl.models.chat_template import set_defaults

TALK = [{"role": "user", "content": "hi"}]
NO_THOUGHT = "<think>\n\n</think>\n\n"


@pytest.fixture
def tokenizer(checkpoint):
    made = AutoTokenizer.from_pretrained(checkpoint("qwen3"))
    made.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()
    return made


def asked(tokenizer, **said) -> str:
    return tokenizer.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True, **said)


def test_the_default_changes_what_is_asked_and_the_caller_can_still_say_otherwise(tokenizer) -> None:
    before = asked(tokenizer), asked(tokenizer, enable_thinking=False)
    set_defaults(tokenizer, {"enable_thinking": False})
    assert before[1] == before[0] + NO_THOUGHT == asked(tokenizer)
    assert asked(tokenizer, enable_thinking=True) == before[0]


def test_it_is_saved_with_the_tokenizer_and_setting_it_again_changes_nothing(tokenizer, tmp_path) -> None:
    set_defaults(tokenizer, {"enable_thinking": False})
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    set_defaults(loaded, {"enable_thinking": False})
    assert loaded.chat_template == tokenizer.chat_template
    assert asked(loaded).endswith(NO_THOUGHT)


def test_what_training_reads_begins_with_what_is_asked(tokenizer) -> None:
    """The prompt of a supervised example is a prefix of the example, else the loss falls on the wrong tokens."""
    set_defaults(tokenizer, {"enable_thinking": False})
    whole = tokenizer.apply_chat_template([*TALK, {"role": "assistant", "content": "ho"}], tokenize=False)
    assert whole.startswith(asked(tokenizer))


@pytest.mark.parametrize("settings", [None, {}])
def test_nothing_said_is_nothing_done(tokenizer, settings) -> None:
    before = tokenizer.chat_template
    set_defaults(tokenizer, settings)
    assert tokenizer.chat_template == before


def test_texts_numbers_and_null_are_written_as_the_template_reads_them(tokenizer) -> None:
    tokenizer.chat_template = "{{ tone }}|{{ n + 1 }}|{{ who is none }}"
    set_defaults(tokenizer, {"tone": 'so "kind"', "n": 2, "who": None})
    assert tokenizer.apply_chat_template(TALK, tokenize=False) == 'so "kind"|3|True'


@pytest.mark.parametrize(
    ("template", "settings", "says"),
    [
        (None, {"enable_thinking": False}, "no chat template"),
        ({"default": "x", "tool_use": "y"}, {"enable_thinking": False}, "several chat templates"),
        ("{{ messages }}", {"enable_thinking": False}, "'enable_thinking', which the model's chat template does not know"),
        ("{{ tone }}", {"tone": ["a"]}, r"takes numbers, texts, true, false and null, not \['a'\]"),
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_said(tokenizer, template, settings, says) -> None:
    tokenizer.chat_template = template
    with pytest.raises(ValueError, match=says):
        set_defaults(tokenizer, settings)
