"""Resumes a killed run exactly: checkpoints of everything that decides how training goes on.

The trainer's own checkpoint (weights, optimizer, schedule, generators) is not enough. It silently goes on with other
numbers after a save in the middle of a generation buffer, in the second epoch (TRL's sampler starts over), with a
reward that counts or draws, and with a reference model that is synced. What is missing is saved beside it, and put back
before the first step.

This is a callback, not a subclass of five trainers: Transformers calls `on_save` after it has written a checkpoint, and
`on_train_begin` after it has loaded one. The trainers' private parts are read by `trl_adapter.state`.
"""

from __future__ import annotations

import pickle
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from smilerl.io.terminal import brief, say
from smilerl.models.randomness import generators, put_back
from smilerl.rewards._asking import RewardTimeout, StopAsked
from smilerl.runs import checkpoints
from smilerl.runs.directory import Interrupted, RunError
from smilerl.training.stop import StopSignals
from smilerl.training.trl_adapter import state as private
from smilerl.training.weights import refuse_broken

#: Seconds from one checkpoint to the next where the recipe sets no `save_strategy` ...
EVERY = 60.0
#: ... or more, so that saving takes no larger part of the time than this.
SHARE = 0.02


class Checkpoints(TrainerCallback):
    """Saves checkpoints that can be resumed exactly, by time or as the recipe says, and when asked to stop.

    Exactly means: on the CPU, the final weights are those of the uninterrupted run, bit by bit. On a GPU, where two
    uninterrupted runs may differ too, and where vLLM samples (its generator cannot be read), all that is known is
    restored.

    Every process saves its own part, `smilerl-<rank>.pt`. Give it to the trainer among its callbacks, in front of those
    that write logs, `bind` the trainer to it, and call `train` instead of the trainer's own.
    """

    def __init__(
        self,
        folder: Path,
        rewards: list[Callable],
        *,
        by_time: bool,
        goes_on_from: Path | None = None,
        before_sealing: Callable[[], None] = lambda: None,
    ):
        """
        Args:
            folder: of the checkpoints; the trainer's `output_dir`.
            rewards: whose state is saved: those that the trainer asks, as `rewards.checked` makes them, and through
                what it asks them.
            by_time: save every minute, or less often where saving takes long; else when the trainer's arguments say.
            goes_on_from: the checkpoint that `train` loads; None: begin at the first step.
            before_sealing: called in the main process before a checkpoint counts: what else has to reach the disk.
        """
        self.folder, self.rewards, self.by_time = folder, rewards, by_time
        self.goes_on_from, self.before_sealing, self.stop = goes_on_from, before_sealing, StopSignals()
        self.limit: int | None = None
        self.stopping: signal.Signals | None = None
        self.next, self.began = 0.0, 0.0
        self.left: dict[str, Any] | None = None
        self._generators: tuple | None = None

    def bind(self, trainer: Trainer) -> None:
        """Attach the trainer whose checkpoints these are.

        Raises:
            RunError: the checkpoint cannot be resumed exactly with this many processes, or such a reference model.
        """
        self.trainer = trainer
        # The trainer would delete old checkpoints before the new one counts.
        self.limit, trainer.args.save_total_limit = trainer.args.save_total_limit, None
        if self._synced_reference() is not None and (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
            raise RunError(
                "sync_ref_model moves the reference model, whose parts are spread over processes here: a stopped run "
                "could not be resumed.\nSet `sync_ref_model: false`, or train without FSDP and DeepSpeed."
            )
        if self.goes_on_from is not None:
            saved, now = checkpoints.facts_of(self.goes_on_from)["processes"], trainer.accelerator.num_processes
            if saved != now:
                processes, are = f"process{'es' * (saved > 1)}", "are" if now > 1 else "is"
                raise RunError(
                    f"{self.goes_on_from} was saved by {saved} {processes}, and now there {are} {now}: "
                    f"the data would be split otherwise.\nStart it with {saved}, or give another --output_dir."
                )

    def on_train_begin(self, args, state, control, train_dataloader=None, **kwargs):
        """Put back what the trainer does not."""
        self.next = time.monotonic() + EVERY
        if self.goes_on_from is None:
            return
        if state.is_world_process_zero:
            say(f"goes on from step {state.global_step} of {state.max_steps}")
        self._put_back(self._loaded(self._own_file(self.goes_on_from)))
        reference = self._synced_reference()
        if reference is not None:
            reference.load_state_dict(torch.load(self.goes_on_from / "reference.pt", weights_only=True))
        private.start_epochs(train_dataloader, int(state.epoch))

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Note the generators before the epoch draws from them, as a run resumed there will."""
        self._generators = generators() if self._asks() else None

    def on_step_begin(self, args, state, control, **kwargs):
        """Note the state that `save_last_step` would save, where a reward may not come back."""
        if self._asks():
            drawn, self._generators = self._generators or generators(), None
            # Tokens and operations are counted while the next step is made.
            counts = dict(vars(state)), self.trainer.current_flos
            self.left = {"step": state.global_step, "generators": drawn, "counts": counts, "state": self._state()}

    def on_step_end(self, args, state, control, **kwargs):
        """Ask for a checkpoint, if it is time or the last chance."""
        asked, due = self._agreed(self.by_time and time.monotonic() >= self.next)
        if state.global_step >= state.max_steps:
            control.should_save = False
            return
        if asked:
            self.stopping = self.stop.asked or signal.SIGTERM  # the signal may have reached another process
        control.should_save = bool(control.should_save or asked or due)
        self.began = time.monotonic()

    def on_epoch_end(self, args, state, control, **kwargs):
        """Save nothing after the last step: a trainer that resumes there takes one step more."""
        if state.global_step >= state.max_steps:
            control.should_save = False

    def on_save(self, args, state, control, **kwargs):
        """Add what is missing, make the checkpoint count, delete old ones, and stop if that was asked.

        Raises:
            Interrupted: it was.
            RunError: weights are NaN or infinite; this checkpoint is deleted.
        """
        accelerator = self.trainer.accelerator
        checkpoint = self.folder / f"checkpoint-{state.global_step}"
        try:
            refuse_broken(self.trainer, optimizer=True)
        except RunError:
            if accelerator.is_main_process:
                shutil.rmtree(checkpoint, ignore_errors=True)
            raise
        torch.save(self._state(), self._own_file(checkpoint))
        reference = self._synced_reference()
        if reference is not None and accelerator.is_main_process:
            torch.save(reference.state_dict(), checkpoint / "reference.pt")
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (checkpoint / "training_args.bin").unlink(missing_ok=True)  # holds the Hub token in plain text
            (self.folder / "README.md").unlink(missing_ok=True)  # TRL's draft of a card; we write our own
            self.before_sealing()
            checkpoints.seal(checkpoint, step=state.global_step, processes=accelerator.num_processes)
            if self.limit is not None:
                checkpoints.keep_last(self.folder, self.limit, state.best_model_checkpoint)
        accelerator.wait_for_everyone()
        now = time.monotonic()
        self.next = now + max(EVERY, (now - self.began) / SHARE)
        if self.stopping is not None:
            if accelerator.is_main_process:
                step = f"step {state.global_step} of {state.max_steps}"
                say(f"stopped after {step}, saved. The same command goes on from there.")
            raise Interrupted(self.stopping)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Correct the mean loss at the end: a resumed trainer divides by the steps of this process alone."""
        if self.goes_on_from is not None and logs and "train_loss" in logs:
            logs["train_loss"] = private.mean_loss(self.trainer)

    def save_last_step(self) -> int:
        """Saves the checkpoint of the last whole step, from the middle of the next one, in which a reward was ended.

        For one process: several have to finish a step together.

        Returns:
            The step to go on from; 0 where there is none.

        Raises:
            Interrupted: the run was asked to stop.
        """
        trainer, left = self.trainer, self.left
        before = 0 if self.goes_on_from is None else checkpoints.step_of(self.goes_on_from)
        alone = trainer.accelerator.num_processes == 1
        if alone and left is not None and left["step"] == trainer.state.global_step > before:
            put_back(left["generators"])
            counts, trainer.current_flos = left["counts"]
            vars(trainer.state).update(counts)
            self._put_back(left["state"])
            private.save_checkpoint(trainer)
            self.on_save(trainer.args, trainer.state, trainer.control)
        saved = checkpoints.in_order(self.folder)
        return checkpoints.step_of(saved[-1]) if saved else 0

    def _asks(self) -> bool:
        return bool(self.rewards) and hasattr(self.trainer, "reward_funcs")

    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds: plain data, and no object that training goes on to change."""
        return {**private.state_of(self.trainer), "rewards": [reward.state_dict() for reward in self.rewards]}

    def _loaded(self, file: Path) -> dict[str, Any]:
        """A checkpoint's own part, read as data: nothing in it runs."""
        # What was on some GPU goes to this process's device; what was in memory stays there.
        moved = {f"cuda:{index}": str(self.trainer.args.device) for index in range(torch.cuda.device_count() or 16)}
        try:
            return torch.load(file, map_location=moved, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise _no_data(file, error) from None

    def _put_back(self, saved: dict[str, Any]) -> None:
        private.put_back(self.trainer, saved)
        for reward, own in zip(self.rewards, saved["rewards"], strict=True):
            reward.load_state_dict(own)

    def _agreed(self, due: bool) -> tuple[bool, bool]:
        """Whether any process was asked to stop, and whether the main process's clock says that a checkpoint is due."""
        accelerator, asked = self.trainer.accelerator, self.stop.asked is not None
        if accelerator.num_processes == 1:
            return asked, due
        said = torch.tensor([asked, due and accelerator.is_main_process], dtype=torch.int32, device=accelerator.device)
        asked, due = (number > 0 for number in accelerator.reduce(said, reduction="sum").tolist())
        return asked, due

    def _synced_reference(self) -> torch.nn.Module | None:
        """The reference model, if training moves it; else it is made anew from its source."""
        reference = getattr(self.trainer, "ref_model", None)
        synced = reference is not None and getattr(self.trainer.args, "sync_ref_model", False)
        return self.trainer.accelerator.unwrap_model(reference) if synced else None

    def _own_file(self, checkpoint: Path) -> Path:
        return checkpoint / f"smilerl-{self.trainer.accelerator.process_index}.pt"


def train(trainer: Trainer) -> None:
    """Trains from where the trainer's `Checkpoints` go on, and handles signals meanwhile.

    Raises:
        Interrupted: one came, and a checkpoint was saved.
        RewardTimeout: a reward did not come back; what the last whole step left was saved.
        RunError: weights are NaN or infinite; or training ended before its last step without having been asked to.
    """
    (saving,) = (callback for callback in trainer.callback_handler.callbacks if isinstance(callback, Checkpoints))
    with saving.stop:
        try:
            trainer.train(resume_from_checkpoint=str(saving.goes_on_from) if saving.goes_on_from else None)
        except pickle.UnpicklingError as error:  # of the trainer's own files, which it reads as data alone, too
            raise _no_data(saving.goes_on_from or saving.folder, error) from None
        except StopAsked:
            asked = saving.stopping = saving.stop.asked or signal.SIGTERM
            step = saving.save_last_step()  # which raises Interrupted where it saves
            say(f"stopped. {_goes_on(step)}")
            raise Interrupted(asked) from None
        except RuntimeError as error:
            if trainer.accelerator.num_processes == 1 and not isinstance(error, RunError):
                refuse_broken(trainer, optimizer=False)  # sampling from broken weights fails without naming them
            raise
        except RewardTimeout as error:
            raise RewardTimeout(f"{error}\n{_goes_on(saving.save_last_step())}") from None
    refuse_broken(trainer, optimizer=False)
    done, steps = trainer.state.global_step, trainer.args.max_steps
    last = steps if steps > 0 else trainer.state.max_steps
    if done == 0 or done < last:
        why = "there was no batch to train on" if done == 0 else "a callback, a reward or the trainer itself ended it"
        raise RunError(
            f"{saving.folder.parent}: training ended at step {done} of {last}, and nobody had asked it to stop: {why}. "
            "The run has failed.\nLook for what sets should_training_stop, and how much data there is (manifest.json)."
        )


def by_time(training: dict[str, Any]) -> bool:
    """Whether a recipe leaves the times of saving to us."""
    return "save_strategy" not in training and "save_steps" not in training


def _no_data(where: Path, error: BaseException) -> RunError:
    return RunError(
        f"{where} is no checkpoint of this version: it holds something other than numbers, text, lists, maps and "
        f"tensors ({brief(error, lines=1, most=100)}).\n"
        "If you do not know who wrote it, distrust it. Delete the checkpoint to go on from the one before."
    )


def _goes_on(step: int) -> str:
    return f"The same command {f'goes on from step {step}' if step else 'begins again: no step had been saved'}."
