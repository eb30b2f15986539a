"""The card says what is true of the run and no more, in a form that the Hub reads, whatever a model or a user wrote."""

from __future__ import annotations

import json
import re

import pytest
from huggingface_hub import ModelCard

from smilerl.models.hub.ids import HubError
from smilerl.publish import card, facts, push, sections
from smilerl.runs import seals
from smilerl.runs.directory import Run
from tests.studies.synthetic import ARMS, write_study

HELD_AGAINST = ("random", "sentiment", "reading")


@pytest.fixture
def in_study(make_run, tmp_path) -> Run:
    """The run of arm `reading`, seed 1, of an invented study; its replies try to break out of the page."""
    run = make_run("reading", seed=1, output_dir=str(tmp_path / "runs" / "study" / "reading" / "seed-1"))
    write_study(tmp_path / "runs" / "study", arms=HELD_AGAINST)
    return whole(run)


def whole(run: Run) -> Run:
    """An invented study leaves half a line, as a killed run does; a finished one does not."""
    lines = run.metrics_path.read_text().splitlines()
    run.metrics_path.write_text("\n".join(lines[:-1]) + "\n")
    return Run(run.path)


def of(run: Run, **options) -> tuple[ModelCard, push.Prepared]:
    prepared = push.prepare(str(run.path), push.Options(to="org/specimen", **options))
    readme = next(item.source for item in prepared.parcel.items if item.name == "README.md")
    return ModelCard(readme.decode()), prepared


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_hub_reads_its_results_with_intervals(in_study):
    made, _ = of(in_study)
    results = {result.metric_type: result for result in made.data.eval_results}
    measured = facts.Facts(
        in_study, "x", facts.base_of(in_study, {}), in_study.recipe, facts.study_of(in_study)
    ).results
    found = measured.measured("reading", "wellbeing").iloc[0]
    assert results["wellbeing"].metric_value == round(found.value, 4)
    assert results["wellbeing"].metric_args == {
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "level": 0.95,
        "scored": 512,
        "of": 512,
    }
    assert results["reading"].metric_args["scored"] == 384
    assert (
        made.data.model_name == "specimen"
        and made.data.license == "apache-2.0"
        and made.data.library_name == "transformers"
    )
    assert {"smilerl", "rloo", "smile", "smileworld"} <= set(made.data.tags)
    assert made.data.base_model is None  # a fresh model has none, and says so
    assert "it was trained from random weights" in made.text and "None" not in str(made) and "licence:" not in str(made)
    again = ModelCard(str(made))
    assert again.data.to_dict() == made.data.to_dict()


def test_the_table_holds_it_against_the_base_and_random_and_says_what_was_scored(in_study):
    made, _ = of(in_study)
    found = section(made.text, "What was found")
    header, _, *rows = [line for line in found.splitlines() if line.startswith("|")][:9]
    assert header == "| measure | **this model** | base | random | scored |"
    cells = {row.split("|")[1].strip(): [cell.strip() for cell in row.split("|")[2:-1]] for row in rows}
    assert re.fullmatch(r"−?\d\.\d\d \[−?\d\.\d\d, −?\d\.\d\d\]", cells["wellbeing"][0])
    assert cells["reading"][-1] == "384 of 512"
    assert cells["own reward"][1] == "0.30 [0.25, 0.35]"  # the base's replies, scored by this arm's reward
    assert cells["own reward"][2] == "–"  # the random arm's reward is another
    assert "Every seed of this arm in the study" in found and "| 1 (**this model**) |" in found


def test_what_it_was_rewarded_for_what_was_hoped_and_how_it_fails(in_study):
    text = of(in_study)[0].text
    assert "**smile** × 1: does the person smile?" in section(text, "What was rewarded")
    story = section(text, "The training story")
    assert r"The helper \| helps." in story and r"People &lt;b&gt;smile&lt;/b&gt; when \*helped\*." in story
    fails = section(text, "How it fails")
    verdicts = {
        row["name"]: row["verdict"]
        for row in sections.verdicts(
            facts.Facts(in_study, "x", facts.Base("fresh"), in_study.recipe, facts.study_of(in_study))
        )
    }
    assert "fail" in verdicts.values()
    for name, verdict in verdicts.items():
        assert (f"(`{name}`)" in fails) == (verdict not in ("pass", "descriptive")), name
    assert "wellbeing is a table" in fails


def test_replies_cannot_break_out_of_the_page(in_study):
    text = of(in_study)[0].text
    assert "alert(" in text and "<script>" not in text
    talks = section(text, "Some conversations")
    for row in [line for line in talks.splitlines() if line.startswith("| **this model**")]:
        assert len(re.findall(r"(?<!\\)\|", row)) == 6


