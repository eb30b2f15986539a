"""A run that is killed and started again ends with the weights, log and samples of one that was not, bit by bit.

Most cases die by an exception in the step after a checkpoint, in one process, which leaves on disk what a kill leaves;
`test_stopping.py` kills processes.
"""

from __future__ import annotations

import dataclasses
import json
import pickle

import pandas as pd
import pytest

from smilerl.config.recipe import RecipeError
from smilerl.config.schedule import log_steps
from smilerl.runs import checkpoints
from smilerl.runs.directory import Run, RunError
from smilerl.runs.identity import content_hash
from smilerl.training import resume
from smilerl.training.observers.metrics import Metrics
from smilerl.training.run import run_recipe
from tests.fixtures.recipes import SFT, TINY

LORA = {"r": 2, "lora_alpha": 4, "lora_dropout": 0.2, "target_modules": "all-linear"}
#: Counts its calls, draws from a generator of its own and from the global ones, and keeps a moving average.
STATEFUL = """
import random, numpy, torch
class Stateful:
    __name__ = "stateful"
    def __init__(self): self.calls, self.average, self.own = 0, 0.0, numpy.random.default_rng(7)
    def __call__(self, prompts, completions, **columns):
        self.calls += 1
        drawn = [random.random() + torch.rand(()).item() + self.own.random() + len(text) / 40 for text in completions]
        self.average = 0.9 * self.average + 0.1 * sum(drawn) / len(drawn)
        return [value * (1 + self.calls % 3) - self.average for value in drawn]
    def state_dict(self): return {"calls": self.calls, "average": self.average, "own": self.own.bit_generator.state}
    def load_state_dict(self, state):
        self.calls, self.average, self.own.bit_generator.state = state["calls"], state["average"], state["own"]
"""
#: Numbers that say how long something took.
TIMES = ("seconds", "step_time", "runtime", "per_second")


class Killed(BaseException):
    """Stands in for a kill: nothing catches it."""


