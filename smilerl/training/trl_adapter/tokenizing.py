"""TRL's preparation of supervised rows, done at once and not in four passes over single rows."""

from __future__ import annotations

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig
from trl.data_utils import common_prefix_length


def can_be_tokenized_at_once(dataset: Dataset, args: SFTConfig) -> bool:
    """Whether `tokenized` does all that TRL's own preparation would: plain text, whole rows, nothing packed."""
    if set(dataset.column_names) != {"prompt", "completion"} or not len(dataset):
        return False
    plain = all(isinstance(text, str) for text in dataset[0].values())
    return plain and not (args.packing or args.padding_free or args.dataset_kwargs or args.shuffle_dataset)


def tokenized(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, args: SFTConfig) -> Dataset:
    """Plain prompts and completions as `input_ids` and `labels`, equal to what TRL's preparation makes of them.

    TRL tokenizes, labels, cuts and filters in four passes over single rows: 23 of the 220 seconds that the embedded
    model took.
    """
    ends, prompts = tokenizer.eos_token, list(dataset["prompt"])
    replies = [reply if reply.endswith(ends) else reply + ends for reply in dataset["completion"]]
    heads = tokenizer(prompts)["input_ids"]
    wholes = tokenizer([prompt + reply for prompt, reply in zip(prompts, replies, strict=True)])["input_ids"]
    from_end = args.max_length and args.truncation_mode == "keep_end"
    kept = slice(-args.max_length, None) if from_end else slice(args.max_length)
    rows: dict[str, list[list[int]]] = {"input_ids": [], "labels": []}
    for head, whole in zip(heads, wholes, strict=True):
        # Tokens that merge across the boundary belong to the completion.
        unlearnt = 0 if args.completion_only_loss is False else common_prefix_length(head, whole)
        labels = ([-100] * unlearnt + whole[unlearnt:])[kept]
        if any(label != -100 for label in labels):
            rows["input_ids"].append(whole[kept])
            rows["labels"].append(labels)
    return Dataset.from_dict(rows)
