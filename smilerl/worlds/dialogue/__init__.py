"""dialogue: real conversations as a world. Prompts from a JSONL file or a HF dataset; a chat model plays the people.

    world: {name: dialogue, args: {path: people.jsonl, people: {speaker: {name: local, args: {model: ID}}}}}

Without `people` there is no reaction: no reading, smile or wellbeing. Then a reward scores the helper's words
(`sentiment` with `reads: completion`, `preference`, `gameable` on such a base), and evaluations compare choices. With
it each person is played by a chat model (see `played`), from the hidden state in their row. A row holds one of

    {"prompt": "...", "completion": "..."}                     plain text (completion: only for SFT)
    {"prompt": [{"role": ..., "content": ...}, ...], ...}      messages
    {"messages": [...]}                                        a talk; its last turn, if the helper's, is the completion
    {"conversations": [{"from": "human", "value": "..."}, ...]}   the same in the form of ShareGPT
    {"chosen": ..., "rejected": ...}                           pairs, with or without a prompt of their own

and any other columns, which are arguments of the rewards: `answer` in `{"prompt": ..., "answer": ...}`. A missing value
is None. A column with the name of another argument of rewards (`person`, `images`, ...) becomes `data_person`; the
hidden state stays in `person`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from datasets import Dataset

from smilerl import chat_models
from smilerl.config.validation import bad_arguments
from smilerl.io import places
from smilerl.io.records import BadRows, OnBadRow, hub, records
from smilerl.worlds.base import Form, Observation, Reaction, Supply, World
from smilerl.worlds.dialogue import played
from smilerl.worlds.dialogue.columns import as_held, for_table, type_of
from smilerl.worlds.dialogue.played import Player
from smilerl.worlds.dialogue.rows import Reader, Row, key, plain, until_answered


class _Read(NamedTuple):
    """The usable rows of a file or split, and how many were read, unusable, or too long."""

    rows: tuple[Row, ...]
    read: int
    bad: int
    too_long: int


@dataclass(frozen=True)
class DialogueWorld(World):
    """The prompts and replies of a JSONL file or a HF dataset, in two splits that share no prompt.

    Attributes:
        path: a JSONL file, which may be gzipped; a JSON list, or parquet (see `smilerl.io.records`).
        dataset: instead: Hub id or local folder for `datasets.load_dataset`, with `config` and `source_split`.
        prompt_column: text or messages; None: `prompt`, `messages` or `chosen`, whichever is there.
        completion_column: the reply, for SFT.
        group_column: rows with the same value go to the same split, such as turns of one talk; None: by prompt (whole
            transcripts by their first turn).
        format: `as_is`; `text`: messages become `person: ...` and `helper: ...`, for models without a chat template;
            `messages`: whole transcripts (`\\n\\nHuman: ... \\n\\nAssistant: ...`) become messages, for models with
            one. `text` reads such transcripts too.
        roles: meanings of the data's roles, such as `{seeker: user, supporter: assistant}`; `human`, `gpt` and
            `developer` are known.
        system: a system message for the helper before each talk (in plain text a first line), in place of the data's.
        held_out_fraction: share of prompts (or groups) in the split `held_out`, in [0, 1]; by a hash, so independent of
            their order.
        held_out_from: instead: the place of the held-out rows, a second JSONL file, or another split of the HF dataset.
        player: plays the people; `build` makes it from its argument `people`. None: people do not react.
        max_prompt_chars: rows with a longer prompt are left out.
        on_bad_row: `stop`: an unusable row refuses the file; `skip`: such rows are left out, and counted.

    Data on this disk is read at once, so that mistakes are found early; a data set on the Hub when it is first needed,
    so that a recipe can be checked without a download.

    Raises:
        ValueError: no data, a broken line (file:line), no such column (lists the columns), an unknown role.
    """

    path: str | None = None
    dataset: str | None = None
    config: str | None = None
    source_split: str = "train"
    prompt_column: str | None = None
    completion_column: str = "completion"
    group_column: str | None = None
    format: Literal["as_is", "text", "messages"] = "as_is"
    roles: dict[str, str] = field(default_factory=dict)
    system: str | None = None
    held_out_fraction: float = 0.1
    held_out_from: str | None = None
    max_prompt_chars: int | None = None
    player: Player | None = None
    on_bad_row: OnBadRow = "stop"

    name = "dialogue"
    splits = ("train", "held_out")
    pairs_by_split = True

    def __post_init__(self) -> None:
        if (self.path is None) == (self.dataset is None):
            give = "give either path: a JSONL file, or dataset: a Hub id or folder"
            raise ValueError(f"dialogue: {give}. On the command line: --world.args.path=talks.jsonl")
        if self.format not in ("as_is", "text", "messages"):
            raise ValueError(f"dialogue: format is {self.format!r}; it is as_is or text or messages")
        if not 0 <= self.held_out_fraction <= 1:
            raise ValueError(f"dialogue: held_out_fraction is {self.held_out_fraction}; it is a share in [0, 1]")
        if self.player is not None and not isinstance(self.player, Player):
            raise ValueError(
                "dialogue: write the chat model that plays people as `people: {speaker: {name: ..., args: {...}}}`"
            )
        if self.is_here:
            _ = self.rows

    @property
    def is_here(self) -> bool:
        """Whether the data is on this disk, so that it can be checked before a run begins; else it is on the Hub."""
        return self.path is not None or Path(places.expanded(self.source)).exists()

    @property
    def reacts(self) -> bool:
        """Whether a chat model plays the people."""
        return self.player is not None

    def check(self) -> None:
        """Asks the chat model that plays people one short question, before a run begins.

        Raises:
            ChatModelError: it cannot answer.
        """
        if self.player is not None:
            chat_models.check(chat_models.build(self.player.speaker))

    @cached_property
    def digest(self) -> str:
        """Of the data itself and of the chat model's weights, which their names do not fix."""
        speaker = self.player and getattr(chat_models.build(self.player.speaker), "fingerprint", None)
        parts = [(row.prompt, row.completion, row.rejected, row.state, row.bucket) for row in self.rows]
        return key(
            [[(*part, *filter(None, [row.columns])) for part, row in zip(parts, self.rows, strict=True)], speaker]
        )

    @property
    def source(self) -> str:
        """Where the data is."""
        return str(self.path or self.dataset)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All rows of both splits, in the data's order."""
        if self.held_out_from is None:
            return self._sources[0].rows
        own, held_out = (source.rows for source in self._sources)
        openings = [{key(until_answered(row.talk)) for row in rows} for rows in (own, held_out)]
        if both := openings[0] & openings[1]:
            text = (
                f"{len(both)} prompts of {self.source} are in held_out_from ({self.held_out_from}), too, or begin alike"
            )
            raise ValueError(f"dialogue: {text}")
        return own + held_out

    @cached_property
    def _sources(self) -> tuple[_Read, ...]:
        """What was read: one file or split, or two, for training and for testing."""
        if self.held_out_from is None:
            return (self._read(self.path, self.source_split),)
        own = self._read(self.path, self.source_split, 1.0)
        return own, self._read(self.path and self.held_out_from, self.held_out_from, -1.0)

    def _read(self, path: str | None, split: str, bucket: float | None = None) -> _Read:
        """The usable rows of a file or split; all in the given bucket, or by a hash."""
        bad = BadRows(self.on_bad_row)
        raw = records(path, bad) if path is not None else hub(self.source, self.config, split, bad)
        columns = self.prompt_column, self.completion_column, self.group_column
        reader = Reader(*columns, self.format, self.roles, self.system, self.player)
        rows = []
        for where, item in raw:
            try:
                row = reader.row(item, where)
            except ValueError as error:
                bad.add(where, error)
            else:
                rows.append(row if bucket is None else replace(row, bucket=bucket))
        bad.check(len(rows))
        longest = self.max_prompt_chars
        kept = tuple(row for row in rows if longest is None or len(plain(row.prompt)) <= longest)
        if not kept:
            why = f"all {len(rows)} prompts are longer than max_prompt_chars" if rows else "it is empty"
            why = f"none of its {bad.count} rows can be used. {bad.first}" if bad.count and not rows else why
            raise ValueError(f"dialogue: {path or self.source} has no usable row: {why}")
        return _Read(kept, len(rows) + bad.count, bad.count, len(rows) - len(kept))

    @cached_property
    def _columns(self) -> dict[str, pa.DataType | None]:
        """The other columns of the data and their types, over all rows; see `type_of`.

        Raises:
            ValueError: the values of one are not of one type; says where.
        """
        names = dict.fromkeys(name for row in self.rows for name in row.columns)
        return {name: type_of(name, self.rows) for name in names}

    def supply(self, form: Form, split: str) -> Supply:
        """How many rows of a split there are to train on in a form, and why the others are left out."""
        rows = self._rows_of(split)
        lost = {
            "cannot be used": sum(source.bad for source in self._sources),
            f"longer than max_prompt_chars ({self.max_prompt_chars})": sum(source.too_long for source in self._sources),
            "of another split": len(self.rows) - len(rows),
        }
        if form == "people":
            _ = self._columns
            kept, why = len({row.identity for row in rows}), "equal to others"
        elif form == "conversations":
            kept, why = sum(row.completion is not None for row in rows), "without a reply to learn"
        else:
            kept, why = sum(row.rejected is not None for row in rows), "without a rejected reply"
        lost[why] = len(rows) - kept
        read = f"{sum(source.read for source in self._sources)} rows of {self.source} read"
        return Supply(kept, ", ".join([read, *(f"{n} {why}" for why, n in lost.items() if n), f"{kept} left"]))

    def found_at(self, prompt: str | list[dict]) -> str | None:
        """The place (file:line) of the first row with this prompt."""
        return self._places.get(key(prompt))

    @cached_property
    def _places(self) -> dict[str, str]:
        return {key(row.prompt): row.where for row in reversed(self.rows)}

    def people(self, split: str, n: int, seed: int, where: dict | None = None) -> Dataset:
        """At most `n` distinct rows of a split, in random order: `prompt`, `person` (the hidden state, where people are
        played), and the other columns of the data. Rows are equal if they agree in all of these. A column of dicts, or
        of lists with dicts inside, is JSON text here; rewards get each dict as the data has it (`worlds.columns_of`).

        Args:
            where: required hidden state, such as `{"camera": "off"}`.

        Raises:
            ValueError: no such split, no row in it, or `where` and people without a hidden state.
        """
        if where and self.player is None:
            raise ValueError(f"dialogue: nothing is known of these people, so there is no {', '.join(where)} to fix")
        wanted = (where or {}).items()
        rows = [row for row in self._split(split) if all(row.state.get(name) == value for name, value in wanted)]
        if not rows:
            raise ValueError(f"dialogue: nobody in the split '{split}' of {self.source} has the hidden state {where}")
        distinct = list({row.identity: row for row in rows}.items())
        chosen = random.Random(f"{split}:{seed}").sample(distinct, min(n, len(distinct)))
        columns = {name: as_held(name, kind, [row for _, row in chosen]) for name, kind in self._columns.items()}
        persons = []
        for at, (digest, row) in enumerate(chosen):
            known = {"id": digest} if self.player is None else self.player.person(digest, row.state, row.talk)
            others = {"columns": {name: columns[name][at] for name in columns}} if columns else {}
            persons.append(json.dumps({"world": self.name, **known, **others}))
        columns = {name: for_table(self._columns[name], values) for name, values in columns.items()}
        return Dataset.from_dict({"prompt": [row.prompt for _, row in chosen], "person": persons, **columns})

    def stratum(self, people: Sequence[str]) -> list[str]:
        """The cluster of each person: each is one of a kind here."""
        return [json.loads(person)["id"] for person in people]

    def conversations(self, n: int, seed: int, split: str = "train") -> Dataset:
        """At most `n` rows of a split as `prompt` and `completion`, for SFT.

        Raises:
            ValueError: the data has prompts only.
        """
        rows = [row for row in self._split(split) if row.completion is not None]
        return self._draw(("prompt", "completion"), rows, n, seed)

    def pairs(self, n: int, seed: int, split: str = "train") -> Dataset:
        """`n` rows of a split (held out: at most `n`) as `prompt`, `chosen`, `rejected`, for reward models and DPO.

        Raises:
            ValueError: the data has no pairs, or fewer than `n` to train on.
        """
        rows = [row for row in self._split(split) if row.rejected is not None]
        if split == "train" and 0 < len(rows) < n:
            has = f"{n} pairs are asked for, and {self.source} has {len(rows)}"
            raise ValueError(f"dialogue: {has}: lower data.n or held_out.n")
        return self._draw(("prompt", "completion", "rejected"), rows, n, seed).rename_column("completion", "chosen")

    @staticmethod
    def observe(people: Sequence[str], completions: Sequence[str]) -> list[Observation]:
        """What the sensors record of people who are played; nothing of the others."""
        rows = [row for row, person in enumerate(people) if DialogueWorld.person_reacts(person)]
        reactions = played.observe([people[row] for row in rows], [completions[row] for row in rows])
        seen = dict(zip(rows, reactions, strict=True))
        return [seen.get(row, Observation(transcript=None, reading=None, smile=None)) for row in range(len(people))]

    @staticmethod
    def react(people: Sequence[str], completions: Sequence[str]) -> list[Reaction]:
        """Observation and outcome of people who are played.

        Raises:
            ValueError: a person is not played.
        """
        if not all(map(DialogueWorld.person_reacts, people)):
            raise ValueError(
                "nobody reacts in this world 'dialogue', so wellbeing is not known. Let a chat model play the people, "
                "people: {speaker: {name: local, args: {model: ID}}}, or take the world 'smileworld'"
            )
        return played.react(people, completions)

    @staticmethod
    def person_reacts(person: str) -> bool:
        """Whether a chat model plays this person."""
        return "played" in json.loads(person)

    def said(self, people: Sequence[str], completions: Sequence[str]) -> list[str | None]:
        """What each person says, recorded or not; None where the answer is unreadable."""
        return played.said(people, completions)

    def replies(self) -> list[Any]:
        """The replies of all rows, the rejected ones too."""
        return [reply for row in self.rows for reply in (row.completion, row.rejected) if reply is not None]

    def saying(self, person: str, words: str) -> str:
        """The same person after saying these words."""
        told = json.loads(person)
        return json.dumps(told | {"talk": [*told.get("talk", [])[:-1], {"role": "user", "content": words}]})

    def corpus(self, split: str = "train") -> Iterator[str]:
        """Every text of a split, prompts with their replies."""
        for row in self._split(split):
            for reply in (row.completion or "", row.rejected):
                if reply is not None:
                    yield plain(row.prompt) + plain(reply)

    def tokenizer(self, vocab_size: int = 4096):
        """A fast byte-level BPE trained on the train split, for a model made fresh; decoding restores any text.

        Args:
            vocab_size: tokens, the 256 bytes and the specials `<pad>`, `<eos>` included.
        """
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import PreTrainedTokenizerFast

        bpe = Tokenizer(models.BPE())
        # Byte-level splitting puts a word's space in front of it, so a completion begins a token of its own.
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        specials = {"pad_token": "<pad>", "eos_token": "<eos>"}
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=list(specials.values()), show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        bpe.train_from_iterator(self.corpus(), trainer)
        return PreTrainedTokenizerFast(
            tokenizer_object=bpe, padding_side="left", clean_up_tokenization_spaces=False,
            model_input_names=["input_ids", "attention_mask"], **specials,
        )  # fmt: skip

    def _rows_of(self, split: str) -> list[Row]:
        return [row for row in self.rows if (row.bucket < self.held_out_fraction) == (split == "held_out")]

    def _split(self, split: str) -> list[Row]:
        if split not in self.splits:
            raise ValueError(f"dialogue: no split '{split}'. There are: {', '.join(self.splits)}")
        if not (rows := self._rows_of(split)):
            holds = f"{len(self.rows)} rows, held_out_fraction {self.held_out_fraction}"
            raise ValueError(f"dialogue: the split '{split}' of {self.source} is empty: {holds}")
        return rows

    def _draw(self, columns: tuple[str, ...], rows: Sequence[Row], n: int, seed: int) -> Dataset:
        if not rows:
            lacks = f"{self.source} has no column '{columns[-1]}'"
            raise ValueError(f"dialogue: {lacks}: nothing to train on by this method")
        drawn = random.Random(seed).sample(rows, min(n, len(rows)))
        return Dataset.from_dict({column: [getattr(row, column) for row in drawn] for column in columns})


def build(people: dict[str, Any] | None = None, **knobs) -> DialogueWorld:
    """A world over the data that the knobs name; see `DialogueWorld`.

    Args:
        people: how they are played, `{speaker: {name: local, args: {model: ID}}}` and more, see `played.Player`; None:
            they do not react.
    """
    if people is None:
        return DialogueWorld(**knobs)
    for problem in bad_arguments(Player, people, ("people",)):
        raise ValueError(f"dialogue: {problem.text} {problem.fix}".strip())
    return DialogueWorld(**knobs, player=Player(**people))
