"""A cache of the test's own, and no proxy."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def always_own_surroundings(own_cache, no_proxy) -> None:
    """No test of this folder reads or writes the user's cache, or goes through a proxy."""
