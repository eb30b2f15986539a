"""Rewards gone bad, each in a file of its own: refused in words that name its line, or trained to the very weights that a good one gives."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from smilerl.runs.directory import Run

pytestmark = [pytest.mark.slow, pytest.mark.attack("bad rewards")]

HEAD = "def mine(prompts, completions, **columns):\n"
GOOD = "[len(said) / 40 for said in completions]"
ASYNC = "import asyncio, time\nasync " + HEAD
STATE = HEAD + f"    return {GOOD}\n"


def returns(value: str) -> str:
    return f"{HEAD}    return {value}\n"


def does(*lines: str, first: str = "") -> str:
    """A reward that does something and then scores as a good one."""
    return f"{first}{HEAD}" + "".join(f"    {line}\n" for line in lines) + f"    return {GOOD}\n"


def raises(what: str, first: str = "") -> str:
    return f"{first}{HEAD}    raise {what}\n"


#: name → (file, what is said). The line of the file is said, too.
REFUSED = {
    # what it returns
    "nothing": (does("return"), "returned a NoneType, not a list"),
    "one number": (returns("1.0"), "returned a float, not a list"),
    "a generator": (HEAD + f"    yield from {GOOD}\n", "returned a generator, not a list"),
    "too few": (returns("[1.0]"), "returned 1 values for 8 completions"),
    "too many": (returns("[1.0] * 9"), "returned 9 values for 8 completions"),
    "text": (returns("['good'] * 8"), "returned 'good' (str) for completion 0 of 8"),
    "rows of one": (returns("[[1.0]] * 8"), "returned [1.0] (list) for completion 0 of 8"),
    "a complex number": (returns("[1j] * 8"), "returned 1j (complex)"),
    "infinity": (returns("[0.0] * 7 + [float('-inf')]"), "returned -inf for completion 7 of 8"),
    "1e38": (returns("[(-1) ** row * 1e38 for row in range(8)]"), "more than 1e+12"),
    "1e300": (returns("[1e300] * 8"), "more than 1e+12"),
    "a number of 400 digits": (returns("[10 ** 400] * 8"), "return a finite number"),
    "a tensor of two dimensions": ("import torch\n" + returns("torch.zeros(8, 2)"), "(list) for completion 0 of 8"),
    "what cannot be shown": (
        "class Odd:\n    def __repr__(self): raise ValueError('no')\n" + returns("[Odd()] * 8"), "cannot be read: it raised ValueError: no",
    ),
    "None for everybody": (returns("[None] * 8"), "none of 16 completions was scored"),
    "NaN for everybody": (returns("[float('nan')] * 8"), "none of 16 completions was scored"),
    # what it raises
    "an exception": (raises("KeyError('mood')"), "the reward 'mine' raised KeyError: 'mood'"),
    "an exception of 2 MB": (raises("ValueError('x' * 2_000_000)"), "the reward 'mine' raised ValueError: xxx"),
    "an exception that writes to the terminal": (raises(r"ValueError('\x1b[2J\x1b]0;mine\x07')"), r"raised ValueError: \x1b[2J"),
    "an exception without words": (raises("Odd", "class Odd(Exception):\n    def __str__(self): raise self\n"), "its text cannot be shown"),
    "no end of recursion": (does("def deep(): return deep()", "deep()"), "raised RecursionError"),
    "sys.exit(0)": (raises("SystemExit(0)"), "called sys.exit(0)"),
    "exit() with words": (does("exit('all is well')"), "called sys.exit('all is well')"),
    "a keyboard interrupt": (raises("KeyboardInterrupt"), "raised KeyboardInterrupt"),
    "another BaseException": (raises("GeneratorExit"), "raised GeneratorExit"),
    "an async exit": (ASYNC + "    raise SystemExit(0)\n", "called sys.exit(0)"),
    "an async exception": (ASYNC + "    await asyncio.sleep(0)\n    return [1 / 0]\n", "raised ZeroDivisionError"),
    # its file
    "exit() in its file": ("exit(0)\n" + returns(GOOD), "called sys.exit(0)"),
    "an exception in its file": (returns(GOOD) + "1 / 0\n", "raised ZeroDivisionError"),
    "a file that is no Python": ("def mine(:\n", "raised SyntaxError"),
    "an import that is not there": ("import not_there_at_all\n" + returns(GOOD), "No module named 'not_there_at_all'"),
    "an exit when it is built": ("class mine:\n    def __init__(self): raise SystemExit(0)\n    def __call__(self, completions, **columns): ...\n", "called sys.exit(0)"),
    # its signature
    "no columns": ("def mine(prompts, completions): return [0.0] * 8\n", "**kwargs"),
    "no callable": ("mine = [1.0]\n", "not a callable"),
    # its state
    "a state that cannot be put back": (STATE + "mine.state_dict = dict\n", "has state_dict and no load_state_dict"),
    "a state that is not saved": (STATE + "mine.load_state_dict = print\n", "has load_state_dict and no state_dict"),
    "a state that is no plain data": (STATE + "mine.load_state_dict = print\nmine.state_dict = lambda: {'a': [open]}\n", "state_dict()['a'][0] is a"),
    # its time
    "a hang": (does("time.sleep(600)", first="import time\n"), "gave no answer within 0.5 s, in 1 of the last 1 calls"),
    "a loop without end": (does("while True: pass"), "gave no answer within 0.5 s"),
    "a hang that catches everything": (
        does("for _ in range(2):", "    try: time.sleep(600)", "    except BaseException: pass", "time.sleep(600)", first="import time\n"),
        "gave no answer within 0.5 s",
    ),
    "an async hang": (ASYNC + "    await asyncio.sleep(600)\n", "gave no answer within 0.5 s"),
    "an async hang that blocks": (ASYNC + "    time.sleep(600)\n", "gave no answer within 0.5 s"),
}  # fmt: skip
#: name → file; trained to the weights of a good reward.
HARMLESS = {
    "changes its inputs": does("own = list(completions)", "prompts.clear()", "completions[:] = own[::-1]", "completions[:] = own", "columns['person'].reverse()"),
    "seeds the generators": does("random.seed(0); torch.manual_seed(0); numpy.random.seed(0)", first="import random, torch, numpy\n"),
    "draws": does("random.random(); torch.rand(99)", first="import random, torch\n"),
    "sets the default dtype": does("torch.set_default_dtype(torch.float64)", first="import torch\n"),
    "switches gradients off": does("torch.set_grad_enabled(False)", first="import torch\n"),
    "sets the default device": does("torch.set_default_device('meta')", first="import torch\n"),
    "wants determinism and threads": does("torch.use_deterministic_algorithms(True); torch.set_num_threads(3)", first="import torch\n"),
    "changes the folder": does("os.chdir('/')", first="import os\n"),
    "ignores SIGTERM": does("signal.signal(signal.SIGTERM, signal.SIG_IGN)", first="import signal\n"),
    "closes standard output": does("sys.stdout.close(); sys.stderr.close(); sys.stdout = None", first="import sys\n"),
    "prints megabytes": does("print('x' * 5_000_000)"),
    "starts threads": does("threading.Thread(target=time.sleep, args=(99,), daemon=True).start()", first="import threading, time\n"),
    "sets an alarm": does("signal.signal(signal.SIGALRM, print); signal.alarm(600)", first="import signal\n"),
    "returns a tensor": "import torch\n" + returns(f"torch.tensor({GOOD}, dtype=torch.float64)"),
    "returns an array that wants gradients": "import torch\n" + returns(f"torch.tensor({GOOD}, requires_grad=True)"),
    "is async": ASYNC + f"    await asyncio.sleep(0)\n    return {GOOD}\n",
    "is async and seeds": ASYNC + f"    import random, torch\n    random.seed(0); torch.manual_seed(0)\n    return {GOOD}\n",
    "logs too much": does("[columns['log_metric'](f'm{row}', row) for row in range(200)]"),
}  # fmt: skip


#: Near relatives of others here, for `make test-long`.
LONG = {
    "one number", "too many", "rows of one", "1e300", "a tensor of two dimensions", "NaN for everybody", "exit() with words",
    "another BaseException", "an async exception", "an exception in its file", "a state that is not saved", "a loop without end", "draws",
    "switches gradients off", "changes the folder", "returns an array that wants gradients", "logs too much", "wants determinism and threads",
}  # fmt: skip


def each(table: dict) -> list:
    return [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in table]


@pytest.fixture
def train(product, tiny, tmp_path):
    """Trains two steps on the reward in a file, which has half a second for each call."""

    def make(code: str, timeout: float = 0.5, **training):
        (tmp_path / "mine.py").write_text(code)
        spec = {"name": f"{tmp_path}/mine.py:mine", "timeout": timeout}
        return product.start("train", tiny(rewards=[spec], training=training))

    return make


@pytest.fixture(scope="module")
def weights() -> dict[str, bytes]:
    """The weights that a good reward gives, once they are known."""
    return {}


def state(tmp_path: Path) -> str:
    folder = tmp_path / "runs" / "recipe"
    return Run.open(folder).state if (folder / "status.json").exists() else "not begun"


@pytest.mark.parametrize("name", each(REFUSED))
def test_it_is_refused_in_words(train, tmp_path, name):
    code, says = REFUSED[name]
    ended = train(code).wait().refused(says)
    if "was scored" not in says:  # which no line of it says
        assert f"{tmp_path}/mine.py" in ended.err
    assert state(tmp_path) in ("failed", "not begun") and not (tmp_path / "runs/recipe/model").exists()
    status = tmp_path / "runs/recipe/status.json"
    assert not status.exists() or status.stat().st_size < 5000


@pytest.mark.parametrize("name", each(HARMLESS))
def test_it_trains_to_the_weights_of_a_good_one(train, tmp_path, weights, name):
    def trained(code: str) -> bytes:
        ended = train(code, timeout=60).wait()
        assert ended.code == 0, ended.err[-2000:]
        assert "\nruns/recipe " in f"\n{ended.out}" and state(tmp_path) == "finished"
        return (tmp_path / "runs/recipe/model/model.safetensors").read_bytes()

    if not weights:
        weights["good"] = trained(returns(GOOD))
        (tmp_path / "runs").rename(tmp_path / "good")
    assert trained(HARMLESS[name]) == weights["good"]


@pytest.mark.parametrize("how", ["os._exit(0)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_what_ends_the_process_leaves_no_finished_run(train, tmp_path, how):
    ended = train(does(how, first="import os\n")).wait()
    assert "Traceback" not in ended.err and state(tmp_path) == "interrupted"


def test_sigterm_is_heard_while_it_hangs(train, tmp_path):
    code = (
        "import os, time\ncalls = []\n"
        + HEAD
        + f"    calls.append(1)\n    if len(calls) == 3 and not os.path.exists('{tmp_path}/asked'): time.sleep(600)\n    return {GOOD}\n"
    )
    going = train(code, timeout=300, max_steps=4)
    status = tmp_path / "runs/recipe/status.json"
    deadline = time.monotonic() + 60
    while not (status.exists() and json.loads(status.read_text()).get("step") == 2):
        assert time.monotonic() < deadline and going.code is None, going.err
        time.sleep(0.05)
    time.sleep(0.5)
    began = time.monotonic()
    os.kill(going.pid, signal.SIGTERM)
    assert going.wait(60).code == 75, going.err
    assert time.monotonic() - began < 10 and "stopped after step 2 of 4, saved." in going.err
    assert (
        state(tmp_path) == "interrupted"
        and (tmp_path / "runs/recipe/checkpoints/checkpoint-2/checkpoint.json").exists()
    )
    (tmp_path / "asked").touch()
    assert train(code, timeout=300, max_steps=4).wait().code == 0


def test_a_row_of_the_check_fails_on_a_reward_that_would_leave(product, tmp_path):
    for number, code in enumerate(
        (
            raises("SystemExit(0)"),
            does("exit()"),
            raises("GeneratorExit"),
            returns("[float(len(one)) for one in completions]"),
        )
    ):
        (tmp_path / f"mine{number}.py").write_text(code)
        ended = product("reward", "check", f"mine{number}.py:mine", "--n", "4")
        assert ended.code == 1 and "FAILED" in ended.out and "Traceback" not in ended.err, ended.out
