"""The largest numbers that recipes and the command line take. No imports, so that `--help` need not load pydantic."""

from __future__ import annotations

#: The largest seed, which all libraries take, also with the number of a process or a reward added.
MOST_SEED = 2**31 - 1
#: The most people, pairs or conversations.
MOST_ROWS = 10_000_000
