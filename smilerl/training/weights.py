"""The weights of a run: what it begins with, what is saved at the end, and that they are finite numbers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import is_peft_model
from transformers import Trainer

from smilerl.config.recipe import Recipe
from smilerl.config.trl_refusals import REFUSALS, telling
from smilerl.models import cached
from smilerl.models.chat_template import set_defaults
from smilerl.models.hub import fetch
from smilerl.models.policy import Policy, load_policy
from smilerl.rewards._loading import save_trained_as
from smilerl.runs.directory import Run, RunError
from smilerl.training import methods
from smilerl.worlds.base import World

#: What to write instead of a base that cannot be loaded.
MODEL_FIX = "Write a directory, a recipe or a Hub id (org/name); for a gated one ask on its page, then `hf auth login`."


def initial(recipe: Recipe, run: Run, world: World) -> Policy:
    """The policy that is trained. TRL finds a reference model or an adapter's base by path, so a fresh policy gets one.

    Raises:
        RecipeError: it cannot be built or loaded.
    """
    key, fix = ("policy.config", "") if recipe.policy.config else ("policy.model_name_or_path", MODEL_FIX)
    with telling(recipe, key, fix, also=(*REFUSALS, KeyError)):
        policy = methods.method(recipe.method).policy(recipe, world)
        words, tokens = policy.model.get_input_embeddings().num_embeddings, len(policy.tokenizer)
        if recipe.policy.config and words < tokens:
            raise ValueError(f"vocab_size is {words}, and the tokenizer has {tokens} tokens: leave vocab_size out")
    with telling(recipe, "policy.chat_template_kwargs"):
        set_defaults(policy.tokenizer, recipe.policy.chat_template_kwargs)
    if recipe.policy.config is None or not (methods.has_base(recipe) or recipe.policy.peft):
        return policy
    folder = run.path / "initial"
    if PartialState().is_main_process:
        cached.keep_initial(policy, run, folder)
    PartialState().wait_for_everyone()
    return load_policy(folder, dtype=recipe.policy.dtype)


def save(trainer: Trainer, run: Run) -> None:
    """Saves the final model or adapter and its tokenizer. (`save_model` adds training_args.bin and its Hub token.)"""
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.is_world_process_zero():
        # TRL's copy of a starting adapter is not part of the result.
        adapters = {"selected_adapters": ["default"]} if is_peft_model(model) else {}
        model.save_pretrained(run.model, state_dict=weights, **adapters)
        _name_base(run.model / "adapter_config.json")
        save_trained_as(run.model, model.config)
        trainer.processing_class.save_pretrained(run.model)


def _name_base(path: Path) -> None:
    """Names an adapter's base by its Hub id and commit, not by a folder in this machine's cache."""
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    base = fetch.cached_id(config.get("base_model_name_or_path") or "")
    if base is not None:
        config |= {"base_model_name_or_path": base.repo, "revision": base.revision}
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def refuse_broken(trainer: Trainer, *, optimizer: bool) -> None:
    """Raises RunError where a weight, or a part of the optimizer's state, is NaN or infinite in any process.

    Args:
        optimizer: whether to look at the optimizer's state, too.
    """
    own = [weight.detach() for weight in trainer.model.parameters()]
    if optimizer and trainer.optimizer is not None:
        states = getattr(trainer.optimizer, "state", {})
        own += [value for state in states.values() for value in state.values() if isinstance(value, torch.Tensor)]
    own = [getattr(one, "_local_tensor", one) for one in own]  # of weights that are split: this process's part
    device = trainer.args.device
    finite = [torch.isfinite(one).all().to(device) for one in own if one.is_floating_point() and one.numel()]
    broken = (~torch.stack(finite)).any().int() if finite else torch.tensor(0, device=device)
    if trainer.accelerator.num_processes > 1:
        broken = trainer.accelerator.reduce(broken, reduction="sum")
    if int(broken):
        raise RunError(
            f"after step {trainer.state.global_step} there are weights, or averages of the optimizer, that are NaN or "
            "infinite: nothing of it is saved.\nLower training.learning_rate, keep training.max_grad_norm, train in "
            "bf16 or float32 rather than fp16, and look at the size of the rewards. The checkpoint before it is whole."
        )
