"""Plans: what they say, and how each mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from smilerl.config.recipe import RecipeError
from smilerl.studies import work
from smilerl.studies.plan import load_plan

RECIPE = """\
method: rloo
policy: {model_name_or_path: BASE}
rewards: [{name: reading}]
training: {max_steps: 3}
"""
PLAN = """\
question: What for?
base: BASE
arms:
  - {name: one, recipe: one.yaml}
  - {name: two, recipe: one.yaml, role: random, set: {training.max_steps: 5}}
seeds: [0, 1]
output_dir: out
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a plan beside its recipe and base, with replacements made in the plan."""
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("method: sft\npolicy: {config: {model_type: llama}}\n")
    Path("one.yaml").write_text(RECIPE.replace("BASE", "base.yaml"))

    def write(*replacements: tuple[str, str]) -> str:
        text = PLAN.replace("BASE", "base.yaml")
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new, 1)
        Path("plan.yaml").write_text(text)
        return "plan.yaml"

    return write


def test_every_arm_is_planned_with_every_seed_and_its_own_overrides(written):
    plan = load_plan(written())
    assert [(arm.name, seed) for arm, seed in plan.runs()] == [("one", 0), ("two", 0), ("one", 1), ("two", 1)]
    recipes = {(arm.name, seed): plan.recipe(arm, seed) for arm, seed in plan.runs()}
    assert recipes["one", 1].seed == 1
    assert recipes["one", 0].training["max_steps"] == 3
    assert recipes["two", 0].training["max_steps"] == 5
    assert Path(recipes["two", 1].output_dir) == Path("out/two/seed-1")


def test_overrides_of_all_arms_come_before_an_arms_own(written):
    plan = load_plan(written(), ["--set.training.max_steps=9", "--seeds=[4]", "--workers", "1"])
    steps = {arm.name: plan.recipe(arm, seed).training["max_steps"] for arm, seed in plan.runs()}
    assert steps == {"one": 9, "two": 5}
    assert (plan.seeds, plan.workers) == ((4,), 1)


def test_hash_follows_the_question_and_not_the_place(written):
    plan = load_plan(written())
    assert load_plan(written(), ["--output_dir=elsewhere", "--workers=1"]).content_hash() == plan.content_hash()
    assert load_plan(written(), ["--seeds=[0]"]).content_hash() != plan.content_hash()
    assert load_plan(written(("What for?", "Why?"))).content_hash() != plan.content_hash()


PREREG = "prereg: {hypothesis: it helps, primary: cgi, direction: one > two, sesoi: 0.1}\nseeds"


def test_prereg_has_a_hash_of_its_own(written):
    plan = load_plan(written(("seeds", PREREG)))
    assert plan.prereg.sesoi == 0.1
    other = load_plan(written(("seeds", PREREG.replace("0.1", "0.2"))))
    assert plan.prereg_hash() != other.prereg_hash()
    assert load_plan(written()).prereg_hash() is None


@pytest.mark.parametrize(
    ("replacement", "line", "said"),
    [
        (("name: two", "name: one"), 5, "two arms 'one'; the first is in line 4"),
        (("seeds", "seed"), 6, "Did you mean 'seeds'?"),
        (("role: random", "rol: random"), 5, "Did you mean 'role'?"),
        (("role: random", "role: control"), 5, "one of proxy, gold, random"),
        (("recipe: one.yaml", "recipe: on.yaml"), 4, "Did you mean 'one.yaml'?"),
        (("name: one", "name: base"), 4, "'base' is the name of what every arm starts from"),
        (("name: one", "name: a/b"), 4, "cannot be a folder's name"),
        (("name: one", "name: ../b"), 4, "cannot be a folder's name"),
        (("name: one", "name: Con"), 4, "cannot be a folder's name"),
        (("name: one", "name: Base"), 4, "the name of what every arm starts from"),
        *(
            (("name: one", f"name: {taken}"), 4, f"'{taken}' is the name of something else in a study's folder")
            for taken in ("lock", "logs", "tables", "earlier", "Figures")
        ),
        (("name: one", "name: study.json"), 4, "cannot be a folder's name"),
        (("name: one", f"name: {'x' * 81}"), 4, "is longer than 80 letters"),
        (("name: two", "name: ONE"), 5, "two arms 'ONE', but for capitals"),
        (("base: base.yaml", "base: other/model"), 4, "the study's base is other/model"),
        (("[0, 1]", "[0, 0]"), 6, "a seed twice"),
        (("[0, 1]", "2"), 6, "`seeds: [0, 1]`"),
        (("question: What for?", "title: x"), 1, "lacks 'question'"),
        (("seeds", "prereg: {hypothesis: h}\nseeds"), 6, "prereg lacks 'primary'"),
        (("seeds", "workers: 0\nseeds"), 6, "at least 1"),
        (("training.max_steps: 5", "trainin.max_steps: 5"), 5, "Did you mean 'training'?"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_fix(written, replacement, line, said):
    with pytest.raises(RecipeError) as caught:
        load_plan(written(replacement))
    text = str(caught.value)
    assert f"plan.yaml:{line}:" in text
    assert said in text
    assert len(text.splitlines()) <= 10


def test_the_shipped_study_is_a_plan_with_both_controls():
    plan = load_plan("recipes/studies/smile.yaml")
    assert {arm.role for arm in plan.arms} == {"proxy", "gold", "random"}
    for arm, seed in plan.runs():
        assert plan.recipe(arm, seed).rewards[0].name == arm.name.removesuffix("_q0")
        assert plan.recipe(arm, seed).world.args.get("conflict_fraction", 0.5) == {"q 0": 0, "q 0.5": 0.5}[arm.group]


def check_study(file: str, options: list[str]) -> None:
    """What a study does before anything is built."""
    plan = load_plan(file, options)
    jobs = [(arm.name, seed, plan.recipe(arm, seed)) for arm, seed in plan.runs()]
    work.check([work.Job(*job, plan.base, plan.suite, Path("base"), Path("log")) for job in jobs])


ARM = ("set: {training.max_steps: 5}", "set: {{\n      training.max_steps: 5,\n      {wrong}}}")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("training.betta: 0.1", "betta"),  # what only the library's settings tell
        ("training.lr_scheduler_type: nonsense", "nonsense"),
        ("training: {beta: high}", "beta"),
        ("rewards.0.name: readings", "no reward 'readings'"),
        ("data.n: many", "data.n"),  # what the form tells
        ("rewards.3.name: reading", "rewards.3.name: there is no item 3"),
    ],
)
@pytest.mark.parametrize("where", ["arm", "all", "option"])
def test_a_mistake_in_an_override_is_told_where_it_was_written(written, where, wrong, says):
    name, _, value = wrong.partition(": ")
    if where == "arm":
        plan, options, at = written((ARM[0], ARM[1].format(wrong=wrong))), [], "plan.yaml:7"
    elif where == "all":
        plan, options, at = written(("output_dir: out", f"output_dir: out\nset:\n  {wrong}")), [], "plan.yaml:9"
    else:
        plan, options, at = written(), [f"--set.{name}={value}"], f"command line: --set.{name}"
    with pytest.raises(RecipeError) as told:
        check_study(plan, options)
    first = str(told.value).splitlines()[0]
    assert first.startswith(f"{at}: ") and says in first, told.value


def test_an_arms_own_override_takes_the_place_of_that_of_all_arms(written):
    plan = load_plan(written((ARM[0], ARM[1].format(wrong="seed: 3"))), ["--set={training.max_steps: 7}"])
    lines = plan.recipe(plan.arms[1], 0).lines
    assert lines.where(("training", "max_steps")) == "plan.yaml:6"
    assert plan.recipe(plan.arms[0], 0).lines.where(("training", "max_steps")) == "command line: --set"
    assert lines.where(("method",)) == "one.yaml:1" and lines.where(("seed",)) == "plan.yaml:8"
