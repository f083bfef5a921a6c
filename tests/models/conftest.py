"""What several files of this folder begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.registry.storage import Registry
from tests.support.registry_cases import production_and_candidate


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """THEIRS in production, OURS a candidate that would pass."""
    return production_and_candidate(tmp_path)
