"""A row that lacks any weighted reward is unscored: it moves no weight, and is in nobody's baseline. Weight 0 does not count."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
import yaml

from smilerl.rewards import RewardError, checked
from smilerl.rewards._summed import Summed, Together
from smilerl.runs.directory import Run
from smilerl.runs.identity import content_hash
from smilerl.training.recipe_check import load_recipe
from smilerl.training.run import run_recipe

#: `second` fails for some completions: with what it says of the others, it must be as if `both` had been the only reward.
REWARDS = """
import asyncio
def _size(said): return len(said if isinstance(said, str) else said[0]["content"])
def _fails(said): return _size(said) % 3 == 0
def first(prompts, completions, **columns): return [_size(said) / 40 for said in completions]
def second(prompts, completions, **columns): return [None if _fails(said) else _size(said) % 5 for said in completions]
async def second_async(prompts, completions, **columns):
    await asyncio.sleep(0)
    return second(prompts, completions)
def both(prompts, completions, **columns): return [None if _fails(said) else _size(said) / 40 + 0.5 * (_size(said) % 5) for said in completions]
def never(prompts, completions, **columns): return [None] * len(completions)
def nan(prompts, completions, **columns): return [float("nan")] * len(completions)
"""
#: Everything where TRL adds up: the same numbers in another order of additions differ in the last digits.
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


@pytest.fixture
def trained(tmp_path, make_recipe):
    """Trains on some of `REWARDS`; its run and its weights."""
    (tmp_path / "mine.py").write_text(REWARDS)

    def train(method: str, name: str, *specs: tuple, **training):
        from safetensors.torch import load_file

        rewards = [{"name": f"{tmp_path}/mine.py:{one}", "weight": weight} for one, weight in specs]
        more = {"per_device_train_batch_size": 8, "num_generations": 4, "max_steps": 3, "beta": 0.05, **training}
        recipe = make_recipe(method, name=name, rewards=rewards, training=more, held_out={"every": 0, "n": 4})
        run = run_recipe(recipe, progress=False)
        return run, load_file(run.model / "model.safetensors")

    return train


def same(one, other, exactly: bool = True) -> bool:
    import torch

    return all(
        torch.equal(value, other[name]) if exactly else torch.allclose(value, other[name], **CLOSE)
        for name, value in one.items()
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rloo", "grpo"])
@pytest.mark.parametrize("second", ["second", pytest.param("second_async", marks=pytest.mark.long)])
def test_a_row_that_one_of_two_rewards_cannot_score_is_unscored(trained, method, second):
    _, alone = trained(method, "alone", ("both", 1.0))
    run, two = trained(method, "two", ("first", 1.0), (second, 0.5))
    _, first = trained(method, "first", ("first", 1.0))
    assert same(alone, two, exactly=False) and not same(alone, first, exactly=False)
    assert any(row.get("rewards/incomplete", 0) > 0 for row in run.metrics())
    assert {"rewards/first/mean", f"rewards/{second}/mean", f"rewards/{second}/std"} <= set(run.metrics()[0])


@pytest.mark.parametrize(
    ("method", "monitor"),
    [
        ("rloo", "second"),
        pytest.param("grpo", "never", marks=pytest.mark.slow),
        *(
            pytest.param(*both, marks=pytest.mark.long)
            for both in (("rloo", "never"), ("rloo", "second_async"), ("grpo", "second"))
        ),
    ],
)
@pytest.mark.slow
def test_a_monitor_of_weight_0_changes_no_bit(trained, method, monitor):
    run, alone = trained(method, "alone", ("both", 1.0))
    watched, with_monitor = trained(method, "watched", ("both", 1.0), (monitor, 0.0))
    assert same(alone, with_monitor)
    for row, other in zip(run.metrics(), watched.metrics(), strict=True):
        assert all(row.get(name) == other.get(name) for name in ("loss", "kl", "reward", "reward_std", "grad_norm"))


@pytest.mark.slow
def test_a_monitor_changes_no_bit_where_each_reward_is_normalised_by_itself(trained):
    how = {"multi_objective_aggregation": "normalize_then_sum"}
    assert same(
        trained("grpo", "alone", ("both", 1.0), **how)[1],
        trained("grpo", "two", ("both", 1.0), ("second", 0.0), **how)[1],
    )


@pytest.mark.parametrize("nothing", ["never", pytest.param("nan", marks=pytest.mark.long)])
def test_a_run_that_never_had_a_score_has_failed(trained, tmp_path, nothing):
    with pytest.raises(RewardError, match=r"none of 24 completions was scored"):
        trained("rloo", "nothing", (nothing, 1.0))
    run = Run.open(tmp_path / "runs" / "nothing")
    assert run.state == "failed" and not run.model.exists()


@pytest.mark.slow
def test_nor_does_choosing_without_a_score_count_as_done(tmp_path, make_recipe):
    (tmp_path / "mine.py").write_text(REWARDS)
    base = str(run_recipe(make_recipe("sft", name="base"), progress=False).model)
    recipe = make_recipe(
        "best_of_n", rewards=[{"name": f"{tmp_path}/mine.py:never"}], policy={"model_name_or_path": base}
    )
    with pytest.raises(RewardError, match="none of 16 completions was scored"):
        run_recipe(recipe, progress=False)
    assert Run.open(recipe.output_dir).state == "failed"


def reward(*values, name="mine", is_async=False, **limits):
    def mine(prompts, completions, **columns):
        return list(values)

    async def mine_async(prompts, completions, **columns):
        await asyncio.sleep(0)
        return list(values)

    return checked(mine_async if is_async else mine, name=name, **limits)


BATCH = {"prompts": ["p"] * 4, "completions": ["a", "b", "c", "d"]}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("weights", "total"),
    [
        ((1.0, 0.5, 0.0), [None, None, 3.5, None]),
        ((1.0, 0.0, 0.0), [1.0, None, 3.0, None]),
        ((0.0, 2.0, 0.0), [None, 2.0, 2.0, None]),
        ((0.0, 0.0, 1.0), [9.0, 9.0, None, 9.0]),
    ],
)
def test_best_of_n_and_own_rewards_sum_alike(is_async, weights, total):
    rewards = [
        reward(1, None, 3, None),
        reward(None, 1, 1, None, name="other", is_async=is_async),
        reward(9, 9, None, 9, name="monitor"),
    ]
    assert Summed(rewards, weights)(**BATCH) == total
    logged = {}
    together = Together(rewards, weights, [0.5] * 3)
    found = [function(**BATCH, log_metric=logged.__setitem__) for function in together.functions]
    for row, value in enumerate(total):
        if value is None:  # TRL sees nothing but None in the row
            assert [values[row] for values in found] == [None] * 3
        else:
            assert sum(weight * values[row] for weight, values in zip(weights, found, strict=True) if weight) == value
    assert together.scored == sum(value is not None for value in total)
    assert logged.get("rewards/incomplete") == (0.5 if weights[0] and weights[1] else None)  # one of two scored the row


def test_each_reward_is_asked_once_for_each_batch():
    asked = []

    def counting(prompts, completions, **columns):
        asked.append(tuple(completions))
        return [1.0] * len(completions)

    together = Together([checked(counting, name="a"), checked(counting, name="b")], [1.0, 1.0], [0.5, 0.5])
    for said in (["x"], ["x"], ["y", "z"]):
        for function in together.functions:
            function(prompts=["p"] * len(said), completions=list(said))
    assert asked == [("x",), ("x",)] * 2 + [("y", "z")] * 2
    together.functions[0](prompts=["p"], completions=["left"])  # a step that never came to its end
    assert together.functions[1](prompts=["p"], completions=["new"]) == [1.0]
    assert asked[-1] == ("new",)


def test_an_async_reward_keeps_its_loop_from_call_to_call():
    loops = []

    async def mine(prompts, completions, **columns):
        loops.append(asyncio.get_running_loop())
        return [1.0] * len(completions)

    mine = checked(mine)
    Summed([mine], [1.0])(**BATCH)
    Together([mine], [1.0], [0.5]).functions[0](**BATCH)
    assert loops[0] is loops[1]


def test_how_long_a_reward_is_waited_for_is_written_and_is_not_in_the_hash(make_recipe):
    plain = make_recipe("rloo")
    said = {"name": "smile", "weight": 1.0, "args": {}, "timeout": 300.0, "most_missing": 0.5}
    assert plain.to_dict()["rewards"] == [said]
    patient = dataclasses.replace(
        plain, rewards=(dataclasses.replace(plain.rewards[0], timeout=900.0, most_missing=0.9),)
    )
    assert patient.to_dict()["rewards"][0]["timeout"] == 900.0
    assert content_hash(patient) == content_hash(plain), "a run that stopped for its patience goes on with more of it"
    written = yaml.safe_load(yaml.safe_dump(patient.to_dict()))
    assert written["rewards"][0]["most_missing"] == 0.9


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"timeout": 0}, "rewards[0].timeout is 0, but should be between 0.001 and 1e7 seconds"),
        ({"timeout": "long"}, "should be a number"),
        ({"most_missing": 1.5}, "rewards[0].most_missing is 1.5, but should be a share, 0 to 1"),
        ({"weight": 1e300}, "the weight 1e+300 is larger than 1e+12"),
    ],
)
def test_limits_out_of_range_are_refused(make_recipe, spec, says):
    from smilerl.config.recipe import RecipeError

    with pytest.raises(RecipeError, match=r"recipe\.yaml:") as caught:
        make_recipe("rloo", rewards=[{"name": "smile", **spec}])
    assert says in str(caught.value).replace("rewards.0.", "rewards[0].")


def test_load_recipe_reads_them(make_recipe):
    recipe = make_recipe("rloo", rewards=[{"name": "smile", "timeout": 5, "most_missing": 0}])
    assert load_recipe(recipe.source).rewards[0].timeout == 5
