"""Numbers that look like results and are none are explained where they are shown."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from smilerl.runs.remarks import kl_text, remarks
from smilerl.train import summary

FINE = {
    "completions/clipped_ratio": 0.5,
    "frac_reward_zero_std": 0.0,
    "reward": 0.4,
    "grad_norm": 0.3,
    "kl": 0.1,
    "rewards/smile/scored": 1.0,
}


def rows(**changed) -> list[dict]:
    """Three logged steps; a changed number is that of each, or a list of three."""
    names = {name.replace("__", "/"): value for name, value in changed.items()}
    each = [
        {name: value[step] if isinstance(value, list) else value for name, value in names.items()} for step in range(3)
    ]
    return [{"step": step, **FINE, **one} for step, one in enumerate(each, 1)]


def test_nothing_is_said_of_a_run_with_nothing_against_it():
    assert remarks(rows()) == [] and remarks([]) == [] and remarks([{"step": 3, "train_loss": 0.5}]) == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"completions__clipped_ratio": 1.0}, "never ended a reply by EOS"),
        ({"frac_reward_zero_std": 1.0}, "every completion was rewarded alike (0.4)"),
        ({"frac_reward_zero_std": 1.0, "reward": [0.1, 0.2, 0.3]}, "all completions to one prompt were rewarded alike"),
        ({"grad_norm": 0.0}, "no weight has moved"),
        ({"grad_norm": [0.1, None, 0.2]}, "no finite number at 1 of 3"),
        (
            {"rewards__smile__scored": [1.0, 0.5, 1.0]},
            "the reward 'smile' scored 83% of the completions (50% at the worst step)",
        ),
        ({"kl": [0.0, -0.1, 0.1]}, "the KL of training is below 0 at some steps. A KL itself never is"),
        ({"held_out__kl": -0.1}, "the KL with held-out people is below 0"),
        (
            {"rewards__incomplete": [0.25, 0.5, 0.0]},
            "at 2 of 3 logged steps some rewards scored a completion and others did not (up to 50%",
        ),
        (
            {"rewards__smile__missing": [0.0, 1.0, 0.0]},
            "the reward 'smile' gave no answer in time at 1 of 3 logged steps",
        ),
        (
            {"rewards__a.b__missing": [None, 0.5, 1.0]},
            "rewards/a.b/missing: the reward 'a.b' gave no answer in time at 2 of 3",
        ),
    ],
)
def test_what_is_wrong_is_said_once(changed, says):
    (said,) = remarks(rows(**changed))
    assert says in said


@pytest.mark.parametrize(
    "changed",
    [
        {"completions__clipped_ratio": [1.0, 1.0, 0.9]},
        {"frac_reward_zero_std": [1.0, 0.9, 1.0]},
        {"grad_norm": [0.0, 0.0, 0.1]},
    ],
)
def test_a_step_that_is_otherwise_is_no_cause(changed):
    assert remarks(rows(**changed)) == []


def test_the_summary_explains_a_negative_kl_and_gives_its_error():
    logged = [
        {"step": step, "held_out/kl": kl, "held_out/kl_se": error}
        for step, kl, error in ((0, 0.0, 0.0), (2, -0.02, 0.025))
    ]
    run = SimpleNamespace(path="runs/x", status={"step": 2, "seconds": 3.0}, manifest={}, metrics=lambda: logged)
    said = summary(run)
    assert "held-out kl        0.000 → -0.020 ± 0.049 nats per completion" in said
    assert "  note: the KL with held-out people is below 0" in said
    assert kl_text({"held_out/kl": None}) == "none"
