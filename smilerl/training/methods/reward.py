"""A Bradley-Terry preference model from pairs, by TRL's RewardTrainer."""

from __future__ import annotations

import torch
from datasets import DatasetDict
from trl import RewardConfig, RewardTrainer

from smilerl.data import preferences
from smilerl.models.policy import Policy, reward_model_of
from smilerl.rewards._loading import TRAINED_LENGTH, TRAINED_ON
from smilerl.rewards.preference import JOINED
from smilerl.statistics.agreement import agreement
from smilerl.training.methods import arguments, trainer_of

CONFIG = RewardConfig
_ROW = "row"
#: World pairs come from annotators who know part of the wellbeing; the model learns from their frozen labels alone.
channels = preferences.channels


def policy(recipe, world) -> Policy:
    """The body of the recipe's policy with a fresh head of one number."""
    model, tokenizer = reward_model_of(recipe.policy)
    # RewardTrainer's form and limit; the reward `preference` reads texts to a model so.
    longest = recipe.training.get("max_length", RewardConfig.__dataclass_fields__["max_length"].default)
    model.config.update({TRAINED_ON: JOINED, TRAINED_LENGTH: longest})
    return Policy(model, tokenizer, "reward model")


def dataset(recipe, world) -> DatasetDict:
    """Pairs, `data.n` to train on and `held_out.n` more to test on: columns `prompt`, `chosen`, `rejected`.

    Where a world has pairs by split, those to test on are of `held_out.split`, which shares no prompt with the others.
    """
    data, held_out = recipe.data, recipe.held_out
    if world.pairs_by_split:
        train = preferences.of_world(recipe, world, data.n)
        test = preferences.of_world(recipe, world, held_out.n, "held_out")
    else:
        pairs = preferences.of_world(recipe, world, data.n + held_out.n)
        train, test = pairs.select(range(data.n)), pairs.select(range(data.n, data.n + held_out.n))
    columns = ["prompt", "chosen", "rejected"]
    return DatasetDict(train=train.select_columns(columns), test=test.select_columns(columns))


def make_trainer(recipe, *, policy, dataset, reward_funcs=(), callbacks=(), output_dir) -> RewardTrainer:
    """A trainer of a reward model on pairs.

    Args:
        policy: its model classifies sequences into one label, the preference in nats.
        dataset: splits `train` and `test`, columns `prompt`, `chosen`, `rejected`. TRL puts EOS after each reply.

    Raises:
        ValueError: there are rewards, which a reward model does not learn from.
    """
    if reward_funcs:
        raise ValueError("the method reward learns from pairs, not from rewards; remove them")
    args = arguments(RewardConfig, recipe, output_dir)
    return trainer_of(
        RewardTrainer, recipe, policy, dataset["train"], callbacks, args, task="SEQ_CLS",
        eval_dataset=dataset["test"].add_column(_ROW, list(range(len(dataset["test"])))),
        preprocess_logits_for_metrics=_paired,
    )  # fmt: skip


def evaluate(trainer: RewardTrainer, dataset: DatasetDict) -> dict[str, float | None]:
    """Agreement with the pairs to test on, to be logged. All processes of a launch call it together.

    Returns:
        `eval_loss` and the rest of the trainer's own; `eval_accuracy` over pairs (TRL's own is a mean over batches, the
        last of which is smaller) with `eval_accuracy_low` and `_high`; `eval_pairs` scored, of `eval_pairs_of` (TRL
        leaves out those longer than `max_length`); `eval_margin`, by how much the chosen reply scores higher;
        `eval_shorter`, the accuracy of preferring the shorter reply.
    """
    kept, every = trainer.eval_dataset, dataset["test"]
    table: list[list[float | None]] = [[None] * len(every), [None] * len(every)]
    metrics: dict[str, float | None] = {}
    if len(kept):
        found = trainer.predict(kept, metric_key_prefix="eval")
        scores = found.predictions.reshape(len(kept), 2)
        metrics = {**found.metrics, "eval_margin": float((scores[:, 0] - scores[:, 1]).mean())}
        for row, own in zip(kept[_ROW], scores.tolist(), strict=True):
            table[0][row], table[1][row] = own
    agreed = agreement(every["prompt"], every["chosen"], every["rejected"], table)
    accuracy = agreed.accuracy
    metrics |= {"eval_accuracy": accuracy.value, "eval_accuracy_low": accuracy.low, "eval_accuracy_high": accuracy.high}
    return metrics | {"eval_pairs": accuracy.scored, "eval_pairs_of": accuracy.of, "eval_shorter": agreed.shorter.value}


def told(found: dict[str, float | None]) -> str:
    """What `evaluate` found, for the screen."""
    value, low, high = (found[f"eval_accuracy{end}"] for end in ("", "_low", "_high"))
    of = f"{found['eval_pairs_of']} held-out pairs"
    if value is None:
        return f"none of {of} is short enough to be scored: raise training.max_length"
    shorter = f"preferring the shorter reply: {found['eval_shorter']:.3f}"
    return f"accuracy {value:.3f} [{low:.3f}, {high:.3f}] on {found['eval_pairs']} of {of}; {shorter}"


def _paired(logits: torch.Tensor, labels) -> torch.Tensor:
    """A batch's scores [2B, 1], chosen above rejected, as one row a pair, [B, 2]."""
    return torch.stack(logits.squeeze(-1).float().chunk(2), dim=1)
