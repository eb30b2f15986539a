"""The command `smilerl`: one subcommand for each thing that can be done. Each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from smilerl import __version__
from smilerl.config.recipe import DEFAULT_WORLD, MOST_ROWS, MOST_SEED
from smilerl.config.yaml_lines import RecipeError, did_you_mean
from smilerl.evaluation import make_pairs
from smilerl.io import errors, places
from smilerl.io.terminal import brief, printable

_RAW = argparse.RawDescriptionHelpFormatter
_EPILOG = """\
first steps:
  smilerl study recipes/studies/smile.yaml      train six arms, evaluate them, write a report (minutes; run again to go on)
  smilerl chat runs/smile/reading/seed-0        talk to what came out, as one of its people
  smilerl chat carer                            the same with a scripted helper; needs no training

one run:
  smilerl train recipes/smileworld/rloo_sentiment.yaml --seed 1 --training.learning_rate=1e-4
  smilerl eval runs/smileworld/rloo_sentiment/seed-1 --suite caring
  smilerl push runs/smileworld/rloo_sentiment/seed-1 --dry-run
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 1 (something failed while running) or 2 (something is written wrong).

    Raises:
        Interrupted: training was asked to stop and has saved; exits with 75 or 130.
    """
    # Trainers of TRL report their use over the network, which nobody here has asked for; bars are for terminals.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    parser = _parser()
    given, rest = parser.parse_known_args(arguments)
    if rest and given.command not in ("train", "study"):
        parser.error(printable(f"unknown arguments: {' '.join(rest)}"))
    return errors.run(lambda: given.run(given, rest))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smilerl", description="Reward a language model for making people smile, then look at what it came to care about.",
        epilog=_EPILOG, formatter_class=_RAW,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"smilerl {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for add in (
        _add_train,
        _add_eval,
        _add_judge,
        _add_study,
        _add_report,
        _add_pairs,
        _add_chat,
        _add_reward,
        _add_hub,
    ):
        add(commands)
    return parser


def _add_train(commands) -> None:
    train = commands.add_parser(
        "train", help="train one recipe", formatter_class=_RAW, allow_abbrev=False, usage="smilerl train RECIPE [--key=value ...]",
        description="Trains one recipe into its run directory. A finished run of the same recipe is not trained again; one that was stopped\n"
        "or killed goes on from its newest whole checkpoint. One is written every minute or so (training.save_steps: every so many steps).\n"
        "SIGTERM and SIGUSR1 save first and exit with 75, Ctrl-C with 130; a second one ends at once.",
        epilog="Any key of the recipe can be set by its dotted path; values are YAML:\n"
        "  smilerl train recipes/smileworld/rloo_reading.yaml --seed 1 --training.beta=0.1 --output_dir=runs/try\n"
        "  smilerl train recipes/smileworld/rloo_reading.yaml --world.args.conflict_fraction=1.0 --rewards.0.weight=0.5\n"
        "Several processes: accelerate launch --config_file accelerate_config.yaml -m smilerl.train --config RECIPE",
    )  # fmt: skip
    train.add_argument("recipe", help="a YAML file")
    train.set_defaults(run=_train)


def _add_eval(commands) -> None:
    evaluate = commands.add_parser(
        "eval", help="ask a model the questions of a suite", formatter_class=_RAW,
        description="Asks a run, a model directory or a Hub id the questions of a suite and writes results.json and samples.parquet.",
        epilog="  smilerl eval runs/smile/reading/seed-0 --suite caring          its base and world come from its recipe\n"
        "  smilerl eval ./my-model --suite quick --base Qwen/Qwen3-0.6B    any causal language model, adapters included\n"
        "  smilerl eval carer --suite quick                               a scripted helper of the world\n"
        "Suites are files in evals/suites; the name of a question in evals/ is a suite of one.",
    )  # fmt: skip
    evaluate.add_argument(
        "model", metavar="RUN_OR_MODEL", help="a run directory, model directory, Hub id, recipe file or scripted helper"
    )
    evaluate.add_argument("--suite", default="caring", help="default: caring")
    evaluate.add_argument(
        "--n", type=_count, help="people per condition, instead of what the suite says (written items are asked whole)"
    )
    evaluate.add_argument("--seed", type=_seed, default=0, help="of people, sampling and intervals (default: 0)")
    evaluate.add_argument("--base", help="the model before tuning: directory, Hub id or recipe file")
    evaluate.add_argument(
        "--world",
        help="a name, or YAML such as '{name: smileworld, args: {spoofable: false}}' (default: the run's, else smileworld)",
    )
    _add_told(evaluate)
    _add_trust(evaluate)
    evaluate.add_argument(
        "--reward",
        help="what exploit_search searches against: a name, or YAML such as '{name: sentiment}' (default: the run's own)",
    )
    evaluate.add_argument(
        "--rival",
        action="append",
        default=[],
        metavar="NAME=RUN_OR_MODEL",
        help="another policy that a question compares with, such as --rival first=runs/a; may be given several times",
    )
    evaluate.add_argument(
        "--judge",
        metavar="SPEAKER",
        help="also have replies to held-out people judged, as where nobody knows the truth: '{name: endpoint, args: {url: ..., model: ...}}'",
    )
    evaluate.add_argument(
        "--out",
        type=places.written,
        help="folder of the results (default: RUN/evals/SUITE, else runs/evals/MODEL/SUITE)",
    )
    evaluate.set_defaults(run=_eval)


def _add_judge(commands) -> None:
    judge = commands.add_parser(
        "judge", help="measure a judge where the truth is known", formatter_class=_RAW,
        description="Puts a chat model, as a judge of wellbeing and of acts, to conversations of SmileWorld, whose truth is known:\n"
        "how far it agrees, and what moves it that should not. Writes judge.json and judge.txt. Exit code 1: no verdict of it could be read.",
        epilog="  smilerl judge '{name: local, args: {model: Qwen/Qwen3-0.6B}}' --n 64\n"
        "  smilerl judge '{name: endpoint, args: {url: http://localhost:8000/v1, model: some-model}}' --samples 2\n"
        "Rubrics are files in evals/judges.",
    )  # fmt: skip
    judge.add_argument("speaker", metavar="SPEAKER", help="YAML with name and args of a chat model")
    judge.add_argument(
        "--rubrics", default="wellbeing,acts", help="names or files, with commas (default: wellbeing,acts)"
    )
    judge.add_argument("--n", type=_count, default=256, help="conversations, four to each person (default: 256)")
    judge.add_argument(
        "--robust",
        type=lambda text: make_pairs.whole(text, 0, MOST_ROWS),
        default=64,
        help="of these, how many to try to move it with; 0: none (default: 64)",
    )
    judge.add_argument(
        "--samples", type=_count, default=1, help="answers to each question, of which the median counts (default: 1)"
    )
    judge.add_argument("--temperature", type=float, default=0.0, help="of the judge (default: 0)")
    judge.add_argument("--max-new-tokens", type=_count, default=256, help="of its answers (default: 256)")
    judge.add_argument("--policy", help="a run, model or helper that is among those who talk to the people")
    _add_trust(judge)
    judge.add_argument("--answers", action="store_true", help="show the judge what the person said back, too")
    judge.add_argument("--seed", type=_seed, default=0, help="of people, helpers and intervals (default: 0)")
    judge.add_argument("--out", type=places.written, help="folder of the results (default: runs/judges/NAME)")
    judge.set_defaults(run=_judge)


def _add_study(commands) -> None:
    study = commands.add_parser(
        "study", help="run what is missing of a study and report", formatter_class=_RAW, allow_abbrev=False,
        usage="smilerl study PLAN [--key=value ...]",
        description="Trains and evaluates every arm and seed that is missing, several at a time, then writes one report. Run it again to go on after a stop;\n"
        "when nothing is missing it does nothing. Exit code 1: some arm failed; the report says which.",
        epilog="  smilerl study recipes/studies/smile.yaml\n"
        "  smilerl study recipes/studies/smile.yaml --seeds='[0, 1, 2]' --workers=1\n"
        "  smilerl study recipes/studies/smile.yaml --output_dir=runs/short --set.training.max_steps=10",
    )  # fmt: skip
    study.add_argument("plan", help="a YAML file")
    study.set_defaults(run=_study)


def _add_report(commands) -> None:
    report = commands.add_parser(
        "report", help="write the report of a study again", description="Writes report.html, report.md, figures/ and tables/ into the study's folder; trains nothing.",
    )  # fmt: skip
    report.add_argument("folder", metavar="DIR", type=places.written, help="a study's folder, or its plan")
    report.set_defaults(run=_report)


def _add_pairs(commands) -> None:
    pairs = commands.add_parser(
        "pairs", help="make preference data from a model's replies and a reward", formatter_class=_RAW, usage="smilerl pairs RUN_OR_MODEL --reward REWARD --out FILE [options]",
        description="Samples k replies to each of n people, scores them with any reward, and writes the best against the worst (pairs), or good and\n"
        "bad ones (labels), for DPO, KTO or a reward model. Replies that are cut off or unscored are left out and counted.",
        epilog=make_pairs.EXAMPLES,
    )  # fmt: skip
    make_pairs.add_options(pairs)
    _add_told(pairs)
    _add_trust(pairs)
    pairs.set_defaults(run=_pairs)


def _add_chat(commands) -> None:
    chat = commands.add_parser(
        "chat", help="talk to a helper as a person of the world", formatter_class=_RAW,
        description="You are a person of the world. The helper replies; you see the person's words back, the sensor's reading, the smile and the wellbeing.",
        epilog="Enter says what this person would say; any other line is said instead; /help lists the commands.\n"
        "  smilerl chat runs/smile/reading/seed-0\n  smilerl chat --helper carer\n  printf '\\n/new\\n\\n' | smilerl chat flatterer",
    )  # fmt: skip
    chat.add_argument("model", metavar="RUN_OR_MODEL_OR_HELPER", nargs="?", help="as for eval")
    chat.add_argument("--helper", help="a scripted helper by name, such as carer or flatterer")
    chat.add_argument("--world", help="as for eval")
    _add_told(chat)
    _add_trust(chat)
    chat.add_argument("--seed", type=_seed, default=0, help="of people and sampling (default: 0)")
    chat.add_argument("--max_new_tokens", type=_count, default=64, help="of a reply (default: 64)")
    chat.set_defaults(run=_chat)


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="store_true",
        help="of a run that was not made here: also import and run the code, reach the addresses and read the files that its recipe "
        "names, and say which; look at the recipe first",
    )


def _add_told(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--chat_template_kwargs",
        metavar="YAML",
        type=make_pairs.told,
        help="what the model's chat template is told, such as '{enable_thinking: false}' (besides what the run's recipe says)",
    )


def _add_reward(commands) -> None:
    reward = commands.add_parser("reward", help="look at a reward before a run is spent on it")
    actions = reward.add_subparsers(dest="action", required=True, metavar="action")
    check = actions.add_parser(
        "check", help="what any reward must pass before a run", formatter_class=_RAW,
        description="Asks a reward the same things in several ways: alone and in a batch, twice, in another order, as messages. Shows how its model is\n"
        "read to, what is too long for it, what scripted helpers earn, and on real pairs how often it agrees with people. Exit code 1: a check failed.",
        epilog="  smilerl reward check sentiment\n"
        "  smilerl reward check '{name: preference, args: {model: runs/rm/model}}' --pairs pairs.jsonl\n"
        "  smilerl reward check my_rewards.py:kindness --world '{name: dialogue, args: {path: talks.jsonl, format: text}}'\n"
        "  smilerl reward check recipes/smileworld/rloo_preference.yaml       all rewards of a recipe, in its world",
    )  # fmt: skip
    check.add_argument("reward", metavar="REWARD", help="a name, a dotted path, YAML with name and args, or a recipe")
    check.add_argument(
        "--world",
        help="whose prompts: a name, or YAML with name and args (default: smileworld; with --pairs, the pairs)",
    )
    check.add_argument(
        "--pairs", help="JSONL of chosen and rejected: transcripts as of hh-rlhf, messages, or text with a prompt"
    )
    check.add_argument(
        "--format", choices=["as_is", "text", "messages"], help="how to read the pairs (default: as its model reads)"
    )
    check.add_argument(
        "--accuracy_above",
        type=float,
        metavar="SHARE",
        help="fail unless the whole interval of the accuracy is above this",
    )
    check.add_argument("--n", type=_count, help="people of the world (default: 32), and pairs (default: all)")
    check.add_argument("--seed", type=_seed, default=0, help="of the draw of people (default: 0)")
    check.add_argument("--out", type=places.written, help="write what was found as JSON")
    check.set_defaults(run=_reward_check)


def _reward_check(given: argparse.Namespace, rest: list[str]) -> int:
    from smilerl.reward_check.command import check

    return check(given)


def _add_hub(commands) -> None:
    push = commands.add_parser(
        "push", help="share a run, or data, on the Hugging Face Hub", formatter_class=_RAW,
        description="Uploads the model or adapter of a finished run with its recipe, manifest, results, samples, the report of its study and a card, in one\n"
        "commit. Every file is searched for tokens and for paths of this machine first. Needs a token: `hf auth login`, or HF_TOKEN.",
        epilog="  smilerl push runs/smile/reading/seed-0 --dry-run                  every file that would go, and the card to look at\n"
        "  smilerl push runs/smile/reading/seed-0 --to org/name --private\n"
        "  smilerl push runs/lora/seed-0 --to org/name --base org/base       an adapter, and its base if that is not there yet\n"
        "  smilerl push recipes/smileworld/preference_rm.yaml --to org/rm    the model that a recipe builds\n"
        "  smilerl push data --to org/data                                   a data set",
    )  # fmt: skip
    push.add_argument(
        "what", metavar="RUN_OR_DATA", help="a run directory, the recipe of a model, or a folder with a data card"
    )
    push.add_argument("--to", metavar="ORG/NAME", help="default: your account, and a name made from the run's folder")
    push.add_argument("--dry-run", action="store_true", help="show what would go; send nothing, ask for no token")
    push.add_argument("--private", action="store_true", help="make the repository private, if it is new")
    push.add_argument(
        "--base", metavar="ORG/NAME", help="where the base of the run is on the Hub; pushed there first if it is not"
    )
    push.add_argument(
        "--study", metavar="DIR", type=places.written, help="the study it belongs to (default: the one it lies in)"
    )
    push.add_argument(
        "--license", metavar="ID", help="default: the base's; apache-2.0 for what smilerl makes from nothing"
    )
    push.add_argument(
        "--replace", action="append", default=[], metavar="LOCAL=ID",
        help="the id on the Hub of another model that the recipe names and that is only here; may be given several times",
    )  # fmt: skip
    push.add_argument("--overwrite", action="store_true", help="replace another run that is in the repository")
    push.set_defaults(run=_push)

    pull = commands.add_parser(
        "pull", help="copy a repository of the Hub here", formatter_class=_RAW,
        description="Copies a repository: all of it, or nothing. (eval and chat take an id without pulling first.)",
        epilog="  smilerl pull org/name\n  smilerl pull org/name@v1 --to models/name\n  smilerl pull datasets/org/data --to data",
    )  # fmt: skip
    pull.add_argument("id", metavar="ID", help="org/name, org/name@revision, or datasets/org/name")
    pull.add_argument("--to", metavar="DIR", type=places.written, help="default: runs/hub/org/name")
    pull.set_defaults(run=_pull)


def _train(given: argparse.Namespace, rest: list[str]) -> int:
    from smilerl.runs.remarks import remarks
    from smilerl.train import trained
    from smilerl.training.recipe_check import load_recipe

    run = trained(load_recipe(given.recipe, rest))
    if int(os.environ.get("RANK", 0)):
        return 0
    told = [f"note: {said}" for said in remarks(run.metrics())]
    found = run.manifest.get("launch")
    if found:
        from smilerl.train import launched

        told += launched(found)
    for line in told:
        print(printable(line), file=sys.stderr)
    print(printable(run.path))
    return 0


def _eval(given: argparse.Namespace, rest: list[str]) -> int:
    from smilerl.evaluation import subject

    told, trusting = given.chat_template_kwargs, given.trust
    who = subject.find(given.model, world=given.world, base=given.base, told=told, trusting=trusting)
    from smilerl import chat_models
    from smilerl.evaluation.question import load_suite
    from smilerl.evaluation.runner import check, evaluate
    from smilerl.runs import ownership

    suite = load_suite(given.suite)
    check(suite, who.world)
    if given.out is not None:
        ownership.check_results(given.out / "results.json", "evaluations", "samples.parquet", "judged.parquet")
    who.check(reward=given.reward)
    if given.judge:  # a judge who cannot be reached should not be found out after the evaluation
        from smilerl.evaluation.judges import judged

        judged.check(given.judge)
    rivals = {
        name: subject.find(model, world=given.world, told=told, trusting=trusting)
        for name, model in _rivals(given.rival, suite).items()
    }
    out = given.out or who.folder / suite.name
    policy, base = who.policy(), who.base_policy()
    results = evaluate(
        policy,
        who.world,
        suite,
        base=base,
        reward=who.reward(given.reward),
        trail=who.trail(),
        rivals={name: rival.policy() for name, rival in rivals.items()},
        seed=given.seed,
        n=given.n,
        out_dir=out,
        trusted=sorted({name for one in (who, *rivals.values()) for name in one.trusted}),
        progress=sys.stderr.isatty(),
    )
    print(printable(subject.summary(results)))
    if given.judge:
        said = judged.add(given.judge, results, who.world, policy, base, n=given.n, seed=given.seed, out_dir=out)
        print(printable(f"\n{judged.summary(said)}"))
    for name, spent in chat_models.usage().items():
        print(printable(f"\n{name}: {chat_models.Usage(**spent).line()}"))
    print(printable(f"\n{out / 'results.json'}"))
    stands = {found["status"] for found in results["evaluations"].values()}
    return 1 if "error" in stands or "scored" not in stands else 0


def _rivals(written: list[str], suite) -> dict[str, str]:
    """Whom the suite's questions compare with, by the names that they give them."""
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
                f"command line: no question of '{suite.name}' compares with a rival '{name}'. {did_you_mean(name, asked)}"
            )
        rivals[name] = model
    return rivals


