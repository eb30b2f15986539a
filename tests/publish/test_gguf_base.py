"""What is pushed of a run on a GGUF file says where its weights come from, and names no place of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from smilerl.models.hub.ids import HubError
from smilerl.publish import push
from smilerl.runs.directory import Run

SAID = {"general.name": "Tiny", "general.license": "Apache-2.0", "general.organization": "maker"}
SOURCE = {"general.source.repo_url": "https://huggingface.co/maker/tiny"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def run_on(make_run):
    """A finished run on a GGUF file, or an adapter of it (`peft=True`)."""

    def make(name: str, **how) -> Run:
        policy = {"model_name_or_path": name} | ({"peft": {"r": 2}} if how.get("peft") else {})
        return make_run("one", policy=policy, **how)

    return make


def of(run: Run, **options) -> tuple[ModelCard, dict[str, bytes]]:
    parcel = push.prepare(str(run.path), push.Options(to="org/specimen", **options)).parcel
    files = {one.name: one.source if isinstance(one.source, bytes) else one.source.read_bytes() for one in parcel.items}
    return ModelCard(files["README.md"].decode()), files


def test_the_card_says_what_the_file_says_and_no_more(run_on, package_with, tmp_path):
    name = package_with("tiny.gguf", said=SAID)
    made, files = of(run_on(name))
    base = next(line for line in made.text.splitlines() if line.startswith("- **Base model**"))
    known = json.loads(files["manifest.json"])["gguf"][name]
    for said in (f"`{name}`", "dequantised to float32", f"`{known['sha256']}`", "`tiny.gguf` (`Q8_0`", "`Tiny`", "`maker`",
                 "names no repository on the Hub"):  # fmt: skip
        assert said in base
    assert made.data.license == "apache-2.0" and made.data.base_model is None
    assert yaml.safe_load(files["recipe.yaml"])["policy"]["model_name_or_path"] == name
    assert not [name for name, data in files.items() if str(tmp_path).encode() in data]


def test_where_the_file_names_its_source_the_card_does(run_on, package_with):
    made, _ = of(run_on(package_with("tiny.gguf", said=SAID | SOURCE)))
    assert made.data.base_model == "maker/tiny" and made.data.to_dict()["base_model_relation"] == "finetune"
    assert "which was made from [`maker/tiny`](https://huggingface.co/maker/tiny)" in made.text
    assert "names no repository" not in made.text


def test_where_it_names_no_licence_one_has_to_be_given(run_on, package_with):
    run = run_on(package_with("tiny.gguf"))
    with pytest.raises(HubError, match="--license ID"):
        of(run)
    assert of(run, licence="mit")[0].data.license == "mit"


def test_an_adapter_names_the_package_and_is_loaded_with_it(run_on, package_with, tmp_path, cache):
    from smilerl.models.policy import load_policy

    name = package_with("tiny.gguf", said=SAID)
    run = run_on(name, peft=True)
    made, files = of(run)
    config = json.loads(files["adapter_config.json"])
    assert config["base_model_name_or_path"] == name and config["revision"] is None
    assert not [file for file, data in files.items() if str(tmp_path).encode() in data]
    assert f'model_dir("{name}")' in made.text and "AutoPeft" not in made.text and "pip install" in made.text
    pulled = tmp_path / "pulled"
    for file, data in files.items():
        (pulled / file).parent.mkdir(parents=True, exist_ok=True)
        (pulled / file).write_bytes(data)
    here, there = (load_policy(folder).model for folder in (run.model, pulled))
    ids = here.dummy_inputs["input_ids"]
    assert here(ids).logits.equal(there(ids).logits)


def test_a_file_that_is_only_here_has_to_be_pushed_first(run_on, write_gguf, tmp_path):
    file = write_gguf(tmp_path / "models" / "tiny.gguf", said=SAID)
    for how in ({}, {"peft": True}):
        run = run_on(str(file), **how)
        with pytest.raises(HubError, match="Add --base ORG/NAME"):
            of(run)
        prepared = push.prepare(str(run.path), push.Options(to="org/specimen", base="org/base"))
        (before,) = prepared.before
        files = {one.name: one.source for one in before.parcel.items}
        assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(files)
        assert b"dequantised to float32 from the GGUF file `tiny.gguf`" in files["README.md"]
        for one in (*before.parcel.items, *prepared.parcel.items):
            data = one.source if isinstance(one.source, bytes) else one.source.read_bytes()
            assert str(tmp_path).encode() not in data, one.name
        run.path.rename(tmp_path / f"done-{len(how)}")


def test_a_pushed_adapter_of_a_reward_model_is_loaded_with_its_base(package_with, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    from smilerl.rewards._loading import load_model
    from smilerl.training.models import model_dir

    name = package_with("tiny.gguf")
    body = AutoModelForSequenceClassification.from_pretrained(model_dir(name), num_labels=1)
    adapted = get_peft_model(body, LoraConfig(r=2, task_type="SEQ_CLS", target_modules="all-linear"))
    adapted.save_pretrained(tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": name}))
    loaded = load_model(str(tmp_path / "adapter"), "preference", "float32", torch.device("cpu"))
    ids = torch.arange(3, 10)[None]
    assert torch.equal(loaded(ids).logits, adapted.eval()(ids).logits)


def test_an_adapter_that_was_trained_on_it_is_pushed_whole(package_with, tmp_path):
    from smilerl.evaluation import subject
    from smilerl.training.recipe_check import load_recipe
    from smilerl.training.run import run_recipe

    name = package_with("tiny.gguf", said=SAID)
    recipe = {
        "method": "rloo", "output_dir": str(tmp_path / "run"), "rewards": [{"name": "smile"}], "data": {"n": 16}, "held_out": {"n": 4},
        "policy": {"model_name_or_path": name, "peft": {"r": 2, "target_modules": "all-linear"}},
        "training": {"max_steps": 1, "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "num_generations": 4,
                     "per_device_train_batch_size": 4, "max_completion_length": 4},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run = run_recipe(load_recipe(tmp_path / "recipe.yaml"), progress=False)
    assert run.manifest["gguf"][name]["quantisation"] == "Q8_0"
    assert run.manifest["gguf"][name]["sha256"].startswith(run.manifest["inputs"][name])
    _, files = of(run)
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == name
    who = subject.find(str(run.path))
    assert who.base == name and who.policy().model.peft_config and who.base_policy().name == name
