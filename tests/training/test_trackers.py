"""Trackers get what metrics.jsonl has, under its names: the fake one of this file, and the real ones where they are installed."""

from __future__ import annotations

import pytest
from transformers import TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from smilerl.training.run import run_recipe
from tests.training.test_resume import what_was_trained

TOTALS = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos"}


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
def test_the_real_tensorboard(make_recipe):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = run_recipe(make_recipe("rloo", training={"report_to": "tensorboard"}), progress=False)
    (file,) = run.path.rglob("events.out.tfevents.*")
    events = accumulator.EventAccumulator(str(file)).Reload()
    found = {(name, event.step): event.value for name in events.Tags()["scalars"] for event in events.Scalars(name)}
    assert found == pytest.approx(numbers(run), rel=1e-5, abs=1e-9)
    assert {
        ("held_out/kl", 2),
        ("held_out/reading", 2),
        ("held_out/smile", 2),
        ("held_out/wellbeing", 2),
    } <= found.keys()


@pytest.mark.slow
def test_the_real_trackio(make_recipe, tmp_path, monkeypatch):
    pytest.importorskip("trackio")
    # trackio has read TRACKIO_DIR when TRL imported it; the folder it writes to is looked up at each call.
    for module in ("trackio.utils", "trackio.sqlite_storage"):
        monkeypatch.setattr(f"{module}.TRACKIO_DIR", tmp_path / "trackio")
    run = run_recipe(
        make_recipe("rloo", training={"report_to": "trackio", "project": "smiles", "run_name": "one"}), progress=False
    )
    from trackio.sqlite_storage import SQLiteStorage

    rows = [row for row in SQLiteStorage.get_logs("smiles", "one") if "train/global_step" in row]
    found = {
        (name, row["train/global_step"]): value
        for row in rows
        for name, value in row.items()
        if name not in ("step", "timestamp", "train/global_step")
    }
    # The integration leaves out the totals of a run.
    asked = {key: value for key, value in numbers(run).items() if key[0] not in TOTALS}
    assert found == pytest.approx(asked)
    assert {
        ("held_out/kl", 2),
        ("held_out/reading", 2),
        ("held_out/smile", 2),
        ("held_out/wellbeing", 2),
    } <= found.keys()


def numbers(run) -> dict[tuple[str, int], float]:
    """Each number of the log by its name and step."""
    return {(name, row["step"]): value for row in told(run) for name, value in row.items() if name != "step"}
