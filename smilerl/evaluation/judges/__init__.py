"""Judges: a chat model that reads a rubric says how a person fares, or what a reply did.

A judge stands in for the truth where there is none, so it is treated as gold: asking one inside a sealed run raises,
whatever it would have said. And it is an instrument, so it is measured first: `smilerl judge SPEAKER` puts it to
SmileWorld, where the truth is known (`agreement`), and tries to move it by words that should not (`robustness`).
What was found is kept (`measured`), and no verdict hangs on a judge that knows nothing. A model too small to write a
verdict is asked which it finds likeliest (`likelihood`).
"""

from smilerl.evaluation.judges.judge import Judge, Verdict
from smilerl.evaluation.judges.rubric import Rubric, load_rubric

__all__ = ["Judge", "Rubric", "Verdict", "load_rubric"]
