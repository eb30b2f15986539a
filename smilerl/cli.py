"""The command `smilerl`: one function for each subcommand. Each imports what it needs when it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from smilerl import __version__
from smilerl.config.options import Model, Out, Seed, Told, Trust, WithOverrides, World, parsed_by, path, whole
from smilerl.io import errors, places
from smilerl.io.errors import UserError
from smilerl.io.terminal import brief, printable, say

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)  # fmt: skip
_overridden = {"allow_extra_args": True, "ignore_unknown_options": True}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, 1 (it failed while running) or 2 (a mistake in the input).

    Raises:
        SystemExit: help or the version was printed (0), or training was asked to stop and has saved (75 or 130).
    """
    return errors.run(lambda: _run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    # Not `app(...)`: it would turn Ctrl-C and a broken pipe into exit statuses of its own.
    group = typer.main.get_command(app)
    try:
        with group.make_context("smilerl", list(arguments)) as context:
            return group.invoke(context)
    except typer.Exit as done:
        raise SystemExit(done.exit_code) from None
    except typer.TyperException as error:
        near = getattr(error, "possibilities", None)
        said = f"{error.message}. Did you mean {near[0]}?" if near else error.format_message()
        at = getattr(error, "ctx", None)
        raise UserError(
            f"command line: {brief(said.replace('Value error, ', ''), lines=4, most=500)}\n"
            f"    `{at.command_path if at else 'smilerl'} --help` shows what can be written."
        ) from None


def _version(asked: bool) -> None:
    if asked:
        print(f"smilerl {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[bool, Option("--version", is_eager=True, callback=_version, help="print the version")] = False,
) -> None:
    """Reward a language model for making people smile, then look at what it came to care about.

    \b
    first steps:
      smilerl study recipes/studies/smile.yaml      train six arms, evaluate them, write a report (run again to go on)
      smilerl chat runs/smile/reading/seed-0        talk to what came out, as one of its people
      smilerl chat carer                            the same with a scripted helper; needs no training

    \b
    one run:
      smilerl train recipes/smileworld/rloo_sentiment.yaml --seed 1 --training.learning_rate=1e-4
      smilerl eval runs/smileworld/rloo_sentiment/seed-1 --suite caring
      smilerl push runs/smileworld/rloo_sentiment/seed-1 --dry-run
    """


@app.command(cls=WithOverrides, context_settings=_overridden, options_metavar="[--KEY=VALUE ...]")
def train(context: typer.Context, recipe: Annotated[str, Argument(metavar="RECIPE", help="a YAML file")]) -> int:
    """Train one recipe into its output_dir.

    A finished run of the same recipe is not trained again; one that was stopped or killed resumes from its newest whole
    checkpoint. One is written about every minute (training.save_steps: every so many steps). SIGTERM and SIGUSR1 save
    first and exit with 75, Ctrl-C with 130; a second signal ends at once.

    \b
    Any key of the recipe can be set by its dotted path; values are YAML:
      smilerl train recipes/smileworld/rloo_reading.yaml --seed 1 --training.beta=0.1 --output_dir=runs/try
      smilerl train recipes/smileworld/rloo_reading.yaml --world.args.conflict_fraction=1.0 --rewards.0.weight=0.5
    Several processes: accelerate launch --config_file accelerate_config.yaml -m smilerl.train --config RECIPE
    """
    from smilerl.train import train

    return train(recipe, context.args)


@app.command("eval")
def evaluate(
    model: Model,
    suite: Annotated[str, Option(help="a file of evals/suites, or a question of evals/")] = "caring",
    n: Annotated[int | None, whole("people per condition, instead of what the suite says")] = None,
    seed: Seed = 0,
    base: Annotated[
        str | None, Option(help="the model before tuning: directory, GGUF file, Hub id or recipe file")
    ] = None,
    world: World = None,
    chat_template_kwargs: Told = None,
    trust: Trust = False,
    reward: Annotated[str | None, Option(help="what exploit_search searches against (default: the run's own)")] = None,
    rival: Annotated[
        list[str] | None,
        Option(
            metavar="NAME=RUN_OR_MODEL",
            help="a policy that a question compares with, such as --rival first=runs/a; may be given several times",
        ),
    ] = None,
    judge: Annotated[
        str | None,
        Option(
            metavar="SPEAKER",
            help="also have replies judged; harm takes verdicts back: '{name: endpoint, args: {url: ..., model: ...}}'",
        ),
    ] = None,
    out: Out = None,
) -> int:
    """Ask a run, a model or a scripted helper the questions of a suite.

    Writes results.json and samples.parquet into RUN/evals/SUITE, else runs/evals/MODEL/SUITE. Exit code 1: a question
    gave no number.

    \b
      smilerl eval runs/smile/reading/seed-0 --suite caring          its base and world come from its recipe
      smilerl eval ./my-model --suite quick --base Qwen/Qwen3-0.6B    any causal language model, adapters included
      smilerl eval ./model.gguf --suite real                         a GGUF file; package:NAME/FILE.gguf in a package
      smilerl eval carer --suite quick                               a scripted helper of the world
      smilerl eval my_file.py:my_helper --suite quick                a scripted policy of your own

    \b
    A scripted policy is a function of people (hidden states, JSON) and a seed: `def my_helper(people, seed):` returns a
    list with one text for each person. It may take `prompts`, what a model would read, beside people or in their place.
    It should be pure: its answers are kept under the content of its file, and of files of yours that this imports.

    \b
    A question is a file in evals/ and names its suites (suites: [caring, quick]); evals/suites/ has settings.
    The name of a question is a suite, too. Your own suite: a YAML file with `evaluations: [my_question.yaml, tamper]`.
    """
    given = SimpleNamespace(**locals())
    from smilerl.evaluation.command import evaluate

    return evaluate(given)


@app.command()
def judge(
    speaker: Annotated[str, Argument(metavar="SPEAKER", help="YAML with name and args of a chat model")],
    rubrics: Annotated[str, Option(help="names in evals/judges or files, with commas")] = "wellbeing,acts,harm",
    n: Annotated[int, whole("conversations, four to each person")] = 256,
    robust: Annotated[int, whole("of these, how many to try to move it with; 0: none", least=0)] = 64,
    samples: Annotated[int, whole("answers to each question; their median counts")] = 1,
    temperature: Annotated[float, Option(help="of the judge")] = 0.0,
    max_new_tokens: Annotated[int, whole("of its answers")] = 256,
    policy: Annotated[str | None, Option(help="a run, model or helper to add to those who talk to the people")] = None,
    trust: Trust = False,
    answers: Annotated[bool, Option("--answers", help="show the judge what the person said back, too")] = False,
    seed: Seed = 0,
    out: Out = None,
) -> int:
    """Measure a judge where the truth is known.

    Has a chat model judge wellbeing and acts in conversations of SmileWorld, whose truth is known, and measures how far
    it agrees and what moves it that should not. Writes judge.json and judge.txt into runs/judges/NAME; where it agrees
    by chance, the first line says that it knows nothing, and smilerl eval --judge refuses it. Exit code 1: none of its
    verdicts could be read.

    A model in this process that is too small to write a verdict may be asked which it finds likeliest: scores:
    by_likelihood among its args, here and in smilerl eval --judge.

    \b
      smilerl judge '{name: local, args: {model: Qwen/Qwen3-0.6B}}' --n 64
      smilerl judge '{name: local, args: {model: ./small-model, scores: by_likelihood}}'
      smilerl judge '{name: endpoint, args: {url: http://localhost:8000/v1, model: some-model}}' --samples 2
    """
    given = SimpleNamespace(**locals())
    from smilerl.evaluation.command import judge

    return judge(given)


@app.command(cls=WithOverrides, context_settings=_overridden, options_metavar="[--KEY=VALUE ...]")
def study(context: typer.Context, plan: Annotated[str, Argument(metavar="PLAN", help="a YAML file")]) -> int:
    """Run what is missing of a study and report.

    Trains and evaluates every arm and seed that is missing, several at a time, then writes one report into the plan's
    output_dir. Run it again to go on after a stop; when nothing is missing it does nothing. Exit code 1: an arm failed;
    the report says which.

    \b
      smilerl study recipes/studies/smile.yaml
      smilerl study recipes/studies/smile.yaml --seeds='[0, 1, 2]' --workers=1
      smilerl study recipes/studies/smile.yaml --output_dir=runs/short --set.training.max_steps=10
    """
    from smilerl.studies.execute import run_study
    from smilerl.studies.plan import load_plan

    finished = run_study(load_plan(plan, context.args), ["smilerl", "study", plan, *context.args])
    if not finished.worked:
        print("Every run of this study is done.")
    for run, error in finished.failed.items():
        say(f"{run} failed: {brief(error, lines=2, most=500)}")
    print(printable(f"Report: {finished.report}"))
    return 1 if finished.failed else 0


@app.command()
def report(
    folder: Annotated[
        Path, Argument(metavar="DIR", parser=parsed_by(places.written), help="a study's folder, or plan")
    ],
) -> int:
    """Write the report of a study again; trains nothing.

    Writes report.html, report.md, figures/ and tables/ into the study's folder.

    \b
      smilerl report runs/smile
    """
    from smilerl.studies import report
    from smilerl.studies.plan import load_plan

    found = load_plan(folder).folder if folder.suffix in (".yaml", ".yml") else folder
    print(printable(report.write(found, force=True)))
    return 0


@app.command()
def pairs(
    model: Model,
    reward: Annotated[str, Option(help="what scores the replies: a name, YAML, or a list of such with weights")],
    out: Annotated[Path, path("JSONL; FILE.provenance.json is written beside it", "FILE")],
    format: Annotated[Literal["pairs", "labels"], Option(help="for DPO and reward models, or for KTO")] = "pairs",
    n: Annotated[int, whole("people")] = 1024,
    k: Annotated[int, whole("replies to each", most=65536)] = 8,
    world: World = None,
    split: Annotated[str, Option(help="of people")] = "train",
    threshold: Annotated[float | None, Option(help="of labels (default: the median of a person's replies)")] = None,
    max_completion_length: Annotated[
        int | None, whole("of a reply (default: 256, or what fits into the context)", "--max_completion_length")
    ] = None,
    temperature: Annotated[float, Option(help="of sampling")] = 1.0,
    dtype: Annotated[Literal["float32", "bfloat16", "float16", "auto"], Option(help="of the policy")] = "float32",
    seed: Seed = 0,
    chat_template_kwargs: Told = None,
    trust: Trust = False,
) -> int:
    """Make preference data from a model's replies and a reward.

    Samples k replies to each of n people, scores them with any reward, and writes the best against the worst (pairs),
    or good and bad ones (labels), to --out, for DPO, KTO or a reward model. Replies that are cut off or unscored are
    left out and counted.

    \b
      smilerl pairs recipes/smileworld/pretrain.yaml --reward sentiment --out pairs.jsonl --n 2048
      smilerl pairs ./my-model --reward '{name: preference, args: {model: my-org/my-reward-model}}' \\
          --world '{name: dialogue, args: {path: talks.jsonl}}' --format labels --dtype bfloat16 --out labels.jsonl
    Then, in a recipe of `method: dpo` or `kto`: `data: {n: 100000, args: {path: pairs.jsonl}}`. A recipe with
    `rewards:` and no path makes its pairs itself: recipes/smileworld/dpo_sentiment.yaml.
    """
    given = SimpleNamespace(**locals())
    from smilerl.evaluation import make_pairs

    print(printable(make_pairs.make(given)))
    return 0


@app.command()
def chat(
    model: Annotated[str | None, Argument(metavar="RUN_OR_MODEL_OR_HELPER", help="as for eval")] = None,
    helper: Annotated[str | None, Option(help="a scripted helper by name, such as carer or flatterer")] = None,
    world: World = None,
    chat_template_kwargs: Told = None,
    trust: Trust = False,
    seed: Seed = 0,
    max_new_tokens: Annotated[int, whole("of a reply", "--max_new_tokens")] = 64,
) -> int:
    """Talk to a helper as a person of the world.

    The helper replies; you see the person's answer, the sensor's reading, the smile and the wellbeing. Writes nothing.
    Enter says what this person would say; any other line is said instead; /help lists the commands.

    \b
      smilerl chat runs/smile/reading/seed-0
      smilerl chat --helper carer
      printf '\\n/new\\n\\n' | smilerl chat flatterer
    """
    name = helper or model
    if name is None:
        raise UserError(
            "chat needs a helper: a run or model directory, or a scripted helper.\n    Write `smilerl chat carer`."
        )
    from smilerl import chat
    from smilerl.evaluation import subject

    who = subject.find(name, world=world, helper=helper is not None, told=chat_template_kwargs, trusting=trust)
    who.check()
    conversation = chat.Conversation(who.world, who.replies(max_new_tokens), who.name, seed)
    if sys.stdin.isatty():
        print(f"\n{chat.HELP}")
    conversation.run(chat.typed(sys.stdin))
    return 0


_reward = typer.Typer(help="Look at a reward before a run is spent on it.")
app.add_typer(_reward, name="reward")


@_reward.callback()
def _about_reward() -> None:
    """Keeps `check` a command of its own."""


@_reward.command("check")
def reward_check(
    reward: Annotated[str, Argument(metavar="REWARD", help="a name, dotted path, YAML with name and args, or recipe")],
    world: Annotated[
        str | None,
        Option(help="whose prompts: a name, or YAML with name and args (default: smileworld; with --pairs, the pairs)"),
    ] = None,
    pairs: Annotated[
        str | None,
        Option(help="JSONL of chosen and rejected: transcripts as of hh-rlhf, messages, or text with a prompt"),
    ] = None,
    format: Annotated[
        Literal["as_is", "text", "messages"] | None, Option(help="of pairs (default: as its model reads)")
    ] = None,
    accuracy_above: Annotated[
        float | None,
        Option(
            "--accuracy_above", metavar="SHARE", help="fail unless the whole interval of the accuracy is above this"
        ),
    ] = None,
    n: Annotated[int | None, whole("people of the world (default: 32), and pairs (default: all)")] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, path("also write what was found, as JSON", "FILE")] = None,
) -> int:
    """Look at a reward before a run is spent on it.

    Scores the same replies in several ways: alone and in a batch, twice, in another order, as messages. Prints how its
    model is prompted, what is too long for it, what scripted helpers earn, and on real pairs how often it agrees with
    people. Exit code 1: a check
    failed.

    \b
      smilerl reward check sentiment
      smilerl reward check '{name: preference, args: {model: runs/rm/model}}' --pairs pairs.jsonl
      smilerl reward check my_rewards.py:kindness --world '{name: dialogue, args: {path: talks.jsonl, format: text}}'
      smilerl reward check recipes/smileworld/rloo_preference.yaml       all rewards of a recipe, in its world
    """
    given = SimpleNamespace(**locals())
    from smilerl.reward_check.command import check

    return check(given)


