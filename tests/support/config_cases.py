"""Read a configuration from a text, for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_app.config.load import load
from edge_app.config.model import Config
from edge_app.errors import ConfigError

LINE = '[[lines]]\nid = "main"\nstart = [0.1, 0.5]\nend = [0.9, 0.5]\n'


def read(path: Path, text: str, **environment: str) -> Config:
    path.write_text(text, encoding="utf-8")
    return load(path, environment)


def problems(path: Path, text: str, **environment: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(path, text, **environment)
    return caught.value.problems
