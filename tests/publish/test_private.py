"""Nothing about this machine gets out: rewritten where text may be, refused where the file would be another."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from smilerl.models.hub.ids import HubError
from smilerl.publish import contents, private
from smilerl.publish.contents import Item


@pytest.fixture
def known(tmp_path, monkeypatch):
    """This machine: the home folder is tmp_path/home, the working folder a project in it."""
    here = tmp_path / "home" / "project"
    (here / "runs" / "one" / "model").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "elsewhere" / "cache"))
    monkeypatch.chdir(here)
    return private.places({here / "runs" / "one": "my-model"})


def test_known_folders_are_said_by_name(known, tmp_path):
    home = tmp_path / "home"
    said = {
        f"{home}/project/runs/one/model": "my-model/model",
        f"{home}/project/recipes/a.yaml": "./recipes/a.yaml",
        f"{home}/.bashrc": "~/.bashrc",
        f"{tmp_path}/elsewhere/cache/models/x": "~/.cache/smilerl/models/x",
        f'{{"a": "{home}/project"}}': '{"a": "."}',
    }
    for path, name in said.items():
        assert private.without_places(path, known) == name


def test_other_paths_of_this_machine_lose_their_folders(known, tmp_path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    assert private.without_places(f"--path={tmp_path}/data/deep/talks.jsonl x", known) == "--path=talks.jsonl x"
    assert private.without_places("/home/somebody/else and /Users/ann/x, C:\\Users\\bob", known) == "~/else and ~/x, ~"


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/org/name",
        "and/or/but",
        "</td></tr>",
        "1/2/3",
        "~/x/y",
        "org/name/tree/main",
        "/set camera=off",
    ],
)
def test_what_only_looks_like_a_path_stays(known, text):
    assert private.without_places(text, known) == text


def test_json_is_still_json(known, tmp_path):
    data = {"name": f"{tmp_path}/home/project/runs/one/model", "n": 3}
    (item,) = contents.without_places(
        [Item("evals/quick/results.json", json.dumps(data).encode())], {tmp_path / "home/project/runs/one": "my-model"}
    )
    assert json.loads(item.source) == {"name": "my-model/model", "n": 3}


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "merges.txt", "code/mine.py", "talks.jsonl"])
def test_a_path_where_it_cannot_be_rewritten_stops_the_push(known, tmp_path, name):
    data = b"\x00" * 50 + f'"{tmp_path}/home/project/data"'.encode()
    with pytest.raises(HubError, match=rf"(?s){name}, byte 51.*nothing was sent|nothing was sent.*{name}, byte 51"):
        contents.without_places([Item(name, data)], {})


def test_a_path_in_a_compressed_reply_stops_the_push(known, tmp_path):
    pd.DataFrame({"completion": ["hello", f"see {tmp_path}/home/secret.txt "]}).to_parquet(
        tmp_path / "s.parquet", compression="gzip", write_statistics=False
    )
    with pytest.raises(HubError, match="column completion, row 1"):
        contents.without_places([Item("samples/s.parquet", tmp_path / "s.parquet")], {})