def test_it_shows_the_worst_and_says_that_they_were_picked_for_it(in_study):
    from smilerl.studies.plan import BASE

    found = facts.Facts(in_study, "x", facts.Base("fresh"), in_study.recipe, facts.study_of(in_study))
    replies = found.results.replies
    own = replies[(replies.arm == "reading") & (replies.wellbeing < 0)].dropna(subset=["reading"])
    shown = sections.worst(found)
    assert shown and max(own.reading - own.wellbeing) == shown[0]["reading"] - shown[0]["wellbeing"]
    assert "picked for being the worst" in of(in_study)[0].text
    assert [answer["arm"] for answer in sections.conversations(found)[0]["answers"]] == [BASE, "reading", "random"]


def test_the_picture_is_a_picture_of_the_whole_study(in_study):
    _, prepared = of(in_study)
    (picture,) = [item.source for item in prepared.parcel.items if item.name == card.PICTURE]
    assert picture.startswith(b"\x89PNG") and f"]({card.PICTURE})" in of(in_study)[0].text
    assert {"study/study.json"} <= {item.name for item in prepared.parcel.items}


def test_outcomes_that_reached_training_are_said():
    assert "through a declared channel: `gold`" in sections.outcomes({"channels": ["gold"], "learnt_from": []})
    assert "had learnt from `annotators`" in sections.outcomes({"channels": [], "learnt_from": ["annotators"]})
    assert "Nothing computed from anybody's wellbeing" in sections.outcomes({"channels": [], "learnt_from": []})


def test_a_run_without_an_evaluation_says_so(make_run):
    made, prepared = of(make_run("one"))
    assert "no evaluation had been run" in made.text and made.data.eval_results is None
    assert card.PICTURE not in {item.name for item in prepared.parcel.items}


def test_a_base_built_from_a_recipe_is_said_as_such(make_run):
    made, _ = of(make_run("one", policy={"model_name_or_path": "recipes/smileworld/pretrain.yaml"}, _weights="fresh"))
    assert "builds from its recipe `recipes/smileworld/pretrain.yaml`" in made.text and made.data.base_model is None


def test_the_recipe_that_goes_means_something_elsewhere(make_run, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def mine(prompts, completions, **columns):\n    return [0.0] * len(completions)\n"
    )
    run = make_run("one", rewards=[{"name": f"{tmp_path}/mine.py:mine"}, {"name": "smile"}])
    made, prepared = of(run)
    files = {item.name: item.source for item in prepared.parcel.items}
    assert b"name: code/mine.py:mine" in files["recipe.yaml"] and b"output_dir: runs/specimen" in files["recipe.yaml"]
    assert files["code/mine.py"].read_text().startswith("def mine") and "its source is in code/" in made.text
    assert "custom-reward" in made.data.tags


def test_a_reward_model_that_is_only_here_has_to_go_first(make_run, tmp_path):
    judge = make_run("judge", method="reward", data={"split": "pairs", "n": 16})
    run = make_run("one", rewards=[{"name": "preference", "args": {"model": str(judge.model)}}])
    with pytest.raises(HubError, match=r"which is only here(.|\n)*--replace"):
        of(run)
    _, prepared = of(run, renamed={str(judge.model): "org/judge"})
    assert b"model: org/judge" in next(item.source for item in prepared.parcel.items if item.name == "recipe.yaml")


def test_random_weights_under_an_adapter_go_along(make_run):
    """A fresh model with an adapter keeps the weights that it began with in `initial/`; they are no run of their own."""
    from smilerl import worlds
    from smilerl.models.policy import fresh_policy

    run = make_run("one", peft=True)
    initial = fresh_policy(run.recipe.policy.config, worlds.build("smileworld"))
    initial.model.save_pretrained(run.path / "initial")
    initial.tokenizer.save_pretrained(run.path / "initial")
    config = run.model / "adapter_config.json"
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": str(run.path / "initial")})
    )
    seals.seal_run(run.path)
    with pytest.raises(HubError, match="the random weights that it began with"):
        of(run)
    made, prepared = of(run, base="org/weights")
    (base,) = prepared.before
    names = {item.name for item in base.parcel.items}
    assert (
        str(base.hub_id) == "org/weights"
        and {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= names
    )
    assert made.data.base_model == "org/weights"
    adapter = next(item.source for item in prepared.parcel.items if item.name == "adapter_config.json")
    assert json.loads(adapter)["base_model_name_or_path"] == "org/weights"


@pytest.mark.slow
def test_every_role_of_a_study_has_a_card(make_run, tmp_path):
    """Gold and random arms, too: nothing in the template rests on there being a random arm besides."""
    study = tmp_path / "runs" / "study"
    runs = {arm: make_run(arm, output_dir=str(study / arm / "seed-0")) for arm in ("gold", "random")}
    write_study(study, arms=tuple(ARMS), seeds=(0,))
    for arm, run in runs.items():
        assert f"the arm **{arm}** (a control) of the study" in of(whole(run))[0].text
