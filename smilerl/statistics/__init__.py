"""Intervals, seeds, Goodhart fits, best of n, agreement."""
