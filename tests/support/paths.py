"""Locate the project's own files, for tests in any folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
ARTEFACTS: Final = ROOT / "models" / "artefacts"
