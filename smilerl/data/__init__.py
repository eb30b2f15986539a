"""Preference data: pairs and labels, read from files or sampled from a policy."""
