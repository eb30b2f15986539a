"""The questions for other programs: Inspect and lm-evaluation-harness."""
