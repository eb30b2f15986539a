"""Weights that are no numbers any more are never saved: the run fails and says after which step; the checkpoint before is whole."""

from __future__ import annotations

import pytest
import torch

from smilerl.runs import checkpoints
from smilerl.runs.directory import Run, RunError
from smilerl.training.observers.metrics import Metrics
from smilerl.training.run import run_recipe
from tests.training.test_resume import saving


@pytest.fixture
def broken(monkeypatch):
    """Puts a value into the weights, or the optimizer, when a step is logged."""

    def breaks(at: int, value: float, where: str = "weights") -> None:
        log = Metrics.on_log

        def on_log(self, args, state, control, model=None, optimizer=None, **kwargs):
            if state.global_step == at:
                averages = [one["exp_avg_sq"] for one in optimizer.state.values()]
                tensor = next(iter(model.parameters())) if where == "weights" else averages[-1]
                with torch.no_grad():
                    tensor.view(-1)[-1] = value
            log(self, args, state, control, **kwargs)

        monkeypatch.setattr(Metrics, "on_log", on_log)

    return breaks


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (float("nan"), "weights"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in ((float("inf"), "weights"), (float("nan"), "averages"))
        ),
    ],
)
def test_no_checkpoint_of_them_is_sealed(make_recipe, broken, value, where):
    broken(4, value, where)
    recipe = saving(make_recipe("sft", training={"max_steps": 8}), 2)
    with pytest.raises(RunError, match=r"after step 4 there are weights.*NaN or infinite.*\n.*learning_rate"):
        run_recipe(recipe, progress=False)
    run = Run.open(recipe.output_dir)
    assert run.state == "failed" and not run.model.exists()
    (kept,) = run.checkpoints.glob("checkpoint-*")
    assert kept.name == "checkpoint-2" and checkpoints.damage(kept) is None


@pytest.mark.slow
def test_no_final_model_is_made_of_them(make_recipe, broken):
    broken(3, float("nan"))
    recipe = make_recipe("sft", training={"max_steps": 3})
    with pytest.raises(RunError, match="after step 3 there are weights"):
        run_recipe(recipe, progress=False)
    assert Run.open(recipe.output_dir).state == "failed" and not Run.open(recipe.output_dir).model.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["rloo", pytest.param("sft", marks=pytest.mark.long), pytest.param("grpo", marks=pytest.mark.long)]
)
def test_a_learning_rate_that_blows_up_is_told(make_recipe, method):
    recipe = make_recipe(method, training={"max_steps": 4, "learning_rate": 1e38}, held_out={"every": 0, "n": 4})
    with pytest.raises(RunError, match="NaN or infinite"):
        run_recipe(recipe, progress=False)
    assert not Run.open(recipe.output_dir).model.exists()
