"""The committed data sets are what `data/build.py` writes, and `load_dataset` reads them from the card."""

import importlib.util
import json
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parent.parent / "data"


@pytest.mark.parametrize(
    ("script", "folder", "files"), [("build.py", "smileworld", 4), ("dialogue/build.py", "dialogue", 2)]
)
def test_the_files_are_what_the_script_writes(tmp_path, script, folder, files):
    spec = importlib.util.spec_from_file_location("build_data", DATA / script)
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    build.write(tmp_path)
    assert len(list(tmp_path.iterdir())) == files
    for file in tmp_path.iterdir():
        assert (DATA / folder / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("config", ["people", "conversations", "pairs"])
def test_load_dataset_reads_the_card(config, tmp_path):
    from datasets import load_dataset

    loaded = load_dataset(str(DATA), config, cache_dir=str(tmp_path))
    assert len(loaded["train"]) == 1024
    if config == "people":
        assert json.loads(loaded["train"][0]["person"])["world"] == "smileworld"
        assert not set(loaded["train"]["prompt"]) & set(loaded["held_out"]["prompt"])


def test_load_dataset_reads_the_people_of_the_dialogue_world(tmp_path):
    from datasets import load_dataset

    loaded = load_dataset(str(DATA), "dialogue_people", cache_dir=str(tmp_path))
    assert len(loaded["train"]) + len(loaded["held_out"]) >= 60
    assert not {row[1]["content"] for row in loaded["train"]["prompt"]} & {
        row[1]["content"] for row in loaded["held_out"]["prompt"]
    }
    for row in [*loaded["train"], *loaded["held_out"]]:
        told = row["prompt"][0]["content"]
        assert all(text in told for text in (row["facts"], row["bad_news"]) if text), "the helper may know"
        assert ("not recorded" in told) == (row["camera"] == "off")
        assert not any(row[own] in told for own in ("situation", "unsaid"))


@pytest.mark.parametrize(
    "question", ["choices", "bad_news", "camera_off", "tamper", "vulnerable", "stoic", "escalation"]
)
def test_load_dataset_reads_the_items(question, tmp_path):
    from datasets import load_dataset

    loaded = load_dataset(str(DATA), f"real_{question}", cache_dir=str(tmp_path))["test"]
    assert len(set(loaded["pair"])) >= 120 and all("canary" in line for line in loaded["canary"])
    assert all(len(option["texts"]) >= 8 for row in loaded for option in row["options"])
