"""Checks to make of a reward before a run is spent on it, none of them enforced: `smilerl reward check REWARD`.

A reward that depends on who else is in the batch, that writes to its inputs, or whose label map is upside down trains a
policy all the same, and nothing in the run's log says so. Here it is asked in several ways, and the answers compared.

    spec = {"name": "preference", "args": {"model": "runs/rm/model"}}
    found = look(build_reward(spec), of_world(world, n=32, seed=0))
    found.passed, [finding.said for finding in found.findings]
"""

from smilerl.reward_check.findings import Finding, Findings
from smilerl.reward_check.look import look
from smilerl.reward_check.on_pairs import judge_pairs, read_pairs
from smilerl.reward_check.tried import Tried, of_pairs, of_world

__all__ = ["Finding", "Findings", "Tried", "judge_pairs", "look", "of_pairs", "of_world", "read_pairs"]