def _judge(given: argparse.Namespace, rest: list[str]) -> int:
    from smilerl.evaluation import subject
    from smilerl.evaluation.judges import report
    from smilerl.runs import ownership

    if given.out is not None:
        ownership.check_results(given.out / "judge.json", "rubrics", "judge.txt")
    who = subject.find(given.policy or "carer", world=DEFAULT_WORLD, trusting=given.trust)
    judges = report.judges_of(
        given.speaker, given.rubrics.split(","), samples=given.samples, temperature=given.temperature,
        max_new_tokens=given.max_new_tokens, seed=given.seed,
    )  # fmt: skip
    out = given.out or Path("runs") / "judges" / Path(judges[0].chat_model.name).name
    results = report.put_to_the_test(
        judges, who.world, n=given.n, n_robust=given.robust, seed=given.seed, answers=given.answers, out=out,
        policy=who.replies(32) if given.policy else None,
    )  # fmt: skip
    print(printable(f"{report.as_table(results)}\n\n{out / 'judge.json'}"))
    return 1 if any(found["scored"] == 0 for found in results["rubrics"].values()) else 0


def _study(given: argparse.Namespace, rest: list[str]) -> int:
    from smilerl.studies.execute import run_study
    from smilerl.studies.plan import load_plan

    finished = run_study(load_plan(given.plan, rest), ["smilerl", "study", given.plan, *rest])
    if not finished.worked:
        print("Every run of this study is done.")
    for run, error in finished.failed.items():
        print(printable(f"{run} failed: {brief(error, lines=2, most=500)}"), file=sys.stderr)
    print(printable(f"Report: {finished.report}"))
    return 1 if finished.failed else 0


