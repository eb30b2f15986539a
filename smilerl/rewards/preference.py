"""preference: a reward model trained on which of two replies people preferred (Bradley-Terry), by TRL's RewardTrainer.

It reads a prompt with its completion exactly as in training: plain text joined, with EOS after it (RewardTrainer
appends EOS to its data; TRL's own scoring in GRPO and RLOO forgets to), or messages through the model's chat template.
Reward models of other origin that read the two as a pair of segments, such as OpenAssistant's DeBERTa, are read so.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from smilerl.models.messages import text
from smilerl.models.replies import PARTS, Part, as_said, part_of
from smilerl.rewards import RewardError
from smilerl.rewards._classifier import Classifier, Encoded, Loading, rows_of
from smilerl.rewards._loading import TRAINED_LENGTH, TRAINED_ON
from smilerl.runs import lineage

#: Where the ready-made `reward`, which takes no arguments, finds its model.
MODEL_VARIABLE = "SMILERL_PREFERENCE_MODEL"
#: The form in which reward models trained here read, as they say of themselves (`_loading.trained_as`).
JOINED = "prompt + completion + EOS"
#: Whence it is known how a model is read to, when neither its config nor the user has said it.
GUESSED = "a guess from its tokenizer"


@dataclass(frozen=True)
class _Form:
    """How prompt and completion are put to the model; None: as the model's kind suggests."""

    reads: Part
    pair: bool | None
    eos: bool | None
    chat: bool | None
    max_length: int | None


def build(
    model: str | None = None,
    dtype: str | None = None,
    batch_size: int = 64,
    batch_tokens: int = 32768,
    max_length: int | None = None,
    device: str | None = None,
    pair: bool | None = None,
    eos: bool | None = None,
    chat: bool | None = None,
    reads: Part = "reply",
) -> Callable:
    """The output of a reward model: any real number, of which only differences mean something.

    A text longer than the model reads is unscored (None): RewardTrainer left such pairs out, so its score would mean
    nothing.

    Args:
        model: directory (adapters included) or Hub id of a sequence classifier with one output; None: as the
            environment variable SMILERL_PREFERENCE_MODEL says when the reward is first called.
        dtype: of the weights; bfloat16 on CUDA and float32 elsewhere when None.
        batch_size, batch_tokens: texts, and tokens with padding, in one forward pass, at most.
        max_length: most tokens of prompt and completion; None: as in its training, if that was here, else what the
            model can read.
        device: such as "cuda:0"; the process's own when None.
        pair: whether the model reads prompt and completion as two segments. None: where its tokenizer closes every text
            itself ([SEP], as encoders' do), it has no chat template, and it was not trained here.
        eos: whether plain text ends with EOS. None: unless the tokenizer closes texts itself (always, if trained here).
        chat: True: a plain prompt is put to the model as a user's message, through its chat template; None: prompts
            stay what they are.
        reads: `reply`: of a completion what a person sees; or `thoughts`, or `both`.
    """
    if reads not in PARTS:
        raise RewardError(f"the reward 'preference' takes reads: {' or '.join(PARTS)}, not {reads!r}")
    loading, form = Loading(dtype, device, batch_size, batch_tokens), _Form(reads, pair, eos, chat, max_length)
    return _Preference(None if model is None else _reward_model(model, loading), loading, form)


