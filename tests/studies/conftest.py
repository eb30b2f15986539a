"""Study folders with invented results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import synthetic


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Path]:
    """Writes an invented study and returns its folder; arguments as in `synthetic.write_study`."""
    return lambda **options: synthetic.write_study(tmp_path / "study", **options)
