"""The `evaluate` modules: one folder is one metric, and every folder is tested."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from smilerl.evaluation.formula import parse
from smilerl.statistics import best_of_n, goodhart
from smilerl.statistics.bootstrap import Answered
from smilerl.statistics.intervals import estimate, mean_estimate

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.name for path in (ROOT / "evals" / "metrics").iterdir() if path.is_dir())
NAN = float("nan")


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """Loads a metric by its path, with a cache of its own."""
    evaluate = pytest.importorskip("evaluate", reason="evaluate is not installed (pip install smilerl[harness])")
    cache = tmp_path_factory.mktemp("evaluate")
    patch = pytest.MonkeyPatch()
    patch.setattr(evaluate.config, "HF_MODULES_CACHE", str(cache / "modules"))

    def loaded(name):
        path = ROOT / "evals" / "metrics" / name / f"{name}.py"
        return evaluate.load(str(path), cache_dir=str(cache / "data"))

    yield loaded
    patch.undo()


def test_every_metric_is_there():
    assert NAMES == ["best_of_n", "cgi", "goodhart", "revealed_values", "triangle"]


@pytest.mark.parametrize("name", NAMES)
class TestMetric:
    def test_its_card_makes_a_metric_space(self, name):
        _, header, text = (ROOT / "evals" / "metrics" / name / "README.md").read_text().split("---\n", 2)
        card = yaml.safe_load(header)
        assert card["sdk"] == "gradio" and {"evaluate", "metric"} <= set(card["tags"])
        assert card["title"] and card["description"] and card["license"] == "apache-2.0"
        assert f'evaluate.load("evals/metrics/{name}/{name}.py")' in text and "## What it misses" in text

    def test_it_says_what_it_is_and_where_its_formula_is_from(self, name, load):
        metric = load(name)
        assert len(metric.description) > 200 and "@" in metric.citation and "Returns:" in metric.inputs_description

    def test_its_example_is_true(self, name, load, monkeypatch):
        monkeypatch.chdir(ROOT)
        examples = doctest.DocTestParser().get_doctest(load(name).inputs_description, {}, name, None, 0)
        found = doctest.DocTestRunner(verbose=False).run(examples)
        assert found.attempted >= 3 and found.failed == 0


def test_cgi_is_the_formula_of_the_evaluation(load):
    rng = np.random.default_rng(0)
    care, gaming = rng.uniform(-1, 1, 60), rng.uniform(0, 1, 60)
    carer, gamer, clusters = rng.normal(0.9, 0.05, 60), rng.normal(-0.9, 0.1, 60), np.arange(60) % 12
    care[5] = NAN
    found = load("cgi").compute(addressed=care, gaming=gaming, carer=carer, gamer=gamer, clusters=clusters, seed=3)
    written = yaml.safe_load((ROOT / "evals" / "held_out.yaml").read_text())["estimates"]["cgi"]
    formula = parse(written, ["people"])
    values = {"policy": care - gaming, "carer": carer, "gamer": gamer}
    answered = [Answered(values[term.who], clusters, "people", term.who) for term in formula.terms]
    expected = estimate(formula, answered, seed=3)
    assert (found["cgi"], found["low"], found["high"]) == pytest.approx((expected.value, expected.low, expected.high))
    assert (found["scored"], found["of"]) == (59, 60)


def test_anchors_are_at_one_and_minus_one(load):
    for u, index in ((0.8, 1), (0.0, 0), (-0.9, -1)):
        found = load("cgi").compute(addressed=[u] * 5, gaming=[0.0] * 5, carer=[0.8] * 5, gamer=[-0.9] * 5)
        assert found["cgi"] == pytest.approx(index)


def test_triangle_counts_replies_that_move_nothing(load):
    found = load("triangle").compute(
        person=[1.0, 0.0, NAN, None], smile_only=[0.0, 0.5, NAN, None], reading_only=[0.0, 0.5, NAN, None]
    )
    assert [found[name][0] for name in ("person", "smile_only", "reading_only")] == [0.5, 0.25, 0.25]
    assert (found["scored"], found["of"]) == (2, 4)
    assert all(0 <= found[name][1] <= found[name][2] <= 1 for name in ("person", "smile_only", "reading_only"))


@pytest.mark.parametrize("shares", [(0.5, 0.2, 0.2), (1.5, -0.5, 0.0)])
def test_shares_that_are_no_shares_are_refused(load, shares):
    with pytest.raises(ValueError, match="reply 1"):
        load("triangle").compute(person=[1.0, shares[0]], smile_only=[0.0, shares[1]], reading_only=[0.0, shares[2]])


def test_goodhart_takes_numbers_and_numbers_by_prompt(load):
    rng = np.random.default_rng(1)
    d, group = np.tile(np.linspace(0.3, 4, 9), 4), np.repeat(np.arange(4), 9)
    change = d[:, None] * (0.9 + rng.normal(0, 0.1, size=20) - 0.3 * d[:, None]) + rng.normal(0, 0.05, size=(36, 20))
    change[0] = NAN
    for given in (change.mean(1), change):
        found = load("goodhart").compute(d=d, change=given, group=group)
        expected = goodhart.fit(d, given, group)
        assert found["form"] == goodhart.choose(expected).form == "bon"
        assert found["fits"]["bon"]["alpha"] == pytest.approx(expected["bon"].alpha)
        assert found["fits"]["bon"]["intervals"] == expected["bon"].intervals
        assert (found["scored"], found["of"]) == (35, 36)


def test_revealed_values_are_a_mean_change(load):
    rng = np.random.default_rng(2)
    tuned, base, clusters = rng.normal(1, 1, 40), rng.normal(0, 1, 40), np.arange(40) % 10
    tuned[0], base[1] = NAN, NAN
    found = load("revealed_values").compute(tuned=tuned, base=base, clusters=clusters)
    expected = mean_estimate(tuned - base, clusters, seed=0)
    assert (found["delta_psi"], found["low"]) == pytest.approx((expected.value, expected.low))
    assert (found["scored"], found["of"]) == (38, 40)


def test_best_of_n_is_that_of_the_package(load):
    rng = np.random.default_rng(3)
    rewards, measure = rng.normal(size=(30, 8)), rng.normal(size=(30, 8))
    rewards[0, :3] = NAN
    found = load("best_of_n").compute(rewards=rewards, measure=measure)
    expected = best_of_n.curves(rewards, measure)
    assert found["measure"] == pytest.approx(np.nanmean(expected.gold, axis=0).tolist())
    assert found["prompts"] == [30, 30, 30, 29] and (found["scored"], found["of"]) == (237, 240)
    assert found["slope"] == pytest.approx(best_of_n.slope(expected).value)


@pytest.mark.parametrize(
    ("name", "inputs", "none"),
    [
        ("cgi", {"addressed": [NAN, None], "gaming": [0.0, 0.0], "carer": [1.0, 1.0], "gamer": [-1.0, -1.0]}, "cgi"),
        ("triangle", {"person": [None] * 2, "smile_only": [None] * 2, "reading_only": [None] * 2}, "person"),
        ("revealed_values", {"tuned": [NAN, 1.0], "base": [0.0, NAN]}, "delta_psi"),
        ("best_of_n", {"rewards": [[NAN, None]], "measure": [[1.0, 2.0]]}, "slope"),
    ],
)
def test_nothing_scored_is_no_number(load, name, inputs, none):
    found = load(name).compute(**inputs)
    assert found[none] is None and found["scored"] == 0 and found["of"] == 2
    json.dumps(found, allow_nan=False)


def test_batches_add_up(load):
    metric = load("revealed_values")
    metric.add_batch(tuned=[1.0, 2.0], base=[0.0, 0.0])
    metric.add(tuned=3.0, base=None)
    found = metric.compute()
    assert (found["delta_psi"], found["scored"], found["of"]) == (1.5, 2, 3)


@pytest.mark.long
def test_many_may_load_and_compute_at_once_without_a_network(tmp_path):
    pytest.importorskip("evaluate", reason="evaluate is not installed (pip install smilerl[harness])")
    asked = f"""
import evaluate
for name in {NAMES}:
    evaluate.load(f"evals/metrics/{{name}}/{{name}}.py")
metric = evaluate.load("evals/metrics/revealed_values/revealed_values.py")
print(metric.compute(tuned=[1.0, 2.0], base=[0.0, 0.0])["delta_psi"])
"""
    quiet = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([sys.executable, "-c", asked], cwd=ROOT, env=os.environ | quiet, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]  # fmt: skip
    said = [process.communicate(timeout=600) for process in running]
    assert [out.strip() for out, _ in said] == ["1.5"] * 4, said
