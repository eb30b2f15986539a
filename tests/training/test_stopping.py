"""A signal ends a run after the step it is in, saved, with an exit status that says "run it again"; a kill loses no more than a few steps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from smilerl.io.paths import PACKAGE
from smilerl.runs import checkpoints
from smilerl.runs.directory import Interrupted, Run
from smilerl.training.run import run_recipe
from tests.training.test_resume import saving, what_was_trained

#: Sends its own process a signal, once, when it is asked for the n-th time, if the environment says so.
SIGNALLING = """
import os, signal
class Signalling:
    __name__ = "signalling"
    calls = 0
    def __call__(self, prompts, completions, **columns):
        self.calls += 1
        name, _, call = os.environ.get("SIGNAL", "NONE:0").partition(":")
        if self.calls == int(call):
            del os.environ["SIGNAL"]
            os.kill(os.getpid(), signal.Signals[name])
        return [len(text) / 40 + self.calls % 2 for text in completions]
    def state_dict(self): return {"calls": self.calls}
    def load_state_dict(self, state): self.calls = state["calls"]
"""


@pytest.fixture(autouse=True)
def _listening():
    """Ctrl-C is heard, also where the tests run in the background of a shell, which has it ignored by all it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def recipe(make_recipe, tmp_path):
    """Six steps, each asking a reward that can send a signal."""
    (tmp_path / "signalling.py").write_text(SIGNALLING)
    rewards = [{"name": f"{tmp_path}/signalling.py:Signalling"}]
    return make_recipe("rloo", rewards=rewards, training={"max_steps": 6}, held_out={"every": 3, "n": 4})


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "status"),
    [("SIGTERM", 75), pytest.param("SIGUSR1", 75, marks=SLOW), pytest.param("SIGINT", 130, marks=SLOW)],
)
def test_a_signal_saves_after_the_step_and_leaves(recipe, monkeypatch, capfd, name, status):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv(
        "SIGNAL", f"{name}:2"
    )  # while the third step is made: the reward was asked of held-out people too
    with pytest.raises(Interrupted) as left:
        run_recipe(recipe, progress=False)
    run = Run.open(recipe.output_dir)
    assert left.value.code == status
    assert run.state == "interrupted" and run.status["error"] is None
    (saved,) = checkpoints.in_order(run.checkpoints)
    assert checkpoints.step_of(saved) == run.status["step"] == run.metrics()[-1]["step"] < 6
    said = capfd.readouterr().err
    assert f"{name}: stops after this step" in said and "The same command goes on from there." in said
    assert signal.getsignal(signal.SIGTERM) == before
    assert run_recipe(recipe, progress=False).finished


@pytest.mark.slow
def test_a_signal_in_the_last_step_is_too_late(recipe, monkeypatch):
    monkeypatch.setenv("SIGNAL", "SIGTERM:6")
    run = run_recipe(recipe, progress=False)
    assert run.finished and run.status["step"] == 6 and not checkpoints.in_order(run.checkpoints)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "ends"), [(["SIGTERM", "SIGTERM"], True), (["SIGINT", "SIGINT"], True), (["SIGUSR1", "SIGTERM"], False)]
)
def test_a_second_signal_ends_at_once(sent, ends):
    code = (
        "import os, signal\nfrom smilerl.training.stop import StopSignals\n"
        f"with StopSignals() as stop:\n    for name in {sent}:\n        os.kill(os.getpid(), signal.Signals[name])\n"
        "    print(stop.asked.name)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert (said.returncode, said.stdout) == ((-signal.Signals[sent[1]], "") if ends else (0, f"{sent[0]}\n"))


@pytest.mark.slow
def test_a_signal_that_is_ignored_stays_ignored():
    code = (
        "import os, signal\nfrom smilerl.training.stop import StopSignals\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with StopSignals() as stop:\n    os.kill(os.getpid(), signal.SIGINT)\n    print(stop.asked)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert said.stdout == "None\n"


@pytest.mark.slow
def test_terminated_then_killed_then_left_alone(recipe):
    expected = what_was_trained(run_recipe(recipe, progress=False))
    again = saving(recipe, 2)
    command = [
        sys.executable, "-m", "smilerl.cli", "train", recipe.source, f"--output_dir={again.output_dir}", "--training.save_steps=2",
    ]  # fmt: skip
    terminated = subprocess.run(command, env=environment(SIGNAL="SIGTERM:1"), capture_output=True, text=True)
    assert terminated.returncode == 75, terminated.stderr
    assert "stopped after step 1 of 6, saved" in terminated.stderr
    killed = subprocess.run(command, env=environment(SIGNAL="SIGKILL:5"), capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL and "goes on from step 1 of 6" in killed.stderr
    run = run_recipe(again, progress=False)
    assert [one["step"] for one in run.manifest["resumed"]] == [1, 4]
    assert what_was_trained(run) == expected


@pytest.mark.long
def test_two_processes_go_on_each_with_its_own_part(recipe, tmp_path):
    runs = {}
    for name, signals in {"whole": [None], "killed": ["SIGKILL:5", "SIGTERM:6", None]}.items():
        folder = tmp_path / name
        # Four completions a process and step; each process asks the reward for its own, and keeps its own count.
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29517", "-m", "smilerl.train",
            "--config", recipe.source, f"--output_dir={folder}", "--training.ddp_backend=gloo", "--training.save_steps=2",
            "--training.per_device_train_batch_size=4", "--training.steps_per_generation=2", "--training.max_steps=14", "--data.n=12",
        ]  # fmt: skip
        for sent in signals:
            ended = subprocess.run(command, env=environment(SIGNAL=sent or "NONE:0"), capture_output=True, text=True)
            assert (ended.returncode == 0) == (sent is None), ended.stderr
            if sent and "TERM" in sent:
                assert Run.open(folder).state == "interrupted" and "exitcode  : 75" in ended.stderr
        runs[name] = Run.open(folder)
    assert len(runs["killed"].manifest["resumed"]) == 2
    found, expected = what_was_trained(runs["killed"]), what_was_trained(runs["whole"])
    assert found == expected


def environment(**more: str) -> dict[str, str]:
    """For child processes, which may start elsewhere."""
    return {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1", **more}
