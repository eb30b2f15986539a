"""Rows tokenized all at once are the rows that TRL would have made one by one."""

from __future__ import annotations

import pytest
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from smilerl.training.trl_adapter import tokenizing

#: The second completion ends as the tokenizer ends texts; the third prompt alone fills all that is kept; the last reply is empty.
ROWS = {
    "prompt": [
        "person: the rent is due.\nhelper:",
        "person: hi\nhelper:",
        "person: " + "long " * 20,
        "a",
        "person: bye\nhelper:",
    ],
    "completion": [" that sounds hard.", " hello<|im_end|>", " cut off", " " + "a long reply " * 8, ""],
}


@pytest.mark.parametrize("completion_only_loss", [None, True, False])
@pytest.mark.parametrize("truncation_mode", ["keep_start", "keep_end"])
@pytest.mark.parametrize("max_length", [None, 64])
def test_rows_are_those_of_trl(checkpoint, tmp_path, completion_only_loss, truncation_mode, max_length):
    folder, rows = checkpoint("llama"), Dataset.from_dict(ROWS)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    args = SFTConfig(
        output_dir=str(tmp_path), completion_only_loss=completion_only_loss, truncation_mode=truncation_mode, max_length=max_length,
        use_cpu=True, bf16=False, report_to="none",
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(folder)
    theirs = SFTTrainer(model=model, processing_class=tokenizer, args=args, train_dataset=rows).train_dataset
    assert tokenizing.can_be_tokenized_at_once(rows, args)
    assert (
        tokenizing.tokenized(rows, tokenizer, args).to_dict()
        == theirs.select_columns(["input_ids", "labels"]).to_dict()
    )
    assert any(-100 in labels for labels in theirs["labels"]) == (completion_only_loss is not False)


@pytest.mark.parametrize(
    ("rows", "settings"),
    [
        (
            {"prompt": [[{"role": "user", "content": "hi"}]], "completion": [[{"role": "assistant", "content": "ho"}]]},
            {},
        ),
        ({"text": ["a whole text"]}, {}),
        (ROWS, {"packing": True}),
        (ROWS, {"shuffle_dataset": True}),
    ],
)
def test_anything_else_is_left_to_trl(rows, settings, tmp_path):
    args = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", **settings)
    assert not tokenizing.can_be_tokenized_at_once(Dataset.from_dict(rows), args)
