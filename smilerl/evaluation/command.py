"""`smilerl eval` and `smilerl judge`: what their options mean, and what they print."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

from smilerl import chat_models
from smilerl.config.recipe import DEFAULT_WORLD
from smilerl.config.yaml_lines import RecipeError, did_you_mean
from smilerl.evaluation import runner, subject
from smilerl.evaluation.judges import judged, report
from smilerl.evaluation.judges.judge import judges_of
from smilerl.evaluation.question import load_suite
from smilerl.io.terminal import printable
from smilerl.runs import ownership


def evaluate(given: SimpleNamespace) -> int:
    """Runs `smilerl eval`; its exit status: 1 where a question broke or none gave a number.

    Args:
        given: the command's options.
    """
    told, trusting = given.chat_template_kwargs, given.trust
    who = subject.find(given.model, world=given.world, base=given.base, told=told, trusting=trusting)
    suite = load_suite(given.suite)
    runner.check(suite, who.world)
    if given.out is not None:
        ownership.check_results(given.out / "results.json", "evaluations", "samples.parquet", "judged.parquet")
    who.check(reward=given.reward)
    if given.judge:  # whether the judge can be reached is known before the evaluation
        judged.check(given.judge)
    rivals = {
        name: subject.find(model, world=given.world, told=told, trusting=trusting)
        for name, model in _rivals(given.rival or [], suite).items()
    }
    out = given.out or who.folder / suite.name
    policy, base = who.policy(), who.base_policy()
    results = runner.evaluate(
        policy, who.world, suite,
        base=base, reward=who.reward(given.reward), trail=who.trail(), seed=given.seed, n=given.n, out_dir=out,
        rivals={name: rival.policy() for name, rival in rivals.items()},
        trusted=sorted({name for one in (who, *rivals.values()) for name in one.trusted}),
        progress=sys.stderr.isatty(),
    )  # fmt: skip
    said = None
    if given.judge:  # asked before anything is shown, since it may take verdicts back
        said = judged.add(given.judge, results, who.world, policy, base, n=given.n, seed=given.seed, out_dir=out)
    print(printable(subject.summary(results)))
    if said:
        print(printable(f"\n{judged.summary(said)}"))
    for name, spent in chat_models.usage().items():
        print(printable(f"\n{name}: {chat_models.Usage(**spent).line()}"))
    print(printable(f"\n{out / 'results.json'}"))
    stands = {found["status"] for found in results["evaluations"].values()}
    return 1 if "error" in stands or "scored" not in stands else 0


def _rivals(written: list[str], suite) -> dict[str, str]:
    """The models that the suite's questions compare with, by the names that they give them."""
    asked = [name for question in suite.questions for name in question.rivals]
    rivals = {}
    for text in written:
        name, _, model = text.partition("=")
        if not model:
            raise RecipeError(
                f"command line: --rival is {text}, but should be NAME=RUN_OR_MODEL.\n    Write --rival first=runs/a."
            )
        if name not in asked:
            raise RecipeError(
                f"command line: no question of '{suite.name}' has a rival '{name}'. {did_you_mean(name, asked)}"
            )
        rivals[name] = model
    return rivals


def judge(given: SimpleNamespace) -> int:
    """Runs `smilerl judge`; its exit status: 1 where no verdict by some rubric could be read.

    Args:
        given: the command's options.
    """
    if given.out is not None:
        ownership.check_results(given.out / "judge.json", "rubrics", "judge.txt")
    who = subject.find(given.policy or "carer", world=DEFAULT_WORLD, trusting=given.trust)
    judges = judges_of(
        given.speaker, given.rubrics.split(","), samples=given.samples, temperature=given.temperature,
        max_new_tokens=given.max_new_tokens, seed=given.seed,
    )  # fmt: skip
    chat_models.check(judges[0].chat_model)
    folder = Path(judges[0].chat_model.name).name + ("" if judges[0].scores == "by_writing" else f"-{judges[0].scores}")
    out = given.out or Path("runs") / "judges" / folder
    results = report.put_to_the_test(
        judges, who.world, n=given.n, n_robust=given.robust, seed=given.seed, answers=given.answers, out=out,
        policy=who.replies(32) if given.policy else None,
    )  # fmt: skip
    print(printable(f"{report.as_table(results)}\n\n{out / 'judge.json'}"))
    return 1 if any(found["scored"] == 0 for found in results["rubrics"].values()) else 0