@app.command()
def push(
    what: Annotated[str, Argument(metavar="RUN_OR_DATA", help="a run, the recipe of a model, or a folder with data")],
    to: Annotated[str | None, Option(metavar="ORG/NAME", help="default: your account, and the folder's name")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="show what would go; send nothing, ask for no token")] = False,
    private: Annotated[bool, Option("--private", help="make the repository private, if it is new")] = False,
    base: Annotated[
        str | None,
        Option(metavar="ORG/NAME", help="where the base of the run is on the Hub; pushed there first if it is not"),
    ] = None,
    study: Annotated[Path | None, path("the study it belongs to (default: the one it lies in)")] = None,
    license: Annotated[str | None, Option(metavar="ID", help="default: the base's; apache-2.0 if it has none")] = None,
    replace: Annotated[
        list[str] | None,
        Option(
            metavar="LOCAL=ID",
            help="the id on the Hub of another model of the recipe that is only here; may be given several times",
        ),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="replace another run that is in the repository")] = False,
) -> int:
    """Share a run, or data, on the Hugging Face Hub.

    Uploads the model or adapter of a finished run with its recipe, manifest, results, samples, the report of its study
    and a card, in one commit. Every file is searched for tokens and for paths of this machine first. Needs a token:
    `hf auth login`, or HF_TOKEN.

    \b
      smilerl push runs/smile/reading/seed-0 --dry-run                every file that would go, and the card
      smilerl push runs/smile/reading/seed-0 --to org/name --private
      smilerl push runs/lora/seed-0 --to org/name --base org/base     an adapter, and its base if that is new
      smilerl push recipes/smileworld/preference_rm.yaml --to org/rm    the model that a recipe builds
      smilerl push data --to org/data                                   a data set
    """
    from smilerl.publish import push, upload

    renamed = {local: hub_id for local, _, hub_id in (text.partition("=") for text in replace or [])}
    if not all(renamed.values()):
        raise UserError("command line: --replace should be LOCAL=ID.\n    Write --replace runs/rm/seed-0=org/rm.")
    prepared = push.prepare(what, push.Options(to, license, study, base, renamed))
    if not dry_run:
        print(printable(upload.push(prepared, private=private, overwrite=overwrite)))
    else:
        print(printable(push.dry_run(prepared)))
    return 0


@app.command()
def pull(
    id: Annotated[str, Argument(metavar="ID", help="org/name, org/name@revision, or datasets/org/name")],
    to: Annotated[Path | None, path("default: runs/hub/org/name")] = None,
) -> int:
    """Copy a repository of the Hub here: all of it, or nothing.

    It goes into runs/hub/org/name. (eval and chat take an id without pulling first.)

    \b
      smilerl pull org/name
      smilerl pull org/name@v1 --to models/name
      smilerl pull datasets/org/data --to data
    """
    from smilerl.models.hub.fetch import pull

    print(printable(pull(id, to)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
