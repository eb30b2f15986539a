"""preference: a reward model trained on which of two replies people preferred (Bradley-Terry), by TRL's RewardTrainer.

It reads a prompt with its completion exactly as in training: plain text joined, with EOS after it (RewardTrainer appends
EOS to its data; TRL's own scoring in GRPO and RLOO forgets to), or messages through the model's chat template.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from smilerl.rewards import RewardError, texts
from smilerl.rewards._classifier import Classifier

#: Where the ready-made `reward`, which takes no arguments, finds its model.
MODEL_VARIABLE = "SMILERL_PREFERENCE_MODEL"


def build(
    model: str | None = None,
    dtype: str = "float32",
    batch_size: int = 64,
    max_length: int | None = None,
    device: str | None = None,
) -> Callable:
    """The output of a reward model: any real number, of which only differences mean something.

    A text longer than the model reads is unscored (None): RewardTrainer left such pairs out, so its score would mean nothing.

    Args:
        model: directory (adapters included) or Hub id of a sequence classifier with one output; None: as the environment
            variable SMILERL_PREFERENCE_MODEL says when the reward is first called.
        dtype, batch_size, device: of the model.
        max_length: most tokens of prompt and completion; what the model can read when None.
    """
    loading = {"dtype": dtype, "batch_size": batch_size, "device": device}
    preference = _Preference(None if model is None else _reward_model(model, **loading), loading, max_length)
    preference.learnt_from = _channels_of(model)
    return preference


def _channels_of(model: str | None) -> tuple[str, ...]:
    """The channels through which outcomes reached a reward model that was trained here, as its run's manifest says."""
    beside = [Path(model).parent, Path(model)] if model else []  # its run, or the repository that the run was pushed to
    manifest = next((folder / "manifest.json" for folder in beside if (folder / "manifest.json").is_file()), None)
    return tuple(json.loads(manifest.read_text()).get("channels", ())) if manifest else ()


class _Preference:
    def __init__(self, classifier: Classifier | None, loading: dict, max_length: int | None) -> None:
        self.__name__ = "preference"
        self.learnt_from: tuple[str, ...] = ()
        self._given, self._loading, self._max_length = classifier, loading, max_length

    @cached_property
    def _classifier(self) -> Classifier:
        if self._given is not None:
            return self._given
        if not os.environ.get(MODEL_VARIABLE):
            raise RewardError(
                "the reward 'preference' needs a reward model. In a recipe: {name: preference, args: {model: DIRECTORY_OR_ID}}; "
                f"in a TRL script: the environment variable {MODEL_VARIABLE}=DIRECTORY_OR_ID"
            )
        return _reward_model(os.environ[MODEL_VARIABLE], **self._loading)

    def __call__(self, prompts, completions, **columns) -> list[float | None]:
        token_ids = self._token_ids(prompts, completions)
        longest = self._max_length or self._classifier.longest
        fitting = [row for row, ids in enumerate(token_ids) if len(ids) <= longest]
        values: list[float | None] = [None] * len(token_ids)
        for row, value in zip(
            fitting, self._classifier.logits([token_ids[row] for row in fitting])[:, 0].tolist(), strict=True
        ):
            values[row] = value
        if "log_metric" in columns and token_ids:
            columns["log_metric"](f"{self.__name__}/too_long", 1 - len(fitting) / len(token_ids))
        return values

    def _token_ids(self, prompts: Sequence, completions: Sequence) -> list[list[int]]:
        tokenizer = self._classifier.tokenizer
        if all(isinstance(prompt, str) for prompt in prompts):
            if tokenizer.eos_token is None:
                raise RewardError(
                    f"the tokenizer of the reward model '{self._classifier.path}' has no EOS token, which its training data must have ended with"
                )
            joined = [prompt + said for prompt, said in zip(prompts, texts(completions), strict=True)]
            ended = [one if one.endswith(tokenizer.eos_token) else one + tokenizer.eos_token for one in joined]
            return tokenizer(ended)["input_ids"] if ended else []
        if tokenizer.chat_template is None:
            raise RewardError(
                f"the prompts are messages, but the reward model '{self._classifier.path}' has no chat template: it was trained on plain "
                "text. Use plain prompts, or a reward model trained on messages"
            )
        talks = [list(prompt) + _messages(said) for prompt, said in zip(prompts, completions, strict=True)]
        return tokenizer.apply_chat_template(talks, tokenize=True, return_dict=True)["input_ids"] if talks else []


def _messages(said: str | Sequence[Mapping]) -> list[Mapping]:
    return [{"role": "assistant", "content": said}] if isinstance(said, str) else list(said)


def _reward_model(path: str, **loading) -> Classifier:
    classifier = Classifier(path, reward="preference", **loading)
    if not classifier.is_adapter and classifier.config.num_labels != 1:
        labels = ", ".join(str(label) for label in classifier.config.id2label.values())
        raise RewardError(
            f"the model '{path}' has {classifier.config.num_labels} outputs ({labels}); a reward model has one. "
            f"If it says how positive a text is, use {{name: sentiment, args: {{model: {path}}}}}; else train one: method: reward"
        )
    return classifier


reward = build()
