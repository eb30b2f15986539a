"""All that reads private parts of TRL's and Transformers' trainers. `tests/training/test_trl_adapter.py` names them.

`state` saves and restores what no checkpoint of theirs holds; `generation` samples as the trainer does; `adapters`
finds the base under an adapter; `tokenizing` prepares rows as TRL does, at once; `trackers` sends a run's log to
trackers; `shared_prompt` reads each prompt once for its group.

Only `shared_prompt` subclasses trainers, RLOO's and GRPO's, and says why. A subclass has to follow every change of its
trainer; callbacks and the parts named here do the rest from outside. Below training one private name more is read, by
`smilerl.models.whole`.
"""

from __future__ import annotations

_TRAINER = ("_metrics", "_total_train_tokens")
_ONLINE = (*_TRAINER, "_logs", "_step", "_buffered_inputs")

#: What is read of each class or module, all of it known to be there in TRL 1.16 and Transformers 5.
PRIVATE = {
    "transformers.Trainer": ("_tr_loss", "_total_loss_scalar", "_globalstep_last_logged", "_save_checkpoint"),
    "transformers.PreTrainedModel": ("_is_stateful",),
    "transformers.PreTrainedConfig": ("_attn_implementation",),
    "transformers.integrations.deepspeed": ("_hf_deepspeed_config_weak_ref",),
    "transformers.integrations.integration_utils": ("INTEGRATION_TO_CALLBACK", "rewrite_logs"),
    "trl.SFTTrainer": _TRAINER,
    "trl.DPOTrainer": _TRAINER,
    "trl.KTOTrainer": _TRAINER,
    "trl.RewardTrainer": _TRAINER,
    "trl.RLOOTrainer": _ONLINE,
    "trl.GRPOTrainer": (*_ONLINE, "_entropy_window_stats", "_tokenize_prompts", "_generate_single_turn"),
    "trl.trainer.utils": ("RepeatSampler", "use_adapter"),
    "trl.data_utils": ("common_prefix_length",),
}
