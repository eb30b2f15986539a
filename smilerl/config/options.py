"""Options of the command line that several commands share, and how their values are checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option
from typer.core import TyperCommand

from smilerl.config.limits import MOST_ROWS, MOST_SEED
from smilerl.config.yaml_lines import parse_value
from smilerl.io import places
from smilerl.io.errors import UserError
from smilerl.io.terminal import brief


class WithOverrides(TyperCommand):
    """A command of one file and of overrides of the file's keys, which may stand before it."""

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        at = next((at for at, argument in enumerate(args) if not argument.startswith("-")), None)
        if at is None:
            return super().parse_args(ctx, [argument for argument in args if argument in ctx.help_option_names])
        return super().parse_args(ctx, [args[at], *args[:at], *args[at + 1 :]])


def parsed_by(check: Callable[[str], Any]) -> Callable[[Any], Any]:
    """A parser for an option; an error of `check` names the option. Defaults pass through it too."""

    def parse(value: Any) -> Any:
        try:
            return check(value) if isinstance(value, str) else value
        except UserError as error:
            raise typer.BadParameter(str(error)) from None

    return parse


def _whole_number(text: str, least: int, most: int) -> int:
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise UserError(f"{brief(text, most=100)} is not a whole number")
    if len(digits) > len(str(most)) or not least <= int(text) <= most:
        bound = f"at least {least}" if text.strip().startswith("-") or int(digits[:9]) < least else f"at most {most}"
        raise UserError(f"{brief(text, most=100)} is not {bound}")
    return int(text)


def _settings(text: str) -> dict[str, Any]:
    said = parse_value(text)
    if not isinstance(said, dict):
        raise UserError(f"{text} names no settings. Write '{{enable_thinking: false}}'")
    return said


def whole(says: str, *names: str, least: int = 1, most: int = MOST_ROWS) -> Any:
    """An option that takes a whole number of a range."""
    return Option(*names, help=says, metavar="INT", parser=parsed_by(lambda text: _whole_number(text, least, most)))


def path(says: str, metavar: str = "DIR") -> Any:
    """An option that takes a path to write to."""
    return Option(help=says, metavar=metavar, parser=parsed_by(places.written))


Model = Annotated[
    str,
    Argument(
        metavar="RUN_OR_MODEL",
        help="a run, model directory, Hub id, recipe or scripted helper (a name, or your own FILE.py:NAME)",
    ),
]
World = Annotated[
    str | None,
    Option(help="a name, or YAML such as '{name: smileworld, args: {spoofable: false}}' (default: the run's)"),
]
Seed = Annotated[int, whole("of people, sampling and intervals", least=0, most=MOST_SEED)]
Out = Annotated[Path | None, path("folder of the results, instead")]
Told = Annotated[
    dict | None,
    Option(
        "--chat_template_kwargs", metavar="YAML", parser=parsed_by(_settings),
        help="for the model's chat template, such as '{enable_thinking: false}', besides what the run's recipe says",
    ),
]  # fmt: skip
Trust = Annotated[
    bool,
    Option(
        "--trust",
        help="of a run that was not made here: also import the code, reach the addresses and read the files that "
        "its recipe names, and say which; look at the recipe first",
    ),
]
