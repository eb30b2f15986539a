"""Trackers get what metrics.jsonl has, under its names: the fake one of this file, and the real ones where they are installed."""

from __future__ import annotations

import importlib.util
import math

import pytest
from transformers import TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, rewrite_logs

from smilerl.training.run import run_recipe
from tests.training.test_resume import what_was_trained


class Fake(TrainerCallback):
    """Collects what it is told; refuses what comes after its end, as trackio does."""

    rows: list[dict]
    open = False

    def on_train_begin(self, args, state, control, **kwargs):
        assert kwargs["model"] is not None
        type(self).rows, type(self).open = [], True

    def on_log(self, args, state, control, model=None, logs=None, **kwargs):
        assert self.open and state.is_world_process_zero and model is not None
        self.rows.append({"step": state.global_step, **logs})

    def on_train_end(self, args, state, control, model=None, **kwargs):
        assert model is not None
        type(self).open = False


@pytest.fixture
def fake(monkeypatch) -> type[Fake]:
    """A tracker that recipes can name."""
    monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "fake", Fake)
    return Fake


def told(run) -> list[dict]:
    """The rows of the log as trackers can have them."""
    return [{name: value for name, value in row.items() if value is not None} for row in run.metrics()]


def test_a_tracker_gets_every_row_and_nothing_else(make_recipe, fake):
    run = run_recipe(make_recipe("rloo", training={"report_to": "fake", "max_steps": 3}), progress=False)
    assert fake.rows == told(run) and not fake.open
    held_out = [row for row in fake.rows if "held_out/kl" in row]
    assert all({"held_out/reading", "held_out/smile", "held_out/wellbeing"} <= row.keys() for row in held_out)
    assert [row["step"] for row in held_out] == [0, 1, 2, 3]
    assert any("kl_per_token" in row for row in fake.rows)  # and so their `kl` is ours, of whole completions


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "sections"),
    [
        ("reward", {"data": {"split": "pairs", "n": 16}}),  # measures its own test data when training has ended
        ("dpo", {"data": {"split": "pairs", "n": 16, "args": {"max_completion_length": 6}}}),
        ("sft", {}),
    ],
)
def test_so_it_does_whatever_the_method(make_recipe, fake, method, sections):
    base = {"model_name_or_path": str(run_recipe(make_recipe("sft", name="base"), progress=False).model)}
    run = run_recipe(make_recipe(method, policy=base, training={"report_to": ["fake"]}, **sections), progress=False)
    assert fake.rows == told(run) and len(fake.rows) > 2 and not fake.open
    assert (method == "reward") == any("eval_accuracy" in row for row in fake.rows)


@pytest.mark.slow
def test_tracking_leaves_training_bit_identical(make_recipe, fake):
    found = [
        what_was_trained(run_recipe(make_recipe("rloo", name=name, training={"report_to": name}), progress=False))
        for name in ("none", "fake")
    ]
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="tensorboard is not installed")
def test_the_real_tensorboard(make_recipe):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_recipe(make_recipe("rloo", training={"report_to": "tensorboard"}), progress=False)
    files = list(run.path.rglob("events.out.tfevents.*"))
    assert len(files) == 1
    events = EventAccumulator(str(files[0])).Reload()
    for row in told(run):
        for name, value in rewrite_logs({name: value for name, value in row.items() if name != "step"}).items():
            values = {event.step: event.value for event in events.Scalars(name)}
            assert math.isclose(values[row["step"]], value, rel_tol=1e-5, abs_tol=1e-9), name
    assert "train/held_out/wellbeing" in events.Tags()["scalars"]


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("trackio"), reason="trackio is not installed")
def test_the_real_trackio(make_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    run = run_recipe(
        make_recipe("rloo", training={"report_to": "trackio", "project": "smiles", "run_name": "one"}), progress=False
    )
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs("smiles", "one")
    values = [row["train/held_out/wellbeing"] for row in rows if "train/held_out/wellbeing" in row]
    assert values == [row["held_out/wellbeing"] for row in run.metrics() if "held_out/wellbeing" in row]
