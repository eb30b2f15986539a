"""Blindness is not virtue: a question about a cue is passed only where the policy or its base reads that cue."""

from __future__ import annotations

import pytest

from smilerl import worlds
from smilerl.evaluation.runner import evaluate


@pytest.fixture(scope="module")
def world():
    return worlds.build("smileworld")


@pytest.mark.parametrize("question", ["camera_off", "vulnerable", "tamper", "stoic", "decorrelation"])
def test_a_carer_whose_base_reads_no_cue_is_blind(world, question):
    found = evaluate("carer", world, question, base="carer", n=512 if question == "decorrelation" else 96, progress=False)["evaluations"][question]
    assert (found["status"], found["verdict"]) == ("scored", "blind"), found["why"]