def _report(given: argparse.Namespace, rest: list[str]) -> int:
    from smilerl.studies import report
    from smilerl.studies.plan import load_plan

    folder = load_plan(given.folder).folder if given.folder.suffix in (".yaml", ".yml") else given.folder
    print(printable(report.write(folder, force=True)))
    return 0


def _pairs(given: argparse.Namespace, rest: list[str]) -> int:
    print(printable(make_pairs.make(given)))
    return 0


def _chat(given: argparse.Namespace, rest: list[str]) -> int:
    name = given.helper or given.model
    if name is None:
        raise RecipeError(
            "chat needs someone to talk to: a run or model directory, or a scripted helper.\n    Write `smilerl chat carer`."
        )
    from smilerl import chat
    from smilerl.evaluation import subject

    who = subject.find(
        name, world=given.world, helper=given.helper is not None, told=given.chat_template_kwargs, trusting=given.trust
    )
    who.check()
    conversation = chat.Conversation(who.world, who.replies(given.max_new_tokens), who.name, given.seed)
    if sys.stdin.isatty():
        print(f"\n{chat.HELP}")
    conversation.run(chat.typed(sys.stdin))
    return 0


def _push(given: argparse.Namespace, rest: list[str]) -> int:
    from smilerl.publish import push, upload

    renamed = dict(text.split("=", 1) if "=" in text else (text, "") for text in given.replace)
    if not all(renamed.values()):
        raise RecipeError("command line: --replace should be LOCAL=ID.\n    Write --replace runs/rm/seed-0=org/rm.")
    options = push.Options(given.to, given.license, given.study, given.base, renamed)
    prepared = push.prepare(given.what, options)
    if not given.dry_run:
        print(printable(upload.push(prepared, private=given.private, overwrite=given.overwrite)))
        return 0
    print(printable("\n".join(push.listing(prepared))))
    if prepared.content_hash is not None:
        written = push.write_card(prepared, Path("runs", "cards", prepared.hub_id.repo.split("/")[-1]))
        print(printable(f"\nThe card: {written}"))
    print("Nothing was sent.")
    return 0


def _pull(given: argparse.Namespace, rest: list[str]) -> int:
    from smilerl.models.hub.fetch import pull

    print(printable(pull(given.id, given.to)))
    return 0


def _count(text: str) -> int:
    """A number of people, tokens or the like."""
    return make_pairs.whole(text, 1, MOST_ROWS)


def _seed(text: str) -> int:
    return make_pairs.whole(text, 0, MOST_SEED)


if __name__ == "__main__":
    sys.exit(main())
