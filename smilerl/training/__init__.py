"""Training: one recipe becomes one run."""
