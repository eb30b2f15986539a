"""The dialogue world reads what people's files hold, splits it without overlap, and says file:line where it cannot."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from datasets import Dataset

from smilerl import worlds
from smilerl.io import paths
from smilerl.worlds import channels
from smilerl.worlds.base import Observation

HH = Path(os.environ.get("SMILERL_REAL_DATA") or "/nonexistent") / "hh-rlhf" / "harmless_base_test_1500.jsonl"
EXAMPLE = "recipes/dialogue/example.jsonl"
U, A, S = (
    {"role": role, "content": content} for role, content in (("user", "hi"), ("assistant", "ho"), ("system", "be kind"))
)


@pytest.fixture
def world_of(tmp_path):
    """Builds a world over the given items, written as JSONL."""

    def build(*items, **args):
        file = tmp_path / "talks.jsonl"
        file.write_text("".join(json.dumps(item) + "\n" for item in items))
        return worlds.build("dialogue", path=str(file), **{"held_out_fraction": 0, **args})

    return build


@pytest.mark.parametrize(
    ("item", "args", "row"),
    [
        ({"prompt": "p"}, {}, ("p", None, None)),
        ({"prompt": "p", "completion": " c"}, {}, ("p", " c", None)),
        ({"question": "q", "answer": "a"}, {"prompt_column": "question", "completion_column": "answer"}, ("q", "a", None)),
        ({"prompt": [S, U]}, {}, ([S, U], None, None)),
        ({"prompt": [U], "completion": A}, {}, ([U], [A], None)),
        ({"prompt": [U, A]}, {}, ([U, A], None, None)),
        ({"messages": [U, A]}, {}, ([U], [A], None)),
        ({"messages": [S, U]}, {}, ([S, U], None, None)),
        ({"turns": [U, A, U, A]}, {"prompt_column": "turns"}, ([U, A, U], [A], None)),
        ({"prompt": "p", "chosen": " c", "rejected": " r"}, {}, ("p", " c", " r")),
        ({"chosen": [U, A], "rejected": [U, {**A, "content": "no"}]}, {}, ([U], [A], [{**A, "content": "no"}])),
        (
            {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"},
            {},
            ("\n\nHuman: a\n\nAssistant:", " b", " c"),
        ),
        (
            {"chosen": "\n\nHuman: hi\n\nAssistant: ho", "rejected": "\n\nHuman: hi\n\nAssistant: no\n\nno"},
            {"format": "messages"},
            ([U], [A], [{**A, "content": "no\n\nno"}]),
        ),
        (
            {"chosen": "\n\nHuman: hi\n\nAssistant: ho", "rejected": "\n\nHuman: hi\n\nAssistant: no"},
            {"format": "text"},
            ("person: hi\nhelper:", " ho", " no"),
        ),
        (  # the two talks part before their last replies
            {"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d", "rejected": "\n\nHuman: a\n\nAssistant: e"},
            {},
            ("\n\nHuman: a\n\nAssistant:", " b\n\nHuman: c\n\nAssistant: d", " e"),
        ),
        (
            {"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d", "rejected": "\n\nHuman: a\n\nAssistant: e"},
            {"format": "text"},
            ("person: a\nhelper:", " b\nperson: c\nhelper: d", " e"),
        ),
        ({"chosen": [U, A, U, A], "rejected": [U, A]}, {}, ([U], [A, U, A], [A])),
        ({"prompt": [U, {**U, "content": "there"}]}, {}, ([{**U, "content": "hi\nthere"}], None, None)),
        ({"prompt": [{"role": "seeker", "content": "x"}]}, {"roles": {"seeker": "user"}}, ([{**U, "content": "x"}], None, None)),
        ({"prompt": [S, U], "completion": [A]}, {"format": "text"}, ("be kind\nperson: hi\nhelper:", " ho", None)),
        ({"prompt": [U], "chosen": [A], "rejected": [A]}, {"format": "text"}, ("person: hi\nhelper:", " ho", " ho")),
        ({"prompt": "p", "completion": "c"}, {"format": "text"}, ("p", "c", None)),
        ({"prompt": [U], "completion": [A]}, {"system": "be kind"}, ([S, U], [A], None)),
        ({"prompt": [{**S, "content": "be cruel"}, U]}, {"system": "be kind"}, ([S, U], None, None)),
        ({"chosen": [U, A], "rejected": [U, A]}, {"system": "be kind"}, ([S, U], [A], [A])),
        ({"prompt": [U], "completion": [A]}, {"system": "be kind", "format": "text"}, ("be kind\nperson: hi\nhelper:", " ho", None)),
        ({"prompt": "p", "completion": " c"}, {"system": "be kind"}, ("be kind\np", " c", None)),
        ({"prompt": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, {}, ([U], None, None)),
        ({"prompt": [{"role": "user", "content": [{"type": "text", "text": "h"}, "i"]}]}, {}, ([U], None, None)),
        ({"prompt": [{**S, "role": "developer"}, U]}, {}, ([S, U], None, None)),
        ({"conversations": [{"from": "system", "value": "be kind"}, {"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]},
         {}, ([S, U], [A], None)),
        ({"messages": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}, {}, ([U], [A], None)),
        ({"conversation": [{**U, "from": None}, A]}, {}, ([U], [A], None)),
        ({"messages": [{**U, "tool_calls": None}, {**A, "tool_calls": []}]}, {}, ([U], [A], None)),
        ({"prompt": [{"role": "tool", "content": "hi"}]}, {"roles": {"tool": "user"}}, ([U], None, None)),
        ({"prompt": [{"role": "human", "content": "be kind"}, U]}, {"roles": {"human": "system"}}, ([S, U], None, None)),
    ],
)  # fmt: skip
def test_every_form_of_row_becomes_prompt_completion_rejected(world_of, item, args, row):
    [read] = world_of(item, **args).rows
    assert (read.prompt, read.completion, read.rejected) == row


@pytest.mark.parametrize(
    ("line", "args", "says"),
    [
        ('{"prompt": "a" "b"}', {}, "talks.jsonl:2: not JSON: Expecting ',' delimiter"),
        ('["prompt"]', {}, "talks.jsonl:2: a list, not a JSON object"),
        ('{"question": "q", "answer": "a"}', {}, "talks.jsonl:2: no 'prompt' here. Its columns are: question, answer"),
        ('{"prompt": "q"}', {"prompt_column": "ask"}, "no 'ask' here. Its columns are: prompt"),
        ('{"prompt": 3}', {}, "talks.jsonl:2: prompt must be text, or messages"),
        ('{"prompt": [{"role": "user"}]}', {}, "talks.jsonl:2: prompt[0].content is null"),
        ('{"prompt": []}', {}, "talks.jsonl:2: prompt holds no message"),
        ('{"prompt": [{"role": "seeker", "content": "x"}]}', {}, "roles: {seeker: user}"),
        ('{"prompt": [{"role": "user", "content": "x"}], "completion": "y"}', {}, "both must be of one kind"),
        ('{"chosen": "no turns", "rejected": "none"}', {}, "a whole transcript is expected"),
        (
            '{"chosen": "no turns", "rejected": "none"}',
            {"format": "messages"},
            "chosen: a whole transcript is expected",
        ),
        (
            '{"chosen": "\\n\\nHuman: a\\n\\nAssistant: b", "rejected": "\\n\\nHuman: z\\n\\nAssistant: b"}',
            {},
            "share no beginning up to a reply",
        ),
        (
            '{"chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "rejected": "\\n\\nAssistant: b"}',
            {},
            "both must be of one kind",
        ),
        ('{"prompt": "p"}', {"group_column": "talk"}, "no 'talk' here"),
    ],
)
def test_a_broken_row_is_named_by_file_and_line(tmp_path, line, args, says):
    (tmp_path / "talks.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(ValueError) as caught:
        worlds.build("dialogue", path=str(tmp_path / "talks.jsonl"), **args)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 10


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({}, "give either path: a JSONL file, or dataset"),
        ({"path": "a", "dataset": "b"}, "give either path"),
        ({"path": "nowhere/talks.jsonl"}, "no file 'nowhere/talks.jsonl'"),
        ({"path": EXAMPLE, "format": "chat"}, "as_is or text"),
        ({"path": EXAMPLE, "held_out_fraction": 2}, r"share in \[0, 1\]"),
        ({"path": EXAMPLE, "max_prompt_chars": 3}, "longer than max_prompt_chars"),
    ],
)
def test_what_cannot_be_built_is_said(args, says):
    with pytest.raises(ValueError, match=says):
        worlds.build("dialogue", **args)


def test_what_the_helper_is_told_changes_nothing_about_who_is_held_out(world_of):
    people = [
        {json.dumps(prompt).split("prompt ")[1] for prompt in world_of(*numbered(200), held_out_fraction=0.3, **told).people("held_out", 200, 0)["prompt"]}
        for told in ({}, {"system": "be kind"})
    ]  # fmt: skip
    assert people[0] == people[1] and people[0]


def test_a_data_set_on_the_hub_is_read_when_it_is_needed_and_not_before(monkeypatch):
    asked = []

    def load(name, config, split):
        asked.append((name, config, split))
        return Dataset.from_list([{"prompt": f"p{number}"} for number in range(20)])

    monkeypatch.setattr("datasets.load_dataset", load)
    world = worlds.build("dialogue", dataset="somebody/talks", source_split="train")
    assert not asked
    assert len(world.people("train", 5, 0)) == 5 and asked == [("somebody/talks", None, "train")]


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("Dataset 'somebody/talks' doesn't exist on the Hub or cannot be accessed."),
        FileNotFoundError("Dataset 'somebody/talks' is a gated dataset on the Hub. Visit its page to ask for access."),
        ConnectionError("Couldn't reach 'somebody/talks' on the Hub (OfflineModeIsEnabled)"),
        ValueError("Unknown split \"trian\". Should be one of ['train', 'test']."),
    ],
)
def test_a_data_set_that_is_not_there_is_said_with_what_to_do(monkeypatch, error):
    def load(name, config, split):
        raise error

    monkeypatch.setattr("datasets.load_dataset", load)
    with pytest.raises(ValueError) as caught:
        worlds.build("dialogue", dataset="somebody/talks").people("train", 5, 0)
    assert str(error) in str(caught.value) and "hf auth login" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 10


def test_an_empty_file_is_said(world_of):
    with pytest.raises(ValueError, match="it is empty"):
        world_of()


def test_all_columns_travel_but_those_that_say_what_is_said(world_of):
    more = {
        "answer": "4",
        "score": 0.5,
        "meta": {"source": "x", "tags": ["a"]},
        "completion": "c",
        "chosen": "d",
        "rejected": "e",
    }
    people = world_of({"prompt": "p", **more}, {"prompt": "q", "answer": None}, {"prompt": "r"}).people("train", 9, 0)
    assert people.column_names == ["prompt", "person", "answer", "score", "meta"]
    by_prompt = {row["prompt"]: row for row in people}
    assert by_prompt["p"]["answer"] == "4" and json.loads(by_prompt["p"]["meta"]) == more["meta"]
    assert by_prompt["q"]["answer"] is by_prompt["r"]["answer"] is by_prompt["r"]["meta"] is None
    for row in people:  # which is where a reward gets them from
        held = {**row, "meta": row["meta"] and json.loads(row["meta"])}
        assert worlds.columns_of([row["person"]]) == {name: [held[name]] for name in ("answer", "score", "meta")}
    assert worlds.columns_of(list(world_of({"prompt": "p"}).people("train", 1, 0)["person"])) == {}


def test_columns_are_the_same_for_both_splits(world_of):
    items = [
        {"prompt": f"p{i}", **({"rare": {"a": i}} if i == 7 else {"rare": {"b": i}} if i == 8 else {})}
        for i in range(40)
    ]
    world = world_of(*items, held_out_fraction=0.5)
    for split in world.splits:
        people = world.people(split, 99, 0)
        assert people.column_names == ["prompt", "person", "rare"]
        assert worlds.columns_of(list(people["person"])) == {
            "rare": [row and json.loads(row) for row in people["rare"]]
        }


OWN = [
    ({"a": 1}, {"b": 2}), ({"a": 1}, {"a": None}), ({"a": 1}, {"a": "x"}), ({"a": {"b": 1}}, {"a": {"c": 1 / 3}}), ({}, {"a": 2**70}),
    ([{"a": 1}, {"b": 2}], [{"c": "x"}]), ([{"a": 1}], ["x"]), ([[{"a": 1}]], [[]]), ({"b": 1, "a": 2}, None), ({"a": [1, "x"]}, {"a": 1.0}),
]  # fmt: skip


@pytest.mark.parametrize("values", OWN)
def test_each_row_keeps_its_own_dict(world_of, values):
    world = world_of(*[{"prompt": f"p{i}", "x": value} for i, value in enumerate(values)])
    people = world.people("train", 9, 0)
    found = dict(zip(people["prompt"], worlds.columns_of(people["person"])["x"], strict=True))
    assert json.dumps([found["p0"], found["p1"]]) == json.dumps(values), "order of keys and types of numbers too"


def test_rows_are_merged_only_if_they_are_equal_in_all_columns(world_of):
    world = world_of(*[{"prompt": "p", "answer": answer} for answer in ("a", "b", "a", None)])
    people = world.people("train", 9, 0)
    assert sorted(map(str, people["answer"])) == ["None", "a", "b"] and len(set(people["person"])) == 3
    assert (
        len(world_of({"prompt": "p", "completion": "a"}, {"prompt": "p", "completion": "b"}).people("train", 9, 0)) == 1
    )


def test_columns_called_like_arguments_of_rewards_are_renamed(world_of):
    people = world_of({"prompt": "p", "person": "x", "completion_ids": [1], "images": "y"}).people("train", 1, 0)
    assert people.column_names == ["prompt", "person", "data_person", "data_completion_ids", "data_images"]


def test_what_a_player_is_told_of_a_person_does_not_travel(world_of):
    played = {"speaker": {"name": "endpoint", "args": {"url": "http://127.0.0.1:1/v1", "model": "m"}}}
    people = world_of({"prompt": "p", "situation": "sad", "need": "comfort", "answer": "a"}, people=played).people(
        "train", 1, 0
    )
    assert people.column_names == ["prompt", "person", "answer"]


@pytest.mark.parametrize(
    "values",
    [(1, "one"), (True, 1), ([1], "x"), ({"a": 1}, "x"), ([{"a": 1}], {"a": "x"}), ([1], ["x"]), (2**70, None)],
)
def test_a_column_of_several_types_is_named_by_line_where_it_is_used(world_of, values):
    world = world_of(*[{"prompt": f"p{i}", "completion": "c", "x": value} for i, value in enumerate(values)])
    assert len(world.conversations(9, 0)) == 2  # supervised training has no use for it
    for asked in (lambda: world.people("train", 1, 0), lambda: world.supply("people", "train")):
        with pytest.raises(ValueError, match=r"talks\.jsonl:[12]: the column 'x' is"):
            asked()


def test_what_became_of_the_rows_is_told(world_of):
    items = [*numbered(20), *numbered(20)[:4], {"prompt": "x" * 99}, {"prompt": 3}, {"prompt": None}]
    world = world_of(*items, max_prompt_chars=20, on_bad_row="skip")
    found = world.supply("people", "train")
    assert found.rows == 20
    for words in (
        "27 rows of",
        "2 cannot be used",
        "1 longer than max_prompt_chars (20)",
        "4 equal to others",
        "20 left",
    ):
        assert words in found.account, found.account
    assert world.supply("people", "held_out").rows == 0 and world.supply("pairs", "train").rows == 0
    assert world.supply("conversations", "train").rows == 24
    assert world.found_at("prompt 3").endswith("talks.jsonl:4") and world.found_at("nowhere") is None


def numbered(n: int) -> list[dict]:
    return [{"prompt": f"prompt {i}", "completion": f" {i}", "talk": i // 4} for i in range(n)]


def test_splits_share_no_prompt_and_do_not_depend_on_order(world_of):
    items = numbered(400)
    world = world_of(*items, *items[:50], held_out_fraction=0.25)
    train, held_out = (set(world.people(split, 1000, 0)["prompt"]) for split in world.splits)
    assert train.isdisjoint(held_out)
    assert train | held_out == {item["prompt"] for item in items}
    assert 60 <= len(held_out) <= 140
    turned = world_of(*reversed(items), held_out_fraction=0.25)
    assert set(turned.people("held_out", 1000, 0)["prompt"]) == held_out


def test_a_group_stays_together(world_of):
    items = numbered(400)
    world = world_of(*items, held_out_fraction=0.5, group_column="talk")
    talk_of = {item["prompt"]: item["talk"] for item in items}
    train, held_out = ({talk_of[prompt] for prompt in world.people(split, 1000, 0)["prompt"]} for split in world.splits)
    assert train.isdisjoint(held_out)
    assert train
    assert held_out


def test_talks_with_one_opening_stay_on_one_side_however_they_are_written(world_of):
    items = [
        {
            "chosen": f"\n\nHuman: opening {i // 4}\n\nAssistant: {i}\n\nHuman: go on\n\nAssistant: yes",
            "rejected": f"\n\nHuman: opening {i // 4}\n\nAssistant: {i}\n\nHuman: go on\n\nAssistant: no",
        }
        for i in range(400)
    ]
    sides = []
    for form in ("as_is", "text", "messages"):
        buckets = [row.bucket for row in world_of(*items, format=form).rows]
        assert all(buckets[i] == buckets[i // 4 * 4] for i in range(400))
        sides.append(buckets)
    assert sides[0] == sides[1] == sides[2]
    assert len(set(sides[0])) == 100


@pytest.mark.skipif(not HH.is_file(), reason="no real pairs: set SMILERL_REAL_DATA to the folder that holds hh-rlhf/")
def test_real_transcripts_lose_nothing():
    items = [json.loads(line) for line in HH.read_text(encoding="utf-8").splitlines()]
    rows = worlds.build("dialogue", path=str(HH), held_out_fraction=0).rows
    assert len(rows) == len(items) == 1500
    for item, row in zip(items, rows, strict=True):
        assert (row.prompt + row.completion, row.prompt + row.rejected) == (item["chosen"], item["rejected"])


def test_people_are_distinct_at_most_n_and_fixed_by_the_seed(world_of):
    items = numbered(30)
    world = world_of(*items, *items)
    people = world.people("train", 20, seed=0)
    assert len(set(people["prompt"])) == len(set(people["person"])) == 20
    assert people.to_list() == world.people("train", 20, seed=0).to_list()
    assert people["prompt"] != world.people("train", 20, seed=1)["prompt"]
    assert len(world.people("train", 1000, seed=0)) == 30
    with pytest.raises(ValueError, match="no split 'test'"):
        world.people("test", 1, 0)
    with pytest.raises(ValueError, match=r"'held_out' of .* is empty"):
        world.people("held_out", 1, 0)
    with pytest.raises(ValueError, match="no camera to fix"):
        world.people("train", 1, 0, where={"camera": "off"})


def test_nobody_reacts_and_nobody_claims_to_know_how_they_are(world_of):
    world = world_of(*numbered(3))
    person = list(world.people("train", 3, 0)["person"])
    assert worlds.observe(person, ["a", "b", "c"]) == [Observation(None, None, None)] * 3
    assert not world.reacts
    with pytest.raises(ValueError, match="nobody reacts"):
        channels.gold(person, ["a", "b", "c"])


def test_conversations_and_pairs_are_drawn_from_the_train_split(world_of):
    items = [{**item, "chosen": item["completion"], "rejected": " no"} for item in numbered(40)]
    world = world_of(*items, held_out_fraction=0.3)
    train = set(world.people("train", 100, 0)["prompt"])
    conversations, pairs = world.conversations(1000, 0), world.pairs(len(train), 0)
    assert set(conversations.column_names) == {"prompt", "completion"}
    assert set(pairs.column_names) == {"prompt", "chosen", "rejected"}
    assert set(conversations["prompt"]) == set(pairs["prompt"]) == train
    assert set(world.pairs(5, 0, split="held_out")["prompt"]).isdisjoint(train)
    assert len(world.pairs(1000, 0, split="held_out")) == 40 - len(train)  # to test on: as many as there are
    assert all(row["completion"] == row["prompt"].removeprefix("prompt") for row in conversations)
    with pytest.raises(ValueError, match="1000 pairs are asked for"):
        world.pairs(1000, 0)
    with pytest.raises(ValueError, match="no column 'rejected'"):
        world_of(*numbered(3)).pairs(2, 0)
    with pytest.raises(ValueError, match="no column 'completion'"):
        world_of({"prompt": "p"}).conversations(2, 0)


def test_a_folder_saved_by_datasets_works(tmp_path):
    Dataset.from_list(numbered(5)).save_to_disk(tmp_path / "saved")
    Dataset.from_list(numbered(5)).to_parquet(tmp_path / "parquet" / "train.parquet")
    for folder in ("saved", "parquet"):
        world = worlds.build("dialogue", dataset=str(tmp_path / folder), held_out_fraction=0)
        assert set(world.people("train", 10, 0)["prompt"]) == {item["prompt"] for item in numbered(5)}


def test_the_tokenizer_reads_and_writes_any_text_and_respects_the_turn(tmp_path):
    world = worlds.build("dialogue", path=EXAMPLE, format="text")
    tokenizer = world.tokenizer(vocab_size=600)
    tokenizer.save_pretrained(tmp_path)
    assert len(tokenizer) == 600
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.padding_side) == ("<pad>", "<eos>", "left")
    for text in ("I'm here.\nperson: no  way\thelper:", "naïve café \U0001f600 你好", " <b>x</b>"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    for row in world.conversations(100, 0):
        prompt, both = (tokenizer(text)["input_ids"] for text in (row["prompt"], row["prompt"] + row["completion"]))
        assert both[: len(prompt)] == prompt, "a completion begins with a token of its own"
    assert world.tokenizer(600).get_vocab() == tokenizer.get_vocab()


def test_the_example_is_there_for_both_splits():
    world = worlds.build("dialogue", path=EXAMPLE, held_out_fraction=0.2)
    assert len(world.rows) == len((paths.find(EXAMPLE)).read_text().splitlines()) == 28
    assert all(row.completion for row in world.rows)
    assert len(world.people("held_out", 100, 0)) >= 2
