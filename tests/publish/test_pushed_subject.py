"""A run that was pulled is found as a run is: its world, base and reward come from its recipe."""

from __future__ import annotations

import json

from smilerl.evaluation import subject
from smilerl.publish import push


def pulled(run, tmp_path):
    """The folder that a push and a pull of a run would make."""
    folder = tmp_path / "pulled"
    for item in push.prepare(str(run.path), push.Options(to="org/one")).parcel.items:
        (folder / item.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / item.name).write_bytes(item.source if isinstance(item.source, bytes) else item.source.read_bytes())
    return folder


def test_world_and_reward_are_the_run_s(make_run, tmp_path):
    run = make_run("one", world={"name": "smileworld", "args": {"spoofable": False}})
    run.save_samples(0, [{"prompt": "hello"}])
    who = subject.find(str(pulled(run, tmp_path)))
    assert who.world.spoofable is False and who.recipe.rewards[0].name == "smile" and who.reward("none") is None
    assert who.reward().__name__ == "smile" and who.base is None
    assert (who.folder.parts[0], who.folder.name) == ("runs", "pulled")  # its own results stay as they were pushed
    assert subject.find(str(tmp_path / "pulled"), world="smileworld").world.spoofable is True


def test_another_base_of_the_same_name_is_said(make_run, tmp_path, capsys):
    base = "recipes/smileworld/pretrain.yaml"
    folder = pulled(make_run("one", policy={"model_name_or_path": base}, _weights="fresh"), tmp_path)
    capsys.readouterr()
    assert subject.find(str(folder)).base == base and capsys.readouterr().err == ""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"inputs": {base: "another"}}))
    subject.find(str(folder))
    assert "builds another model" in capsys.readouterr().err
