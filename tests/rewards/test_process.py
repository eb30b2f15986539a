"""What a reward does to the process is undone; what it raises is one error with its line."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys

import numpy as np
import pytest
import torch

from smilerl.rewards import LARGEST, RewardError, checked
from smilerl.rewards._state import NotPlain, plain, restored
from smilerl.rewards._summed import Summed

BATCH = {"prompts": ["p"], "completions": ["a"]}
CHANGES = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "gradients": lambda: torch.set_grad_enabled(False),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "determinism": lambda: torch.use_deterministic_algorithms(True),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "device": lambda: torch.set_default_device("meta"),
    "folder": lambda: os.chdir("/"),
    "SIGTERM": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "seeds": lambda: (random.seed(0), np.random.seed(0), torch.manual_seed(0)),
}


def seen() -> tuple:
    return (
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(), torch.get_default_device(), os.getcwd(), signal.getsignal(signal.SIGTERM),
        random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(),
    )  # fmt: skip


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("what", CHANGES)
def test_settings_are_put_back(what, is_async, fails):
    def mine(prompts, completions, **columns):
        CHANGES[what]()
        return [1 / 0] if fails else [0.0]

    async def mine_async(prompts, completions, **columns):
        return mine(prompts, completions)

    before, total = seen(), Summed([checked(mine_async if is_async else mine)], [1.0])
    if fails:
        with pytest.raises(RewardError):
            total(**BATCH)
    else:
        assert total(**BATCH) == [0.0]
    assert seen() == before


def test_standard_output_cannot_be_closed(capsys):
    def closing(prompts, completions, **columns):
        print("said")
        sys.stdout.close()
        sys.stderr.close()
        sys.stdout = None
        return [0.0]

    checked(closing)(**BATCH)
    print("and this")
    assert capsys.readouterr().out == "said\nand this\n"


class Odd(Exception):
    def __str__(self):
        raise RuntimeError


def _recurse():
    return _recurse()


@pytest.mark.parametrize(
    ("raises", "says"),
    [
        (SystemExit(0), "called sys.exit(0), which is no way to end a run"),
        (SystemExit(), "called sys.exit()"),
        (SystemExit("bye\x1b[2J"), "called sys.exit('bye\\x1b[2J')"),
        (GeneratorExit(), "raised GeneratorExit"),
        (BaseException("odd"), "raised BaseException: odd"),
        (asyncio.CancelledError(), "raised CancelledError"),
        (MemoryError(), "raised MemoryError"),
        (KeyError("mood"), "raised KeyError: 'mood'"),
        (Odd(), "raised Odd: (its text cannot be shown)"),
        (ValueError("x" * 2_000_000), "raised ValueError: xxx"),
        (ValueError("\x1b]0;title\x07 and \x1b[31m"), "raised ValueError: \\x1b]0;title\\x07"),
        (ValueError("\n" * 100 + "last"), "raised ValueError"),
        (StopIteration(), "raised StopIteration"),
    ],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("is_async", [False, True])
def test_what_it_raises_is_one_short_error_with_its_line(raises, says, is_async):
    def mine(prompts, completions, **columns):
        raise raises

    async def mine_async(prompts, completions, **columns):
        await asyncio.sleep(0)
        raise raises

    if is_async and isinstance(raises, StopIteration | asyncio.CancelledError):
        says = ""  # asyncio makes these its own
    with pytest.raises(RewardError) as caught:
        Summed([checked(mine_async if is_async else mine)], [1.0])(**BATCH)
    text = str(caught.value)
    assert says in text and "'mine" in text and f"{__file__}:" in text
    assert len(text) < 1500 and len(text.splitlines()) <= 10 and "\x1b" not in text


def test_recursion_without_end_is_an_error_too():
    with pytest.raises(RewardError, match="raised RecursionError"):
        checked(lambda prompts, completions, **columns: _recurse(), name="deep")(**BATCH)


def test_ctrl_c_is_no_error_of_the_reward_but_its_own_interrupt_is():
    def mine(prompts, completions, **columns):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            checked(mine)(**BATCH)
        signal.signal(signal.SIGINT, lambda *_: None)  # as a run does, which is then not interrupted by Ctrl-C
        with pytest.raises(RewardError, match="'mine' raised KeyboardInterrupt"):
            checked(mine)(**BATCH)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("value", "weight", "says"),
    [
        (1e38, 1.0, "'mine' returned 1e+38 for completion 0 of 1 which is more than 1e+12"),
        (-1e300, 1.0, "'mine' returned -1e+300"),
        (torch.tensor(1e13), 1.0, "1e+13"),
        (2e9, 1e3, "returned 2e+09 for completion 0 of 1, times its weight 1000, which is more than 1e+12"),
        (2e12, 1e-3, "more than 1e+12"),
        (10**400, 1.0, "return a finite number"),
        (np.float64("inf"), 1.0, "return a finite number"),
    ],
)
def test_what_does_not_fit_into_float32_is_refused(value, weight, says):
    def mine(prompts, completions, **columns):
        return [value]

    with pytest.raises(RewardError) as caught:
        checked(mine, weight=weight)(**BATCH)
    assert says in str(caught.value)


@pytest.mark.parametrize("value", [LARGEST, -LARGEST, 1e-300, 0, 5])
def test_what_fits_is_left_as_it_is(value):
    assert checked(lambda prompts, completions, **columns: [value], name="mine", weight=0.5)(**BATCH) == [value]


def test_plain_state_comes_back_as_it_was():
    state = {
        "a": [1, 2.5, None, True, "x", (1, [2])], 3: np.arange(4, dtype=np.uint32), "t": torch.ones(2), "n": np.float32(0.5),
        "g": np.random.default_rng(1).bit_generator.state, "big": 2**200, "r": random.Random(0).getstate(), "b": np.array([True]),
    }  # fmt: skip
    import io

    kept = io.BytesIO()
    torch.save(plain(state), kept)
    kept.seek(0)
    back = restored(torch.load(kept, weights_only=True))
    assert (
        back.keys() == state.keys() and back["a"] == state["a"] and back["g"] == state["g"] and back["r"] == state["r"]
    )
    assert back[3].dtype == np.uint32 and (back[3] == state[3]).all() and back["b"].dtype == bool
    assert (
        torch.equal(back["t"], state["t"]) and back["n"] == 0.5 and type(back["n"]) is float and back["big"] == 2**200
    )
    state["t"][0] = 7
    assert back["t"][0] == 1


def test_a_state_that_holds_itself_is_refused():
    state: dict = {}
    state["me"] = state
    with pytest.raises(NotPlain, match="holds itself"):
        plain(state)