class _Preference:
    def __init__(self, classifier: Classifier | None, loading: Loading, form: _Form) -> None:
        self.__name__ = "preference"
        self._given, self._loading, self._form = classifier, loading, form

    @property
    def learnt_from(self) -> tuple[str, ...]:
        """The channels through which outcomes have reached the reward model."""
        return lineage.of_model(self._given.path if self._given else os.environ.get(MODEL_VARIABLE) or None)

    @cached_property
    def _classifier(self) -> Classifier:
        if self._given is not None:
            return self._given
        if not os.environ.get(MODEL_VARIABLE):
            raise RewardError(
                "the reward 'preference' needs a reward model. In a recipe: {name: preference, args: {model: "
                f"DIRECTORY_OR_ID}}}}; in a TRL script: the environment variable {MODEL_VARIABLE}=DIRECTORY_OR_ID"
            )
        return _reward_model(os.environ[MODEL_VARIABLE], self._loading)

    def __call__(self, prompts, completions, **columns) -> list[float | None]:
        encoded = self._encoded(prompts, completions)
        fitting = [row for row, one in enumerate(encoded) if len(one["input_ids"]) <= self._longest]
        values: list[float | None] = [None] * len(encoded)
        found = self._classifier.logits([encoded[row] for row in fitting])[:, 0].tolist()
        for row, value in zip(fitting, found, strict=True):
            values[row] = None if math.isnan(value) else value
        if "log_metric" in columns and encoded:
            columns["log_metric"](f"{self.__name__}/too_long", 1 - len(fitting) / len(encoded))
        return values

    def about(self) -> dict[str, Any]:
        """What a user should see of the model, and how it is read to."""
        names = {"a pair of segments": self._pair, "joined, then EOS": self._eos}
        plain = next((name for name, so in names.items() if so), "joined, without EOS")
        reads = "messages (plain prompts as a user's)" if self._form.chat else plain
        told = [getattr(self._form, name) for name in ("pair", "eos", "chat")] != [None] * 3
        form = "its args" if told else "its training" if self._trained_here else GUESSED
        facts = {"reads": reads, "form from": form, "too long": "unscored", "limit": self._longest}
        return {**self._classifier.about(), **facts}

    def tokens(self, prompts, completions, **columns) -> list[int]:
        """How many tokens each prompt with its completion has."""
        return [len(one["input_ids"]) for one in self._encoded(prompts, completions)]

    @property
    def _longest(self) -> int:
        asked = self._form.max_length or self._classifier.trained_as.get(TRAINED_LENGTH)
        return min(asked or self._classifier.longest, self._classifier.longest)

    @cached_property
    def _trained_here(self) -> bool:
        return TRAINED_ON in self._classifier.trained_as

    @cached_property
    def _pair(self) -> bool:
        if self._form.pair is not None:
            return self._form.pair
        classifier = self._classifier
        return classifier.closes_texts and classifier.tokenizer.chat_template is None and not self._trained_here

    @cached_property
    def _eos(self) -> bool:
        asked, tokenizer = self._form.eos, self._classifier.tokenizer
        ends = asked if asked is not None else self._trained_here or not self._classifier.closes_texts
        if ends and tokenizer.eos_token is None:
            raise RewardError(
                f"the tokenizer of the reward model '{self._classifier.path}' has no EOS token, which training data by "
                "RewardTrainer ends with. If it was trained otherwise, say so in the reward's args: eos: false"
            )
        return ends

    def _encoded(self, prompts: Sequence, completions: Sequence) -> list[Encoded]:
        if not len(prompts):
            return []
        plain = [isinstance(prompt, str) for prompt in prompts]
        if any(plain) and not all(plain):
            raise RewardError("the reward 'preference' got plain prompts and messages in one batch; give it one kind")
        if self._pair:
            asked = [text(prompt).strip() for prompt in prompts]
            return rows_of(self._classifier.tokenizer(asked, [said.strip() for said in self._said(completions)]))
        if all(plain) and not self._form.chat:
            return self._joined(prompts, completions)
        return self._talks(prompts, completions)

    def _said(self, completions: Sequence) -> list[str]:
        return [part_of(completion, self._form.reads) for completion in completions]

    def _joined(self, prompts: Sequence[str], completions: Sequence) -> list[Encoded]:
        end = self._classifier.tokenizer.eos_token if self._eos else ""
        joined = [prompt + said for prompt, said in zip(prompts, self._said(completions), strict=True)]
        return rows_of(self._classifier.tokenizer([one if one.endswith(end) else one + end for one in joined]))

    def _talks(self, prompts: Sequence, completions: Sequence) -> list[Encoded]:
        if self._classifier.tokenizer.chat_template is None:
            raise RewardError(
                f"the prompts are messages, but the reward model '{self._classifier.path}' has no chat template: it "
                "was trained on plain text. Use plain prompts, or a reward model trained on messages; or, if it reads "
                "question and answer as two segments, pair: true"
            )
        talks = [
            as_said(_messages(prompt, "user")) + as_said(_messages(said, "assistant"), self._form.reads)
            for prompt, said in zip(prompts, completions, strict=True)
        ]
        return rows_of(self._classifier.tokenizer.apply_chat_template(talks, tokenize=True, return_dict=True))


def _messages(said: str | Sequence[Mapping], role: str) -> list[Mapping]:
    return [{"role": role, "content": said}] if isinstance(said, str) else list(said)


def _reward_model(path: str, loading: Loading) -> Classifier:
    classifier = Classifier(path, "preference", loading)
    if not classifier.is_adapter and classifier.config.num_labels != 1:
        if any("ForCausalLM" in name for name in classifier.config.architectures or []):
            raise RewardError(
                f"the model '{path}' is a language model, which scores nothing; a reward model has one output. Train "
                "one from it: method: reward"
            )
        labels = ", ".join(str(label) for label in classifier.config.id2label.values())
        raise RewardError(
            f"the model '{path}' has {classifier.config.num_labels} outputs ({labels}); a reward model has one. "
            f"If it says how positive a text is, use {{name: sentiment, args: {{model: {path}}}}}; else train one: "
            "method: reward"
        )
    return classifier


reward = build()
