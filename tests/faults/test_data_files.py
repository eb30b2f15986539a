"""Data as strangers have it: odd files, too little of it, columns that nobody has, prompts that the model cannot take."""

from __future__ import annotations

import codecs
import gzip
import json
import shutil

import pytest

pytestmark = pytest.mark.slow
too_little = pytest.mark.attack("too little data")
files = pytest.mark.attack("data files")
prompts = pytest.mark.attack("prompts the model cannot take")


@pytest.fixture
def talks(tmp_path, tiny):
    """Writes a file of rows (or these bytes) and the recipe of a run on it: `talks(rows, method="sft")`."""

    def make(rows: list[dict] | bytes, *, method: str = "rloo", file: str = "talks.jsonl", args=None, **sections):
        raw = rows if isinstance(rows, bytes) else "".join(json.dumps(row) + "\n" for row in rows).encode()
        (tmp_path / file).write_bytes(raw)
        knobs = {"path": file, "format": "text", "held_out_fraction": 0.3, **(args or {})}
        if method in ("rloo", "grpo"):
            sections = {"rewards": [{"name": "constant"}], **sections}
        else:
            sections = {"rewards": [], **sections}
        return tiny(method=method, world={"name": "dialogue", "args": knobs}, **sections)

    return make


def offline(recipe):
    """The recipe without the settings of methods that sample."""
    text = recipe.read_text().replace("  num_generations: 4\n", "").replace("  max_completion_length: 6\n", "")
    recipe.write_text(text)
    return recipe


def lines(n: int, **more) -> list[dict]:
    return [{"prompt": f"prompt {i}", "completion": f" reply {i}", **more} for i in range(n)]


def status(tmp_path) -> dict:
    return json.loads((tmp_path / "runs/recipe/status.json").read_text())


@too_little
def test_prompts_that_are_left_out_until_too_few_remain(product, talks, tmp_path):
    rows = [*lines(10), *({"prompt": f"a much longer prompt, number {i}"} for i in range(18))]
    training = {"per_device_train_batch_size": 64, "num_generations": 2}
    recipe = talks(rows, args={"max_prompt_chars": 20}, training=training)
    product("train", recipe).refused("recipe.yaml:", "28 rows", "18 longer than max_prompt_chars", "takes 32 rows")
    assert not (tmp_path / "runs").exists()


@too_little
def test_a_small_file_at_a_large_batch(product, talks, tmp_path):
    training = {"per_device_train_batch_size": 128, "num_generations": 4}
    product("train", talks([*lines(14), *lines(14)], training=training)).refused(
        "recipe.yaml:", "28 rows", "equal to others", "takes 32 rows", "128 completions"
    )
    assert not (tmp_path / "runs").exists()


@too_little
def test_fewer_people_than_a_step_takes(product, tiny, tmp_path):
    training = {"per_device_train_batch_size": 128, "num_generations": 4}
    recipe = tiny(training=training, data={"n": 64})
    product("train", recipe, "--data.n=8").refused("--data.n: data.n is 8", "takes 32 rows", "n: 32")
    assert not (tmp_path / "runs").exists()


@too_little
def test_a_batch_that_is_dropped_because_it_is_not_full(product, talks):
    training = {"dataloader_drop_last": True, "per_device_train_batch_size": 64}
    recipe = offline(talks(lines(20), method="sft", training=training))
    product("train", recipe).refused("recipe.yaml:", "20 rows", "takes 64 rows", "dataloader_drop_last")


@too_little
def test_nothing_is_held_out(product, talks):
    recipe = talks(lines(20), args={"held_out_fraction": 0}, held_out={"every": 1, "n": 4})
    product("train", recipe).refused("held_out", "nothing is held out")


@too_little
@pytest.mark.parametrize("method", ["sft", "reward", "dpo"])
def test_rows_that_trl_leaves_out_until_none_remain(product, talks, tmp_path, checkpoint, method):
    rows = [{"prompt": f"prompt {i}", "chosen": f" yes {i}", "rejected": f" no {i}"} for i in range(20)]
    policy = {"model_name_or_path": checkpoint("llama", chat=False)}
    recipe = offline(
        talks(
            rows, method=method, policy=policy, data={"n": 4}, training={"max_length": 2}, held_out={"every": 0, "n": 1}
        )
    )
    product("train", recipe).refused("recipe.yaml:", "0 of 4 rows", "max_length 2")
    assert status(tmp_path)["state"] == "failed"


