"""Caches of the test's own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def always_own_cache(own_cache) -> None:
    """No test of this folder reads or writes the user's cache."""
