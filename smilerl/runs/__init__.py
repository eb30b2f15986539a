"""The run directory: what it holds, what it was made from, and what of it may be reused."""
