"""Print what commands say, show how far they are, and check the paths that a person named."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import track

from models.data.errors import UsageError

PROGRAM: Final = "python -m models.data"
WIDE: Final = 160
"""Columns when the output is a file or a pipe: a table there must not be cut."""
T = TypeVar("T")


def new_console(stderr: bool = False) -> Console:
    """Return a console for stdout, or for stderr."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=WIDE)


def progress(items: Iterable[T], what: str, console: Console, total: int | None = None) -> Iterator[T]:
    """Yield the items, with a progress bar on a terminal."""
    yield from track(items, what, total, console=console, transient=True, disable=not console.is_terminal)


def existing(path: Path) -> Path:
    """Return a path. Raises UsageError: when nothing is there."""
    if not path.exists():
        raise UsageError(f"{path} is not there.")
    return path


def free(folder: Path, sign: Path, replace: bool) -> None:
    """Check that a folder can be written. sign: a file in it that says it is in use. Raises UsageError: when it is."""
    if sign.exists() and not replace:
        raise UsageError(f"{folder} is in use; name another folder, or add --replace.")


def command_line() -> str:
    """Return the command as it was typed."""
    return shlex.join([*PROGRAM.split(), *sys.argv[1:]])