@pytest.fixture
def killed(monkeypatch):
    """Trains a recipe and dies before the log of a step."""

    def kill(recipe, at: int) -> None:
        log = Metrics.on_log

        def die(self, args, state, control, **kwargs):
            if state.global_step >= at:
                raise Killed
            log(self, args, state, control, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(Metrics, "on_log", die)
            with pytest.raises(Killed):
                run_recipe(recipe, progress=False)

    return kill


@pytest.fixture
def stateful(tmp_path) -> list[dict]:
    """A reward that is hard to go on with."""
    (tmp_path / "stateful.py").write_text(STATEFUL)
    return [{"name": f"{tmp_path}/stateful.py:Stateful"}]


@pytest.fixture
def base(make_recipe) -> dict:
    """The model that a policy starts from."""
    return {"model_name_or_path": str(run_recipe(make_recipe("sft", name="base"), progress=False).model)}


def saving(recipe, steps: int | float):
    """The same recipe, in another directory, that saves every so many steps."""
    there = f"{recipe.output_dir}-killed"
    return dataclasses.replace(recipe, output_dir=there, training={**recipe.training, "save_steps": steps})


def what_was_trained(run: Run) -> dict:
    """Everything that two equal runs have in common."""
    weights = {path.name: path.read_bytes() for path in run.model.glob("*.safetensors")}
    rows = [{key: value for key, value in row.items() if not key.endswith(TIMES)} for row in run.metrics()]
    samples = {path.name: pd.read_parquet(path).to_json() for path in run.path.glob("samples/*")}
    texts = {path.name: pd.read_parquet(path).to_json() for path in run.path.glob("checkpoints/completions/*")}
    assert weights and rows
    return {"weights": weights, "rows": rows, "samples": samples, "texts": texts}


def check(recipe, killed, *, save: int, die: int) -> Run:
    """Kills a run at step `die`, lets it go on from step `save`, and compares with one that nothing happened to."""
    expected = what_was_trained(run_recipe(recipe, progress=False))
    again = saving(recipe, save)
    killed(again, die)
    run = run_recipe(again, progress=False)
    assert [resumption["step"] for resumption in run.manifest["resumed"]] == [save]
    found = what_was_trained(run)
    for part, of in found.items():
        assert of == expected[part], part
    return run


@pytest.mark.slow
def test_in_the_middle_of_a_buffer(make_recipe, killed, capsys):
    recipe = make_recipe("rloo", training={"max_steps": 5, "steps_per_generation": 2}, held_out={"every": 2, "n": 4})
    run = check(recipe, killed, save=3, die=5)
    assert "goes on from step 3 of 5" in capsys.readouterr().err
    assert [row["step"] for row in run.metrics() if "held_out/kl" in row] == [0, 2, 4, 5]
    assert run.status["goes_on_from"] == "checkpoint-3" and run.finished


@pytest.mark.slow
def test_held_out_people_at_steps_spaced_by_logarithms(make_recipe, killed):
    """Killed between two samples, and resumed: the schedule is that of the whole run."""
    held_out = {"at": "log", "every": 4, "n": 2}
    recipe = make_recipe("rloo", training={"max_steps": 17}, held_out=held_out)
    run = check(recipe, killed, save=11, die=16)
    sampled = [row["step"] for row in run.metrics() if "held_out/kl" in row]
    assert sampled == [0, *log_steps(17)] and len(sampled) < 17


@pytest.mark.slow
def test_sft_with_dropout_in_its_second_epoch(make_recipe, killed):
    training = {
        **SFT,
        "max_steps": 7,
        "logging_steps": 2,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 2,
    }
    recipe = make_recipe("sft", policy={"config": {**TINY, "attention_dropout": 0.3}}, training=training)
    check(recipe, killed, save=5, die=6)


@pytest.mark.slow
def test_a_reward_model_in_its_second_epoch(make_recipe, base, killed):
    data = {"split": "pairs", "n": 16}
    check(make_recipe("reward", policy=base, data=data, training={"max_steps": 7}), killed, save=5, die=7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "around",
    [
        ["gameable", "random"],
        *(pytest.param(one, marks=pytest.mark.long) for one in (["gameable"], ["shuffled"], ["random"])),
        *(
            pytest.param(one, marks=pytest.mark.long)
            for one in (["shuffled", "gameable"], ["random", "shuffled", "gameable"])
        ),
    ],
    ids=".".join,
)
def test_a_reward_that_counts_inside_wrappers(make_recipe, killed, stateful, around):
    (inner,) = stateful
    args = {"gameable": "base", "shuffled": "reward", "random": "like"}
    for name in reversed(around):
        inner = {"name": name, "args": {args[name]: inner, **({"across": "replies"} if name == "shuffled" else {})}}
    check(make_recipe("rloo", rewards=[inner], training={"max_steps": 4}), killed, save=2, die=4)


@pytest.mark.slow
def test_rloo_in_its_third_epoch_with_a_reward_that_counts_and_draws(make_recipe, killed, stateful):
    recipe = make_recipe("rloo", rewards=[*stateful, {"name": "random"}], data={"n": 6}, training={"max_steps": 9})
    run = check(recipe, killed, save=8, die=9)
    assert run.metrics()[-1]["epoch"] == 3.0


@pytest.mark.slow
def test_rloo_of_an_adapter_that_is_trained_further(make_recipe, base, killed):
    adapter = run_recipe(make_recipe("sft", name="adapter", policy={**base, "peft": LORA}), progress=False).model
    recipe = make_recipe("rloo", policy={"model_name_or_path": str(adapter)}, training={"max_steps": 5})
    check(recipe, killed, save=3, die=4)


@pytest.mark.slow
def test_grpo_that_uses_completions_twice_without_a_reference_in_its_second_epoch(make_recipe, killed, stateful):
    training = {
        "max_steps": 14, "steps_per_generation": 2, "num_iterations": 2, "beta": 0.0, "log_completions": True, "num_completions_to_print": 1, "logging_steps": 4,
        "use_adaptive_entropy": True,
    }  # fmt: skip
    recipe = make_recipe("grpo", rewards=stateful, data={"n": 8}, training=training, held_out={"every": 5, "n": 4})
    check(recipe, killed, save=11, die=12)


@pytest.mark.slow
def test_grpo_with_a_reference_that_follows(make_recipe, killed):
    training = {
        "max_steps": 6,
        "beta": 0.1,
        "sync_ref_model": True,
        "ref_model_sync_steps": 2,
        "ref_model_mixup_alpha": 0.5,
    }
    check(make_recipe("grpo", training=training), killed, save=5, die=6)


@pytest.mark.slow
def test_grpo_with_an_adapter_and_accumulation(make_recipe, base, killed, stateful):
    training = {"max_steps": 6, "gradient_accumulation_steps": 2, "steps_per_generation": 4, "beta": 0.05}
    recipe = make_recipe("grpo", policy={**base, "peft": LORA}, rewards=stateful, training=training)
    check(recipe, killed, save=3, die=5)


@pytest.mark.slow
def test_killed_twice_and_a_damaged_checkpoint_passed_over(make_recipe, killed, capsys):
    recipe = make_recipe("rloo", training={"max_steps": 8, "steps_per_generation": 2}, held_out={"every": 2, "n": 4})
    expected = what_was_trained(run_recipe(recipe, progress=False))
    again = saving(recipe, 1)
    killed(again, 4)
    killed(again, 7)
    folder = Run.open(again.output_dir).checkpoints
    assert [path.name for path in checkpoints.in_order(folder)] == ["checkpoint-5", "checkpoint-6"]  # the last two
    flip_a_bit(folder / "checkpoint-6" / "optimizer.pt")
    run = run_recipe(again, progress=False)
    assert "checkpoint-6 is passed over: optimizer.pt has other contents" in capsys.readouterr().err
    resumed = run.manifest["resumed"]
    assert [one["step"] for one in resumed] == [3, 5] and "optimizer.pt" in resumed[1]["passed_over"]["checkpoint-6"]
    assert (run.path / "earlier" / "1" / "checkpoints" / "checkpoint-6").is_dir()
    found = what_was_trained(run)
    assert found["weights"] == expected["weights"] and found["rows"] == expected["rows"]


@pytest.mark.slow
def test_saving_by_time_changes_nothing_and_leaves_nothing(make_recipe, monkeypatch):
    recipe = make_recipe("grpo", training={"max_steps": 3, "num_iterations": 2})
    expected = what_was_trained(run_recipe(recipe, progress=False))
    monkeypatch.setattr(resume, "EVERY", 0.0)
    monkeypatch.setattr(resume, "SHARE", 1e9)
    sealed = []
    seal = checkpoints.seal
    monkeypatch.setattr(checkpoints, "seal", lambda path, **facts: (sealed.append(path.name), seal(path, **facts)))
    run = run_recipe(dataclasses.replace(recipe, output_dir=f"{recipe.output_dir}-timed"), progress=False)
    assert sealed == ["checkpoint-1", "checkpoint-2"]  # after the last step there is nothing to go on with
    assert what_was_trained(run) == expected
    assert not checkpoints.in_order(run.checkpoints)


def test_a_finished_run_keeps_the_checkpoints_it_was_asked_for_and_no_token(make_recipe):
    run = run_recipe(saving(make_recipe("sft", training={"max_steps": 4}), 1), progress=False)
    kept = checkpoints.in_order(run.checkpoints)
    assert [path.name for path in kept] == ["checkpoint-2", "checkpoint-3"] and not any(map(checkpoints.damage, kept))
    assert not list(run.path.rglob("training_args.bin")) and not (run.checkpoints / "README.md").exists()


@pytest.mark.slow
def test_how_often_is_saved_makes_no_other_run(make_recipe, killed):
    recipe = make_recipe("sft", training={"max_steps": 4})
    assert content_hash(saving(recipe, 2)) == content_hash(recipe)
    killed(saving(recipe, 2), 3)
    run = run_recipe(saving(recipe, 3), progress=False)
    assert run.manifest["resumed"][0]["step"] == 2


def test_a_changed_recipe_does_not_go_on(make_recipe, killed):
    recipe = saving(make_recipe("sft", training={"max_steps": 4}), 2)
    killed(recipe, 3)
    with pytest.raises(RunError, match="another recipe"):
        run_recipe(dataclasses.replace(recipe, seed=1), progress=False)
    assert Run.open(recipe.output_dir).metrics()[-1]["step"] == 2  # untouched


def test_another_number_of_processes_is_refused(make_recipe, killed):
    recipe = saving(make_recipe("sft", training={"max_steps": 4}), 2)
    killed(recipe, 3)
    checkpoints.seal(Run.open(recipe.output_dir).checkpoints / "checkpoint-2", step=2, processes=2)
    with pytest.raises(RunError, match="saved by 2 processes, and now there is 1"):
        run_recipe(recipe, progress=False)


@pytest.mark.parametrize(
    ("methods", "says"),
    [
        ("state_dict: {'open': (n for n in ())}", r"state_dict\(\)\['open'\] is a generator"),
        (
            "state_dict: {'last': [collections.deque()]}",
            r"state_dict\(\)\['last'\]\[0\] is a deque. Return list\(...\) of it",
        ),
        ("state_dict: collections.defaultdict(int)", r"is a defaultdict. Return dict\(...\) of it"),
        ("state_dict: {('a',): 1}", "has a key that is a tuple"),
        ("state_dict: {'words': numpy.array(['a'])}", r"state_dict\(\)\['words'\] is a ndarray"),
        ("state_dict: 1 / 0", "raised ZeroDivisionError"),
    ],
)
def test_a_reward_whose_state_is_no_plain_data_is_told_before_anything_loads(make_recipe, tmp_path, methods, says):
    (tmp_path / "mine.py").write_text(
        "import collections, numpy\ndef mine(prompts, completions, **columns): return [0.0] * len(completions)\n"
        f"mine.state_dict = lambda {methods.removeprefix('state_dict')}\nmine.load_state_dict = lambda state: None\n"
    )
    with pytest.raises(RecipeError, match=rf"recipe\.yaml:\d+: .*mine\.py:\d+: .*'mine' .*{says}"):
        make_recipe("rloo", rewards=[{"name": f"{tmp_path}/mine.py:mine"}])


@pytest.mark.parametrize(("has", "lacks"), [("state_dict", "load_state_dict"), ("load_state_dict", "state_dict")])
def test_a_state_that_can_be_saved_and_not_put_back_is_told(make_recipe, tmp_path, has, lacks):
    (tmp_path / "mine.py").write_text(
        f"def mine(prompts, completions, **columns): return [0.0] * len(completions)\nmine.{has} = lambda *state: {{}}\n"
    )
    with pytest.raises(RecipeError, match=rf"'mine' has {has} and no {lacks}"):
        make_recipe("rloo", rewards=[{"name": f"{tmp_path}/mine.py:mine"}])


@pytest.mark.parametrize(
    "file",
    [
        "smilerl-0.pt",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("optimizer.pt", "scheduler.pt", "rng_state.pth")),
    ],
)
def test_a_checkpoint_that_somebody_else_sealed_runs_nothing(make_recipe, killed, tmp_path, file):
    import torch

    recipe = saving(make_recipe("sft", training={"max_steps": 4}), 2)
    killed(recipe, 3)
    folder = Run.open(recipe.output_dir).checkpoints / "checkpoint-2"
    own = {"carried": {"_step": Payload(tmp_path / "ran")}}
    for payload in (Payload(tmp_path / "ran"), own) if file == "smilerl-0.pt" else (own,):
        torch.save(payload, folder / file)
        checkpoints.seal(folder, step=2, processes=1)
        with pytest.raises(RunError, match=r"is no checkpoint of this version: it holds something other than numbers"):
            run_recipe(recipe, progress=False)
    (folder / file).write_bytes(pickle.dumps(Payload(tmp_path / "ran")))  # not even in a zip file
    checkpoints.seal(folder, step=2, processes=1)
    with pytest.raises(RunError, match=r"checkpoint-2.* is no checkpoint"):
        run_recipe(recipe, progress=False)
    assert not (tmp_path / "ran").exists()


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("setting", ["resume_from_checkpoint", "save_only_model", "enable_jit_checkpoint"])
def test_settings_that_would_break_going_on_are_refused(make_recipe, setting):
    with pytest.raises(RecipeError, match=f"'{setting}' does not go under training"):
        make_recipe("sft", training={setting: True})


def flip_a_bit(path) -> None:
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)


@pytest.mark.slow
def test_a_log_that_was_being_written_when_it_died(make_recipe, killed):
    recipe = saving(make_recipe("sft", training={"max_steps": 4}), 2)
    killed(recipe, 4)
    run = Run.open(recipe.output_dir)
    with run.metrics_path.open("a") as file:
        file.write('{"step": 4, "lo')
    (run.path / "samples").mkdir(exist_ok=True)
    (run.path / "samples" / "step-000004.writing").write_text("half")
    finished = run_recipe(recipe, progress=False)
    assert [row["step"] for row in finished.metrics()] == [1, 2, 3, 4, 4]
    assert json.loads((finished.path / "manifest.json").read_text())["resumed"][0]["git"] is not None
    assert not list(finished.path.glob("samples/*"))
