"""Language models: what a name means, loading, prompts, sampling and log-probabilities."""
