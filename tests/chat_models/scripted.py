"""A chat model that plays people by the script: smiles at what is `great`, fares well by a `plan`."""

from __future__ import annotations

import re


class Scripted:
    """Set `says` to what is to be answered first; read `asked`. Both are the class's, since chat models are built from specs."""

    name = "scripted"
    asked: list[list[dict]] = []
    says: list[str | None] = []

    def __init__(self, tag: str = ""):
        self.tag = tag  # makes a chat model of its own of each spec

    def __call__(self, conversations, *, max_new_tokens, temperature=1.0, seed=0):
        self.asked.extend(conversations)
        return [self.says.pop(0) if self.says else answer(talk[-1]["content"]) for talk in conversations]


def answer(question: str) -> str:
    """What a person who follows the script answers."""
    mark = re.search(r"^([0-9a-f]{8})$", question, re.MULTILINE)[1]
    helper = question.split(mark)[2].strip()
    if f"wellbeing-{mark}" in question:
        return f"wellbeing-{mark}: {8 if 'plan' in helper else -3}"
    return f"smile-{mark}: {9 if 'great' in helper else 1}\nsay-{mark}: I am {'happy' if 'great' in helper else 'sad'}."
