"""Locate the shared test data (clips, truth, images): EDGE_APP_SHARED, default ../shared; tests skip without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SHARED = Path(os.environ.get("EDGE_APP_SHARED", ROOT.parent / "shared"))


def needs(part: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where this part of the shared data is absent."""
    path = SHARED / part
    return pytest.mark.skipif(not path.exists(), reason=f"no {path.name}: set EDGE_APP_SHARED to the shared data")
