"""What a reward is given outside a trainer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from smilerl.rewards._summed import ask_outside

PERSON = json.dumps({"world": "dialogue", "columns": {"answer": "4"}})
ASKED = [{"role": "user", "content": "2 + 2?"}]
SAID = [{"role": "assistant", "content": "four"}]


@pytest.mark.parametrize(
    ("prompt", "completion", "expected"),
    [
        ("2 + 2?", "four", ("2 + 2?", "four")),
        (ASKED, "four", (ASKED, SAID)),
        (np.array(ASKED, dtype=object), "four", (ASKED, SAID)),  # as Parquet gives it back
        (ASKED, SAID, (ASKED, SAID)),
    ],
)
def test_it_has_the_form_and_the_columns_of_training(prompt, completion, expected):
    given: dict = {}

    def mine(prompts, completions, **columns):
        given.update(columns, pair=(prompts[0], completions[0]))
        return [1.0]

    assert ask_outside(mine, [prompt], [PERSON], [completion], trainer_state=None) == [1.0]
    assert given == {"pair": expected, "answer": ["4"], "person": [PERSON], "trainer_state": None}