STOPPERS = {
    "a reward that stops the trainer": (
        "def f(prompts, completions, *, log_metric, **k):\n"
        "    log_metric.__self__.control.should_training_stop = True\n"
        "    return [0.0] * len(prompts)\n"
    ),
    "a reward that shortens the run": (
        "def f(prompts, completions, *, log_metric, **k):\n"
        "    log_metric.__self__.state.max_steps = 1\n"
        "    log_metric.__self__.control.should_training_stop = True\n"
        "    return [0.0] * len(prompts)\n"
    ),
    "a reward that ends the epochs": (
        "def f(prompts, completions, *, log_metric, **k):\n"
        "    c = log_metric.__self__.control\n"
        "    c.should_epoch_stop = c.should_training_stop = True\n"
        "    return [0.0] * len(prompts)\n"
    ),
}


@too_little
@pytest.mark.parametrize("code", STOPPERS.values(), ids=STOPPERS.keys())
def test_a_run_that_ends_early_has_failed(product, tiny, tmp_path, code):
    (tmp_path / "mine.py").write_text(code)
    ended = product("train", tiny(rewards=[{"name": "mine.py:f"}], training={"max_steps": 4}))
    assert ended.code == 2 and "training ended at step 1 of 4" in ended.err and "Traceback" not in ended.err
    assert status(tmp_path)["state"] == "failed" and not (tmp_path / "runs/recipe/model").exists()


SMALL = {"per_device_train_batch_size": 8, "num_generations": 4}
#: name → bytes of the file, and its name.
READ = {
    "a byte order mark": (lambda raw: codecs.BOM_UTF8 + raw, "talks.jsonl"),
    "UTF-16 with a mark": (lambda raw: raw.decode().encode("utf-16"), "talks.jsonl"),
    "gzip": (gzip.compress, "talks.jsonl.gz"),
    "gzip under another name": (gzip.compress, "talks.jsonl"),
    "Windows line ends": (lambda raw: raw.replace(b"\n", b"\r\n"), "talks.jsonl"),
    "a JSON list": (lambda raw: json.dumps([json.loads(line) for line in raw.splitlines()], indent=1).encode(), "talks.json"),
}  # fmt: skip


@files
@pytest.mark.parametrize(("change", "name"), READ.values(), ids=READ.keys())
def test_a_file_as_the_ecosystem_writes_it_trains(product, talks, change, name):
    raw = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines(20, answer="é")).encode()
    ended = product("train", talks(change(raw), file=name, training=SMALL))
    assert ended.code == 0, ended.err


