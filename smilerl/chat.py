"""Talk to a helper as a person of the world, and see what the sensor reads, whether the person smiles, and how they
fare.

smilerl chat runs/smile/reading/seed-0
printf '\\n/new\\n\\n' | smilerl chat carer
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from smilerl import worlds
from smilerl.io.errors import UserError
from smilerl.io.terminal import printable
from smilerl.models.messages import text
from smilerl.models.replies import visible

#: Prompts, people (JSON) and a seed to one completion each.
Reply = Callable[[list, list[str], int], list[str]]

#: Letters of the names in front of what is said.
_LABEL = 10

#: What a person's JSON holds beside facts about the person.
_NOT_FACTS = ("world", "seed", "id", "talk", "played", "columns")

HELP = """\
Enter          say what this person would say
any words      say that instead; needs and character stay this person's
/new           meet another person
/set F=V       the same person with a field changed, such as camera=off or disposition=trusting
/who           what this person does not tell the helper
/help          these lines
/quit          leave (so does the end of the input)"""


@dataclass
class Conversation:
    """One person of a world and the helper they talk to; every line is a conversation of its own.

    Attributes:
        world: as built.
        reply: the helper.
        name: the helper's, for the screen.
        seed: of the people and of sampling.
        write: prints one block of text.
    """

    world: worlds.World
    reply: Reply
    name: str
    seed: int = 0
    write: Callable[[str], None] = print

    def __post_init__(self) -> None:
        self._people = 0
        self._said = 0
        self.label = self.name if len(self.name) <= _LABEL else "helper"
        if self.label != self.name:
            self.show(f"You talk to {self.name}.")
        self.meet()

    def show(self, block: str) -> None:
        """Prints a block of text: what models, people and recipes say moves no cursor."""
        self.write(printable(block))

    def run(self, lines: Iterable[str]) -> None:
        """Takes lines until there are no more, or one says /quit."""
        for line in lines:
            if not self.take(line.strip()):
                return

    def take(self, line: str) -> bool:
        """Acts on one line; False when the user leaves."""
        command, _, rest = line.partition(" ")
        if command == "/quit":
            return False
        if command == "/new":
            self.meet()
        elif command == "/who":
            self.show(_facts(self.person))
        elif command == "/set":
            self.change(rest)
        elif command == "/help":
            self.show(HELP)
        elif command.startswith("/"):
            self.show(f"There is no command {command}.\n{HELP}")
        else:
            self.say(line)
        return True

    def meet(self) -> None:
        """Another person, drawn from those that no training has seen."""
        row = self.world.people("held_out", 1, self.seed + self._people)[0]
        self._people += 1
        self.prompt, self.person = row["prompt"], row["person"]
        self.show(f"\n{_shown('person', words(self.prompt))}")

    def change(self, said: str) -> None:
        """The same person with one field changed."""
        field, equals, value = said.partition("=")
        if not equals:
            self.show("Write /set camera=off.")
            return
        from datasets import Dataset

        try:
            row = self.world.twins(
                Dataset.from_dict({"prompt": [self.prompt], "person": [self.person]}),
                {field.strip(): value.strip() or None},
            )[0]
        except UserError as error:
            self.show(str(error))
            return
        self.prompt, self.person = row["prompt"], row["person"]
        self.show(f"\n{_shown('person', words(self.prompt))}")

    def say(self, line: str) -> None:
        """The person says a line (or what they would say), the helper replies, the person reacts."""
        prompt = with_words(self.prompt, line) if line else self.prompt
        person = self.world.saying(self.person, line) if line else self.person
        self._said += 1
        completion = self.reply([prompt], [person], self.seed + self._said)[0]
        said = visible(completion).strip()
        silent = "(thinks, and says nothing)" if completion.strip() else "(says nothing)"
        self.show(_shown(self.label, said or silent))
        if self.world.reacts:
            self.show(self._reaction(person, completion))

    def _reaction(self, person: str, completion: str) -> str:
        reaction = self.world.react([person], [completion])[0]
        seen, outcome = reaction.observation, reaction.outcome
        said = self.world.said([person], [completion])[0]
        lines = [_shown("person", said)] if said else []
        if seen.transcript not in (None, said):
            lines.append(_shown("recorded", seen.transcript))
        lines += [
            _level("reading", seen.reading, "not recorded"),
            _level("smile", outcome.smile, "unscored"),
            _level("wellbeing", outcome.wellbeing, "unscored", low=-2, high=2),
        ]
        acts = [] if outcome.acts is None else [f"acts       {', '.join(outcome.acts) or 'none'}"]
        return "\n".join([*lines, *acts])


def words(prompt: str | list) -> str:
    """What a prompt says, whether text or messages, without the cue that it is the helper's turn."""
    return text(prompt).removesuffix("helper:").strip()


def with_words(prompt: str | list, line: str) -> str | list:
    """The same situation in which the person says `line`."""
    if not isinstance(prompt, str):
        return [*prompt[:-1], {**prompt[-1], "content": line}]
    before, mark, _ = prompt.partition("person:")
    return f"{before}person: {line}\nhelper:" if mark else line


def typed(stream=sys.stdin) -> Iterable[str]:
    """Lines as they are typed, with a cue on a terminal, or as they come through a pipe."""
    while True:
        if stream.isatty():
            sys.stdout.write("\nyou> ")
            sys.stdout.flush()
        line = stream.readline()
        if not line:
            return
        yield line


def _shown(who: str, said: str) -> str:
    indent = " " * (_LABEL + 1)
    return "\n".join(
        textwrap.fill(line, 100, initial_indent=f"{who:<{_LABEL}} " if i == 0 else indent, subsequent_indent=indent)
        for i, line in enumerate(said.splitlines() or [""])
    )


def _level(name: str, value: float | None, absent: str, low: float = 0, high: float = 1) -> str:
    if value is None:
        return f"{name:<11}– {absent}"
    return f"{name:<11}{_bar((value - low) / (high - low))} {value:{'+' if low < 0 else ''}.2f}"


def _bar(share: float, width: int = 20) -> str:
    filled = round(max(0.0, min(1.0, share)) * width)
    return "█" * filled + "·" * (width - filled)


def _facts(person: str) -> str:
    return "\n".join(f"{key:<12}{value}" for key, value in json.loads(person).items() if key not in _NOT_FACTS)
