"""Provide the fixtures that several files of this folder use."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.registry.storage import Registry
from tests.support.registry_cases import production_and_candidate


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Return a registry with PRODUCTION in production and CANDIDATE as a candidate that passes the gate."""
    return production_and_candidate(tmp_path)
