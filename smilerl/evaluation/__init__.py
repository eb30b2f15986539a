"""Evaluations: which of wellbeing, smile and reading does a policy follow, in cases where they come apart?

`evaluate(policy, world, suite, base=...)` in `runner` is the way in. A question is a file in `evals/`.
"""