GOOD = b'{"prompt": "a"}\n'
CALL = b'{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": null, "tool_calls": [{"id": 1}]}]}\n'
#: name → bytes of the file, and words of the refusal.
REFUSED = {
    "nothing": (b"", "it is empty"),
    "only empty lines": (b"\n\r\n\n", "it is empty"),
    "UTF-16 without a mark": ('{"prompt": "a"}\n'.encode("utf-16-le") * 9, "iconv -f UTF-16LE"),
    "Latin-1": (GOOD + b'{"prompt": "caf\xe9"}\n', "talks.jsonl:2: not UTF-8"),
    "half of a character": (GOOD + b'{"prompt": "x \\ud83d"}\n', "talks.jsonl:2: prompt holds half of a character"),
    "half of a character in a message": (GOOD + b'{"prompt": [{"role": "user", "content": "\\udc00"}]}\n', "talks.jsonl:2: prompt[0].content"),
    "half of a character in a column": (GOOD + b'{"prompt": "b", "meta": {"k": ["\\ud800"]}}\n', "talks.jsonl:2: meta.k[0]"),
    "a key written twice": (GOOD + b'{"prompt": "a", "prompt": "b"}\n', "talks.jsonl:2: the key 'prompt' is written twice"),
    "infinity": (GOOD + b'{"prompt": "b", "score": Infinity}\n', "talks.jsonl:2: Infinity"),
    "a prompt that is not a number": (GOOD + b'{"prompt": NaN}\n', "talks.jsonl:2: no 'prompt' here"),
    "a thousand levels": (GOOD + b'{"prompt": "b", "x": ' + b"[" * 900 + b"]" * 900 + b"}\n", "deep"),
    "a hundred thousand levels": (GOOD + b'{"prompt": "b", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "deep"),
    "a number of five thousand digits": (GOOD + b'{"prompt": "b", "x": ' + b"9" * 5000 + b"}\n", "talks.jsonl:2"),
    "a number of 70 bits": (GOOD + b'{"prompt": "b", "x": 1180591620717411303424}\n', "talks.jsonl:2: the column 'x'"),
    "two types in one column": (b'{"prompt": "a", "x": 1}\n{"prompt": "b", "x": "one"}\n', "talks.jsonl:2: the column 'x'"),
    "a list in a column of texts": (b'{"prompt": "a", "x": "1"}\n{"prompt": "b", "x": [1]}\n', "talks.jsonl:2: the column 'x'"),
    "a tool's role": (GOOD + b'{"prompt": [{"role": "tool", "content": "42"}]}\n', "talks.jsonl:2: prompt[0].role: the role 'tool'"),
    "the call of a tool": (GOOD + CALL, "talks.jsonl:2: messages[1].tool_calls"),
    "content that is null": (GOOD + b'{"prompt": [{"role": "user", "content": null}]}\n', "talks.jsonl:2: prompt[0].content is null"),
    "a picture": (GOOD + b'{"prompt": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}\n', "prompt[0].content[0] is of the type 'image_url'"),
    "a message without a role": (GOOD + b'{"prompt": [{"content": "x"}]}\n', "talks.jsonl:2: prompt[0].role is null"),
    "a list of words": (GOOD + b'{"prompt": ["x"]}\n', "talks.jsonl:2: prompt[0] must be a message"),
    "two rows in one line": (GOOD + b'{"prompt": "a"}{"prompt": "b"}\n', "talks.jsonl:2: not JSON"),
    "a cut row": (GOOD + b'{"prompt": "a', "talks.jsonl:2: not JSON"),
    "a table": (b"prompt,answer\nx,y\n", "talks.jsonl:1: not JSON"),
    "a cut gzip": (gzip.compress(GOOD * 999)[:-9], "talks.jsonl: cannot be read"),
    "a broken gzip": (b"\x1f\x8b" + bytes(99), "talks.jsonl: cannot be read"),
    "a cut parquet": (b"PAR1" + bytes(99), "no whole parquet file"),
    "a zip": (b"PK\x03\x04" + bytes(99), "a zip file"),
    "zeros": (bytes(9999), "not UTF-8 text"),
    "a broken list": (b'[{"prompt": "a"},\n{"prompt": }]', "talks.jsonl:2: not JSON"),
    "a list without an end": (b'[{"prompt": "a"},\n{"prompt": "b"}', "talks.jsonl:2: not JSON"),
}  # fmt: skip


@files
def test_what_cannot_be_read_is_named_by_line_and_field(product, talks, record_property):
    record_property("tried", len(REFUSED))
    wrong = []
    for name, (raw, says) in REFUSED.items():
        try:
            product("train", talks(raw, training=SMALL)).refused("recipe.yaml:", says)
        except AssertionError as error:
            wrong.append(f"{name}: {error}")
    assert not wrong, "\n\n".join(wrong)


@files
def test_what_cannot_be_read_is_skipped_and_counted(product, talks, tmp_path):
    odd = [
        raw
        for raw, says in REFUSED.values()
        if raw.startswith(GOOD) and "column '" not in says and raw.count(b"\n") == 2
    ]
    raw = b"".join(json.dumps(row).encode() + b"\n" for row in lines(20)) + b"".join(
        one.removeprefix(GOOD).strip() + b"\n" for one in odd
    )
    ended = product("train", talks(raw, args={"on_bad_row": "skip"}, training=SMALL))
    assert ended.code == 0, ended.err
    assert f"{len(odd)} of {20 + len(odd)} rows are left out" in ended.err
    assert f"{len(odd)} cannot be used" in json.loads((tmp_path / "runs/recipe/manifest.json").read_text())["data"]


@files
def test_a_reward_gets_the_columns_at_every_place(product, talks, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def f(prompts, completions, answer, **k):\n"
        "    assert all(str(p).endswith(a) for p, a in zip(prompts, answer)), (prompts, answer)\n"
        "    return [float(len(a)) for a in answer]\n"
    )
    rows = [{"prompt": f"prompt {i}", "answer": str(i)} for i in range(20)]
    recipe = talks(rows, rewards=[{"name": "mine.py:f"}], training=SMALL, held_out={"every": 1, "n": 2})
    ended = product("train", recipe)
    assert ended.code == 0, ended.err
    rewarded = [json.loads(line) for line in (tmp_path / "runs/recipe/metrics.jsonl").read_text().splitlines()]
    assert any("held_out/reward" in row for row in rewarded)


DICTS = {
    "other keys": [{"a": 1}, {"b": 2}, {"a": "x", "c": {"d": None}}, None],
    "lists of dicts": [[{"a": 1}, {"b": 2}], [], [{"c": [{"d": 1}, {"e": 1 / 3}]}], [{"a": None}]],
    "other types": [{"a": 1}, {"a": "x"}, {"a": [2.5]}, {"a": {}}],
}


@files
@pytest.mark.parametrize("kind", DICTS)
def test_a_reward_sees_each_row_s_own_dict(product, talks, tmp_path, kind, record_property):
    values = DICTS[kind]
    (tmp_path / "mine.py").write_text(
        "import json\n"
        f"VALUES = json.loads({json.dumps(json.dumps(values))})\n"
        "def f(prompts, completions, meta, **k):\n"
        "    for prompt, own in zip(prompts, meta, strict=True):\n"
        "        assert json.dumps(own) == json.dumps(VALUES[int(str(prompt).split()[-1]) % 4]), (prompt, own)\n"
        "    return [float(len(said)) for said in completions]\n"
    )
    rows = [{"prompt": f"prompt {i}", "meta": values[i % 4]} for i in range(20)]
    recipe = talks(rows, rewards=[{"name": "mine.py:f"}], training=SMALL, held_out={"every": 1, "n": 2})
    for ended in (product("train", recipe), product("reward", "check", recipe)):
        assert ended.code == 0, ended.err
    record_property("tried", 4)


NEEDS = {
    "a column that nobody has": ("def f(prompts, completions, anwser, **k): return [0.0] * len(prompts)", "mine.py:f", "'answer'"),
    "a column by keyword alone": ("def f(completions, *, label, **k): return [0.0] * len(completions)", "mine.py:f", "needs the column 'label'"),
    "a class": ("class F:\n  def __call__(self, prompts, completions, gold, **k): return [0.0]", "mine.py:F", "needs the column 'gold'"),
}  # fmt: skip


@files
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("code", "name", "says"), NEEDS.values(), ids=NEEDS.keys())
def test_a_column_that_is_missing_is_told_before_anything_loads(product, talks, tmp_path, code, name, says, inside):
    (tmp_path / "mine.py").write_text(code)
    reward = {"name": "gameable", "args": {"base": {"name": name}}} if inside else {"name": name}
    product("train", talks(lines(20, answer="x"), rewards=[reward], training=SMALL)).refused(
        "recipe.yaml:", "needs the column", "Beside the prompt it has: answer", says
    )
    assert not (tmp_path / "runs").exists()


NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
USER_FIRST = (
    "{% if messages[0]['role'] != 'user' %}{{ raise_exception('Conversation roles must begin with user') }}{% endif %}"
)
NO_NAME = "{{ messages[0]['name'].upper() }}"
U, A, S = (
    {"role": role, "content": content} for role, content in (("user", "hi"), ("assistant", "ho"), ("system", "be kind"))
)
TALKS = [{"prompt": [{**U, "content": f"hi {i}"}], "completion": [A]} for i in range(20)]


@pytest.fixture
def weightless(checkpoint, tmp_path):
    """A checkpoint without its weights, so that whatever is told was known before they were read."""

    def make(head: str = "", **config) -> dict:
        config = {"chat": True, **config}
        folder = tmp_path / "policy"
        shutil.copytree(checkpoint("llama", **config), folder)
        (folder / "model.safetensors").unlink()
        if head:
            template = folder / "chat_template.jinja"
            template.write_text(head + template.read_text())
        return {"model_name_or_path": str(folder)}

    return make


#: name → (rows at the end of twenty good ones, template's head, settings of the model, sections of the recipe, words).
UNTAKABLE = {
    "too long with its completion": ([{"prompt": [{**U, "content": "x" * 489}]}], "", {}, {}, ("talks.jsonl:21: the prompt has 5", "context of 512", "1 of ")),
    "a little too long": ([{"prompt": [{**U, "content": "x" * 106}]}], "", {"max_position_embeddings": 128}, {}, ("talks.jsonl:21: the prompt has", "context of 128")),
    "a completion that is longer than what is left": (
        [], "", {"max_position_embeddings": 128},
        {"method": "grpo", "training": {**SMALL, "max_completion_length": 120}}, ("talks.jsonl:", "context of 128", "120 that follow"),
    ),
    "a system message that the template refuses": ([{"prompt": [S, U]}] * 3, NO_SYSTEM, {}, {}, ("talks.jsonl:21: ", "System role not supported", "1 of ", "front of what the user says")),
    "the assistant first": ([{"prompt": [A, U]}], USER_FIRST, {}, {}, ("talks.jsonl:21: ", "must begin with user", "roles: assistant, user")),
    "a template that wants what no message has": ([], NO_NAME, {}, {}, ("talks.jsonl:", "16 of 16 prompts")),
    "no template at all": ([], "", {"chat": False}, {}, ("talks.jsonl:", "no chat template", "format: text")),
    "a template that refuses what supervised training reads": (
        [{"prompt": [S, U], "completion": [A]}], NO_SYSTEM, {}, {"method": "sft"}, ("talks.jsonl:21: ", "System role not supported"),
    ),
    "too long for whoever is held out": (
        [], "", {"max_position_embeddings": 64},
        {"method": "dpo", "data": {"n": 4, "args": {"path": "pairs.jsonl", "max_completion_length": 60}}}, ("context of 64",),
    ),
}  # fmt: skip


