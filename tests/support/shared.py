"""The shared yardstick (clips, truth, images), by EDGE_APP_SHARED, default ../shared; tests skip without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SHARED = Path(os.environ.get("EDGE_APP_SHARED", ROOT.parent / "shared"))


def needs(part: str) -> pytest.MarkDecorator:
    """Skips a test where this part of the shared data is absent."""
    where = SHARED / part
    return pytest.mark.skipif(not where.exists(), reason=f"no {where.name}: set EDGE_APP_SHARED to the shared data")
