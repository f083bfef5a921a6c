"""What several files of this folder begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.registry.shelf import Shelf
from tests.support.registry_cases import ours_and_theirs


@pytest.fixture
def two(tmp_path: Path) -> Shelf:
    """THEIRS in production, OURS a candidate that would pass."""
    return ours_and_theirs(tmp_path)