@prompts
@pytest.mark.parametrize(("more", "head", "config", "sections", "says"), UNTAKABLE.values(), ids=UNTAKABLE.keys())
def test_a_prompt_that_the_model_cannot_take_is_named_before_its_weights_load(
    product, talks, weightless, tmp_path, more, head, config, sections, says
):
    pairs = [
        {"prompt": [{**U, "content": f"p{i}"}], "chosen": [A], "rejected": [U | A | {"content": "no"}]}
        for i in range(9)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    args = {"format": "as_is", "held_out_fraction": 0.1, "max_prompt_chars": 9999}
    sections = {"training": SMALL, **sections}
    recipe = talks([*TALKS, *more], args=args, policy=weightless(head, **config), **sections)
    if sections.get("method") in ("sft", "dpo"):
        offline(recipe)
    product("train", recipe).refused("recipe.yaml:", *says)


@prompts
@pytest.mark.parametrize("empty", ["", "\n\n"])
def test_an_empty_prompt_is_named(product, talks, empty):
    world = [*lines(20), {"prompt": ""}]
    if empty:  # which some tokenizers make nothing of: white space is a token here, so it trains
        world[-1] = {"prompt": empty}
    ended = product("train", talks(world, training=SMALL, args={"held_out_fraction": 0.2}))
    if empty:
        assert ended.code == 0, ended.err
    else:
        ended.refused("recipe.yaml:", "talks.jsonl:21: the prompt is empty")


@prompts
def test_learned_positions_are_not_run_out_of(product, talks):
    gpt2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    rows = [*lines(20), {"prompt": " ".join(map(str, range(1000, 1100)))}]
    product(
        "train", talks(rows, policy={"config": gpt2}, training=SMALL, data={"n": 99}, args={"held_out_fraction": 0})
    ).refused("recipe.yaml:", "talks.jsonl:21: ", "context of 64")


@prompts
def test_supervised_rows_longer_than_the_context_say_what_to_write(product, talks):
    gpt2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    rows = [*lines(20), *({"prompt": f"a {i}", "completion": " ".join(map(str, range(i, 200)))} for i in range(9))]
    recipe = offline(talks(rows, method="sft", policy={"config": gpt2}, data={"n": 99}))
    product("train", recipe).refused("recipe.yaml:", "rows are longer than the model's context of 64", "max_length: 64")


@prompts
def test_an_evaluation_names_the_question_and_the_row(product, checkpoint, tmp_path):
    policy = checkpoint("llama", max_position_embeddings=64)
    ended = product("eval", policy, "--suite", "held_out", "--n", "4", "--base", policy)
    assert ended.code == 1 and "Traceback" not in ended.err + ended.out
    assert "held_out: row " in ended.out and "context of 64" in ended.out, ended.out
