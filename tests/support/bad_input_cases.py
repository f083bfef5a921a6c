"""Share helpers of the tests of bad input: the real command line, a configuration, and the sentence on stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

LINE = '[[lines]]\nid = "road"\nstart = [0.1, 0.5]\nend = [0.9, 0.5]\n'
PROGRAM = (sys.executable, "-m", "edge_app.cli")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user or mount a small disk")


def edge_app(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


def config(folder: Path, text: str, video: Path | None = None, lines: str = LINE) -> Path:
    """Write a configuration and return its path.

    video: its source; None for the rendered street, or for the [source] in `text`.
    """
    path = folder / "edge-app.toml"
    street = "" if "[source]" in text else '[source]\nkind = "street"\n'
    source = f'[source]\nkind = "file"\npath = "{video}"\n' if video else street
    path.write_text(f"{source}{text}\n{lines}")
    return path


def one_sentence(text: str) -> str:
    """Return stderr after checking that it is one line of the program, beside that on the rendered street."""
    assert "Traceback" not in text
    (line,) = (line for line in text.splitlines() if "NO CAMERA" not in line)
    assert line.startswith("edge-app: ")
    return line


@contextmanager
def running(folder: Path, text: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run the service on the rendered street within the context."""
    path = config(folder, text, lines="")
    process = subprocess.Popen([*PROGRAM, "run", "--config", path], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
